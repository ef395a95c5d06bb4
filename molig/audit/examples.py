"""Molecules with drawings, as evidence."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from rdkit import Chem

from molig.attribution import Explanation
from molig.audit.findings import Example
from molig.depiction import Panel, draw_svg
from molig.molecules import Molecule

_SIZE = (320, 240)
MOST_EXAMPLES = 6
"""Examples shown per finding."""


def explained_example(explanation: Explanation, note: str) -> Example:
    """Show a molecule with its attributions.

    Parameters
    ----------
    explanation : Explanation
        Of the molecule.
    note : str
        What to see in it.

    Returns
    -------
    Example
    """
    return Example(explanation.id, explanation.smiles, note, explanation.to_svg(size=_SIZE))


def scored_example(
    molecule: Molecule | Explanation, atom_scores: Iterable[float], note: str, legend: tuple[str, ...] = ()
) -> Example:
    """Show a molecule with a number for each atom.

    Parameters
    ----------
    molecule : Molecule or Explanation
        The molecule.
    atom_scores : iterable of float
        One per atom: red above 0, blue below.
    note : str
        What to see in it.
    legend : tuple of str
        Lines below the drawing.

    Returns
    -------
    Example
    """
    panel = Panel(molecule.mol, np.fromiter(atom_scores, float), legend=legend, title=molecule.id)
    return Example(molecule.id, molecule.smiles, note, draw_svg(panel, size=_SIZE))


def marked_example(molecule: Molecule | Explanation, atoms: Iterable[int], note: str) -> Example:
    """Show a molecule with some atoms marked in red.

    Parameters
    ----------
    molecule : Molecule or Explanation
        The molecule.
    atoms : iterable of int
        Places of the atoms to mark.
    note : str
        What to see in it.

    Returns
    -------
    Example
    """
    mol: Chem.Mol = molecule.mol
    marks = np.zeros(mol.GetNumAtoms())
    marks[list(atoms)] = 1.0
    return scored_example(molecule, marks, note)
