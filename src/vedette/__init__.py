"""Vedette: open, secure monitoring of edge devices."""

__version__ = "0.1.0"
