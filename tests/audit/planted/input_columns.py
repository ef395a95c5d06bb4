"""Input columns that tell nothing, are ignored, or stand for anything: planted, and clean controls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

from rdkit import Chem
from support.planted import Case, audited, changed, trained
from support.small_model import nci_smiles

from molig.audit import AuditSubject, Severity
from molig.model import ScreeningModel, load_model
from molig.network import WeaveNet

CUMULATIVE = (("preset", "simple"), ("distance", "cumulative"), ("max_pair_distance", 2))
NEIGHBOURS = (("preset", "simple"), ("max_pair_distance", 1))
FULL = (("preset", "full"),)


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
        for smiles in nci_smiles(4900)
        if any(atom.GetSymbol() not in named for atom in Chem.MolFromSmiles(smiles).GetAtoms())
        and "." not in smiles
    ]
    return (*rare[:30], *nci_smiles(30, 900))


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


def _few(model: ScreeningModel, smiles: Sequence[str]) -> AuditSubject:
    return audited(model, smiles=smiles, labels=None, max_explained=40)


def _constant() -> list[Case]:
    bits = {
        "60 molecules": lambda m: _few(m, nci_smiles(60, 400)),
        "60 others": lambda m: _few(m, nci_smiles(60, 1400)),
        "one molecule": lambda m: _few(m, ["CC(=O)Oc1ccccc1C(=O)O"]),
        "alkanes": lambda m: _few(m, alkanes()),
        "one task": lambda m: audited(m, smiles=nci_smiles(40, 700), labels=None, tasks=("carbonyl",)),
    }
    cases = [
        Case(f"always-on distance bits, {name}", lambda make=make: make(trained(features=CUMULATIVE)), True)
        for name, make in bits.items()
    ]
    cases += [
        Case(
            f"always-on distance bits at {factor} of their weight",
            lambda factor=factor: _few(
                scale("pair", "distance_within=<=5", factor)(trained(features=CUMULATIVE)),
                nci_smiles(40, 500),
            ),
            True,
        )
        for factor in (0.3, 3.0)
    ]
    one = {"40 molecules": nci_smiles(40, 400), "one molecule": ["CC(=O)Oc1ccccc1C(=O)O"]}
    cases += [
        Case(
            f"a distance column under W2N1, {name}",
            lambda smiles=smiles: _few(trained(features=NEIGHBOURS), smiles),
            True,
        )
        for name, smiles in one.items()
    ]
    return cases


def _sets() -> list[Case]:
    return [
        Case("simple: carbon only", lambda: _few(trained(), alkanes()), True),
        Case("full: carbon only", lambda: _few(trained(features=FULL), alkanes()), True),
        Case("full: aromatic atoms only", lambda: _few(trained(features=FULL), biaryls()), True),
        Case(
            "full: aromatic = six-membered ring", lambda: _few(trained(features=FULL), alkylbenzenes()), True
        ),
        Case("full: donor = acceptor", lambda: _few(trained(features=FULL), alcohols()), True),
    ]


def _silenced() -> list[Case]:
    common = nci_smiles(80, 400)
    chosen = [
        ((), "atom", "type=N", 0.0),
        ((), "atom", "type=O", 0.0),
        ((), "atom", "type=Cl", 1e-5),
        ((), "pair", "bond=aromatic", 0.0),
        ((), "pair", "bond=double", 1e-4),
        ((), "pair", "distance=2", 0.0),
        (FULL, "atom", "aromatic=aromatic", 0.0),
        (FULL, "atom", "ring_sizes=6", 0.0),
        (FULL, "atom", "partial_charge=gasteiger", 1e-6),
        (FULL, "pair", "same_ring=same ring", 0.0),
    ]
    return [
        Case(
            f"{'full' if features else 'simple'}: weights of {level} {name} times {factor}",
            lambda features=features, level=level, name=name, factor=factor: _few(
                scale(level, name, factor)(trained(features=features) if features else trained()), common
            ),
            True,
        )
        for features, level, name, factor in chosen
    ]


def _unlike_weights() -> list[Case]:
    common = nci_smiles(80, 400)
    cases = [
        Case(
            f"{name} is read by a unit that nothing reads",
            lambda name=name: _few(disconnect(name)(trained()), common),
            True,
            about=("is zero throughout",),
        )
        for name in ("type=N", "type=O")
    ]
    return cases + [
        Case(
            f"explanations from before the weights of {name} were lost",
            lambda name=name: explained_by(_few(scale("atom", name, 0.0)(trained()), common), trained()),
            True,
            Severity.ERROR,
            ("although the first layer does not read",),
        )
        for name in ("type=N", "type=O")
    ]


def _inflated() -> list[Case]:
    def make(features: tuple[tuple[str, object], ...], factor: float) -> AuditSubject:
        model = trained(features=features) if features else trained()
        return _few(scale("atom", "type=other", factor)(model), with_other())

    return [
        Case(f"simple: slot for other elements times {factor}", lambda factor=factor: make((), factor), True)
        for factor in (10.0, 30.0)
    ] + [Case("full: slot for other elements times 30", lambda: make(FULL, 30.0), True)]


def _controls() -> list[Case]:
    cases = []
    for start in (400, 800, 1500, 2500, 3500):
        smiles = nci_smiles(80, start)
        cases += [
            Case(f"simple, molecules from {start}", lambda s=smiles: _few(trained(), s), False),
            Case(f"seed 2, molecules from {start}", lambda s=smiles: _few(trained(seed=2), s), False),
            Case(
                f"full, molecules from {start}", lambda s=smiles: _few(trained(features=FULL), s[:50]), False
            ),
        ]
    aspirin, tiny = ["CC(=O)Oc1ccccc1C(=O)O"], ["C", "O", "N", "CC", "CO", "Cl"]
    cases += [
        Case("simple, one molecule", lambda: _few(trained(), aspirin), False),
        Case("full, one molecule", lambda: _few(trained(features=FULL), aspirin), False),
        Case("simple, molecules without pairs", lambda: _few(trained(), tiny), False),
        Case("simple, rare elements", lambda: _few(trained(), with_other()), False),
        Case("full, rare elements", lambda: _few(trained(features=FULL), with_other()), False),
        Case("tox21-w2n2-simple", lambda: _few(load_model("tox21-w2n2-simple"), nci_smiles(80, 1000)), False),
        Case("tox21-w1n2-simple", lambda: _few(load_model("tox21-w1n2-simple"), nci_smiles(80, 2000)), False),
        Case("hiv-w2n2", lambda: _few(load_model("hiv-w2n2"), nci_smiles(60, 3000)), False),
    ]
    return cases


def cases() -> list[Case]:
    """All cases of this check."""
    return [*_constant(), *_sets(), *_silenced(), *_unlike_weights(), *_inflated(), *_controls()]
