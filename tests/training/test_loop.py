"""The training loop: neutral baseline, determinism, resume, average of weights, loss."""

import copy
import hashlib
import math

import numpy as np
import pytest
import torch
from network.nets import featurizer, make_net
from support.small_model import small_recipe

from molig.errors import InputError, MoligError, UsageError
from molig.features import Featurizer, preset
from molig.molecules import MoleculeParser
from molig.network import collate
from molig.training import parse_recipe
from molig.training.loop import CHECKPOINT_FILE, Part, Trainer, TrainingRun, WeightAverage
from molig.training.objectives import ClassificationCriterion, class_weights

SMILES = [
    "CCO",
    "CCN",
    "c1ccccc1",
    "CC(=O)O",
    "CC(=O)N",
    "CCCl",
    "C1CCCCC1",
    "CC#N",
    "OCCO",
    "CCS",
    "NCCN",
    "CC=O",
]


def part() -> Part:
    parser = MoleculeParser()
    mols = [parser.parse_smiles(s).mol for s in SMILES]
    labels = np.array([[float("N" in s), float("=O" in s)] for s in SMILES])
    labels[3, 0] = np.nan
    return Part(Featurizer(preset("simple", max_pair_distance=2)).featurize(mols), labels)


def trainer(fingerprint="same", **optimization) -> Trainer:
    recipe = small_recipe(**({"batch_size": 4, "epochs": 6, "patience": 50} | optimization))
    return Trainer(
        TrainingRun(
            recipe,
            preset("simple", max_pair_distance=2),
            ("N", "CO"),
            train=part(),
            validation=part(),
            device=torch.device("cpu"),
            fingerprint=fingerprint,
        )
    )


def digest(network) -> str:
    return hashlib.sha256(b"".join(t.numpy().tobytes() for t in network.state_dict().values())).hexdigest()


def loss_of(logits, labels, weight):
    return ClassificationCriterion(weight, neutral=0.0).loss(logits, labels)


def test_masked_loss_by_hand():
    logits = torch.tensor([[0.0, 2.0], [-1.0, 5.0]])
    labels = torch.tensor([[1.0, 0.0], [0.0, math.nan]])
    weight = torch.tensor([3.0, 7.0])
    terms = [3 * math.log(2), math.log(1 + math.exp(2)), math.log(1 + math.exp(-1))]
    assert loss_of(logits, labels, weight).item() == pytest.approx(sum(terms) / 3, rel=1e-6)


def test_masked_loss_of_nothing_is_zero():
    logits = torch.zeros(2, 1, requires_grad=True)
    loss = loss_of(logits, torch.full((2, 1), math.nan), torch.ones(1))
    loss.backward()
    assert loss.item() == 0
    assert not logits.grad.any()


def test_unmeasured_labels_do_not_teach():
    logits = torch.zeros(2, 1, requires_grad=True)
    loss_of(logits, torch.tensor([[1.0], [math.nan]]), torch.ones(1)).backward()
    assert logits.grad[0, 0] != 0
    assert logits.grad[1, 0] == 0


def test_classes_weigh_the_same():
    labels = np.array([[1, 0, 0, 0, np.nan], [1, 1, 1, 0, np.nan]]).T
    actives, inactives = (labels == 1).sum(0), (labels == 0).sum(0)
    np.testing.assert_allclose(class_weights(labels).numpy() * actives, inactives)


def test_same_seed_same_weights_and_another_seed_others():
    first, again, other = trainer(), trainer(), trainer(seed=7)
    assert digest(first.fit()) == digest(again.fit())
    assert digest(other.fit()) != digest(first.network)


def test_resumed_run_equals_an_uninterrupted_one(tmp_path):
    class StopError(Exception):
        pass

    def interrupt(entry):
        if entry["epoch"] == 3:
            raise StopError

    whole, broken, resumed = trainer(), trainer(), trainer()
    with pytest.raises(StopError):
        broken.fit(tmp_path / CHECKPOINT_FILE, interrupt)
    resumed.resume(tmp_path / CHECKPOINT_FILE)
    assert resumed.state.epoch == 3
    assert digest(resumed.fit()) == digest(whole.fit())
    assert resumed.state.history == whole.state.history


def test_checkpoint_of_another_run_is_refused(tmp_path):
    trainer(epochs=1).fit(tmp_path / CHECKPOINT_FILE)
    with pytest.raises(UsageError, match="other data or another recipe"):
        trainer(fingerprint="other", epochs=1).resume(tmp_path / CHECKPOINT_FILE)


def test_damaged_checkpoint(tmp_path):
    path = tmp_path / CHECKPOINT_FILE
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(InputError, match="is damaged"):
        trainer().resume(path)


def test_stops_when_validation_no_longer_gets_better():
    patient = trainer(epochs=400, patience=3, learning_rate=1e-9)
    patient.fit()
    assert patient.state.epoch < 20
    assert patient.state.epoch == patient.state.best_epoch + 3


def test_best_weights_win_over_the_last():
    run = trainer(epochs=8)
    run.fit()
    best = max(entry["validation_auc"] for entry in run.state.history)
    assert run.state.best_score == best
    assert run.state.history[run.state.best_epoch - 1]["validation_auc"] == best


def test_overfits_a_few_molecules():
    run = trainer(epochs=80, batch_size=12)
    run.fit()
    assert run.state.best_score == 1.0


