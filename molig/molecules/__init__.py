"""Molecule files -> sanitised, standardised RDKit molecules, or rejections with a reason.

Two steps, both streaming: `read_records` turns a file into one `Record` per row, `MoleculeParser` turns a
record into a `Molecule` or a `Rejection`. No row is lost: molecules and rejections together are the rows of
the file.
"""

from molig.molecules.parser import MoleculeParser
from molig.molecules.readers import FORMATS, SUFFIXES, read_records, resolve_format
from molig.molecules.reasons import Reason
from molig.molecules.records import Molecule, Record, Rejection, batched, smiles_records
from molig.molecules.standardize import (
    Hydrogens,
    StandardizationPolicy,
    add_hydrogens,
    input_atom_indices,
    is_standard,
    standardize,
    to_parent,
)

__all__ = [
    "FORMATS",
    "SUFFIXES",
    "Hydrogens",
    "Molecule",
    "MoleculeParser",
    "Reason",
    "Record",
    "Rejection",
    "StandardizationPolicy",
    "add_hydrogens",
    "batched",
    "input_atom_indices",
    "is_standard",
    "read_records",
    "resolve_format",
    "smiles_records",
    "standardize",
    "to_parent",
]
