"""Input columns that say nothing but are credited, that nothing reads, or that stand for anything."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from molig.attribution import Explanation
from molig.attribution.baselines import ZERO
from molig.attribution.explanation import share_pairs
from molig.audit.figures import bars
from molig.audit.findings import (
    MOST_EXAMPLES,
    Evidence,
    Example,
    Figure,
    Finding,
    Outcome,
    Severity,
    marked_example,
    scored_example,
)
from molig.audit.registry import register
from molig.audit.subject import AuditSubject, FloatArray, networks_of
from molig.features import BlockKind, FeatureSchema, PackedGraphs
from molig.features.graphs import pack
from molig.features.schema import Column
from molig.foreign.chemprop_network import ChempropNetwork
from molig.model import ScoringModel, ScreeningModel
from molig.network.weave import WeaveModule

NAME = "input-columns"

ERROR_SHARE, WARNING_SHARE = 0.1, 0.02
"""Share of all |attribution| in columns that carry no information: a tenth changes what a picture says, a
fiftieth is seen in it."""
OTHER_KNOWN, OTHER_EXCESS, OTHER_WEIGHT = 10.0, 30.0, 4.0
"""How many times more attribution per occurrence than the ordinary columns of its block an "other" slot may
carry before it is worth knowing, and before it misleads, and how many times larger its weights may be; in the
bundled models up to 14, and 1.9."""
NO_EFFECT = 1e-3
"""Weights, or attributions per occurrence, below this share of the usual ones are none. In the bundled
models the weights of all columns lie within a factor of 3."""
CREDITED = 0.1
"""Attribution per occurrence, as a share of the usual one, that weights below `NO_EFFECT` cannot bring about:
a hundred times what is left of them."""
FEWEST_MOLECULES, FEWEST_ROWS, FEWEST_WITH = 20, 10, 5
"""Molecules from which on constant and equal columns are no chance, and rows and molecules that a column must
occur in before anything is said about it."""
BY_DESIGN = {
    "distance": frozenset({"bond"}),
    "distance_within": frozenset({"bond"}),
    "bond": frozenset({"distance", "distance_within"}),
}
"""Blocks that follow from each other for every molecule: a bond is a distance of 1."""
EXACT, MOST_ROWS = 1e-6, 50_000
"""A column follows from others if least squares leave this share of its variance, over at most so many rows:
enough to distinguish an exact relation from a chance one."""

MOST_SHOWN = 25
LEVELS = ("atom", "pair")
Flags = npt.NDArray[np.bool_]
Place = tuple[str, int]
"""Level, and column within it."""


@register(
    NAME,
    title="Input columns",
    question="Does every input column carry information, and is it credited for no more than that?",
)
def check(subject: AuditSubject) -> Outcome:
    """Look at each column's values, weights and attributions."""
    schema = subject.model.schema
    study = ColumnStudy(
        subject,
        {level: column_table(subject.graphs, schema, level) for level in LEVELS},
        {task: credits_of((by[task] for by in subject.explanations), schema) for task in subject.tasks},
        first_weights(subject.model),
        {task: _of_substructures(by[task] for by in subject.explanations) for task in subject.tasks},
    )
    findings = [
        *_constant(study),
        *_redundant(study),
        *_unread(study),
        *_other(study),
        *_absent(study),
    ]
    remark = (
        f"Values over {len(subject.molecules)} molecules, attributions over {len(subject.explanations)} of "
        "them; shares are means over the tasks."
    )
    if not np.isfinite(study.weights["atom"]).all():
        remark += " By which weights the network reads them is not known, so attributions alone are judged."
    if subject.is_committee:
        remark += (
            " The columns are those of the committee's Weave network; the substructures that its other "
            f"members read have {study.share_of_substructures:.0%} of all attribution."
        )
    return Outcome(findings, _measured(study), [_figure(study)], remark)


def _constant(study: ColumnStudy) -> list[Finding]:
    findings = []
    for always in (True, False):
        places = [place for place in study.constant if study.always_on(place) is always]
        if not places:
            continue
        share = study.share(places)
        severity = Severity.WARNING if share >= WARNING_SHARE else Severity.INFO
        if always and share >= ERROR_SHARE:
            severity = Severity.ERROR
        what = "for every pair that the network sees" if always else "in all of these molecules"
        summary = (
            f"Columns with the same value {what} carry no information, but absorb {share:.0%} of all "
            f"attribution: {', '.join(study.names(places))}."
        )
        advice = (
            'Choose a one-hot distance up to the pair limit (distance = "one-hot"), which has no such '
            "columns."
            if always
            else "Do not read these attributions as differences between the molecules; audit with a more "
            "varied set to see whether the column is informative elsewhere."
        )
        evidence = study.evidence(places, shown=severity is not Severity.INFO)
        findings.append(Finding(NAME, severity, summary, evidence, advice))
    return findings


