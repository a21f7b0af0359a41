"""Data sets by name: real ones under the data root, embedded ones that need no download.

`load_dataset("digits")` always works; `load_dataset("cifar10")` works once `autograder data fetch cifar10`
has laid the files out (`fetching.fetch`), and says so until then.

To add a data set: a recipe in `recipes/NAME.yml`, a reader `readers/NAME.py` with a function `load`, and a
card in the course's `datasets/NAME/card.md`.
"""

from autograder.datasets.model import Dataset, DatasetDamaged, DatasetError, DatasetMissing, FetchError
from autograder.datasets.recipe import Archive, Recipe
from autograder.datasets.registry import DatasetInfo, data_root, dataset_path, list_datasets, load_dataset

__all__ = [
    "Archive",
    "Dataset",
    "DatasetDamaged",
    "DatasetError",
    "DatasetInfo",
    "DatasetMissing",
    "FetchError",
    "Recipe",
    "data_root",
    "dataset_path",
    "list_datasets",
    "load_dataset",
]
