"""Screening of libraries: streaming in, ranked hit tables out."""

from molig.screening.cluster import Cluster, ClusterError
from molig.screening.diversity import Alike, Diversity
from molig.screening.joining import ScreeningResult
from molig.screening.merging import merge, merge_stores
from molig.screening.pipeline import screen
from molig.screening.plan import ScreeningOptions, Watch
from molig.screening.preparing import PrepareOptions, prepare
from molig.screening.shards import Shard
from molig.screening.store import FeatureStore
from molig.screening.store_layout import StoreInfo

__all__ = [
    "Alike",
    "Cluster",
    "ClusterError",
    "Diversity",
    "FeatureStore",
    "PrepareOptions",
    "ScreeningOptions",
    "ScreeningResult",
    "Shard",
    "StoreInfo",
    "Watch",
    "merge",
    "merge_stores",
    "prepare",
    "screen",
]
