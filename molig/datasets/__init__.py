"""Public data sets on demand: what there is, where it lies, and how to get it as one kind of table."""

from molig.datasets.catalogue import Dataset, datasets, known_dataset
from molig.datasets.downloads import download
from molig.datasets.failures import ChecksumError, DownloadError
from molig.datasets.getting import get_dataset
from molig.datasets.places import cache_directory, find_dataset, locate_dataset
from molig.datasets.tables import content_digest

__all__ = [
    "ChecksumError",
    "Dataset",
    "DownloadError",
    "cache_directory",
    "content_digest",
    "datasets",
    "download",
    "find_dataset",
    "get_dataset",
    "known_dataset",
    "locate_dataset",
]
