"""Molecule files -> sanitised, standardised RDKit molecules, or rejections with a reason.

Two steps, both streaming: `read_records` turns a file into one `Record` per row, `MoleculeParser` turns a
record into a `Molecule` or a `Rejection`. No row is lost: molecules and rejections together are the rows of
the file.
"""

from molig.molecules.objects import records_of, smiles_records
from molig.molecules.parser import MoleculeParser
from molig.molecules.readers import read_records
from molig.molecules.reasons import Reason
from molig.molecules.records import Molecule, Record, Rejection
from molig.molecules.standardize import Hydrogens, StandardizationPolicy, standardize

__all__ = [
    "Hydrogens",
    "Molecule",
    "MoleculeParser",
    "Reason",
    "Record",
    "Rejection",
    "StandardizationPolicy",
    "read_records",
    "records_of",
    "smiles_records",
    "standardize",
]
