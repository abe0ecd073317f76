"""Does a line match? Perl-compatible patterns (PCRE2), exact and bounded."""

from vedette.agent.match.pattern import Pattern, Undecided

__all__ = ["Pattern", "Undecided"]
