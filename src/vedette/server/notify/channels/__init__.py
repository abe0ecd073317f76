"""The ways out. A channel sends one message, or raises `DeliveryFailed` and says whether trying again can help."""
