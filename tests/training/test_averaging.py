"""The average of weights: its formula, and what a run keeps of it."""

import copy

import numpy as np
import pytest
import torch
from network.nets import featurizer, make_net

from molig.errors import InputError
from molig.training.loop import CHECKPOINT_FILE, Part, WeightAverage
from training.test_loop import digest, part, trainer

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
def test_resumed_run_equals_an_uninterrupted_one(tmp_path, stop_after):
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
