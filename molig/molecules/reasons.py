"""Why a row did not become a molecule: all reasons, each with a beginning to search for."""

from __future__ import annotations

from enum import StrEnum

from rdkit import Chem

from molig.errors import InputError

MAX_LINE_CHARACTERS = 100_000
"""Longest line that a text reader keeps (characters); longer ones, and longer cells of a table of any other
format, become one rejected row."""

MAX_SDF_RECORD_CHARACTERS = 2_000_000
"""Longest SDF record that the reader keeps (characters); longer ones become one rejected row."""

ASCII_BLANKS = " \t\r\n\v\f"
"""What may stand around a SMILES or identifier without being part of it; a no-break space is not among it."""


class Reason(StrEnum):
    """The beginning of every rejection text; details follow after a colon.

    Examples
    --------
    >>> Reason.TOO_LARGE.text("1000 heavy atoms, more than the limit of 200")
    'too large: 1000 heavy atoms, more than the limit of 200'
    >>> Reason.EMPTY.text()
    'empty SMILES'
    """

    EMPTY = "empty SMILES"
    REACTION = "reaction SMILES"
    NOT_ASCII = "characters outside ASCII"
    TEXT_BEHIND = "text behind the SMILES"
    UNPARSABLE = "not parsable"
    NO_ATOMS = "no heavy atoms"
    TOO_LARGE = "too large"
    TOO_COMPLEX = "too complex"
    GAVE_UP = "given up"
    METAL_ONLY = "metal only"
    BOUND_METAL = "bound metal"
    INORGANIC = "inorganic"
    RADICAL = "radical"
    CHARGE = "impossible charge"
    DUMMY_ATOM = "dummy atom"
    STANDARDIZATION = "standardisation failed"
    LINE_TOO_LONG = f"line longer than {MAX_LINE_CHARACTERS:,} characters"
    CELL_TOO_LONG = f"cell longer than {MAX_LINE_CHARACTERS:,} characters"
    RECORD_TOO_LONG = f"SDF record longer than {MAX_SDF_RECORD_CHARACTERS:,} characters"
    NULL_BYTES = "null bytes in the line"
    COLUMNS = "wrong number of columns"
    QUOTING = "broken quoting"
    SDF_BLOCK = "damaged SDF record"
    NOT_FINITE = "score is not a number"

    def text(self, detail: str = "") -> str:
        """``"<reason>"`` or ``"<reason>: <detail>"``."""
        return f"{self.value}: {detail}" if detail else self.value


class RefusedError(InputError):
    """A molecule that is not scored; the text begins with a `Reason`."""


CHEMISTRY_ERRORS = (ValueError, RuntimeError)
"""What RDKit raises when chemistry goes wrong: sanitisation errors are ValueErrors, as is a text that cannot
be encoded; a broken invariant in the C++ code is a RuntimeError."""

MAX_DETAIL = 200
"""A message of RDKit is cut at this many characters."""


def one_line(message: object) -> str:
    """A message on one line, cut to a readable length."""
    return " ".join(str(message).split())[:MAX_DETAIL]


def describe_failure(raw: Chem.Mol | None) -> str:
    """Why RDKit refused a molecule, from its unsanitised form (None if even that failed)."""
    if raw is None:
        return "syntax error"
    try:
        problems = Chem.DetectChemistryProblems(raw)
    except CHEMISTRY_ERRORS as error:
        return one_line(error)
    return one_line(problems[0].Message()) if problems else "sanitisation failed"
