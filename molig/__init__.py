"""molig: Molecular Integrated Gradients.

Rank molecules with a ligand-screening network, say why atom by atom in numbers that add up to the score,
and draw it.

>>> import molig
>>> model = molig.load_model("tox21-w2n2-simple")
>>> model.predict_proba(["CCO", "Oc1ccccc1"]).shape
(2, 12)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from molig.version import __version__

if TYPE_CHECKING:
    from molig.attribution import Explanation, explain
    from molig.errors import MoligError
    from molig.foreign import load_any_model as load_model
    from molig.model import ScreeningModel
    from molig.molecules import Rejection
    from molig.screening import ScreeningOptions, ScreeningResult, screen

__all__ = [
    "Explanation",
    "MoligError",
    "Rejection",
    "ScreeningModel",
    "ScreeningOptions",
    "ScreeningResult",
    "__version__",
    "explain",
    "load_model",
    "screen",
]

# Loaded at first use, so that `import molig` and `molig --help` do not wait for torch.
_HOMES = {
    "Explanation": "molig.attribution",
    "MoligError": "molig.errors",
    "Rejection": "molig.molecules",
    "ScreeningModel": "molig.model",
    "ScreeningOptions": "molig.screening",
    "ScreeningResult": "molig.screening",
    "explain": "molig.attribution",
    "load_model": "molig.foreign",
    "screen": "molig.screening",
}
_OTHER_NAMES = {"load_model": "load_any_model"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'molig' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), _OTHER_NAMES.get(name, name))
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
