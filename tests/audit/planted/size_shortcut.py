"""Cases of the check of size and trivial shortcuts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from rdkit import Chem
from rdkit.Chem import Crippen
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score
from support.planted import (
    Case,
    Graded,
    Lab,
    NotShownError,
    audited,
    changed,
    counts,
    has,
    structure,
    weave_network,
)

from molig.audit import AuditSubject, Severity, subject_of
from molig.model import ScreeningModel
from molig.network import WeaveNet

Make = Callable[[], ScreeningModel]
COUNTS_AUC = 0.85
"""A task of structure is one of which no single count of atoms has a better ROC-AUC than this."""


def sum_channel(share: float, task: str) -> Callable[[ScreeningModel], ScreeningModel]:
    """Let a hidden unit count the atoms, and add it to the logit of a task.

    The Gaussian histogram of a channel adds up to the number of atoms, divided by a power of it.
    """

    def plant(model: ScreeningModel) -> ScreeningModel:
        place = model.task_index(task)

        def edit(network: WeaveNet) -> None:
            first, norm, last = network.head[0], network.head[1], network.head[-1]
            first.weight[0] = 1 / network.config.atom_depth
            first.bias[0] = 0
            norm.weight[0], norm.bias[0] = 1, 0
            norm.running_mean[0], norm.running_var[0] = 0, 1
            last.weight[:, 0] = 0
            last.weight[place] *= 1 - share
            last.weight[place, 0] = 4 * share

        return changed(model, edit)

    return plant


def atoms_alike(share: float) -> Callable[[ScreeningModel], ScreeningModel]:
    """All atoms alike, but for a share of their differences: their number is left."""

    def plant(model: ScreeningModel) -> ScreeningModel:
        def edit(network: WeaveNet) -> None:
            network.last_atom_layer.weight.mul_(share)

        return changed(model, edit)

    return plant


def counting(lab: Lab, make: Make, task: str) -> Make:
    """A network whose scores of other molecules follow their number of atoms."""

    def made() -> ScreeningModel:
        model = make()
        subject = subject_of(model, lab.shown_on)
        sizes = [one.mol.GetNumHeavyAtoms() for one in subject.molecules]
        follows = abs(spearmanr(sizes, subject.logits[:, model.task_index(task)]).statistic)
        if follows < 0.85:
            raise NotShownError(f"{task}: rank correlation with size {follows:.2f}")
        return model

    return made


def clean(lab: Lab, task: str) -> ScreeningModel:
    """The network of the rules, if no count says by itself which molecules are active."""
    mols = [Chem.MolFromSmiles(one) for one in lab.shown_on]
    labels = [has(one, task) for one in lab.shown_on]
    elements = ("C", "N", "O", "S", "Cl", "F")
    counted = [Counter(atom.GetSymbol() for atom in mol.GetAtoms()) for mol in mols]
    columns = [[one[element] for one in counted] for element in elements]
    columns += [[mol.GetNumHeavyAtoms() for mol in mols], [Crippen.MolLogP(mol) for mol in mols]]
    told = max(max(auc, 1 - auc) for auc in (roc_auc_score(labels, column) for column in columns))
    if told > COUNTS_AUC:
        raise NotShownError(f"a count alone has ROC-AUC {told:.2f} on {task}")
    return lab.network("rules", task)


def _on(
    lab: Lab,
    model: Make,
    task: str,
    start: int,
    n: int = 400,
    *,
    labels: Callable[[str], dict[str, float]] | None = structure,
    keep: Callable[[str], bool] | None = None,
) -> AuditSubject:
    """Subject of one task, on ``n`` compounds from the ``start``-th on, or those of them to keep."""
    chosen = [s for s in lab.compounds(n, start) if keep is None or keep(s)]
    made = model()
    return audited(
        made, smiles=chosen, labels=_labels(made, task, chosen, labels), tasks=(task,), max_explained=40
    )


def _labels(
    model: ScreeningModel,
    task: str,
    smiles: Sequence[str],
    labels: Callable[[str], dict[str, float]] | None,
) -> np.ndarray | None:
    """Labels of one task, which may be called otherwise in the table: then its only, or first, column."""
    if labels is None:
        return None
    table = np.full((len(smiles), len(model.tasks)), np.nan)
    rows = [labels(s) for s in smiles]
    table[:, model.task_index(task)] = [row.get(task, next(iter(row.values()))) for row in rows]
    return table


def _actives_large(task: str, limit: int) -> Callable[[str], bool]:
    """Keep large actives and small inactives: a table in which size gives the class away."""
    return lambda smiles: (Chem.MolFromSmiles(smiles).GetNumHeavyAtoms() > limit) == has(smiles, task)


def cases(seed: int) -> list[Case]:
    """Planted shortcuts, and models that read structure."""
    lab = Lab(seed)
    least = {True: Severity.INFO, False: Severity.WARNING}
    # Of a table that is biased, the model needs not be: that counts would do as well is information.
    return [Case(n, make, True, least["table" in n]) for n, make in _planted(lab).items()] + [
        Case(name, make, False) for name, make in _controls(lab).items()
    ]


def _planted(lab: Lab) -> dict[str, Callable[[], AuditSubject]]:
    def rules(task: str) -> Make:
        return partial(lab.network, "rules", task)

    edits = {
        f"unit that counts atoms, {share:.0%} of {task}": partial(
            _on,
            lab,
            counting(lab, lambda share=share, task=task: sum_channel(share, task)(rules(task)()), task),
            task,
            start,
        )
        for share, task, start in ((1.0, "aromatic_n", 0), (0.9, "ester", 400), (0.8, "phenol", 800))
    }
    on_size = {
        f"trained on {task}, audited with {'its' if own else 'no' if own is None else 'other'} labels": partial(
            _on,
            lab,
            partial(lab.network, "counts", task),
            task,
            start,
            labels=counts if own else None if own is None else structure,
        )
        for task, start, own in (
            ("large", 0, True),
            ("large", 500, None),
            ("large", 1000, False),
            ("oxygens", 2000, True),
            ("nitrogens", 2500, True),
        )
    }
    biased = {
        f"table in which {task} goes with size": partial(
            _on, lab, rules(task), task, 0, 2000, keep=_actives_large(task, limit)
        )
        for task, limit in (("aromatic_n", 14), ("phenol", 14))
    }
    others = {
        "model of nitrogen, which is a count": partial(_on, lab, rules("nitrogen"), "nitrogen", 1200),
        "small model of nitrogen": partial(_on, lab, partial(lab.network, "W2"), "nitrogen", 2800),
        "atoms nearly alike, phenol": partial(
            _on, lab, counting(lab, lambda: atoms_alike(0.0)(rules("phenol")()), "phenol"), "phenol", 400
        ),
    }
    return edits | on_size | biased | others


def _controls(lab: Lab) -> dict[str, Callable[[], AuditSubject]]:
    own = {
        f"{task}, molecules from {start}": partial(_on, lab, partial(clean, lab, task), task, start, n)
        for task, start, n in (
            ("aromatic_n", 400, 400),
            ("ester", 800, 400),
            ("phenol", 1200, 600),
            ("aniline", 2000, 300),
            ("aromatic_n", 1600, 300),
            ("ester", 2000, 400),
            ("phenol", 2600, 500),
            ("aniline", 3000, 400),
        )
    }
    without = {
        "aromatic_n without labels": partial(
            _on, lab, partial(clean, lab, "aromatic_n"), "aromatic_n", 2200, labels=None
        ),
        "ester without labels": partial(_on, lab, partial(clean, lab, "ester"), "ester", 1800, labels=None),
    }
    bundled = {
        f"{name}, {task}": partial(_on, lab, partial(weave_network, name), task, start, 200, labels=None)
        for name, task, start in (
            ("tox21-w2n2-simple", "NR-AhR", 400),
            ("tox21-w2n2-simple", "SR-p53", 1400),
            ("tox21", "NR-ER", 2400),
        )
    }
    return own | without | bundled


def graded(seed: int) -> list[Graded]:
    """Logits of which a growing part is the number of atoms."""
    lab = Lab(seed)
    return [
        Graded(
            "share of the logit that counts atoms",
            share,
            Case(
                f"{task}: {share:.0%}",
                partial(
                    _on,
                    lab,
                    lambda share=share, task=task: sum_channel(share, task)(lab.network("rules", task)),
                    task,
                    2400,
                    300,
                    labels=None,
                ),
                True,
            ),
        )
        for task in ("aromatic_n", "phenol")
        for share in (0.1, 0.2, 0.3, 0.5, 0.8)
    ]
