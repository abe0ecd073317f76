"""The short-lived child that authenticates the device and delivers what its store owes the server.

`python -m vedette.agent.uplink [--root DIR]`, started by the daemon. Standard input: a byte means "there is something
new", end of file means "finish". Standard output: `{"apply": 1.0}` when there is a configuration to be applied; as the
last line `{"retry_in_s": 12.5}` when it ends because it must wait, with `"ask_in_s": 700.1` in it when the server is to
be asked for deployments by then. Standard error: sentences for the daemon's log.

Rows leave the store only when the server has said 2xx. What each answer means:

| answer | what happens |
| --- | --- |
| 204, 200 | delivered; another 2xx too, with a warning |
| any 2xx or 400 with an HTML page | not the API but something in between (a captive portal): kept, back-off |
| 400 | the batch is split until the bad record is alone; it is quarantined, the others are delivered |
| 413 | smaller batches; a single record that is too large is quarantined |
| 401 | one new authentication and one more try, then back-off |
| 307, 308 | followed at the same origin only; any other redirect is refused, the token never goes elsewhere |
| 429, 5xx, anything else, no answer | kept, back-off with full jitter, `Retry-After` is the least wait |
| 401 to the authentication itself | not accepted yet: asks again after 10 to 40 s |

The child's start counts in the time from a log line to the server, so modules here import little: `ssl` comes only for
https, `cryptography` only when a new token is needed, the settings come from the daemon (terms.py).
"""
