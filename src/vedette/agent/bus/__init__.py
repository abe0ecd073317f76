"""The system's message bus (D-Bus), on the agent's own loop.

`connection` speaks the protocol for as long as one socket lives, `client` comes back when the bus does, `rules` reads
match rules, `render` turns a signal into the text that patterns are tried on. The wire format is jeepney's, a pure
Python library without I/O of its own: 100 kB of memory, and imported only when a check needs the bus.
Source: D-Bus Specification 0.43.
"""
