"""Torch networks of other people, wrapped to be explained."""

import numpy as np
import pytest
import torch
from support.torch_networks import SCHEMA, SMILES, Altered, MessagePassing, features, torch_model

import molig
from molig.attribution import ExplainableModel, Explainer, TorchModel
from molig.attribution.protocol import PreciseModel
from molig.audit import AuditSettings, audit, subject_of
from molig.errors import UnknownNameError, UsageError
from molig.features import FeatureSchema
from molig.screening import ScreeningOptions


def test_it_fits_the_protocols():
    assert isinstance(torch_model(), ExplainableModel)
    assert isinstance(torch_model(), PreciseModel)


@pytest.mark.parametrize("objective", ["classification", "regression"])
def test_attributions_are_the_integral_of_the_gradient(objective):
    """Beside torch's own gradient of the network on plain tensors, at 20,000 midpoints."""
    model = torch_model(objective=objective)
    target = "logit" if objective == "classification" else None
    why = molig.explain(model, "CC(=O)NC", task="two", target=target, tol=1e-5)
    x, edge_attr = (torch.tensor(np.array(rows, dtype=float)) for rows in features(why.mol))
    ends = torch.tensor([[b.GetBeginAtomIdx(), b.GetEndAtomIdx()] for b in why.mol.GetBonds()]).T
    network, n = model.network.double(), 20_000
    scale = ((torch.arange(n, dtype=torch.float64) + 0.5) / n)[:, None, None]
    atoms = (scale * x).requires_grad_()
    bonds = (scale * edge_attr).requires_grad_()
    batch = torch.arange(n).repeat_interleave(len(x))
    edges = (ends[None] + len(x) * torch.arange(n)[:, None, None]).transpose(0, 1).reshape(2, -1)
    flat = bonds.reshape(-1, 3)
    out = network(atoms.reshape(-1, 6), torch.cat([edges, edges.flip(0)], 1), torch.cat([flat, flat]), batch)
    of_atoms, of_bonds = torch.autograd.grad(out[:, 1].sum(), (atoms, bonds))
    np.testing.assert_allclose(
        why.own_atom_scores,
        (of_atoms.mean(0) * x).sum(1).numpy(),
        atol=2e-4 * np.abs(why.own_atom_scores).max(),
    )
    np.testing.assert_allclose(
        why.pair_scores,
        (of_bonds.mean(0) * edge_attr).sum(1).numpy(),
        atol=2e-4 * np.abs(why.pair_scores).max(),
    )
    assert why.converged


def test_features_have_the_names_of_the_schema():
    why = molig.explain(torch_model(), "CC(=O)[O-]", task="one", baseline="zero")
    assert set(why.features["category"]) == {"C", "O"}
    assert set(why.pairs["category"]) == {"single", "double"}
    assert [str(c) for c in SCHEMA.columns("atom")][4] == "atom.numbers: charge"


def test_all_tasks_methods_and_single_atoms():
    explainer = Explainer(torch_model())
    for found in explainer.explain_all_tasks(molig.molecules.smiles_records(SMILES)):
        assert [why.task for why in found] == ["one", "two"]
        assert all(why.converged for why in found)
    for method in ("occlusion", "leave_one_atom_out", "gradient_x_input"):
        assert all(
            np.isfinite(w.atom_scores).all()
            for w in molig.explain(torch_model(), SMILES, "one", method=method)
        )


def test_scores_are_those_of_the_network_itself():
    (why,) = molig.explain(torch_model(), ["CO"], task="one", target="logit")
    network = MessagePassing().eval()
    atoms, bonds = (torch.tensor(rows, dtype=torch.float32) for rows in features(why.mol))
    expected = network(
        atoms, torch.tensor([[0, 1], [1, 0]]), torch.cat([bonds, bonds]), torch.zeros(2, dtype=int)
    )
    assert why.score == pytest.approx(float(expected.detach()[0, 0]), abs=1e-6)


def test_one_task_may_come_without_an_axis():
    model = torch_model(Altered(lambda out: out[:, 0], n_tasks=1), tasks="only")
    assert molig.explain(model, "CCO").task == "only"


@pytest.mark.parametrize("smiles", ["CCO", ["CCO", "CN"]])
@pytest.mark.parametrize("alter", [lambda out: out.softmax(0), lambda out: out - out.mean(0)])
def test_a_network_that_mixes_molecules_is_refused(alter, smiles):
    with pytest.raises(UsageError, match=r"network of 'torch' mixes molecules: its output .* in a batch of"):
        molig.explain(torch_model(Altered(alter)), smiles, task="one")


def test_training_mode_is_refused():
    model = torch_model()
    model.network.train()
    with pytest.raises(UsageError, match=r"training mode.*call network\.eval\(\) first"):
        molig.explain(model, "CCO", task="one")


@pytest.mark.parametrize("alter", [lambda out: out.detach(), lambda out: (out > 0).float()])
def test_a_network_without_a_gradient_is_refused_with_the_reason(alter):
    with pytest.raises(UsageError, match=r"no gradient leads from the outputs of 'torch' to the features"):
        molig.explain(torch_model(Altered(alter)), "CCO", task="one")


def test_where_the_gradient_is_zero_the_residual_says_it():
    model = torch_model(Altered(lambda out: (20 * out).round()))
    why = molig.explain(model, "CC(=O)Nc1ccc(O)cc1", task="one", target="logit")
    assert not why.converged
    assert why.residual == why.score - why.baseline_score != 0