def _redundant(study: ColumnStudy) -> list[Finding]:
    """Columns equal to others, or that follow from others."""
    if len(study.subject.molecules) < FEWEST_MOLECULES:
        return []
    equal: list[tuple[Place, ...]] = []
    following: list[Place] = []
    for level in LEVELS:
        table = study.tables[level]
        chosen = [i for where, i in study.occurring if where == level and (level, i) not in study.constant]
        groups = [group for group in duplicates(table, chosen) if not _by_design(table, group)]
        equal += [tuple((level, i) for i in group) for group in groups]
        grouped = {i for group in groups for i in group}
        loose = [i for i in chosen if i not in grouped]
        following += [(level, i) for i in dependent(table, loose, study.subject.rng(NAME), BY_DESIGN)]
    findings = []
    if equal:
        places = [place for group in equal for place in group]
        pairs = "; ".join(" = ".join(study.names(group)) for group in equal)
        text = f"Columns that are equal in every row share attribution in an arbitrary way: {pairs}"
        findings.append(_redundancy(study, places, text))
    if following:
        text = f"Columns that follow exactly from others: {', '.join(study.names(following))}"
        findings.append(_redundancy(study, following, text))
    return findings


def _by_design(table: ColumnTable, group: Sequence[int]) -> bool:
    blocks = {table.columns[i].block for i in group}
    return all(blocks - {block} <= BY_DESIGN.get(block, frozenset()) for block in blocks)


def _redundancy(study: ColumnStudy, places: Sequence[Place], text: str) -> Finding:
    share = study.share(places)
    return Finding(
        NAME,
        Severity.WARNING if share >= WARNING_SHARE else Severity.INFO,
        f"{text} ({share:.0%} of all attribution).",
        study.evidence(places),
        "Which of them is credited depends on the start of the training, not on chemistry: read their "
        "attributions together, leave one out of the features, or audit with molecules in which they differ.",
    )


def _unread(study: ColumnStudy) -> list[Finding]:
    unread = unread_columns(study)
    findings = []
    if unread.credited:
        names, share = ", ".join(study.names(unread.credited)), study.share(unread.credited)
        summary = (
            f"The explanations credit {names} with {share:.1%} of all attribution, although the first layer "
            "does not read them."
        )
        advice = (
            "A feature without weights cannot contribute: these explanations are not of this network. "
            "Believe none of them; make sure that network and explanations come from the same files, and "
            "report it."
        )
        evidence = study.evidence(unread.credited, shown=True)
        findings.append(Finding(NAME, Severity.ERROR, summary, evidence, advice))
    if unread.by_weights or unread.by_attribution:
        findings.append(_ignored(study, unread.by_weights, unread.by_attribution))
    return findings


def _ignored(study: ColumnStudy, by_weights: list[Place], by_attribution: list[Place]) -> Finding:
    places = by_weights + by_attribution
    counts = {str(study.column((level, i))): study.tables[level].molecules_with(i) for level, i in places}
    both = bool(by_weights and by_attribution)
    committee = study.subject.is_committee
    who, by_whom = ("The Weave network", " from it") if committee else ("The model", "")
    reasons = []
    if by_weights:
        what = ", ".join(study.names(by_weights)) if both else "them"
        reasons.append(f"Its first layer does not read {what}.")
    if by_attribution:
        what = f"of {', '.join(study.names(by_attribution))}" if both else "of these columns"
        reasons.append(f"The attribution {what} is zero throughout, although the first layer reads them.")
    return Finding(
        NAME,
        Severity.WARNING,
        f"{who} ignores {', '.join(study.names(places))}, which up to {max(counts.values())} of the "
        f"{len(study.subject.molecules)} molecules have. {' '.join(reasons)}",
        Evidence(
            {
                "molecules_with": counts,
                "by_weights": study.names(by_weights),
                "by_attribution": study.names(by_attribution),
            },
            study.names(places),
        ),
        f"Molecules that differ only in these features get the same score{by_whom}. Leave the columns out, "
        "or find out why training has silenced them (dead units, damaged weights).",
    )


