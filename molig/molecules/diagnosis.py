"""Saying in one line what RDKit found wrong."""

from __future__ import annotations

from rdkit import Chem

CHEMISTRY_ERRORS = (ValueError, RuntimeError)
"""What RDKit raises when chemistry goes wrong: sanitisation errors are ValueErrors, as is a text that cannot
be encoded; a broken invariant in the C++ code is a RuntimeError."""

MAX_DETAIL = 200
"""A message of RDKit is cut at this many characters."""


def one_line(message: object) -> str:
    r"""Return a message on one line, cut to a readable length.

    Parameters
    ----------
    message : object
        A message or an exception.

    Returns
    -------
    str
        At most 200 characters, without line ends.

    Examples
    --------
    >>> one_line("Pre-condition\n\n   violated ")
    'Pre-condition violated'
    """
    return " ".join(str(message).split())[:MAX_DETAIL]


def describe_failure(raw: Chem.Mol | None) -> str:
    """Say why RDKit refused a molecule, from its unsanitised form.

    Parameters
    ----------
    raw : rdkit.Chem.Mol or None
        The molecule read with ``sanitize=False``; None if even that failed.

    Returns
    -------
    str
        "syntax error", or RDKit's first complaint about an atom (atoms are counted from 0).

    Examples
    --------
    >>> describe_failure(Chem.MolFromSmiles("C(C)(C)(C)(C)C", sanitize=False))
    'Explicit valence for atom # 0 C, 5, is greater than permitted'
    """
    if raw is None:
        return "syntax error"
    try:
        problems = Chem.DetectChemistryProblems(raw)
    except CHEMISTRY_ERRORS as error:
        return one_line(error)
    return one_line(problems[0].Message()) if problems else "sanitisation failed"
