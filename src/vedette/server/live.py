"""In-process fan-out of changes after commit. A placeholder until the real one arrives: nobody listens yet."""


class Live:
    """See `publish`."""

    def publish(self, tenant: str, group: str | None, device: str) -> None:
        """Tell who may see `device` that something about it has changed."""
