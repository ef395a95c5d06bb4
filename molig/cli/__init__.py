"""Command line: parse arguments, call the library, print."""

from molig.cli.app import main

__all__ = ["main"]
