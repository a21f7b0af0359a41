"""Captions in the format of COCO: a JSON file of annotations beside a folder of photographs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from autograder.datasets.captioned import NUM_CAPTIONS, captioned_photographs
from autograder.datasets.model import Dataset, DatasetDamaged

ANNOTATIONS, IMAGES = "captions_val2017.json", Path("images/val2017")
_TEST_FRACTION, _SEED = 0.2, 2014  # the year COCO was published: any fixed number would do


def load(
    folder: Path,
    *,
    num_train: int | None = None,
    num_test: int | None = None,
    size: int = 128,
    length: int = 22,
    min_count: int = 5,
) -> Dataset:
    """Return photographs: x uint8 of shape (N, 3, size, size), y int64 of shape (N, 5, length).

    Those pictures of the 2017 validation part that lie in images/val2017, a fifth of them held out. y holds
    token numbers, <START>, words, <END>, then <NULL>; `classes` is the vocabulary: the words that occur at
    least `min_count` times in the training captions of these pictures.
    """
    captions = read_coco(folder / ANNOTATIONS)
    present = sorted(path for path in (folder / IMAGES).glob("*.jpg") if path.name in captions)
    if not present:
        raise DatasetDamaged(
            f"{folder / IMAGES} holds no photograph that {ANNOTATIONS} describes. Put them there again."
        )
    order = np.random.RandomState(_SEED).permutation(len(present)).tolist()
    held_out = round(len(present) * _TEST_FRACTION)
    return captioned_photographs(
        "coco_captions",
        ([present[i] for i in order[held_out:]], [present[i] for i in order[:held_out]]),
        captions,
        counts=(num_train, num_test),
        size=size,
        length=length,
        min_count=min_count,
        source="COCO 2017 validation photographs, five captions each (Lin et al., 2014; Chen et al., 2015)",
    )


def read_coco(path: Path) -> dict[str, list[str]]:
    """The captions of each photograph in a COCO annotation file, by its file name.

    Photographs with fewer than five captions are left out. Raises `DatasetDamaged` for a file that is not in
    the format: {"images": [{"id", "file_name"}, ...], "annotations": [{"image_id", "caption"}, ...]}.
    """
    try:
        content = json.loads(path.read_bytes())
        names = {image["id"]: str(image["file_name"]) for image in content["images"]}
        captions: dict[str, list[str]] = {name: [] for name in names.values()}
        for annotation in sorted(content["annotations"], key=lambda each: int(each["id"])):
            captions[names[annotation["image_id"]]].append(str(annotation["caption"]))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DatasetDamaged(
            f"{path} is not a file of captions in the format of COCO ({type(error).__name__}). "
            "Put the file there again."
        ) from error
    return {name: found for name, found in captions.items() if len(found) >= NUM_CAPTIONS}
