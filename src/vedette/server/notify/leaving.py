"""What becomes of the deliveries of a device that is about to be removed: small steps. For `Services.emptying`."""

from vedette.server.notify.store import some_leave

__all__ = ["some_leave"]
