"""Explanations as structures that other programs open: SD files with scores, and a script for PyMOL.

A record of an SD file is the molecule that was scored, with lists of properties as RDKit reads them back:
``molig_score`` of every atom (`Explanation.atom_scores`) and every bond (`Explanation.bond_scores`), and
``molig_input_atom``, the number of the atom in the input, from 0. All else that is known of the molecule are
properties of the record, called as the columns of `molig explain --layout molecules`.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from rdkit import Chem
from rdkit.Chem import rdDepictor, rdDistGeom

from molig.attribution import Explanation
from molig.molecules.reasons import CHEMISTRY_ERRORS
from molig.report.molecule_table import MOLECULE_SCHEMA
from molig.screening.hits import INPUT_PREFIX
from molig.text import legible

SCORE, INPUT_ATOM = "molig_score", "molig_input_atom"
"""Properties of atoms; the first also of bonds."""

_LISTS = ("atom_scores", "bond_atoms", "bond_scores")
_FIELDS = tuple(name for name in MOLECULE_SCHEMA.names if name not in _LISTS)

# Larger molecules and stubborn ones stay flat: a conformation costs minutes there.
_MOST_ATOMS_IN_3D = 100
_ATTEMPTS = 10
_SEED = 7


def sd_text(
    explanations: Sequence[Explanation],
    *,
    in_3d: bool = False,
    along: Sequence[Mapping[str, object]] | None = None,
) -> str:
    """Write explanations as an SD file.

    Parameters
    ----------
    explanations : sequence of Explanation
        One record each.
    in_3d : bool
        Give molecules without coordinates a conformation, where one is found; they are flat otherwise. The
        user's own coordinates are kept.
    along : sequence of mapping, optional
        Of each explanation the input's own columns by their names. A name that molig uses gets ``input.``
        before it.

    Returns
    -------
    str
        The file.

    Examples
    --------
    >>> import molig
    >>> why = molig.explain("tox21-w2n2-simple", "CCO", task="SR-ARE")
    >>> supplier = Chem.SDMolSupplier()
    >>> supplier.SetData(sd_text([why]))
    >>> scores = [atom.GetDoubleProp("molig_score") for atom in next(supplier).GetAtoms()]
    >>> bool(np.allclose(scores, why.atom_scores))
    True
    """
    text = io.StringIO()
    writer = Chem.SDWriter(text)
    for explanation, columns in zip(explanations, along or [{}] * len(explanations), strict=True):
        mol = _scored(explanation, in_3d)
        _add_columns(mol, columns)
        writer.SetKekulize(_has_kekule_form(mol))
        writer.write(mol)
    writer.close()
    return text.getvalue()


def _scored(explanation: Explanation, in_3d: bool) -> Chem.Mol:
    """The molecule with scores and everything else that is known as properties."""
    mol = _with_coordinates(explanation.mol, in_3d)
    for name in mol.GetPropNames(includePrivate=True):
        mol.ClearProp(name)
    numbers, scores = explanation.input_atoms.tolist(), explanation.atom_scores.tolist()
    for atom, number, score in zip(mol.GetAtoms(), numbers, scores, strict=True):
        atom.SetIntProp(INPUT_ATOM, number)
        atom.SetDoubleProp(SCORE, score)
    for bond, score in zip(mol.GetBonds(), explanation.bond_scores.tolist(), strict=True):
        bond.SetDoubleProp(SCORE, score)
    Chem.CreateAtomDoublePropertyList(mol, SCORE)
    Chem.CreateAtomIntPropertyList(mol, INPUT_ATOM)
    if mol.GetNumBonds():
        Chem.CreateBondDoublePropertyList(mol, SCORE)
    mol.SetProp("_Name", legible(explanation.id))
    for name in _FIELDS:
        value = explanation.removed_text if name == "removed" else getattr(explanation, name)
        mol.SetProp(name, f"{value:.9g}" if isinstance(value, float) else legible(value))
    for name, part in explanation.members.items():
        mol.SetProp(f"member_{legible(name)}", f"{part:.9g}")
    return mol


def _add_columns(mol: Chem.Mol, columns: Mapping[str, object]) -> None:
    """The user's own columns as properties, each on one line and under a name that an SD file can hold."""
    taken = set(mol.GetPropNames())
    for name, value in columns.items():
        if value is not None:
            shown = legible(name).translate(_NOT_IN_A_TAG) or "_"
            mol.SetProp(f"{INPUT_PREFIX}{shown}" if shown in taken else shown, legible(value))


