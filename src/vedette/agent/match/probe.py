"""What is searched for in blocks of bytes; see `probes.py` for how it is chosen."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Probe:
    """A text (or, with `outline`, an expression) to be searched in bytes."""

    text: bytes
    caseless: bool  # of ASCII letters
    outline: bool = False

    def expression(self) -> bytes:
        """As a pattern of bytes."""
        return self.text if self.outline else b"".join(b"\\x%02x" % byte for byte in self.text)
