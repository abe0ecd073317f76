"""The configuration of devices: as people want it, as it is deployed, as devices report it."""
