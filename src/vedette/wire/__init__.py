"""The JSON of the alert API: the only package that knows its keys.

`outgoing` turns model values into JSON-able ones and needs the standard library only, for the device imports it.
`incoming` reads and checks what devices send, fast (msgspec); only the server imports it.
Source of the keys: the published devicemonitor API (docs/compatibility.md).
"""
