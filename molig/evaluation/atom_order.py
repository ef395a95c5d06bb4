"""From the atoms of an explained molecule to the atoms that a truth speaks of."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import numpy.typing as npt
from rdkit import Chem

from molig.attribution import Explanation
from molig.attribution.projection import bonds_of_pairs, share_pairs
from molig.errors import InputError
from molig.evaluation.benchmark_recipe import Projection
from molig.molecules import input_atom_indices

FloatArray = npt.NDArray[np.float64]

_ADDED = -1


def projected_scores(explanation: Explanation, projection: Projection) -> FloatArray:
    """Atom scores of an explanation.

    Parameters
    ----------
    explanation : Explanation
        Of one molecule.
    projection : Projection
        Which pairs count.

    Returns
    -------
    array of float, shape (n_atoms,)
        In the order of ``explanation.mol``.
    """
    if projection is Projection.ALL:
        return explanation.atom_scores
    own = explanation.own_atom_scores
    if projection is Projection.OWN or not explanation.pair_attributions.shape[1]:
        return own
    pairs = explanation.graph.pair_atoms
    bonded = bonds_of_pairs(explanation.mol, pairs) >= 0
    return share_pairs(own, np.where(bonded, explanation.pair_scores, 0.0), pairs)


def scores_of_truth_atoms(scores: FloatArray, explained: Chem.Mol, truth: Chem.Mol) -> FloatArray:
    """Put atom scores in the order of the truth.

    A hydrogen that the truth does not know adds its score to its neighbour's; an atom that standardisation
    took away scores zero.

    Parameters
    ----------
    scores : array of float, shape (n_atoms,)
        Of the atoms of `explained`.
    explained : Mol
        The molecule that was scored, as its parser made it.
    truth : Mol
        The same molecule in the order of the truth, hydrogens behind the other atoms if it covers them.

    Returns
    -------
    array of float, shape (n_atoms of truth,)

    Raises
    ------
    InputError
        If the molecules do not fit.

    Examples
    --------
    >>> from molig.molecules import MoleculeParser
    >>> mol = MoleculeParser().parse_smiles("Cl.CN").mol
    >>> scores_of_truth_atoms(np.array([0.25, 0.75]), mol, Chem.MolFromSmiles("Cl.CN")).tolist()
    [0.0, 0.25, 0.75]
    """
    found = np.zeros(truth.GetNumAtoms())
    np.add.at(found, truth_atoms(explained, truth), scores)
    return found


def truth_atoms(explained: Chem.Mol, truth: Chem.Mol) -> npt.NDArray[np.int64]:
    """Atom of the truth that each atom of a scored molecule stands for; see `scores_of_truth_atoms`."""
    origin = input_atom_indices(explained)
    hydrogens = _hydrogens_behind(truth)
    places = []
    for atom, index in zip(explained.GetAtoms(), origin, strict=True):
        if index != _ADDED:
            places.append(index)
            continue
        (neighbour,) = atom.GetNeighbors()
        parent = origin[neighbour.GetIdx()]
        # Hydrogens of one atom come in the same order on both sides.
        places.append(hydrogens[parent].pop(0) if hydrogens[parent] else parent)
    if max(places, default=0) >= truth.GetNumAtoms():
        raise InputError(
            f"the scored molecule has atom {max(places)}, the truth only {truth.GetNumAtoms()} atoms"
        )
    return np.array(places, dtype=np.int64)


def _hydrogens_behind(mol: Chem.Mol) -> dict[int, list[int]]:
    """Of each atom its hydrogens that have a higher number than any other atom: those that AddHs added."""
    numbers = [atom.GetAtomicNum() for atom in mol.GetAtoms()]
    last_heavy = max((i for i, number in enumerate(numbers) if number != 1), default=-1)
    found = defaultdict(list)
    for index in range(last_heavy + 1, len(numbers)):
        for neighbour in mol.GetAtomWithIdx(index).GetNeighbors():
            found[neighbour.GetIdx()].append(index)
    return found
