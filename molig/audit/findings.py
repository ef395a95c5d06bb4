"""What an audit says: findings with evidence, and what each check measured."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
from rdkit import Chem

from molig.attribution import Explanation
from molig.depiction import Panel, draw_svg
from molig.errors import UsageError
from molig.molecules import Molecule
from molig.molecules.records import scored_note


class Severity(StrEnum):
    """How bad a finding is.

    Examples
    --------
    >>> Severity.ERROR.rank > Severity.WARNING.rank > Severity.INFO.rank
    True
    """

    INFO = "info"
    """Worth knowing; nothing to repair."""

    WARNING = "warning"
    """Scores or explanations may mislead; look before relying on them."""

    ERROR = "error"
    """Scores or explanations do mislead."""

    @property
    def rank(self) -> int:
        """0 for info, 1 for warning, 2 for error."""
        return list(Severity).index(self)


@dataclass(frozen=True)
class Example:
    """A molecule that shows what a finding says.

    Parameters
    ----------
    id, smiles : str
        As in the audited file.
    note : str
        What to see in it.
    svg : str
        Drawing, trusted markup; may be empty.
    scored_smiles : str
        What was scored; "" stands for ``smiles``.
    removed : sequence of str
        Parts that were taken away before.
    """

    id: str
    smiles: str
    note: str = ""
    svg: str = ""
    scored_smiles: str = ""
    removed: Sequence[str] = ()

    @property
    def scored(self) -> str:
        """A line on what was scored, if that is not the molecule of the file."""
        return scored_note(self.smiles, self.scored_smiles or self.smiles, self.removed)

    def to_dict(self) -> dict[str, str]:
        """Plain data, without the drawing."""
        scored = {"scored_smiles": self.scored_smiles or self.smiles, "removed": "; ".join(self.removed)}
        return {"id": self.id, "smiles": self.smiles, **scored, "note": self.note}


@dataclass(frozen=True)
class Evidence:
    """What proves a finding.

    Parameters
    ----------
    numbers : mapping of str to number, str, list or mapping
        Named figures; non-finite ones become None in `to_dict`.
    features : sequence of str
        Input columns or blocks by name, such as ``"pair.distance_within: 5"``.
    molecules : sequence of Example
        Molecules that show it.
    """

    numbers: Mapping[str, Any] = field(default_factory=dict)
    features: Sequence[str] = ()
    molecules: Sequence[Example] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "numbers": plain(self.numbers),
            "features": list(self.features),
            "molecules": [molecule.to_dict() for molecule in self.molecules],
        }


@dataclass(frozen=True)
class Finding:
    """Something that a user of the model should know.

    Parameters
    ----------
    check : str
        Name of the check that reports it.
    severity : Severity
        How bad it is.
    summary : str
        One sentence that a chemist understands.
    evidence : Evidence
        What proves it.
    advice : str
        What to do about it.

    Examples
    --------
    >>> finding = Finding("baseline", Severity.ERROR, "The empty molecule scores 0.9.", advice="Train again.")
    >>> finding.to_dict()["severity"]
    'error'
    """

    check: str
    severity: Severity
    summary: str
    evidence: Evidence = field(default_factory=Evidence)
    advice: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "check": self.check,
            "severity": self.severity.value,
            "summary": self.summary,
            "evidence": self.evidence.to_dict(),
            "advice": self.advice,
        }


@dataclass(frozen=True)
class Figure:
    """A plot.

    Parameters
    ----------
    title : str
        What it shows.
    svg : str
        The drawing, trusted markup.
    """

    title: str
    svg: str

    def __post_init__(self) -> None:
        if not self.svg.startswith("<svg"):
            raise UsageError(f"figure {self.title!r}: svg must be an <svg> element (got {self.svg[:20]!r})")


@dataclass(frozen=True)
class Outcome:
    """What a check returns.

    Parameters
    ----------
    findings : sequence of Finding
        Empty where nothing is wrong.
    measured : mapping of str to number, str, list or mapping
        What was measured, whether or not there are findings.
    figures : sequence of Figure
        Plots of it.
    remark : str
        One sentence about how it was measured, such as the sample.
    """

    findings: Sequence[Finding] = ()
    measured: Mapping[str, Any] = field(default_factory=dict)
    figures: Sequence[Figure] = ()
    remark: str = ""


class NotApplicable(Exception):  # noqa: N818 - nothing is wrong
    """Raised by a check that cannot be made here; the text says why."""


def plain(value: Any) -> Any:
    """Make JSON data of mappings, sequences, arrays and numbers; NaN and infinities become None."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(item) for item in value]
    return value if isinstance(value, str | bool | int | None) else str(value)


# Molecules with drawings, as evidence.

_SIZE = (320, 240)
MOST_EXAMPLES = 6
"""Examples shown per finding."""


def explained_example(explanation: Explanation, note: str) -> Example:
    """Show a molecule with its attributions."""
    return _example(explanation, note, explanation.to_svg(size=_SIZE))


def scored_example(
    molecule: Molecule | Explanation, atom_scores: Iterable[float], note: str, legend: tuple[str, ...] = ()
) -> Example:
    """Show a molecule with a number for each atom."""
    scores, numbers = np.fromiter(atom_scores, float), tuple(molecule.input_atoms.tolist())
    panel = Panel(molecule.mol, scores, legend=legend, title=molecule.id, atom_numbers=numbers)
    return _example(molecule, note, draw_svg(panel, size=_SIZE))


def _example(molecule: Molecule | Explanation, note: str, svg: str) -> Example:
    return Example(molecule.id, molecule.smiles, note, svg, molecule.scored_smiles, molecule.removed)


def marked_example(molecule: Molecule | Explanation, atoms: Iterable[int], note: str) -> Example:
    """Show a molecule with some atoms marked in red."""
    mol: Chem.Mol = molecule.mol
    marks = np.zeros(mol.GetNumAtoms())
    marks[list(atoms)] = 1.0
    return scored_example(molecule, marks, note)
