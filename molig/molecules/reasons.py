"""Why a row did not become a molecule: all reasons in one place, each with a beginning to search for."""

from __future__ import annotations

from enum import StrEnum

MAX_LINE_CHARACTERS = 100_000
"""Longest line that a text reader keeps (characters); longer ones become one rejected row."""

MAX_SDF_RECORD_CHARACTERS = 2_000_000
"""Longest SDF record that the reader keeps (characters); longer ones become one rejected row."""


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
    UNPARSABLE = "not parsable"
    NO_ATOMS = "no heavy atoms"
    TOO_LARGE = "too large"
    METAL_ONLY = "metal only"
    DUMMY_ATOM = "dummy atom"
    STANDARDIZATION = "standardisation failed"
    LINE_TOO_LONG = f"line longer than {MAX_LINE_CHARACTERS:,} characters"
    RECORD_TOO_LONG = f"SDF record longer than {MAX_SDF_RECORD_CHARACTERS:,} characters"
    NULL_BYTES = "null bytes in the line"
    COLUMNS = "wrong number of columns"
    QUOTING = "broken quoting"
    SDF_BLOCK = "damaged SDF record"

    def text(self, detail: str = "") -> str:
        """Return the reason, with its detail where there is one.

        Parameters
        ----------
        detail : str, optional
            What was found in this row; may be empty.

        Returns
        -------
        str
            ``"<reason>"`` or ``"<reason>: <detail>"``.
        """
        return f"{self.value}: {detail}" if detail else self.value
