"""SD files: cut into records here, so that a damaged record is one rejection and the next one is read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain

from rdkit import Chem, rdBase

from molig.errors import UnknownNameError, UsageError
from molig.molecules.columns import MOST_LEFT_OUT, Request
from molig.molecules.guard import MAX_ATOMS, SUSPECT_LINES, Answer, Question, ask_guard, check_rings
from molig.molecules.lines import line_problem
from molig.molecules.notices import Notices
from molig.molecules.reasons import (
    CHEMISTRY_ERRORS,
    MAX_SDF_RECORD_CHARACTERS,
    Reason,
    RefusedError,
    describe_failure,
    one_line,
)
from molig.molecules.records import Record
from molig.molecules.sources import Line
from molig.molecules.standardize import merge_hydrogens

RECORD_END = "$$$$"
_BLOCK_END = "M  END"
RECORDS_SEARCHED_FOR_TAGS = 100
RECORDS_SEARCHED_TO_KEEP = 1_000
"""Properties that none of so many first records has do not come along, unless named."""

CHARACTERS_SEARCHED_TO_KEEP = 16 << 20
_HYDROGEN = Chem.MolFromSmarts("[#1]")
_TAG = re.compile(r">.*?<([^>]*)>")
_Cut = tuple[list[str], str]
"""Lines of a record, and why it cannot be read."""


def read_sdf(lines: Iterator[Line], request: Request, where: str) -> Iterator[Record]:
    """Read an SD file; ``id_column`` and ``columns`` are tags, by default the title is the identifier.

    Records need not have all tags: one that lacks a tag has an empty field, like an empty cell of a table.
    """
    if request.smiles_column:
        raise UsageError(f"{where}: an SD file has structures, no SMILES column ({request.smiles_column!r})")
    notices = Notices(where)
    records = split_sdf(lines, notices, request.first_row)
    tags = _Tags(request, notices)
    if request.named or request.optional or request.keep.asked is None:
        records = tags.look_ahead(records)
    for row, (record, problem) in enumerate(records, start=request.first_row):
        if problem:
            yield Record(row, record[0].strip() or str(row), "", problem=problem)
        else:
            yield _record(row, record, tags)


class _Tags:
    """Which tags are read of every record: those that the first records have, or that were named."""

    def __init__(self, request: Request, notices: Notices) -> None:
        self.id: str | None = request.id_column
        self.fields: tuple[str, ...] = ()
        self.kept: tuple[str, ...] = ()
        self._request, self._keep, self._notices = request, request.keep, notices
        self._known: frozenset[str] = frozenset()

    def look_ahead(self, records: Iterator[_Cut]) -> Iterator[_Cut]:
        """Find the tags among the first records; returns all records."""
        n_records = RECORDS_SEARCHED_FOR_TAGS if self._keep.asked == () else RECORDS_SEARCHED_TO_KEEP
        head: list[_Cut] = []
        size, more = 0, True
        while more and len(head) < n_records and size < CHARACTERS_SEARCHED_TO_KEEP:
            following = next(records, None)
            more = following is not None
            if following is not None:
                head.append(following)
                size += sum(map(len, following[0]))
        tags: dict[str, str] = {}
        for lines, _ in head:
            tags |= parse_tags(lines[_block_end(lines) :])[0]
        for name in self._request.read if head else ():
            if name not in tags:
                raise UnknownNameError("SD tag", name, tags)
        self.fields = self._request.fields(tags)
        self.kept = self._to_keep(tags, whole=not more)
        self._keep.describe(self.kept)
        self._known = frozenset(tags)
        return chain(head, records)

    def _to_keep(self, tags: Iterable[str], whole: bool) -> tuple[str, ...]:
        if self._keep.asked is None:
            return tuple(tag for tag in tags if tag != self.id)
        for name in self._keep.asked:
            if name not in tags and whole:
                raise UnknownNameError("SD tag", name, tags)
            if name not in tags:
                self._notices.not_seen_yet(name)
        return self._keep.asked

    def note_left_out(self, row: int, tags: Iterable[str]) -> None:
        """Remember tags that come too late."""
        if self._keep.asked is not None or self._known.issuperset(tags):
            return
        for tag in tags:
            if tag not in self._known and len(self._keep.left_out) < MOST_LEFT_OUT:
                self._notices.left_out(row, tag)
                self._keep.left_out.setdefault(tag, row)


def split_sdf(lines: Iterator[Line], notices: Notices, row: int = 1) -> Iterator[_Cut]:
    """Cut an SD file into records of bounded size, each with why it cannot be read, or ``""``."""
    record: list[str] = []
    size, problem, pending = 0, "", False
    for line in lines:
        if line.recoded:
            notices.recoded(row)
        if line.text.startswith(RECORD_END):
            yield record or [""], problem
            row += 1
            record, size, problem, pending = [], 0, "", False
            continue
        pending = pending or bool(line.text.strip())
        size += len(line.text) + line.n_lines
        too_large = Reason.RECORD_TOO_LONG.text() if size > MAX_SDF_RECORD_CHARACTERS else ""
        problem = problem or line_problem(line) or too_large
        if not problem:
            record += [line.text] * line.n_lines
        elif len(record) != 1:
            record = record[:1] or [line.text[:80].replace("\0", r"\x00")]
    if pending:
        yield record or [""], problem


def _record(row: int, lines: list[str], asked: _Tags) -> Record:
    title = lines[0].strip()
    end = _block_end(lines)
    tags, stray = parse_tags(lines[end:])
    damage = "" if end else f"no {_BLOCK_END!r} line"
    if any(line.startswith(_BLOCK_END) for line in stray):
        damage = f"a second structure before {RECORD_END}"
    asked.note_left_out(row, tags)
    kept = tuple([tags.get(tag) for tag in asked.kept])
    if damage:
        return Record(row, title or str(row), "", problem=Reason.SDF_BLOCK.text(damage), kept=kept)
    name = (tags.get(asked.id, "") if asked.id else title).strip() or str(row)
    values = {tag: tags.get(tag, "") for tag in asked.fields}
    return Record(row, name, "", values, kept=kept, block="\n".join(lines[:end]) + "\n")


def structure(block: str) -> tuple[Chem.Mol, str]:
    """Molecule and SMILES of a mol block; a long one is read in the process that may die of it."""
    if block.count("\n") <= SUSPECT_LINES:
        return read_block(block)
    mol, smiles = ask_guard({"block": block})
    return mol, str(smiles)


def with_smiles(record: Record) -> Record:
    """A record that has the SMILES of its block, or the problem with it; others as they are."""
    if record.block is None or record.problem is not None:
        return record
    try:
        with rdBase.BlockLogs():
            return replace(record, smiles=structure(record.block)[1])
    except RefusedError as refused:
        return replace(record, problem=str(refused))


def read_block(block: str) -> tuple[Chem.Mol, str]:
    """Molecule of a mol block, with the indices of its atoms, and its SMILES."""
    try:
        mol = Chem.MolFromMolBlock(block, removeHs=False)
        if mol is not None:
            mol = merge_hydrogens(mol) if mol.HasSubstructMatch(_HYDROGEN) else mol
            return mol, str(Chem.MolToSmiles(mol))
    except CHEMISTRY_ERRORS as error:
        raise RefusedError(Reason.SDF_BLOCK.text(one_line(error))) from error
    raw = _raw_block(block)
    detail = "the mol block is not valid" if raw is None else describe_failure(raw)
    raise RefusedError(Reason.SDF_BLOCK.text(detail))


def read_guarded(request: Question) -> Answer:
    """Read a long mol block, in the process that may die of it: bounds first, before RDKit sanitises."""
    raw = _raw_block(request["block"])
    if raw is not None:
        if raw.GetNumHeavyAtoms() > MAX_ATOMS:
            raise RefusedError(Reason.TOO_LARGE.text(f"{raw.GetNumHeavyAtoms()} heavy atoms"))
        check_rings(raw)
    return read_block(request["block"])


def _raw_block(block: str) -> Chem.Mol | None:
    """Structure of a mol block as it stands; None if there is none."""
    try:
        return Chem.MolFromMolBlock(block, sanitize=False, removeHs=False)
    except CHEMISTRY_ERRORS:
        return None


def _block_end(lines: list[str]) -> int:
    """Return the number of lines up to the end of the mol block; 0 if it does not end."""
    return next((i for i, line in enumerate(lines, start=1) if line.startswith(_BLOCK_END)), 0)


def parse_tags(lines: list[str]) -> tuple[dict[str, str], list[str]]:
    """Read the data items behind a mol block: value by tag (the last counts), and lines of no item."""
    tags: dict[str, str] = {}
    stray: list[str] = []
    tag: str | None = None
    for line in lines:
        header = _TAG.match(line)
        if header:
            tag = header.group(1)
            tags[tag] = ""
        elif not line.strip():
            tag = None
        elif tag is not None:
            tags[tag] = f"{tags[tag]}\n{line}" if tags[tag] else line
        else:
            stray.append(line)
    return tags, stray
