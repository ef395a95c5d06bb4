"""Text of unknown origin, such as identifiers and names of tasks: made legible wherever it is shown."""

from __future__ import annotations

import re

# Control characters (C0, DEL, C1) drive terminals, and XML has no way to write most of them. Marks, overrides
# and isolates of direction turn around the text that follows. The rest is invisible, or cannot be encoded.
_ILLEGIBLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f"
    "\ud800-\udfff\ufeff\ufff9-\ufffb\ufffe\uffff\U000e0000-\U000e007f]"
)
_LINE_ENDS = re.compile("[\t\r\n\x85\u2028\u2029]+")
# A span of code whichever way a reader of Markdown looks at it: in one cell, between single backticks.
_CODE = re.compile(r"((?<![\\`])`[^`|\n]*`(?!`))")
_TAG = re.compile(r"<(?=[A-Za-z/!?])")


def legible(text: object) -> str:
    r"""Text on one line, with the characters replaced that are no signs to read.

    Parameters
    ----------
    text : object
        Anything; it is turned into text.

    Returns
    -------
    str
        Control characters, those that turn around the direction of text, invisible ones and halves of
        surrogate pairs have become U+FFFD; tabs and ends of lines a blank.

    Examples
    --------
    >>> legible("CPD-1\x1b[2J\n\u202egpj") == "CPD-1\ufffd[2J \ufffdgpj"
    True
    """
    return _LINE_ENDS.sub(" ", _ILLEGIBLE.sub("\ufffd", str(text)))


def file_name(text: str) -> str:
    """Text as part of a name of a file that every system takes: letters, digits, ``-``, ``_`` and dots.

    Parameters
    ----------
    text : str
        Anything, such as an identifier.

    Returns
    -------
    str
        At most 60 characters, of which the first is no dot; never empty.

    Examples
    --------
    >>> file_name("../CPD 1"), file_name("<b>"), file_name("")
    ('CPD_1', 'b', '_')
    """
    return _NO_FILE_NAME.sub("_", text)[:_LONGEST_FILE_NAME].strip("._-") or "_"


_NO_FILE_NAME = re.compile(r"[^A-Za-z0-9._-]+")
_LONGEST_FILE_NAME = 60


def legible_lines(text: str) -> str:
    r"""The same for text of several lines.

    Examples
    --------
    >>> legible_lines("a\tb\nc")
    'a b\nc'
    """
    return "\n".join(map(legible, text.split("\n")))


def legible_markdown(document: str) -> str:
    """Make a document legible whose cells and sentences hold names of unknown origin: no HTML, no links.

    Parameters
    ----------
    document : str
        Markdown that has neither HTML nor links of its own.

    Returns
    -------
    str
        The same for a reader; what would begin a tag or the target of a link is written as an entity.
        Inside of backticks it stays, since there neither tags nor links begin and entities are not read.

    Examples
    --------
    >>> legible_markdown("| <img src=x onerror=alert(1)> | 0.1 < 0.2 |")
    '| &lt;img src=x onerror=alert(1)> | 0.1 < 0.2 |'
    >>> legible_markdown("[x](y) is `C[C@@H](N)O`")
    '[x]&#40;y) is `C[C@@H](N)O`'
    """
    parts = _CODE.split(legible_lines(document))
    parts[::2] = [_TAG.sub("&lt;", part).replace("](", "]&#40;") for part in parts[::2]]
    return "".join(parts)
