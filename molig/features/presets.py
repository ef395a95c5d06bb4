"""Ready-made schemas: the feature sets of Kearnes et al. 2016."""

from __future__ import annotations

from molig.errors import UnknownNameError
from molig.features.blocks import atom_block, pair_block
from molig.features.schema import FeatureSchema

PRESETS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "simple": (("type",), ("bond", "distance")),
    "full": (
        (
            "type",
            "chirality",
            "formal_charge",
            "partial_charge",
            "ring_sizes",
            "hybridization",
            "hydrogen_bonding",
            "aromatic",
        ),
        ("bond", "distance", "same_ring"),
    ),
}
DISTANCES = {"one-hot": "distance", "cumulative": "distance_within"}


def preset(name: str, *, max_pair_distance: int | None = 7, distance: str = "one-hot") -> FeatureSchema:
    """Return a schema by name.

    Parameters
    ----------
    name : {"simple", "full"}
        ``simple`` has the atom's element and, for pairs, bond order and distance; ``full`` all
        features of the paper (27 columns per atom and, up to distance 7, 12 per pair).
    max_pair_distance : int or None
        The y of WxNy. A one-hot distance has columns for distances up to it only, since columns for
        pairs that the network never sees would say nothing.
    distance : {"one-hot", "cumulative"}
        ``cumulative`` gives the paper's seven bits "distance is at most d"; below the largest distance
        seen they are always on, and against a zero baseline they absorb attribution.

    Returns
    -------
    FeatureSchema

    Raises
    ------
    UnknownNameError
        For an unknown preset or distance coding.

    Examples
    --------
    >>> schema = preset("full")
    >>> schema.n_atom_columns, schema.n_pair_columns
    (27, 12)
    """
    if name not in PRESETS:
        raise UnknownNameError("feature preset", name, PRESETS)
    if distance not in DISTANCES:
        raise UnknownNameError("distance coding", distance, DISTANCES)
    atoms, pairs = PRESETS[name]
    pair_names = [DISTANCES[distance] if pair == "distance" else pair for pair in pairs]
    return FeatureSchema(
        name=name if distance == "one-hot" else f"{name}-{distance}",
        atom_blocks=tuple(atom_block(block) for block in atoms),
        pair_blocks=tuple(pair_block(block, max_pair_distance) for block in pair_names),
        max_pair_distance=max_pair_distance,
    )
