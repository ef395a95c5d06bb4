"""Molecules of another chemistry than the training molecules, and models that never saw an element."""

# ruff: noqa: E501 - one case a line

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import torch
from rdkit import Chem
from support.planted import Case, audited, changed, trained
from support.small_model import TASKS, label, nci_smiles, small_recipe

from molig.audit import AuditSubject
from molig.model import ScreeningModel, load_model
from molig.molecules import Molecule, MoleculeParser
from molig.training import TrainingRequest, parse_recipe, train_model

FULL = (("preset", "full"),)
RESIDUES = ("C(C)", "C(CO)", "C(CC(=O)O)", "C(Cc1ccccc1)", "C(CCCN)", "C(CC(C)C)", "C(CS)")


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
    "organotin compounds": [f"{r}[Sn]({r})({r}){s}" for r in ("C", "CC", "CCC", "CCCC", "c1ccccc1") for s in ("C", "OC(C)=O", "CC", "C=C")],
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


@cache
def trained_without(*elements: str) -> ScreeningModel:
    """A small model whose training molecules have none of these elements."""
    banned = {Chem.GetPeriodicTable().GetAtomicNumber(symbol) for symbol in elements}
    kept = [
        s
        for s in nci_smiles(1200)
        if not banned & {a.GetAtomicNum() for a in Chem.MolFromSmiles(s).GetAtoms()}
    ]
    folder = Path(mkdtemp(prefix="molig-domain-"))
    rows = [",".join([s, *(str(label(s)[t]) for t in TASKS)]) for s in kept[:400]]
    (folder / "some.csv").write_text("\n".join([",".join(["smiles", *TASKS]), *rows]) + "\n")
    recipe = small_recipe(seed=3).model_dump(mode="json", exclude_none=True)
    recipe["network"] |= {"depth": 12, "atom_depth": 12, "hidden": [24], "size_exponent": 0.5}
    recipe["neutral"] |= {"copies": 32, "weight": 0.5}
    request = TrainingRequest(
        source=folder / "some.csv", output=folder / "small", targets=TASKS, recipe=parse_recipe(recipe), device="cpu"
    )  # fmt: skip
    return train_model(request)


def having(symbol: str, n: int, start: int = 1200) -> list[str]:
    """NCI compounds with an element that reaches the network: not in a counter-ion or a ligand of a metal."""
    number, parser = Chem.GetPeriodicTable().GetAtomicNumber(symbol), MoleculeParser()
    found = []
    for smiles in nci_smiles(3000, start):
        molecule = parser.parse_smiles(smiles)
        if isinstance(molecule, Molecule) and number in {a.GetAtomicNum() for a in molecule.mol.GetAtoms()}:
            found.append(smiles)
        if len(found) == n:
            break
    return found


def without(symbols: str, n: int, start: int = 1200) -> list[str]:
    """NCI compounds of the common elements alone."""
    return [s for s in nci_smiles(3000, start) if not any(x in s for x in symbols.split())][:n]


def inflated(code: int, factor: float) -> Callable:
    def edit(network) -> None:
        for name, parameter in network.modules_[0].named_parameters():
            if name.endswith("weight") and parameter.ndim == 2 and parameter.shape[1] == 11:
                parameter[:, code] = factor * (1 + torch.arange(len(parameter)) % 3 - 1)

    return edit


def cases() -> list[Case]:
    """Planted defects and clean controls."""
    small = lambda: trained(1)  # noqa: E731
    poor = lambda: trained_without("S", "Cl", "Br", "F", "I", "P")  # noqa: E731

    def audit_of(
        make: Callable[[], ScreeningModel], smiles: Callable[[], list[str]]
    ) -> Callable[[], AuditSubject]:
        return lambda: audited(make(), smiles=smiles())

    planted = [Case(name, audit_of(small, lambda s=smiles: s), True) for name, smiles in SETS.items()]
    for symbol in ("S", "Cl", "Br", "F"):
        planted.append(
            Case(
                f"trained without {symbol}: all have it", audit_of(poor, lambda x=symbol: having(x, 40)), True
            )
        )
        planted.append(
            Case(f"trained without {symbol}: a tenth have it",
                 audit_of(poor, lambda x=symbol: having(x, 10) + without("S Cl Br F I P", 90)), True)
        )  # fmt: skip
    planted.append(
        Case("trained without Cl, its weights inflated, three molecules",
             lambda: audited(changed(poor(), inflated(7, 2.0)), smiles=having("Cl", 3) + without("S Cl Br F I P", 97)), True)
    )  # fmt: skip
    makes = {"seed 1": small, "seed 2": lambda: trained(2), "full": lambda: trained(1, features=FULL)}
    controls = [
        Case(f"{name}, compounds from {start}", audit_of(make, lambda a=start: nci_smiles(100, a)), False)
        for name, make in makes.items()
        for start in (0, 150, 320, 400, 500, 600)
    ]
    controls += [
        Case("trained without S: none has it", audit_of(poor, lambda: without("S Cl Br F I P", 100)), False),
        Case("one molecule of training", audit_of(small, lambda: nci_smiles(1)), False),
        Case("one strange molecule", audit_of(small, lambda: ["C" * 150]), False),
        Case("Tox21 model, drugs", lambda: audited(load_model("tox21-w2n2-simple"), labels=None, smiles=_DRUGS), False),
        Case("full Tox21 model, drugs", lambda: audited(load_model("tox21-w2n2-full"), labels=None, smiles=_DRUGS), False),
    ]  # fmt: skip
    return planted + controls


_DRUGS = [
    "CC(=O)Oc1ccccc1C(=O)O", "CC(=O)Nc1ccc(O)cc1", "CC(C)Cc1ccc(cc1)C(C)C(=O)O", "CN1C=NC2=C1C(=O)N(C)C(=O)N2C",
    "OC(=O)c1ccccc1O", "CCOC(=O)c1ccc(N)cc1", "NS(=O)(=O)c1ccc(N)cc1", "Oc1ccccc1", "CCN(CC)CCOC(=O)c1ccc(N)cc1",
    "c1ccc2ccccc2c1", "CC12CCC3C(CCC4=CC(=O)CCC34C)C1CCC2O", "Clc1ccc(cc1)C(c1ccc(Cl)cc1)C(Cl)(Cl)Cl",
]  # fmt: skip