def test_the_neutral_term_is_what_it_says():
    run = trainer()
    run.network.eval()
    graphs = run.joined.graphs
    with torch.no_grad():
        batch = collate(graphs, run.schema, np.zeros(len(graphs), dtype=np.float32))
        expected = 0.1 * (run.network(batch) + 4.6).square().mean()
        assert run._neutral_term(np.arange(len(graphs))).equal(expected)


def test_a_run_without_figures_can_be_resumed(tmp_path):
    """With one class in validation the score of an epoch is NaN, and the best one minus infinity."""

    class StopError(Exception):
        pass

    def interrupt(entry):
        if entry["epoch"] == 2:
            raise StopError

    runs = [trainer(epochs=4) for _ in range(3)]
    for run in runs:
        run.validation = Part(run.validation.graphs, np.zeros_like(run.validation.labels))
    whole, broken, resumed = runs
    with pytest.raises(StopError):
        broken.fit(tmp_path / CHECKPOINT_FILE, interrupt)
    resumed.resume(tmp_path / CHECKPOINT_FILE)
    assert math.isnan(resumed.state.history[-1]["validation_auc"])
    assert digest(resumed.fit()) == digest(whole.fit())


def test_baseline_is_drawn_to_its_target():
    run = trainer(epochs=150, batch_size=12, patience=150)
    run.fit()
    run.network.load_state_dict(run.network.state_dict())
    logits = run._neutral_term(np.arange(len(SMILES))) / run.recipe.neutral.weight
    assert logits.item() ** 0.5 < 1.5  # root mean square distance from the target logit


def test_without_the_neutral_term_nothing_is_added():
    recipe = parse_recipe(small_recipe().model_dump() | {"neutral": {"copies": 0}})
    run = trainer()
    run.recipe = recipe
    assert run._neutral_term(np.array([], dtype=int)).item() == 0


def test_a_diverging_run_says_what_to_do():
    run = trainer()
    with torch.no_grad():
        run.network.head[-1].weight.fill_(float("inf"))
    with pytest.raises(MoligError, match=r"lower optimization\.learning_rate"):
        run.fit()


AVERAGED = {"weight_average": 0.9, "inactives_per_epoch": 3}


def test_formula():
    """Each step moves the average by 1 - decay, and by 9 / (10 + step) at the start."""
    net = make_net(featurizer().schema)
    average = WeightAverage(net, decay=0.5)
    name = "head.0.weight"
    expected = net.state_dict()[name].double().clone()
    for step in range(1, 30):
        with torch.no_grad():
            for tensor in net.parameters():
                tensor.normal_()
        average.update(net, step)
        stays = min(0.5, (1 + step) / (10 + step))
        expected = stays * expected + (1 - stays) * net.state_dict()[name].double()
    found = average.network.state_dict()[name]
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=1e-5)
    assert not average.network.training
    assert not any(p.requires_grad for p in average.network.parameters())


def test_running_statistics_are_averaged_too():
    net = make_net(featurizer().schema, batch_norm=True)
    average = WeightAverage(net, decay=0.9)
    before = net.head[1].running_mean.clone()
    net.head[1].running_mean.add_(1.0)
    average.update(net, 10**6)
    torch.testing.assert_close(average.network.head[1].running_mean, before + 0.1)
    assert torch.equal(net.head[1].running_mean, before + 1.0)


def test_the_average_is_what_is_judged_and_kept():
    run = trainer(epochs=3, **AVERAGED)
    run.fit()
    assert digest(run.network) == digest(run.finished_network())
    kept = run.best
    plain = trainer(epochs=3, inactives_per_epoch=3)
    plain.fit()
    assert any(not torch.equal(kept[key], plain.best[key]) for key in kept)


def test_without_an_average_the_steps_themselves_are_judged():
    run = trainer()
    assert run.average is None
    assert run.judged is run.network


@pytest.mark.parametrize("stop_after", [1, 3])
def test_resumed_average_equals_an_uninterrupted_one(tmp_path, stop_after):
    class StopError(Exception):
        pass

    def interrupt(entry):
        if entry["epoch"] == stop_after:
            raise StopError

    whole, broken, resumed = (trainer(epochs=5, **AVERAGED) for _ in range(3))
    with pytest.raises(StopError):
        broken.fit(tmp_path / CHECKPOINT_FILE, interrupt)
    resumed.resume(tmp_path / CHECKPOINT_FILE)
    assert digest(resumed.judged) == digest(broken.judged)
    assert digest(resumed.fit()) == digest(whole.fit())
    assert digest(resumed.judged) == digest(whole.judged)
    assert resumed.state.history == whole.state.history


def test_a_copy_of_the_average_stays_as_it_was():
    net = make_net(featurizer().schema)
    average = WeightAverage(net, 0.5)
    before = digest(copy.deepcopy(average.network))
    with torch.no_grad():
        net.head[0].weight.zero_()
    assert digest(average.network) == before


def test_one_molecule_is_too_few(monkeypatch):
    whole = part()
    alone = Part(whole.graphs.select(np.array([0])), whole.labels[:1])
    monkeypatch.setattr("training.test_loop.part", lambda: alone)
    with pytest.raises(InputError, match="1 molecules to train on are too few"):
        trainer()
