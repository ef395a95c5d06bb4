"""The page live: models and molecules in a browser, and the same by REST, from a server on this machine."""

from __future__ import annotations

from molig.serve.settings import ServeSettings

__all__ = ["ServeSettings"]
