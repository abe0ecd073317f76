"""What devices call all the time, as bare ASGI in front of everything else: a fleet asks little, but all day long."""

from vedette.server.ingest.paths import HOT_PATHS

__all__ = ["HOT_PATHS"]
"""By exact path."""