def _other(study: ColumnStudy) -> list[Finding]:
    slots = study.other_slots()
    heavy = [
        place
        for place, slot in slots.items()
        if (slot["uses"] >= FEWEST_ROWS and slot["excess"] > OTHER_KNOWN)
        or slot["weight_excess"] > OTHER_WEIGHT
    ]
    if not heavy:
        return []
    misleads = any(
        slots[place]["excess"] > OTHER_EXCESS or slots[place]["weight_excess"] > OTHER_WEIGHT
        for place in heavy
    )
    worst = max(heavy, key=lambda place: slots[place]["weight_excess"])
    summary = (
        f"{study.column(worst)}, which stands for anything without a column of its own, counts far more than "
        f"ordinary columns: its weights are {slots[worst]['weight_excess']:.1f} times as large, and it "
        f"carries {slots[worst]['excess']:.1f} times as much attribution per occurrence."
    )
    evidence = Evidence(
        {str(study.column(place)): slots[place] for place in heavy},
        study.names(heavy),
        _occurrences(study, worst),
    )
    advice = (
        "The model has one meaning for many different elements or values, learned from few examples: do not "
        "trust scores of molecules that have it, or give the frequent ones columns of their own."
    )
    return [Finding(NAME, Severity.WARNING if misleads else Severity.INFO, summary, evidence, advice)]


def _absent(study: ColumnStudy) -> list[Finding]:
    places = [(level, i) for level, i in study.places if not study.tables[level].active[i]]
    if not places or len(study.subject.molecules) < FEWEST_MOLECULES:
        return []
    return [
        Finding(
            NAME,
            Severity.INFO,
            f"{len(places)} of {len(study.places)} columns never occur in these molecules: "
            f"{', '.join(study.names(places))}.",
            Evidence({"never": len(places)}, study.names(places)),
            "This audit says nothing about what the model makes of them.",
        )
    ]


def _measured(study: ColumnStudy) -> dict[str, dict[str, object]]:
    measured: dict[str, dict[str, object]] = {}
    for place in study.places:
        level, i = place
        table = study.tables[level]
        by_task = study.share_by_task([place])
        measured[str(study.column(place))] = {
            "active": float(table.active[i] / max(len(table.values), 1)),
            "share": study.share([place]),
            "largest_share": max(by_task.values()),
            "weight": float(study.weights[level][i]),
        }
    for place, numbers in study.other_slots().items():
        measured[str(study.column(place))] |= {"excess": numbers["excess"], "uses": numbers["uses"]}
    return measured


def _figure(study: ColumnStudy) -> Figure:
    shares = {str(study.column(place)): study.share([place]) for place in study.places}
    largest = dict(sorted(shares.items(), key=lambda item: -item[1])[:MOST_SHOWN])
    return bars(
        largest, "Share of attribution by input column", "share of all |attribution|, mean over tasks"
    )


# Everything about the input columns of a model that findings are made of.