@pytest.mark.parametrize(
    ("alter", "got"),
    [(lambda out: out.sum(), r"\(\)"), (lambda out: out[:, :1], r"\(3, 1\)"), (lambda out: [1], "list")],
)
def test_outputs_of_another_shape_are_refused(alter, got):
    with pytest.raises(UsageError, match=rf"expected shape \(\d, 2\) \(got {got}\)"):
        molig.explain(torch_model(Altered(alter)), ["CCO", "CN"], task="one")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda mol: features(mol)[0], "features must return two tables"),
        (
            lambda mol: (features(mol)[0][1:], features(mol)[1]),
            r"a row for each atom .* expected shape \(3, 6\) for CCO",
        ),
        (
            lambda mol: (features(mol)[0], features(mol)[1] * 2),
            r"a row for each bond .* expected shape \(2, 3\)",
        ),
        (lambda mol: (np.full((3, 6), np.nan), features(mol)[1]), "features of atom 0 of CCO are not finite"),
        (
            lambda mol: (np.full((3, 6), 0.5), features(mol)[1]),
            r"block 'element' is categorical, so each atom must have at most one 1 .*\[0.5, 0.5, 0.5, 0.5\]",
        ),
    ],
)
def test_features_that_do_not_fit_are_named(wrong, message):
    with pytest.raises(UsageError, match=message):
        molig.explain(torch_model(features=wrong), "CCO", task="one")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tasks": []}, "every output needs a name"),
        ({"tasks": ["one", "one"]}, "every output needs a name"),
        ({"objective": "ranking"}, "objective must be"),
    ],
)
def test_what_cannot_be_a_model_is_refused(options, message):
    with pytest.raises(UsageError, match=message):
        torch_model(**options)
    with pytest.raises(UsageError, match=r"must be a torch\.nn\.Module \(got function\)"):
        TorchModel(lambda *_: None, features, SCHEMA, ["one"])


def test_a_network_may_ignore_the_bonds():
    class Atoms(MessagePassing):
        def forward(self, x, edge_index, edge_attr, batch):
            return super().forward(x, edge_index[:, :0], edge_attr[:0], batch)

    why = molig.explain(torch_model(Atoms()), "CC(=O)NC", task="one", tol=1e-5)
    assert why.converged
    assert np.abs(why.pair_scores).max() == 0


def test_a_network_of_atoms_alone_needs_no_features_of_bonds():
    class Atoms(torch.nn.Module):
        def forward(self, x, edge_index, edge_attr, batch):
            return x.new_zeros(int(batch.max()) + 1).index_add(0, batch, x[:, 0])

    schema = FeatureSchema("atoms", SCHEMA.atom_blocks, (), max_pair_distance=1)
    model = TorchModel(
        Atoms().eval(), lambda mol: (features(mol)[0], []), schema, ["carbons"], objective="regression"
    )
    why = molig.explain(model, "CCO", baseline="zero,carbon")
    assert why.atom_scores.tolist() == pytest.approx([1, 1, 0])
    assert why.pair_attributions.shape == (2, 0)


class TestScreening:
    def test_scores_are_those_that_are_explained(self):
        for objective in ("classification", "regression"):
            model = torch_model(objective=objective)
            result = molig.screen([*SMILES, "nonsense"], model, task="two")
            assert (result.n_scored, result.n_rejected) == (len(SMILES), 1)
            explained = [molig.explain(model, smiles, task="two").score for smiles in SMILES]
            np.testing.assert_allclose(result.hits["two"], explained, rtol=1e-5)
            np.testing.assert_allclose(model.predict(SMILES).scores[:, 1], explained, rtol=1e-5)

    def test_what_it_lacks_is_said(self):
        model = torch_model()
        with pytest.raises(UsageError, match="no applicability domain"):
            molig.screen(SMILES, model, options=ScreeningOptions(task="one", applicability=True))
        with pytest.raises(UsageError, match="no members whose scores could differ; ask without uncertainty"):
            molig.screen(SMILES, model, options=ScreeningOptions(task="one", uncertainty=True))
        with pytest.raises(UnknownNameError, match="task 'twoo'; did you mean 'two'"):
            molig.screen(SMILES, model, task="twoo")

    def test_logits_along_the_path(self):
        model = torch_model()
        graphs = model.featurize([molig.molecules.MoleculeParser().parse_smiles(s).mol for s in SMILES])
        ends = model.logits(graphs, np.zeros(len(graphs))), model.logits(graphs)
        why = molig.explain(model, SMILES[1], task="one", target="logit")
        assert (ends[0][1, 0], ends[1][1, 0]) == pytest.approx((why.baseline_score, why.score), abs=1e-5)

    def test_the_hash_follows_weights_and_columns(self):
        model = torch_model()
        assert model.digest() == torch_model().digest()
        other = torch_model()
        other.network.head.bias.data[0] += 1
        assert other.digest() != model.digest()
        assert torch_model(objective="regression").digest() != model.digest()
        assert model.to("cpu").digest() == model.digest()
        assert (model.device.type, model.dtype, model.calibrated) == ("cpu", torch.float32, False)


def test_every_check_of_an_audit_is_made_or_says_why_not():
    model = torch_model()
    smiles = [f"{'C' * n}{end}" for n in range(1, 8) for end in ("O", "N", "C(=O)N", "c1ccccc1")]
    found = audit(subject_of(model, smiles, settings=AuditSettings(max_explained=8)))
    assert {check.check.name for check in found.results if check.failed} == set()
    skipped = {check.check.name: check.skipped for check in found.results if check.skipped}
    assert "does not record what its training molecules were like" in skipped["domain"]
    assert len(skipped) < len(found.results) / 2
