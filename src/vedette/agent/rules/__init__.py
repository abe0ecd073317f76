"""Rules of other systems, made into checks of logs: `mender-monitorctl import`. Nothing of it is in the daemon."""
