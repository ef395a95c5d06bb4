"""Molecules of another chemistry than the training molecules, and models that never saw an element."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial

import numpy as np
import torch
from rdkit import Chem
from rdkit.Chem import rdFingerprintGenerator
from support.planted import N_TRAINED, RARE, Case, Graded, Lab, NotShownError, audited, changed, free_of

from molig.audit import subject_of
from molig.model import ScreeningModel, load_model
from molig.molecules import Molecule, MoleculeParser

RESIDUES = ("C(C)", "C(CO)", "C(CC(=O)O)", "C(Cc1ccccc1)", "C(CCCN)", "C(CC(C)C)", "C(CS)")

MOVED, STRANGE = 0.3, 0.8
"""Share of other molecules with an element whose logits its weights must change by 2; and share of a set of
another chemistry that must have an atom with neighbours, or a number of atoms, that no, or
hardly any, training molecule had."""


def peptide(n: int, shift: int) -> str:
    return "".join(f"N{RESIDUES[(i * 3 + shift) % len(RESIDUES)]}C(=O)" for i in range(n)) + "O"


SETS: dict[str, list[str]] = {
    "peptides": [peptide(n, shift) for n in range(6, 12) for shift in range(7)],
    "glycols of 60 to 150 atoms": ["O" + "CCO" * n for n in range(20, 50)],
    "alkanes of 60 to 150 atoms": ["C" * n for n in range(60, 150, 3)],
    "one and two heavy atoms": ["C", "N", "O", "S", "CC", "CN", "C=C", "C#N", "N=N", "NN", "OO", "CF", "CCl", "CBr", "F"] * 2,
    "perfluorinated chains": [f"{head}" + "C(F)(F)" * n + "F" for n in range(4, 14) for head in ("OC(=O)", "F", "OS(=O)(=O)")],
    "siloxanes": ["C[Si](C)(C)" + "O[Si](C)(C)" * n + "C" for n in range(1, 25)],
    "boranes and boronic acids": [f"OB(O)c1cc({r})cc({s})c1" for r in ("C", "F", "Cl", "OC", "N") for s in ("C", "F", "CC", "C#N", "O")],
    "organogermanium compounds": [f"{r}[Ge]({r})({r}){s}" for r in ("C", "CC", "CCC", "CCCC", "c1ccccc1") for s in ("C", "OC(C)=O", "CC", "C=C")],
    "organoselenium compounds": [f"c1ccc({r})cc1[Se]{s}" for r in ("C", "F", "OC", "Cl", "N") for s in ("C", "CC", "c1ccccc1", "CCO")],
    "polysulfides": ["C" * n + "S" * m + "C" * k for n in range(1, 4) for m in range(4, 9) for k in range(1, 3)],
    "sugars": ["OCC1OC(" + "OC2C(CO)OC(" * n + "O" + ")C(O)C2O" * n + ")C(O)C(O)C1O" for n in range(1, 9)] * 3,
    "nucleotides": ["Nc1ncnc2c1ncn2C1OC(COP(=O)(O)" + "OP(=O)(O)" * n + "O" + "C" * m + ")C(O)C1O" for n in range(1, 6) for m in range(5)],
    "polyiodides": [f"Ic1c(I)c({r})c(I)c({s})c1I" for r in ("C(=O)N", "I", "NC(C)=O", "CO", "C(=O)NCCO") for s in ("N", "I", "C(=O)NC", "CO")],
    "cumulenes and polyynes": ["C" + "C#C" * n + end for n in range(3, 12) for end in ("C", "CO", "C=C")],
    "phosphazenes": [f"{r}P1({r})=NP({r})({r})=NP({s})({s})=N1" for r in ("F", "Cl", "OC", "N", "NC") for s in ("F", "Cl", "OC", "N", "OCC")],
    "lipids": ["C" * n + "C(=O)OCC(COP(=O)(O)OCC[N+](C)(C)C)OC(=O)" + "C" * m for n in range(11, 19) for m in (9, 13, 17)],
    "germanes": [f"C[Ge](C)({r}){s}" for r in ("C", "CC", "Cl", "C=C", "OC") for s in ("C", "CC", "Cl", "c1ccccc1", "OC")],
}  # fmt: skip


def having(lab: Lab, symbol: str, n: int, start: int = 0) -> list[str]:
    """Compounds with an element that reaches the network: not in a counter-ion or a ligand of a metal."""
    number, parser = Chem.GetPeriodicTable().GetAtomicNumber(symbol), MoleculeParser()
    found = []
    for smiles in lab.compounds(3000, start):
        molecule = parser.parse_smiles(smiles)
        if isinstance(molecule, Molecule) and number in {a.GetAtomicNum() for a in molecule.mol.GetAtoms()}:
            found.append(smiles)
        if len(found) == n:
            break
    return found


def common(lab: Lab, n: int, start: int = 0) -> list[str]:
    """Compounds of the common elements alone."""
    keep = free_of(*RARE)
    return [s for s in lab.compounds(3000, start) if keep(s)][:n]


@cache
def surroundings(smiles: str) -> frozenset[int]:
    """Surroundings of the atoms, with the atoms bonded to them."""
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=1)
    return frozenset(generator.GetSparseCountFingerprint(Chem.MolFromSmiles(smiles)).GetNonzeroElements())


def strange(lab: Lab, smiles: list[str]) -> list[str]:
    """The molecules, if they are unlike what networks of this seed were trained on."""
    known = frozenset().union(*map(surroundings, lab.trained_on(N_TRAINED)))
    sizes = [Chem.MolFromSmiles(one).GetNumHeavyAtoms() for one in lab.trained_on(N_TRAINED)]
    low, high = np.quantile(sizes, [0.01, 0.99])
    new = [
        not surroundings(one) <= known or not low <= Chem.MolFromSmiles(one).GetNumHeavyAtoms() <= high
        for one in smiles
    ]
    if np.mean(new) < STRANGE:
        raise NotShownError(f"{np.mean(new):.0%} of the molecules have anything new")
    return smiles


def feeling(lab: Lab, symbol: str) -> ScreeningModel:
    """A network with weights of an element it never saw that are large enough to change other molecules' scores."""
    model = lab.network("without rare elements")
    column = [c.name for c in model.schema.columns("atom")].index(symbol)
    smiles = having(lab, symbol, 60, 2000)
    unmoved = subject_of(changed(model, inflated(column, 0.0)), smiles).logits
    for factor in (1.0, 2.0, 4.0, 8.0, 16.0):
        spoilt = changed(model, inflated(column, factor))
        moved = (np.abs(subject_of(spoilt, smiles).logits - unmoved) > 2).any(axis=1).mean()
        if moved >= MOVED:
            return spoilt
    raise NotShownError(f"weights of {symbol} change {moved:.0%} of the logits by 2")


