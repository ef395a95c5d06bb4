"""Input columns that tell nothing, are ignored, or stand for anything: planted, and clean controls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial

import numpy as np
from rdkit import Chem
from support.planted import Case, Graded, Lab, NotShownError, audited, changed, library, weave_network

from molig.attribution import Explainer
from molig.audit import AuditSubject, Severity, subject_of
from molig.audit.checks.input_columns import first_weights
from molig.model import ScreeningModel
from molig.network import WeaveNet


def biaryls() -> list[str]:
    """24 molecules of six-membered aromatic rings and nothing else: some columns hold one value in all."""
    rings = ["c1ccc(%s)cc1", "c1cc(%s)ccn1", "c1cnc(%s)cn1", "c1ncc(%s)cn1", "c1ccc(%s)nc1", "c1ccc(%s)nn1"]
    ends = ["-c2ccccc2", "-c2ccncc2", "-c2cnccn2", "-c2ccccn2"]
    return [ring % end for ring in rings for end in ends]


def alkanes() -> list[str]:
    """24 saturated hydrocarbons."""
    return ["C" * n for n in range(3, 15)] + ["CC(C)" + "C" * n for n in range(1, 13)]


def alkylbenzenes() -> list[str]:
    """24 molecules whose aromatic atoms are the atoms of their six-membered rings."""
    return ["c1ccccc1" + "C" * n for n in range(12)] + ["Oc1ccccc1" + "C" * n for n in range(12)]


def alcohols() -> list[str]:
    """24 molecules whose only donors, acceptors and oxygens are the same atoms."""
    return ["C" * n + "O" for n in range(2, 14)] + ["OC" + "C" * n + "CO" for n in range(12)]


@cache
def with_other() -> tuple[str, ...]:
    """NCI compounds with an element that has no column of its own, and as many others."""
    named = {"H", "C", "N", "O", "F", "P", "S", "Cl", "Br", "I"}
    rare = [
        smiles
        for smiles in library()
        if any(atom.GetSymbol() not in named for atom in Chem.MolFromSmiles(smiles).GetAtoms())
        and "." not in smiles
    ]
    return (*rare[:30], *library()[900:930])


def column_weights(level: str, name: str, factor: float) -> Callable[[ScreeningModel], ScreeningModel]:
    """Give a type of atom weights that are so many times the usual ones of the other types."""

    def edit(model: ScreeningModel) -> ScreeningModel:
        sizes = first_weights(model)[level]
        columns = [f"{c.block}={c.name}" for c in model.schema.columns(level)]
        block = [i for i, one in enumerate(columns) if one.partition("=")[0] == name.partition("=")[0]]
        place = columns.index(name)
        usual = np.median([sizes[i] for i in block if i != place])
        return scale(level, name, float(factor * usual / sizes[place]))(model)

    return edit


def scale(level: str, name: str, factor: float) -> Callable[[ScreeningModel], ScreeningModel]:
    """Multiply all weights that read a column in the first module."""

    def edit(model: ScreeningModel) -> ScreeningModel:
        columns = [f"{c.block}={c.name}" for c in model.schema.columns(level)]
        place, n = columns.index(name), len(columns)

        def change(network: WeaveNet) -> None:
            module = network.modules_[0]
            if level == "atom":
                module.atom_to_atom.weight[:, place] *= factor
                if module.update_pairs:
                    module.atom_to_pair.weight[:, [place, n + place]] *= factor
                return
            module.pair_to_atom.weight[:, place] *= factor
            if module.update_pairs:
                module.pair_to_pair.weight[:, place] *= factor

        return changed(model, change)

    return edit


def disconnect(name: str) -> Callable[[ScreeningModel], ScreeningModel]:
    """Let the first module read an atom column by one unit only, and nothing read that unit."""

    def edit(model: ScreeningModel) -> ScreeningModel:
        columns = [f"{c.block}={c.name}" for c in model.schema.columns("atom")]
        place, n = columns.index(name), len(columns)

        def change(network: WeaveNet) -> None:
            module = network.modules_[0]
            largest = module.atom_to_atom.weight.abs().max()
            module.atom_to_atom.weight[:, place] = 0
            module.atom_to_atom.weight[0, place] = largest
            module.atom_out.weight[:, 0] = 0
            if module.update_pairs:
                module.atom_to_pair.weight[:, [place, n + place]] = 0

        return changed(model, change)

    return edit


def explained_by(subject: AuditSubject, model: ScreeningModel) -> AuditSubject:
    """Put the explanations of another model in the place of the subject's own."""
    vars(subject)["explanations"] = subject.explain(subject.sample, model=model)
    return subject


