"""The published sets: what their files hold and what makes their targets."""

from __future__ import annotations

from dataclasses import dataclass

from molig.model import Objective
from molig.molecules import Hydrogens

GRAPH_ATTRIBUTION = "google-research/graph-attribution"
IBENCHMARK = "ci-lab-cz/ibenchmark"


@dataclass(frozen=True)
class GroundTruthSet:
    """Description of one published set.

    Parameters
    ----------
    name : str
        Name within molig.
    file : str
        File name within the data directory.
    target : str
        Column that a model is trained on.
    objective : Objective
        Classification (target 0 or 1) or regression.
    id_column, truth_column : str
        Columns of the identifiers and of the true atom scores.
    rule : str
        What makes the target, in words.
    metrics : tuple of str
        Metrics that the set is judged by, the main one first; see `evaluation_metrics`.
    source : str
        Public GitHub repository that the data come from.
    hydrogens : Hydrogens
        Whether the truth covers hydrogen atoms: explicit in the atom order of
        ``Chem.AddHs(MolFromSmiles(smiles))``, implicit in that of ``MolFromSmiles(smiles)``.

    Examples
    --------
    >>> ground_truth_sets()["crippen"].hydrogens
    <Hydrogens.EXPLICIT: 'explicit'>
    """

    name: str
    file: str
    target: str
    objective: Objective
    id_column: str
    truth_column: str
    rule: str
    metrics: tuple[str, ...]
    source: str
    hydrogens: Hydrogens = Hydrogens.IMPLICIT


def _fragments(name: str, rule: str) -> GroundTruthSet:
    return GroundTruthSet(
        name=name,
        file=f"attr_{name}.parquet",
        target="label",
        objective=Objective.CLASSIFICATION,
        id_column="mol_id",
        truth_column="atom_attribution",
        rule=rule,
        metrics=("attribution_auroc",),
        source=GRAPH_ATTRIBUTION,
    )


def _ibenchmark(name: str, objective: Objective, rule: str) -> GroundTruthSet:
    return GroundTruthSet(
        name=name,
        file=f"ibenchmark_{name}.parquet",
        target="activity",
        objective=objective,
        id_column="mol_id",
        truth_column="atom_label",
        rule=rule,
        metrics=("top_n", "attribution_auroc"),
        source=IBENCHMARK,
    )


_CRIPPEN = GroundTruthSet(
    name="crippen",
    file="attr_crippen.parquet",
    target="crippen_logp",
    objective=Objective.REGRESSION,
    id_column="compound",
    truth_column="atom_contribution",
    rule="Crippen's logP, a sum over atoms",
    metrics=("kendall_tau",),
    source=GRAPH_ATTRIBUTION,
    hydrogens=Hydrogens.EXPLICIT,
)

_SETS = (
    _fragments("benzene", "a benzene ring"),
    _fragments("logic7", "a fluorine and a carbonyl"),
    _fragments("logic10", "an NH2, an ether and a benzene ring with at most one substituent"),
    _CRIPPEN,
    _ibenchmark("N", Objective.REGRESSION, "number of nitrogen atoms"),
    _ibenchmark("N_plus_O", Objective.REGRESSION, "half the number of nitrogen and oxygen atoms"),
    _ibenchmark("amide", Objective.REGRESSION, "number of amides NC=O"),
    _ibenchmark("amide_class", Objective.CLASSIFICATION, "at least one amide NC=O"),
)


def ground_truth_sets() -> dict[str, GroundTruthSet]:
    """Published sets that explanations can be judged with, by name.

    Returns
    -------
    dict of str to GroundTruthSet
        In a fixed order.

    Examples
    --------
    >>> list(ground_truth_sets())
    ['benzene', 'logic7', 'logic10', 'crippen', 'N', 'N_plus_O', 'amide', 'amide_class']
    """
    return {description.name: description for description in _SETS}