def inflated(code: int, factor: float) -> Callable:
    """Give a type of atom such weights, of either sign, wherever the first module reads it."""

    def edit(network) -> None:
        first = network.modules_[0]
        for layer in (first.atom_to_atom, first.atom_to_pair):
            rows = torch.arange(len(layer.weight)) % 3 - 1
            for start in range(code, layer.weight.shape[1], 11):
                layer.weight[:, start] = factor * rows

    return edit


def cases(seed: int) -> list[Case]:
    """Planted defects and clean controls of a seed."""
    lab = Lab(seed)
    poor = partial(lab.network, "without rare elements")
    planted = [
        Case(
            name, lambda s=smiles, i=i: audited(lab.network("W2", which=i % 2), smiles=strange(lab, s)), True
        )
        for i, (name, smiles) in enumerate(SETS.items(), start=seed)
        if i % 2
    ]
    for symbol in ("S", "Cl", "Br", "F"):
        planted.append(
            Case(f"trained without {symbol}: all have it", lambda x=symbol: audited(poor(), smiles=having(lab, x, 40)), True)
        )  # fmt: skip
        planted.append(
            Case(f"trained without {symbol}, its weights large: a tenth have it",
                 lambda x=symbol: audited(feeling(lab, x), smiles=having(lab, x, 10, 500) + common(lab, 90, 500)), True)
        )  # fmt: skip
    planted.append(
        Case("trained without Cl, its weights large: one in twenty has it",
             lambda: audited(feeling(lab, "Cl"), smiles=having(lab, "Cl", 5, 1000) + common(lab, 95, 1000)), True)
    )  # fmt: skip
    makes = {
        "W2": partial(lab.network, "W2"),
        "W2, other weights": partial(lab.network, "W2", which=1),
        "full": partial(lab.network, "full"),
        "W1": partial(lab.network, "W1"),
    }
    controls = [
        Case(f"{name}, compounds from {start}", lambda m=make, a=start: audited(m(), smiles=lab.compounds(60, a)), False)
        for name, make in makes.items()
        for start in (1500, 1700, 1900)
        if name != "full" or start == 1500
    ]  # fmt: skip
    controls += [
        Case("compounds of training", lambda: audited(makes["W2"](), smiles=lab.trained_on(60)), False),
        Case("trained without S: none has it", lambda: audited(poor(), smiles=common(lab, 60, 2200)), False),
        Case("one molecule of training", lambda: audited(makes["W2"](), smiles=lab.trained_on(1)), False),
        Case("one strange molecule", lambda: audited(makes["W2"](), smiles=["C" * 150]), False),
        Case("Tox21 model, drugs", lambda: audited(load_model("tox21-w2n2-simple"), labels=None, smiles=_DRUGS), False),
    ]  # fmt: skip
    return planted + controls


def graded(seed: int) -> list[Graded]:
    """Tables of which a growing share is another chemistry."""
    lab = Lab(seed)
    strange = lab.rng("strange").permutation([s for name in list(SETS)[:6] for s in SETS[name]]).tolist()
    return [
        Graded(
            "share of molecules of another chemistry",
            share,
            Case(
                f"W2 {which}: {share:.0%}",
                lambda share=share, which=which: audited(
                    lab.network("W2", which=which),
                    smiles=strange[: round(100 * share)] + lab.compounds(round(100 * (1 - share)), 2500),
                    max_explained=20,
                ),
                True,
            ),
        )
        for which in (0, 1)
        for share in (0.1, 0.2, 0.3, 0.4, 0.5, 0.7)
    ]


_DRUGS = [
    "CC(=O)Oc1ccccc1C(=O)O", "CC(=O)Nc1ccc(O)cc1", "CC(C)Cc1ccc(cc1)C(C)C(=O)O", "CN1C=NC2=C1C(=O)N(C)C(=O)N2C",
    "OC(=O)c1ccccc1O", "CCOC(=O)c1ccc(N)cc1", "NS(=O)(=O)c1ccc(N)cc1", "Oc1ccccc1", "CCN(CC)CCOC(=O)c1ccc(N)cc1",
    "c1ccc2ccccc2c1", "CC12CCC3C(CCC4=CC(=O)CCC34C)C1CCC2O", "Clc1ccc(cc1)C(c1ccc(Cl)cc1)C(Cl)(Cl)Cl",
]  # fmt: skip