_NOT_IN_A_TAG = str.maketrans("<>", "__")


def _with_coordinates(mol: Chem.Mol, in_3d: bool) -> Chem.Mol:
    mol = Chem.Mol(mol)
    if mol.GetNumConformers():
        return mol
    found = _conformation(mol) if in_3d and mol.GetNumHeavyAtoms() <= _MOST_ATOMS_IN_3D else None
    if found is not None:
        mol.AddConformer(found)
        return mol
    try:
        rdDepictor.Compute2DCoords(mol)
    except CHEMISTRY_ERRORS:  # all atoms at the origin, and every number where it belongs
        mol.AddConformer(Chem.Conformer(mol.GetNumAtoms()))
    return mol


def _conformation(mol: Chem.Mol) -> Chem.Conformer | None:
    """Coordinates in space from a fixed seed; None where none are found."""
    parameters: Any = rdDistGeom.ETKDGv3()
    parameters.randomSeed, parameters.maxIterations = _SEED, _ATTEMPTS
    try:
        with_hydrogens = Chem.AddHs(mol)
        if rdDistGeom.EmbedMolecule(with_hydrogens, parameters) < 0:
            return None
    except CHEMISTRY_ERRORS:
        return None
    conformer = Chem.Conformer(mol.GetNumAtoms())
    conformer.SetPositions(np.array(with_hydrogens.GetConformer().GetPositions()[: mol.GetNumAtoms()]))
    conformer.Set3D(True)
    return conformer


def _has_kekule_form(mol: Chem.Mol) -> bool:
    try:
        Chem.Kekulize(Chem.Mol(mol))
    except CHEMISTRY_ERRORS:
        return False
    return True


_PLAIN = re.compile(r"[^\w .,:()+-]+", re.ASCII)


def pymol_script(explanations: Sequence[Explanation], sd_name: str) -> str:
    """Write a script that colours the molecules of an SD file by their scores in PyMOL.

    Parameters
    ----------
    explanations : sequence of Explanation
        Those of the file, in its order.
    sd_name : str
        The file, which lies beside the script.

    Returns
    -------
    str
        A ``.pml`` script. Molecules become the objects molig_0001, molig_0002, ...; the score of an atom is
        its b-factor, red raises and blue lowers, on one scale for all molecules.
    """
    largest = max((float(np.abs(e.atom_scores).max(initial=0.0)) for e in explanations), default=0.0) or 1.0
    lines = [
        "# Scores of molig as b-factors. Open this file in PyMOL, with the SD file beside it.",
        "python",
        "from os.path import dirname, join",
        f'cmd.load(join(dirname(__script__), {sd_name!r}), "molig_all", discrete=1, multiplex=0)',
        "python end",
        "split_states molig_all, prefix=molig_",
        "delete molig_all",
        "alter molig_*, b=0",
    ]
    for number, explanation in enumerate(explanations, start=1):
        name = f"molig_{number:04d}"
        about = f"{explanation.id or explanation.smiles}, {explanation.task} {explanation.score:.4f}"
        lines.append(f"# {name}: {_PLAIN.sub('_', about)}")
        lines += [
            f"alter {name} and id {atom}, b={score:.6g}"
            for atom, score in enumerate(explanation.atom_scores.tolist(), start=1)
        ]
    lines += [
        "rebuild",
        "as sticks, molig_*",
        f"spectrum b, blue_white_red, molig_*, minimum={-largest:.6g}, maximum={largest:.6g}",
        "disable molig_*",
        "enable molig_0001",
        "zoom molig_0001",
    ]
    return "\n".join(lines) + "\n"
