"""Public data sets on demand: what there is, where it lies, and how to get it as one kind of table."""

from molig.datasets.catalogue import Dataset, datasets
from molig.datasets.downloads import DownloadError
from molig.datasets.examples import example_files
from molig.datasets.getting import content_digest, get_dataset
from molig.datasets.places import cache_directory, file_or_dataset, find_dataset

__all__ = [
    "Dataset",
    "DownloadError",
    "cache_directory",
    "content_digest",
    "datasets",
    "example_files",
    "file_or_dataset",
    "find_dataset",
    "get_dataset",
]