def absorbing(
    lab: Lab, model: ScreeningModel, block: str, least: float, values: Sequence[str] = ()
) -> ScreeningModel:
    """The network, if columns of a block have this share of the attributions of other molecules."""
    molecules = subject_of(model, lab.shown_on[:30]).molecules
    held = total = 0.0
    for one in Explainer(model, task=model.tasks[0]).explain_molecules(molecules):
        amounts = one.pairs.score.abs()
        total += float(amounts.sum() + one.features.score.abs().sum())
        held += float(
            amounts[(one.pairs.block == block) & (one.pairs.category.isin(values) | (not values))].sum()
        )
    if held / total < least:
        raise NotShownError(f"{block}: {held / total:.1%} of the attribution")
    return model


def _few(model: ScreeningModel, smiles: Sequence[str], explained: int = 30) -> AuditSubject:
    return audited(model, smiles=smiles, labels=None, max_explained=explained)


def _constant(lab: Lab) -> list[Case]:
    bits = lambda factor=1.0: absorbing(  # noqa: E731
        lab,
        scale("pair", "distance_within=<=5", factor)(lab.network("cumulative")),
        "distance_within",
        0.05,
        [f"<={d}" for d in range(2, 8)],
    )
    near = lambda: absorbing(lab, lab.network("W2N1"), "distance", 0.04)  # noqa: E731
    aspirin = ["CC(=O)Oc1ccccc1C(=O)O"]
    neighbours = [
        Case("a distance column under W2N1", lambda: _few(near(), lab.compounds(40, 200)), True),
        Case("a distance column under W2N1, one molecule", lambda: _few(near(), lab.compounds(1, 300)), True),
    ]
    return (neighbours if lab.seed % 2 else []) + [
        Case("always-on distance bits", lambda: _few(bits(), lab.compounds(60)), True),
        Case("always-on distance bits, one molecule", lambda: _few(bits(), aspirin), True),
        Case("always-on distance bits, alkanes", lambda: _few(bits(), alkanes()), True),
        Case("always-on distance bits at 3 times their weight", lambda: _few(bits(3.0), lab.compounds(40, 100)), True),
    ]  # fmt: skip


def _sets(lab: Lab) -> list[Case]:
    full = partial(lab.network, "full")
    return [
        Case("simple: carbon only", lambda: _few(lab.network("W2"), alkanes()), True),
        Case("full: carbon only", lambda: _few(full(), alkanes(), 10), True),
        Case("full: aromatic atoms only", lambda: _few(full(), biaryls(), 10), True),
        Case("full: aromatic = six-membered ring", lambda: _few(full(), alkylbenzenes(), 10), True),
        Case("full: donor = acceptor", lambda: _few(full(), alcohols(), 10), True),
    ]


