"""What Vedette talks about: plain frozen values that cannot be built wrong. No I/O, no JSON."""

from vedette.model.alert import Alert, Details, Level, Line, Origin, Subject
from vedette.model.checks import ConfiguredCheck

__all__ = ["Alert", "ConfiguredCheck", "Details", "Level", "Line", "Origin", "Subject"]
