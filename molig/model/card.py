"""Model cards: what ``model.json`` says, for people."""

from __future__ import annotations

from molig.features import FeatureSchema
from molig.model.card_audit import audit_section
from molig.model.card_evaluation import cross_validation_section
from molig.model.card_limits import known_limits
from molig.model.card_quality import baseline_section, quality_sections
from molig.model.card_text import bullets, table
from molig.model.info import ModelInfo, Objective
from molig.model.sections import ApplicabilityInfo, Provenance
from molig.molecules import Hydrogens, StandardizationPolicy

_ELEMENTS_SHOWN = 30


def model_card(info: ModelInfo) -> str:
    """Markdown card of a model.

    Parameters
    ----------
    info : ModelInfo
        The model's description.

    Returns
    -------
    str
        Markdown; every figure in it comes from ``info``.
    """
    sections = [
        f"# {info.name}",
        _what_it_is(info),
        _intended_use(info),
        *_data(info.training),
        *quality_sections(info),
        *cross_validation_section(info.cross_validation),
        *baseline_section(info),
        *_applicability(info.applicability),
        *audit_section(info.audit),
        bullets("Known limits", known_limits(info)),
        *_reproduction(info),
    ]
    return "\n\n".join(sections) + "\n"


def _what_it_is(info: ModelInfo) -> str:
    schema, network = FeatureSchema.from_dict(info.feature_schema), info.network
    reach = (
        "at any distance"
        if schema.max_pair_distance is None
        else f"up to {schema.max_pair_distance} bonds apart"
    )
    modules = "1 module" if network.n_modules == 1 else f"{network.n_modules} modules"
    outputs = (
        "a value in the unit of the labels"
        if info.objective is Objective.REGRESSION
        else "a score between 0 and 1, high for likely actives"
    )
    policy = info.molecules
    standard = (
        "The largest fragment counts, neutralised where possible (policy `parent`)"
        if policy.standardization is StandardizationPolicy.PARENT
        else f"Molecules are standardised by the policy `{policy.standardization.value}`"
    )
    hydrogens = " Hydrogens are atoms of the graph." if policy.hydrogens is Hydrogens.EXPLICIT else ""
    tasks = "1 task" if len(info.tasks) == 1 else f"{len(info.tasks)} tasks"
    return (
        f"Weave network of {modules} on atom pairs {reach} (features `{schema.name}`: "
        f"{schema.n_atom_columns} columns per atom, {schema.n_pair_columns} per pair; "
        f"{network.readout.value} readout, {network.activation.value}). For each of {tasks} it gives "
        f"{outputs}. {standard}; more than {policy.max_heavy_atoms} heavy atoms are refused.{hydrogens}"
    )


def _intended_use(info: ModelInfo) -> str:
    if info.objective is Objective.REGRESSION:
        purpose = "Predicting the values below for compounds like those of the training data"
    else:
        purpose = "Ranking compound libraries for the assays below"
    return (
        f"## Intended use\n\n{purpose}, to choose what to test next, and explaining each score atom by atom. "
        "A score replaces no experiment, and no decision about safety or treatment may rest on it."
    )


def _data(training: Provenance | None) -> list[str]:
    if training is None:
        return []
    items = [
        f"File `{training.data_file}`, SHA-256 `{training.data_sha256}`",
        *([f"Source: {training.data_source}"] if training.data_source else []),
        *([f"Licence: {training.data_licence}"] if training.data_licence else []),
        f"{training.n_rows:,} rows, {training.n_rejected:,} of them unusable",
    ]
    if training.label_conflicts:
        items.append(f"Copies of a molecule with different labels: {_pairs(training.label_conflicts)}")
    items += [
        f"Learned along, though the model does not tell it: {each.name} (`{each.file}`, SHA-256 "
        f"`{each.sha256}`), {each.n_tasks} task{'' if each.n_tasks == 1 else 's'}, {each.n_molecules:,} "
        f"molecules; {each.n_left_out:,} left out that are held out here"
        for each in training.auxiliary
    ]
    return [bullets("Data", items), bullets("Split", _split(training))]


def _split(training: Provenance) -> list[str]:
    copies = "copies of a molecule together"
    if training.split.get("kind") == "given":
        copies = (
            f"copies of a molecule as given: {training.n_test_in_train} of the test part are also in training"
        )
    return [
        f"{_pairs(training.split)}; {copies}",
        f"{training.n_train:,} / {training.n_validation:,} / {training.n_test:,} molecules for training / "
        "validation / test",
    ]


def _pairs(values: dict[str, object]) -> str:
    return ", ".join(f"{key} {value}" for key, value in values.items())


def _applicability(domain: ApplicabilityInfo | None) -> list[str]:
    if domain is None:
        return []
    shown = list(domain.elements.items())[:_ELEMENTS_SHOWN]
    rest = len(domain.elements) - len(shown)
    listed = [f"{symbol} {count:,}" for symbol, count in shown] + ([f"{rest} more"] if rest else [])
    sizes = domain.heavy_atoms
    reference = (
        f"all {domain.n_reference:,} different training molecules"
        if domain.n_reference == domain.n_molecules
        else f"{domain.n_reference:,} of {domain.n_molecules:,} different training molecules, drawn at random"
    )
    quantiles = [f"{value:.2f}" for value in domain.similarity.values()]
    return [
        "## Applicability\n\n"
        f"Quantiles of the similarity (Tanimoto, Morgan radius {domain.radius}, {domain.n_bits} bits) of a "
        f"training molecule to the nearest other, over {reference}:\n\n"
        + table([f"{q} %" for q in domain.similarity], [quantiles])
        + f"\n\nA molecule whose nearest of these is less similar than {domain.threshold:.2f}, or that is "
        "smaller or larger than all training molecules, is flagged as far from training; one with an element "
        "or feature that no training molecule had, as an unseen feature.\n\n"
        f"- Heavy atoms: {sizes.min} to {sizes.max}; 98 % of the molecules have {sizes.q1:.0f} to "
        f"{sizes.q99:.0f}\n"
        f"- Elements (molecules): {', '.join(listed)}"
    ]


def _reproduction(info: ModelInfo) -> list[str]:
    training = info.training
    if training is None:
        return []
    versions = ", ".join(f"{name} {version}" for name, version in training.versions.items())
    return [
        f"## Reproduction\n\n```\n{training.command}\n```\n\n"
        f"Seed {training.seed}; {_epoch(training)}. {versions}; {training.date}."
    ]


def _epoch(training: Provenance) -> str:
    """Which epoch's weights these are."""
    if training.keep == "last":
        return f"{training.epochs_run} epochs, of which the last was kept"
    kept = f"epoch {training.best_epoch} of {training.epochs_run}"
    return f"{kept} was the best on the validation part" if training.keep else f"{kept} was kept"
