"""What Vedette talks about: plain frozen values that cannot be built wrong. No I/O, no JSON."""

from vedette.model.alert import Alert, Details, Level, Line, Origin, Subject
from vedette.model.checks import ConfiguredCheck
from vedette.model.gap import Gap

__all__ = ["Alert", "ConfiguredCheck", "Details", "Gap", "Level", "Line", "Origin", "Subject"]