@dataclass(frozen=True)
class ColumnStudy:
    """Values, weights and attributions of all input columns of a model."""

    subject: AuditSubject  # model and molecules
    tables: dict[str, ColumnTable]  # values over all molecules, by level
    credits: dict[str, dict[str, Credit]]  # attributions in the explained molecules, by task and level
    weights: dict[str, FloatArray]  # largest |weight| that reads each column, by level
    substructures: dict[str, float]  # sum of |attribution| of a committee's substructures, by task

    def column(self, place: Place) -> Column:
        """Say what a column is."""
        return self.tables[place[0]].columns[place[1]]

    def names(self, places: Sequence[Place]) -> list[str]:
        """Names of columns."""
        return [str(self.column(place)) for place in places]

    def evidence(self, places: Sequence[Place], *, shown: bool = False) -> Evidence:
        """Shares of columns in the attribution, perhaps with molecules that show it."""
        numbers = {"share": self.share(places), "share_by_task": self.share_by_task(places)}
        return Evidence(numbers, self.names(places), self._absorbing(places) if shown else ())

    def _absorbing(self, places: Sequence[Place]) -> list[Example]:
        """Molecules with what the columns alone contribute to each atom."""
        chosen = {level: [i for where, i in places if where == level] for level in LEVELS}
        task = max(self.share_by_task(places).items(), key=lambda item: item[1])[0]
        whys = [by[task] for by in self.subject.explanations if np.isfinite(by[task].atom_scores).all()]
        examples = []
        for why in sorted(whys, key=lambda why: -abs(why.score - why.baseline_score))[: MOST_EXAMPLES // 2]:
            scores, change = atom_scores_of(why, chosen), why.score - why.baseline_score
            note = f"{task}: {scores.sum():+.2f} of {change:+.2f} come from these columns"
            examples.append(scored_example(why, scores, note))
        return examples

    @cached_property
    def from_zero(self) -> bool:
        """Whether explanations compare with features that are all zero."""
        return all(why.baseline == ZERO for by in self.subject.explanations[:1] for why in by.values())

    @cached_property
    def places(self) -> list[Place]:
        """All columns."""
        return [(level, i) for level in LEVELS for i in range(len(self.tables[level].columns))]

    @cached_property
    def shares(self) -> dict[str, dict[str, FloatArray]]:
        """Share of each column in all |attribution| of a task, by task and level."""
        shares = {}
        for task, levels in self.credits.items():
            total = sum(float(credit.absolute.sum()) for credit in levels.values())
            total += self.substructures[task]
            shares[task] = {level: credit.absolute / (total or 1.0) for level, credit in levels.items()}
        return shares

    @property
    def share_of_substructures(self) -> float:
        """Share of all |attribution| that no column has, mean over the tasks."""
        every = {task: sum(float(s.sum()) for s in by.values()) for task, by in self.shares.items()}
        return float(np.mean([1 - every[task] if self.substructures[task] else 0.0 for task in every]))

    def share(self, places: Sequence[Place]) -> float:
        """Share of all |attribution| that columns absorb, mean over the tasks."""
        return float(np.mean(list(self.share_by_task(places).values())))

    def share_by_task(self, places: Sequence[Place]) -> dict[str, float]:
        """Share of all |attribution| that columns absorb, by task."""
        return {task: float(sum(by[level][i] for level, i in places)) for task, by in self.shares.items()}

    def uses(self, place: Place) -> float:
        """Occurrences of a column in the explained molecules."""
        level, i = place
        return float(next(iter(self.credits.values()))[level].uses[i])

    def per_use(self, places: Sequence[Place]) -> float:
        """Share of |attribution| per occurrence of some columns."""
        uses = sum(self.uses(place) for place in places)
        return self.share(places) / uses if uses else 0.0

    @cached_property
    def occurring(self) -> list[Place]:
        """Columns that occur often enough to say something about them."""
        tables = self.tables
        return [
            (level, i)
            for level, i in self.places
            if tables[level].active[i] >= FEWEST_ROWS and tables[level].molecules_with(i) >= FEWEST_WITH
        ]

    @cached_property
    def constant(self) -> list[Place]:
        """Columns that hold one value, not zero, in all molecules."""
        many = len(self.subject.molecules) >= FEWEST_MOLECULES
        return [
            (level, i)
            for level, i in self.places
            if self.tables[level].constant[i] and (many or self.always_on((level, i)))
        ]

    def always_on(self, place: Place) -> bool:
        """Whether a column is on whatever the molecule: a distance within reach of every pair seen."""
        schema, column = self.subject.model.schema, self.column(place)
        limit = schema.max_pair_distance
        if column.block == "distance_within":
            return limit is not None and int(column.name.removeprefix("<=")) >= limit
        return column.block == "distance" and limit == 1

    def other_slots(self) -> dict[Place, dict[str, float]]:
        """Share, and excess over ordinary columns of the block, of each slot for other values that occurs."""
        slots = {}
        for place in self.occurring:
            level, block = place[0], self.column(place).block
            if not self.column(place).is_other:
                continue
            ordinary = [
                p for p in self.places if p[0] == level and self.column(p).block == block and p != place
            ]
            usual = self.per_use(ordinary)
            usual_weight = (
                float(np.median([self.weights[level][i] for _, i in ordinary])) if ordinary else 0.0
            )
            slots[place] = {
                "share": self.share([place]),
                "uses": self.uses(place),
                "excess": self.per_use([place]) / usual if usual else 0.0,
                "weight_excess": float(self.weights[level][place[1]]) / usual_weight if usual_weight else 0.0,
            }
        return slots


@dataclass(frozen=True)
class UnreadColumns:
    """Columns that occur, but play no part."""

    by_weights: list[Place] = field(default_factory=list)  # not read by the first layer, nor credited
    by_attribution: list[Place] = field(default_factory=list)  # read by the first layer, but not credited
    credited: list[Place] = field(default_factory=list)  # not read, yet credited: not of one network


def unread_columns(study: ColumnStudy) -> UnreadColumns:
    """Compare weights and attributions of each column with the usual ones of its level."""
    unread = UnreadColumns()
    for level in LEVELS:
        usual = float(np.median(study.weights[level])) if len(study.weights[level]) else 0.0
        own = [place for place in study.occurring if place[0] == level]
        frequent = [place for place in own if study.uses(place) >= FEWEST_ROWS]
        mean = study.per_use(frequent)
        for place in own:
            # A NaN weight is no small one.
            if study.weights[level][place[1]] <= NO_EFFECT * usual:
                # A category is credited with what its block's others lose, unless they start from zero.
                sums_up = study.from_zero or study.column(place).kind is BlockKind.NUMERIC
                foreign = sums_up and mean > 0 and study.per_use([place]) > CREDITED * mean
                (unread.credited if foreign else unread.by_weights).append(place)
            elif place in frequent and mean > 0 and study.per_use([place]) <= NO_EFFECT * mean:
                unread.by_attribution.append(place)
    return unread


def _occurrences(study: ColumnStudy, place: Place) -> list[Example]:
    """Explained molecules that have a column, with the atoms that have it."""
    level, i = place
    examples: list[Example] = []
    for by_task in study.subject.explanations:
        why: Explanation = next(iter(by_task.values()))
        has = np.flatnonzero(column_table(pack([why.graph]), why.schema, level).values[:, i])
        if not len(has):
            continue
        atoms = has if level == "atom" else np.unique(why.graph.pair_atoms[has])
        examples.append(marked_example(why, atoms.tolist(), f"{study.column(place)}"))
        if len(examples) == MOST_EXAMPLES // 2:
            break
    return examples


# Values of columns over molecules.


@dataclass(frozen=True)
class ColumnTable:
    """The columns of one level over all atoms, or pairs, of molecules."""

    columns: Sequence[Column]  # what they are
    values: npt.NDArray[np.float32]
    molecule: npt.NDArray[np.int64]  # (n_rows,) which molecule each row belongs to

    @property
    def active(self) -> FloatArray:
        """Rows where each column is not zero, shape (n_columns,)."""
        return np.asarray(np.count_nonzero(self.values, axis=0), dtype=np.float64)

    def molecules_with(self, column: int) -> int:
        """Molecules in which a column is not zero somewhere."""
        return int(np.count_nonzero(np.bincount(self.molecule[self.values[:, column] != 0])))

    @property
    def constant(self) -> Flags:
        """Columns that hold the same value, not zero, in all rows."""
        if not len(self.values):
            return np.zeros(len(self.columns), dtype=bool)
        return np.asarray((self.values == self.values[0]).all(axis=0) & (self.values[0] != 0))


def column_table(graphs: PackedGraphs, schema: FeatureSchema, level: str) -> ColumnTable:
    """Lay out the features of molecules column by column."""
    _, codes, numbers, counts = graphs.level(level)
    values, columns = np.zeros((len(codes), 0), dtype=np.float32), schema.columns(level)
    parts = [values]
    for place in schema.places(level):
        if place.is_categorical:
            parts.append((codes[:, place.stored] == np.arange(place.block.width)).astype(np.float32))
        else:
            parts.append(numbers[:, place.stored])
    return ColumnTable(columns, np.hstack(parts), np.repeat(np.arange(len(counts)), counts))


def duplicates(table: ColumnTable, chosen: Sequence[int]) -> list[tuple[int, ...]]:
    """Groups of columns that are equal in every row."""
    groups: dict[bytes, list[int]] = {}
    for column in chosen:
        groups.setdefault(np.ascontiguousarray(table.values[:, column]).tobytes(), []).append(column)
    return [tuple(group) for group in groups.values() if len(group) > 1]


def dependent(
    table: ColumnTable,
    chosen: Sequence[int],
    rng: np.random.Generator,
    by_design: Mapping[str, frozenset[str]],
) -> list[int]:
    """Columns that follow exactly from the columns of other blocks and a constant, by least squares."""
    rows = np.arange(len(table.values))
    if len(rows) > MOST_ROWS:
        rows = np.sort(rng.permutation(rows)[:MOST_ROWS])
    values = table.values[rows].astype(np.float64)
    values -= values.mean(axis=0) if len(values) else 0.0
    products, following = values.T @ values, []
    varied = np.flatnonzero(products.diagonal() > 0).tolist()
    for column in chosen:
        block = table.columns[column].block
        excluded = by_design.get(block, frozenset()) | {block}
        others = [other for other in varied if table.columns[other].block not in excluded]
        if others and len(rows) > 10 * len(others) and _follows(products, column, others):
            following.append(column)
    return following


def _follows(products: FloatArray, column: int, others: Sequence[int]) -> bool:
    """Least squares from the products of centred columns."""
    shared, spread = products[others, column], products[column, column]
    # Columns of a one-hot block depend on each other: lstsq leaves out what is singular.
    weights = np.linalg.lstsq(products[np.ix_(others, others)], shared, rcond=1e-10)[0]
    return bool(spread > 0 and spread - float(weights @ shared) <= EXACT * spread)


# What the network reads, and what explanations credit.


def first_weights(model: ScoringModel) -> dict[str, FloatArray]:
    """Largest |weight| by which each column is read, by level; shape (n_columns,), NaN if it is not known."""
    networks = networks_of(model).values()
    if not isinstance(model, ScreeningModel):
        read = [n.message_passing.input_weights() for n in networks if isinstance(n, ChempropNetwork)]
        if not read:
            return {level: np.full(len(model.schema.columns(level)), np.nan) for level in LEVELS}
        return {level: _largest([weight for one in read for weight in one[level]]) for level in LEVELS}
    module = model.network.modules_[0]
    if not isinstance(module, WeaveModule):
        raise TypeError(f"expected a WeaveModule (got {type(module).__name__})")
    atoms, pairs = [module.atom_to_atom.weight], [module.pair_to_atom.weight]
    if module.update_pairs:
        atoms += torch.tensor_split(module.atom_to_pair.weight, 2, dim=1)
        pairs.append(module.pair_to_pair.weight)
    return {"atom": _largest(atoms), "pair": _largest(pairs)}


def _largest(weights: Sequence[Tensor]) -> FloatArray:
    stacked = torch.cat([weight.detach() for weight in weights]).abs().amax(dim=0)
    return np.asarray(stacked.double().cpu().numpy())


@dataclass(frozen=True)
class Credit:
    """What the columns of one level are credited with in explanations of one task."""

    absolute: FloatArray  # (n_columns,) sum of |attribution| over all rows
    uses: FloatArray  # (n_columns,) rows in which the column is not zero


def credits_of(explanations: Iterable[Explanation], schema: FeatureSchema) -> dict[str, Credit]:
    """Add up attributions column by column."""
    absolute = {level: np.zeros(len(schema.columns(level))) for level in LEVELS}
    uses = {level: np.zeros(len(schema.columns(level))) for level in LEVELS}
    for why in explanations:
        for level in LEVELS:
            scores = why.atom_attributions if level == "atom" else why.pair_attributions
            if not np.isfinite(scores).all():
                continue
            _add(why, level, np.abs(scores), absolute[level], uses[level])
    return {level: Credit(absolute[level], uses[level]) for level in LEVELS}


def _of_substructures(explanations: Iterable[Explanation]) -> float:
    """Sum of |attribution| of all substructures."""
    return float(sum(np.nansum(np.abs(why.environment_attributions)) for why in explanations))


def _add(why: Explanation, level: str, scores: FloatArray, absolute: FloatArray, uses: FloatArray) -> None:
    _, codes, numbers, _ = why.graph.level(level)
    for place in why.schema.places(level):
        own = scores[:, place.entries]
        if place.is_categorical:
            code, width = codes[:, place.stored.start].astype(np.int64), place.block.width
            known = code >= 0
            absolute[place.columns] += np.bincount(code[known], own[known, 0], width)
            uses[place.columns] += np.bincount(code[known], minlength=width)
        else:
            absolute[place.columns] += own.sum(axis=0)
            uses[place.columns] += np.count_nonzero(numbers[:, place.stored], axis=0)


def atom_scores_of(why: Explanation, chosen: Mapping[str, Sequence[int]]) -> FloatArray:
    """Attributions of some columns only, those of pairs shared by their atoms; shape (n_atoms,)."""
    rows = {}
    for level in LEVELS:
        scores = why.atom_attributions if level == "atom" else why.pair_attributions
        codes = why.graph.level(level).codes
        rows[level] = np.zeros(len(scores))
        for place in why.schema.places(level):
            own = scores[:, place.entries]
            inside = [
                column - place.columns.start
                for column in chosen.get(level, ())
                if place.columns.start <= column < place.columns.stop
            ]
            if place.is_categorical:
                rows[level] += own[:, 0] * np.isin(codes[:, place.stored.start], inside)
            else:
                rows[level] += own[:, inside].sum(axis=1)
    return share_pairs(rows["atom"], rows["pair"], why.graph.pair_atoms)
