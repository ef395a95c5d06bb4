"""Molecules to categorical atom and pair features."""

from molig.features.blocks import atom_block, pair_block
from molig.features.environments import EnvironmentBlock, PackedEnvironments
from molig.features.featurizer import Featurizer
from molig.features.graphs import MolGraph, PackedGraphs
from molig.features.presets import preset
from molig.features.schema import Block, BlockKind, FeatureSchema

__all__ = [
    "Block",
    "BlockKind",
    "EnvironmentBlock",
    "FeatureSchema",
    "Featurizer",
    "MolGraph",
    "PackedEnvironments",
    "PackedGraphs",
    "atom_block",
    "pair_block",
    "preset",
]
