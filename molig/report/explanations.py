"""Explanations in words and as cards."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rdkit import Chem

from molig.attribution import Explanation
from molig.report.contents import Card

# Atoms with at least this share of the largest atom score belong to the part that is named.
_PROMINENT = 0.5


def main_part(explanation: Explanation) -> tuple[str, float, list[int]]:
    """Connected group of atoms that carries most of the score.

    Parameters
    ----------
    explanation : Explanation
        Any explanation.

    Returns
    -------
    smiles : str
        The group as SMILES.
    score : float
        Sum of its atom scores.
    atoms : list of int
        Its atoms.
    """
    # Where the molecule scores below its baseline, the part that pulls it down is the one to name.
    sign = 1.0 if explanation.score >= explanation.baseline_score else -1.0
    scores = explanation.atom_scores * sign
    prominent = {int(i) for i in np.flatnonzero(scores >= _PROMINENT * scores.max())}
    groups = _connected(explanation.mol, _with_whole_rings(explanation.mol, prominent))
    best = max(groups, key=lambda group: scores[group].sum())
    smiles = Chem.MolFragmentToSmiles(explanation.mol, atomsToUse=best, isomericSmiles=False)
    return smiles, float(explanation.atom_scores[best].sum()), best


def sentence(explanation: Explanation) -> str:
    """One line that says where the score comes from.

    Parameters
    ----------
    explanation : Explanation
        Any explanation.

    Returns
    -------
    str
        Such as ``"Nc1ccccc1 carries +0.61 of +0.87; atoms 58 %, bonds 45 %, other pairs -3 %"``.
    """
    change = explanation.score - explanation.baseline_score
    part, score, _ = main_part(explanation)
    shares = explanation.ledger
    return (
        f"{part} carries {score:+.2f} of {change:+.2f}; atoms {shares['atoms']:.0f} %, "
        f"bonds {shares['bonded pairs']:.0f} %, other pairs {shares['non-bonded pairs']:.0f} %"
    )


def explanation_card(explanation: Explanation, *, noise: float = 0.0) -> Card:
    """Card of one explanation, for a report.

    Parameters
    ----------
    explanation : Explanation
        Any explanation.
    noise : float
        Grey out scores below this share of the largest, in the drawing.

    Returns
    -------
    Card
    """
    return Card(
        title=explanation.id or explanation.smiles,
        smiles=explanation.smiles,
        svg=explanation.to_svg(noise=noise),
        facts=_facts(explanation),
        ledger=tuple(explanation.ledger.items()),
        note=sentence(explanation),
        warning=""
        if explanation.converged
        else "The integral did not converge: do not rely on single atoms.",
    )


def _facts(explanation: Explanation) -> Sequence[tuple[str, str]]:
    return (
        ("task", explanation.task),
        (explanation.target, f"{explanation.score:.4f}"),
        ("baseline", f"{explanation.baseline_score:.4f}"),
        ("residual", f"{explanation.residual:+.1e}"),
        ("evaluations", str(explanation.n_evaluations)),
    )


def _with_whole_rings(mol: Chem.Mol, atoms: set[int]) -> set[int]:
    """Complete the rings that are half there: chemists name rings, not arcs of them."""
    rings = (set(ring) for ring in mol.GetRingInfo().AtomRings())
    return atoms.union(*(ring for ring in rings if 2 * len(ring & atoms) >= len(ring)))


def _connected(mol: Chem.Mol, atoms: set[int]) -> list[list[int]]:
    groups, left = [], set(atoms)
    while left:
        group, frontier = set[int](), [min(left)]
        while frontier:
            atom = frontier.pop()
            if atom in left:
                left.discard(atom)
                group.add(atom)
                frontier += [n.GetIdx() for n in mol.GetAtomWithIdx(atom).GetNeighbors()]
        groups.append(sorted(group))
    return groups
