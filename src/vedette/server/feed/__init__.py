"""The feed of known vulnerabilities: advisories are imported from files, compiled, and fetched by devices in pieces."""
