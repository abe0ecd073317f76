"""The device's side of its configuration: flat texts by name, from the server, brought to bear and kept so.

| module | what |
| --- | --- |
| `plan` | which checks a configuration means; pure |
| `apply` | makes them so, with the programs in apply-device-config.d: all of it or nothing |
| `artifact` | what a deployment brings, taken apart with suspicion |
| `deployment` | how far the one at work is, durably; and which there were |
| `starter` | in the daemon: runs `python -m vedette.agent.configure` when there is something to apply |

Where a Mender client is installed it takes the deployments itself, and its add-on runs `mender-monitorctl
apply-config`, which is `apply` too. Where none is, the uplink asks for them (`uplink/deployments.py`), a child of its
own applies them, so that no alert waits for somebody's program, and the uplink tells how it went.
"""
