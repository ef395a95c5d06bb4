"""What is tried on a model of one's own, and that each violation is found and named."""

import re

import numpy as np
import pytest
import torch
from support.linear_model import LinearModel, LinearMolecules
from support.random_models import random_model
from support.torch_networks import SMILES, Altered, MessagePassing, features, torch_model

import molig
from molig.attribution import check_adapter
from molig.errors import InputError, UsageError
from molig.model import load_model

PARTS = ["names and shapes", "batch", "atom order", "path", "gradient", "completeness"]


@pytest.mark.parametrize(
    "make",
    [
        LinearModel,
        lambda: LinearModel(objective="regression"),
        random_model,
        torch_model,
        lambda: torch_model(objective="regression"),
        lambda: load_model("tests/support/models/committee"),
        lambda: load_model("tests/support/models/values"),
    ],
)
def test_models_that_are_right_keep_to_all_of_it(make):
    found = check_adapter(make(), SMILES)
    assert [part.name for part in found] == PARTS
    assert all(": holds" in str(part) for part in found)


def violated(model, smiles=SMILES):
    """Names of the violated parts, and the whole message."""
    with pytest.raises(UsageError, match="cannot be explained as it is") as caught:
        check_adapter(model, smiles)
    text = str(caught.value)
    return [line[2:].partition(":")[0] for line in text.splitlines() if line.startswith("- ")], text


class Relaxed(LinearMolecules):
    """Molecules of a linear model with something wrong."""

    def __init__(self, model, graphs, base) -> None:
        super().__init__(model, graphs, base)
        self.wrong, self.given = model.wrong, graphs

    def outputs(self, molecules, atom_factors=None, pair_factors=None):
        found = super().outputs(molecules, atom_factors, pair_factors)
        if self.wrong == "mixes":
            return found + 0.01 * len(set(np.asarray(molecules).tolist()))
        if self.wrong == "leaks":
            starts = np.cumsum(self.graphs.atom_counts) - self.graphs.atom_counts
            return found + self.graphs.atom_codes[starts[molecules], :1]
        if self.wrong == "ignores factors":
            return super().outputs(molecules)
        return found

    def densities(self, molecules, scales, tasks):
        found = super().densities(molecules, scales, tasks)
        if self.wrong == "gradient":
            found.pairs[:] = [1.3 * pair for pair in found.pairs]
        if self.wrong == "order":
            found.atoms[:] = [atom[::-1] for atom in found.atoms]
        if self.wrong == "shape":
            found.pairs[:] = [pair[:, :1] for pair in found.pairs]
        return found


class Wrong(LinearModel):
    def __init__(self, wrong) -> None:
        super().__init__()
        self.wrong = wrong

    def relax(self, graphs, base=None):
        return Relaxed(self, graphs, base)


@pytest.mark.parametrize(
    ("wrong", "parts", "words"),
    [
        ("mixes", ["batch"], "in a batch of 5 but .* alone: the model mixes molecules"),
        ("leaks", ["atom order", "path"], "reach the outputs without being moved"),
        ("ignores factors", ["path", "gradient", "completeness"], "by numeric differences"),
        ("gradient", ["gradient", "completeness"], r"bond or pair \d+ is .* by densities"),
        ("order", ["gradient"], "derivative by the features of atom"),
        (
            "shape",
            ["names and shapes"],
            r"entry of densities\(...\).pairs: expected \(3, 2\) \(got \(3, 1\)\)",
        ),
    ],
)
def test_each_violation_is_named(wrong, parts, words):
    found, text = violated(Wrong(wrong))
    assert set(parts) <= set(found)
    assert re.search(words, text)


def test_a_network_that_mixes_rows():
    found, text = violated(torch_model(Altered(lambda out: out - out.mean(0))))
    assert "mixes molecules" in text
    assert found == ["names and shapes"]


def test_dropout_is_seen_as_random():
    model = torch_model(Altered(lambda out: torch.nn.functional.dropout(out, 0.5)))
    model._rows_are_independent = True  # as if it had been lucky
    found, text = violated(model)
    assert "batch" in found
    assert "random (dropout)" in text


def test_features_that_number_the_atoms():
    def numbered(mol):
        atoms, bonds = features(mol)
        return [[*row[:4], i, row[5]] for i, row in enumerate(atoms)], bonds

    found, text = violated(torch_model(features=numbered))
    assert found == ["atom order"]
    assert "depends on their numbering" in text


def test_a_step_on_the_path():
    class Step(MessagePassing):
        def forward(self, x, edge_index, edge_attr, batch):
            found = super().forward(x, edge_index, edge_attr, batch)
            return found.index_add(0, batch, (x[:, :2].sum(1, keepdim=True) > 0.4).to(found).repeat(1, 2))

    found, text = violated(torch_model(Step()), ["CCO", "CCN", "CC"])
    assert found == ["completeness"]
    assert "the score jumps on the path" in text


def test_errors_of_somebody_elses_code_are_told():
    found, text = violated(torch_model(Altered(lambda out: out @ torch.ones(7, 2))))
    assert found == ["names and shapes"]
    assert "RuntimeError" in text


def test_a_missing_part_is_named_before_anything_runs():
    with pytest.raises(UsageError, match="it lacks name, tasks"):
        check_adapter(torch.nn.Linear(1, 1), SMILES)


def test_two_molecules_are_needed():
    with pytest.raises(InputError, match=r"at least two molecules .*row 2: not parsable"):
        check_adapter(LinearModel(), ["CCO", "C1CC"])


def test_a_network_of_chemprop_keeps_to_it():
    check_adapter(molig.load_model("tests/foreign/small.pt"), SMILES)
