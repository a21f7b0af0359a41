"""Three photographs that scikit-learn and matplotlib carry."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from autograder.datasets.imagenet import imagenet_classes
from autograder.datasets.model import Dataset, DatasetMissing, first

HEIGHT, WIDTH = 427, 512
# Package, file, the class that a viewer would choose, and the first row and column of what is kept.
_FILES = (
    ("sklearn", "datasets/images/china.jpg", "palace", 0, 64),
    ("sklearn", "datasets/images/flower.jpg", "daisy", 0, 64),
    ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg", "military uniform", 20, 0),
)


def load(folder: Path, *, num_train: int | None = None, num_test: int | None = None) -> Dataset:
    """Return the photographs: x uint8 of shape (3, 3, 427, 512), in RGB; y int64 of shape (3,).

    All three are held out: nothing is to be trained with them. `folder` is not used.
    """
    del folder
    classes = imagenet_classes()
    images = np.stack([_photograph(package, file, top, left) for package, file, _, top, left in _FILES])
    labels = np.array([classes.index(name) for _, _, name, _, _ in _FILES], dtype=np.int64)
    x_train, y_train = first(images[:0], labels[:0], num_train, "num_train")
    x_test, y_test = first(images, labels, num_test, "num_test")
    return Dataset(
        name="photographs",
        x_train=x_train,
        y_train=y_train,
        x_test=x_test,
        y_test=y_test,
        classes=classes,
        source="a palace and a flower (scikit-learn), Grace Hopper (matplotlib)",
        embedded=True,
    )


def _photograph(package: str, file: str, top: int, left: int) -> npt.NDArray[np.uint8]:
    """(3, HEIGHT, WIDTH) in RGB. The package is not imported: that would take longer than reading."""
    found = importlib.util.find_spec(package)
    for place in (found and found.submodule_search_locations) or ():
        path = Path(place, file)
        if path.is_file():
            with Image.open(path) as image:
                pixels = np.asarray(image.convert("RGB"), dtype=np.uint8)
            cut = pixels[top : top + HEIGHT, left : left + WIDTH]
            return np.ascontiguousarray(cut.transpose(2, 0, 1))
    name = {"sklearn": "scikit-learn"}.get(package, package)
    raise DatasetMissing(
        f"The photograph {Path(file).name} comes with the package {name}, in which it is not any more. "
        f"To get it back: python -m pip install --force-reinstall {name}"
    )
