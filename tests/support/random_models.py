"""Models with random weights, for what must hold of any network."""

from __future__ import annotations

from network.nets import featurizer, make_net

from molig.model import ModelInfo, Objective, ScreeningModel
from molig.network import WeaveNet

TASKS = ("one", "two")


def as_model(
    network: WeaveNet, schema: str = "simple", limit: int | None = 2, **info: object
) -> ScreeningModel:
    """A screening model around a network of two outputs."""
    columns = featurizer(schema, limit).schema
    about = {"objective": Objective.CLASSIFICATION, "name": "random"} | info
    return ScreeningModel(
        ModelInfo(
            molig_version="0",
            tasks=TASKS,
            feature_schema=columns.to_dict(),
            schema_hash=columns.hash,
            network=network.config,
            **about,
        ),
        network,
    )


def random_model(
    schema: str = "simple", limit: int | None = 2, *, seed: int = 0, double: bool = False, **config: object
) -> ScreeningModel:
    """Random weights and batch statistics.

    Parameters
    ----------
    schema, limit
        Preset of features, and largest distance of pairs.
    seed : int
        For the weights.
    double : bool
        In double precision.
    **config
        Of the network; it is small unless said otherwise.
    """
    network = make_net(featurizer(schema, limit).schema, len(TASKS), seed, **config)
    return as_model(network.double() if double else network, schema, limit)
