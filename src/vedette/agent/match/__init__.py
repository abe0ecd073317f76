"""Does a line match? Perl-compatible patterns (PCRE2), exact and bounded; all those of a source at once."""

from vedette.agent.match.engine import Engine, Found
from vedette.agent.match.pattern import Pattern, Undecided

__all__ = ["Engine", "Found", "Pattern", "Undecided"]
