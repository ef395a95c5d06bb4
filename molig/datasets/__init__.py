"""Public data sets on demand: what there is, where it lies, and how to get it as one kind of table."""

from molig.datasets.catalogue import Dataset, datasets
from molig.datasets.getting import get_dataset

__all__ = [
    "Dataset",
    "datasets",
    "get_dataset",
]
