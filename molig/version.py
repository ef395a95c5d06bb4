"""The version, in a place of its own so that every room may note it."""

__version__ = "0.1.0"
