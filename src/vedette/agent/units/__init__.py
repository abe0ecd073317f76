"""Services of the system: what state they are in, told when it changes.

`unit` holds the words and the pure rules, `systemd` hears of changes over the bus and asks `systemctl` where there is
none, `programs` runs `systemctl` and `service` and understands what they print.
"""