def _silenced(lab: Lab) -> list[Case]:
    chosen = [
        ("W2", "atom", "type=N", 0.0),
        ("W2", "atom", "type=Cl", 1e-5),
        ("W2", "pair", "bond=aromatic", 0.0),
        ("W2", "pair", "bond=double", 1e-4),
        ("full", "atom", "aromatic=aromatic", 0.0),
        ("full", "atom", "partial_charge=gasteiger", 1e-6),
    ]
    silenced = [
        Case(
            f"{net}: weights of {level} {name} times {factor}",
            lambda net=net, level=level, name=name, factor=factor, i=i: _few(
                scale(level, name, factor)(lab.network(net)), lab.compounds(80, 400 + 80 * i), 12
            ),
            True,
        )
        for i, (net, level, name, factor) in enumerate(chosen)
    ]
    before = partial(lab.network, "W2", which=1)
    return [
        *silenced,
        Case("type=O is read by a unit that nothing reads",
             lambda: _few(disconnect("type=O")(before()), lab.compounds(80, 900)), True, about=("is zero throughout",)),
        Case("explanations from before the weights of type=N were lost",
             lambda: explained_by(_few(scale("atom", "type=N", 0.0)(before()), lab.compounds(80, 1000)), before()),
             True, Severity.ERROR, ("although the first layer does not read",)),
    ]  # fmt: skip


def _inflated(lab: Lab) -> list[Case]:
    return [
        Case(
            f"{net}: slot for other elements with {factor} times the usual weights",
            lambda net=net, factor=factor: _few(
                column_weights("atom", "type=other", factor)(lab.network(net)), with_other(), 12
            ),
            True,
        )
        for net, factor in (("W2", 8.0), ("W2", 20.0), ("full", 20.0))
    ]


def _controls(lab: Lab) -> list[Case]:
    cases = []
    nets = (("W2", 0, 80), ("W2", 1, 80), ("W1", 0, 80), ("full", 0, 40))
    for start in (1200, 1800, 2400):
        cases += [
            Case(
                f"{net} {which}, molecules from {start}",
                lambda net=net, which=which, n=n, start=start: _few(
                    lab.network(net, which=which), lab.compounds(n, start), 12 if net == "full" else 30
                ),
                False,
            )
            for net, which, n in nets
            if net != "full" or start < 2400
        ]
    aspirin, tiny = ["CC(=O)Oc1ccccc1C(=O)O"], ["C", "O", "N", "CC", "CO", "Cl"]
    cases += [
        Case("W2, one molecule", lambda: _few(lab.network("W2"), aspirin), False),
        Case("full, one molecule", lambda: _few(lab.network("full"), aspirin), False),
        Case("W2, molecules without pairs", lambda: _few(lab.network("W2"), tiny), False),
        Case("W2, rare elements", lambda: _few(lab.network("W2"), with_other()), False),
        Case("full, rare elements", lambda: _few(lab.network("full"), with_other(), 10), False),
    ]
    cases += [
        Case(name, lambda name=name, n=n: _few(weave_network(name), lab.compounds(n, 2700), 12), False)
        for name, n in (("tox21-w2n2-simple", 60), ("tox21-w1n2-simple", 60), ("hiv", 40))
    ]
    return cases


def cases(seed: int) -> list[Case]:
    """Planted defects and clean controls of a seed."""
    lab = Lab(seed)
    return [*_constant(lab), *_sets(lab), *_silenced(lab), *_inflated(lab), *_controls(lab)]


def graded(seed: int) -> list[Graded]:
    """Columns whose weights shrink or grow."""
    lab = Lab(seed)
    slot = [
        Graded(
            "weights of the slot for other elements, over the usual ones",
            factor,
            Case(
                f"W2 {which}: {factor:g}",
                lambda factor=factor, which=which: _few(
                    column_weights("atom", "type=other", factor)(lab.network("W2", which=which)), with_other(), 12
                ),
                True,
            ),
        )
        for which in (0, 1)
        for factor in (2.0, 4.0, 5.0, 6.0, 8.0)
    ]  # fmt: skip
    silent = [
        Graded(
            "factor on the weights of oxygen",
            factor,
            Case(
                f"W2: {factor:g}",
                lambda factor=factor: _few(
                    scale("atom", "type=O", factor)(lab.network("W2")), lab.compounds(80, 2900), 12
                ),
                True,
            ),
        )
        for factor in (1e-5, 1e-4, 1e-3, 1e-2, 0.1)
    ]
    return slot + silent
