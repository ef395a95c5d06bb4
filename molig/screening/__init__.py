"""Screening of libraries: streaming in, ranked hit tables out."""

from molig.screening.diversity import Alike, Diversity
from molig.screening.pipeline import ScreeningOptions, ScreeningResult, screen
from molig.screening.store import FeatureStore, PrepareOptions, StoreInfo, prepare

__all__ = [
    "Alike",
    "Diversity",
    "FeatureStore",
    "PrepareOptions",
    "ScreeningOptions",
    "ScreeningResult",
    "StoreInfo",
    "prepare",
    "screen",
]
