"""Who hears of an alert, why or why not, and by which channel: an outbox that nothing falls out of."""
