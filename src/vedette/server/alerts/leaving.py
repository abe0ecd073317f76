"""What becomes of the alerts of a device that is about to be removed: small steps. For `Services.emptying`."""

from vedette.server.alerts.forgetting_store import some_leave

__all__ = ["some_leave"]
