"""Answers about single molecules, in plain values; they are made in the process of the desk."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rdkit import Chem

from molig.attribution import Explainer, Explanation
from molig.depiction import draw_outline
from molig.depiction.panel import symmetric_scale
from molig.errors import MoligError, UnknownNameError, UsageError, speaking_of_fields
from molig.foreign import load_any_model
from molig.model import ScoringModel
from molig.model.domain import ApplicabilityFlag
from molig.model.scoring import not_finite
from molig.molecules import MoleculeParser, Record, Rejection
from molig.report.hit_page import blind_spots
from molig.report.outputs import sentence
from molig.screening.workers import limit_memory
from molig.series import compare, find_edits
from molig.serve.models import OfferedModel, chosen, offered
from molig.serve.processes import Channel, place_of

Answer = dict[str, Any]

MEAN = "mean"
"""The reference that is the mean molecule of the library that comes with molig."""

_FIRST: Answer = {"smiles": "CC(=O)[O-].[Na+]", "task": None, "reference": None}
_MOST_PAIRS = 20
_MODELS_AT_HAND = 8
_DRAWN = (360, 270)
_MOST_ATOMS_DRAWN = 500


def serve_desk(channel: Channel, folder: Path, models: Sequence[str], device: str) -> None:
    """Answer questions until the server is gone."""
    torch.set_num_threads(1)
    limit_memory()
    desk = Answering(offered(models, device), device)
    channel.tell(
        models=[one.facts for one in desk.models.values()],
        cards={label: one.card for label, one in desk.models.items()},
    )
    desk.warm_up()
    while True:
        asked = channel.hear()
        try:
            ready = desk.prepared(asked["question"], asked["details"])
            channel.tell(begun=True)  # the model is read: from here on time is counted
            with speaking_of_fields():
                answer = plain(ready())
        except MoligError as err:
            channel.tell(error=str(err), exit_code=err.exit_code)
        except MemoryError:
            channel.tell(error="it takes more memory than one molecule may have", exit_code=1)
        except Exception as err:
            channel.tell(fault=place_of(err))
        else:
            channel.tell(answer=answer)


def plain(value: Any) -> Any:
    """The same with None for what is not finite, for JSON.

    Examples
    --------
    >>> plain({"scores": np.array([1.0, np.nan])})
    {'scores': [1.0, None]}
    """
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


class Answering:
    """What answers questions, with the models that were asked last at hand.

    Parameters
    ----------
    models : dict of str to OfferedModel
        The models by what the page calls them.
    device : str
        Where they compute.

    Examples
    --------
    >>> desk = Answering(offered(["tox21-w2n2-simple"], "cpu"), "cpu")
    >>> asked = {"smiles": "CCO", "models": ["tox21-w2n2-simple"], "tasks": ["SR-ARE"]}
    >>> answer = desk.prepared("score", asked)()
    >>> [one["task"] for one in answer["models"][0]["scores"]]
    ['SR-ARE']
    """

    def __init__(self, models: dict[str, OfferedModel], device: str) -> None:
        self.models = models
        self._device = device
        self._at_hand: dict[str, ScoringModel] = {}

    def warm_up(self) -> None:
        """Explain a molecule by the first model, so that what is made at first use is there."""
        with contextlib.suppress(MoligError):
            self.prepared("explain", {"model": next(iter(self.models)), **_FIRST})()

    def prepared(self, question: str, details: Mapping[str, Any]) -> Callable[[], Answer]:
        """Read the models of a question; what is returned answers it."""
        if question == "draw":
            return partial(_draw, **details)
        if question == "score":
            labels = dict.fromkeys(details["models"])
            models = {label: self._model(label) for label in labels}
            return partial(_score, models, details["smiles"], details.get("tasks"))
        asked = dict(details)
        model = self._model(asked.pop("model"))
        return partial(_OF_ONE_MODEL[question], model, **asked)

    def _model(self, label: str) -> ScoringModel:
        model = self._at_hand.pop(label, None) or load_any_model(
            chosen(self.models, label).names, self._device
        )
        self._at_hand[label] = model  # behind those that were asked before
        while len(self._at_hand) > _MODELS_AT_HAND:
            del self._at_hand[next(iter(self._at_hand))]
        return model


def _score(models: Mapping[str, ScoringModel], smiles: str, tasks: Sequence[str] | None) -> Answer:
    """Scores of each model, or why there are none."""
    found: list[Answer] = [{"model": label} | _of_model(model, smiles) for label, model in models.items()]
    if tasks is not None:
        known = [task for model in models.values() for task in model.tasks]
        if unknown := [task for task in tasks if task not in known]:
            raise UnknownNameError("task", unknown[0], known)
        for one in found:
            one["scores"] = [each for each in one["scores"] if each["task"] in tasks]
    return {"smiles": smiles, "models": found}


def _of_model(model: ScoringModel, smiles: str) -> Answer:
    read = model.parser.parse_smiles(smiles)
    if isinstance(read, Rejection):
        return _rejected(read) | {"scores": []}
    scores = model.score_molecules([read])
    if unusable := not_finite([read], scores, model.tasks):
        return _rejected(unusable[0]) | {"scores": []}
    listed = [{"task": t, "score": s} for t, s in zip(model.tasks, scores[0].tolist(), strict=True)]
    return {
        "rejection": None,
        "scores": listed,
        "meaning": model.meaning_of(model.tasks),
        "flag": _flag(model, read.mol),
        "scored_smiles": read.scored_smiles,
        "removed": list(read.removed),
    }


def _rejected(rejection: Rejection) -> Answer:
    return {"rejection": rejection.reason}


def _flag(model: ScoringModel, mol: Chem.Mol) -> Answer | None:
    """Whether the model knows molecules like this one; None where it cannot tell."""
    try:
        domain = model.domain()
    except UsageError:
        return None
    return _told(domain.flag([mol])[0])


def _told(flag: ApplicabilityFlag) -> Answer:
    return {"status": flag.status.value, "similarity": flag.similarity, "detail": flag.detail}


def _for(model: ScoringModel, task: str | None) -> ScoringModel:
    """The part of a model that has the task."""
    return model if task is None else model.for_task(task)


def _explain(
    model: ScoringModel, smiles: str, task: str | None, reference: str | None, scale: float = 0.0
) -> Answer:
    """Why a molecule has its score."""
    options: dict[str, Any] = {"baseline": MEAN} if reference == MEAN else {"reference": reference or None}
    model = _for(model, task)
    explainer = Explainer(model, task=task, **options)
    (found,) = explainer.explain_records([Record(1, "", smiles)])
    return _rejected(found) if isinstance(found, Rejection) else _explained(found, model, scale)


def _explained(one: Explanation, model: ScoringModel, least: float) -> Answer:
    own = symmetric_scale(one.panel())
    numbers = one.input_atoms
    ends = [(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()) for bond in one.mol.GetBonds()]
    return {
        "rejection": None,
        "task": one.task,
        "target": one.target_in_words,
        "unit": one.unit,
        "meaning": model.meaning_of([one.task]),
        "score": one.score,
        "baseline": one.start,
        "baseline_name": one.start_name,
        "residual": one.residual,
        "error": one.error,
        "converged": one.converged,
        "atoms": one.atom_scores,
        "atom_numbers": numbers,
        "input_atoms": one.input_atom_scores,
        "bonds": [
            {"a": int(numbers[a]), "b": int(numbers[b]), "score": score}
            for (a, b), score in zip(ends, one.bond_scores.tolist(), strict=True)
        ],
        "pairs": _largest_pairs(one),
        "parts": one.parts,
        "sentence": sentence(one),
        "substructures": one.substructure_sentences() + one.absent_sentences(),
        "members": one.members,
        "flag": _flag(model, one.mol),
        "scale": max(least, own),
        "svg": one.to_svg(scale=least if least > own else None),
        "ledger_svg": one.ledger().to_svg(),
        "scored_smiles": one.scored_smiles,
        "removed": list(one.removed),
        "note": one.scored_note,
        "unseen": blind_spots(one),
    }


def _largest_pairs(one: Explanation) -> list[Answer]:
    """Pairs of atoms without a bond that say most, by the numbers of atoms in the input."""
    numbers, apart = one.input_atoms, np.flatnonzero(~one.bonded_pairs)
    order = apart[np.argsort(-np.abs(one.pair_scores[apart]), kind="stable")][:_MOST_PAIRS]
    return [
        {"a": int(numbers[a]), "b": int(numbers[b]), "score": score}
        for (a, b), score in zip(
            one.graph.pair_atoms[order].tolist(), one.pair_scores[order].tolist(), strict=True
        )
        if score
    ]


def _compare(model: ScoringModel, a: str, b: str, task: str | None) -> Answer:
    """What makes the difference between the scores of two molecules."""
    found = compare(_for(model, task), a, b, task=task)
    account = [entry._asdict() | {"difference": entry.second - entry.first} for entry in found.account()]
    notes = [one.scored_note for one in (found.first, found.second)]
    return found.to_dict() | {"account": account, "notes": notes, "svg": found.to_svg()}


def _edits(model: ScoringModel, smiles: str, task: str | None, top: int, **choice: Any) -> Answer:
    """The smallest single edits that move the score most."""
    found = find_edits(_for(model, task), Record(1, "", smiles), task=task, most=top, **choice)
    start = found.start
    return {
        "task": start.task,
        "target": start.target_in_words,
        "score": start.score,
        "scored_smiles": start.scored_smiles,
        "note": start.scored_note,
        "flag": _told(found.start_flag) if found.start_flag else None,
        "edits": [
            {
                "name": edit.name,
                "atoms": list(edit.atoms),
                "smiles": edit.molecule.smiles,
                "score": edit.score,
                "difference": edit.difference,
                "change": None if edit.comparison is None else edit.comparison.change,
                "surroundings": None if edit.comparison is None else edit.comparison.surroundings,
                "rest": None if edit.comparison is None else edit.comparison.rest,
                "flag": _told(edit.flag) if edit.flag else None,
            }
            for edit in found.listed
        ],
        "n_edits": found.n_edits,
        "n_outside": found.n_outside,
        "n_rejected": found.n_rejected,
        "svg": found.to_svg(columns=2),
    }


_OF_ONE_MODEL: dict[str, Callable[..., Answer]] = {
    "explain": _explain,
    "compare": _compare,
    "edits": _edits,
}


def _draw(smiles: str | None = None, molfile: str | None = None) -> Answer:
    """A structure as it was given, nothing removed."""
    parser = MoleculeParser("none", max_heavy_atoms=_MOST_ATOMS_DRAWN)
    read = parser.parse(Record(1, "", smiles or "", block=molfile))
    if isinstance(read, Rejection):
        return _rejected(read)
    return {"rejection": None, "smiles": read.smiles, "svg": _outline(read.mol)}


def _outline(mol: Chem.Mol) -> str:
    ink = draw_outline(mol, _DRAWN).ink
    width, height = _DRAWN
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{ink}</svg>'
