"""What can go wrong between a server and a table."""

from __future__ import annotations

from molig.errors import InputError


class DownloadError(InputError):
    """A file could not be had from where it should be."""


class ChecksumError(DownloadError):
    """What arrived is not what was expected, byte for byte or value for value."""
