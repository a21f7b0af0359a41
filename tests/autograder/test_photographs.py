"""Photographs for a pretrained network: those that packages carry, one of each ImageNet class, and what the
network said of these.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from autograder.datasets import DatasetDamaged, DatasetError, DatasetMissing, load_dataset
from autograder.datasets.imagenet import NUM_CLASSES, halves, imagenet_classes
from autograder.datasets.readers import photographs

RECORDED_TOP_1 = (0.844, 0.876)
"""Of the two halves, as the card says."""


@pytest.fixture(autouse=True)
def empty_root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Keep the tests away from whatever data this machine has."""
    root = tmp_path / "data"
    monkeypatch.setenv("AUTOGRADER_DATA", str(root))
    return root


# --- classes


def test_there_are_a_thousand_different_classes() -> None:
    names = imagenet_classes()
    assert len(names) == len(set(names)) == NUM_CLASSES
    assert names[0] == "tench" and names[207] == "golden retriever" and names[999] == "toilet tissue"


def test_each_class_is_in_one_half() -> None:
    first, second = halves()
    assert len(first) == len(second) == 500
    assert sorted([*first, *second]) == list(range(NUM_CLASSES))


# --- photographs that packages carry


def test_photographs_are_found_while_matplotlib_is_only_a_stand_in() -> None:
    code = (
        "from autograder.sandbox.postponed import postpone_matplotlib; postpone_matplotlib()\n"
        "from autograder.datasets import load_dataset; print(len(load_dataset('photographs').x_test))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert found.stdout == "3\n", found.stderr


def test_three_photographs_are_always_there() -> None:
    data = load_dataset("photographs")
    assert data.x_test.shape == (3, 3, 427, 512) and data.x_test.dtype == np.uint8 and data.embedded
    assert data.x_train.shape == (0, 3, 427, 512) and data.y_train.shape == (0,)
    assert [data.classes[label] for label in data.y_test] == ["palace", "daisy", "military uniform"]
    assert all(image.std() > 30 for image in data.x_test)
    assert load_dataset("photographs", num_test=1).x_test.shape[0] == 1


def test_the_colours_are_red_green_blue() -> None:
    """The flower is orange, the sky over the palace is bluer than it is red."""
    palace, flower, _ = load_dataset("photographs").x_test.astype(float)
    red, green, blue = flower[:, 150:250, 200:300].mean(axis=(1, 2))
    assert red > green + 20 and green > blue + 20
    assert palace[2, :40].mean() >= palace[0, :40].mean()


def test_a_photograph_that_its_package_has_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photographs, "_FILES", (("sklearn", "datasets/images/none.jpg", "palace", 0, 0),))
    with pytest.raises(DatasetMissing, match=r"none.jpg comes with the package scikit-learn, .*pip install"):
        load_dataset("photographs")


# --- what the network said


def test_logits_are_those_of_the_card() -> None:
    said = load_dataset("imagenet_logits")
    assert said.x_train.shape == said.x_test.shape == (500, NUM_CLASSES)
    assert said.x_train.dtype == np.float32 and said.embedded
    for x, y, top_1 in zip(
        (said.x_train, said.x_test), (said.y_train, said.y_test), RECORDED_TOP_1, strict=True
    ):
        assert np.mean(x.argmax(axis=1) == y) == pytest.approx(top_1)
    assert np.array_equal(said.y_train, halves()[0]) and np.array_equal(said.y_test, halves()[1])
    few = load_dataset("imagenet_logits", num_train=3, num_test=0)
    assert np.array_equal(few.x_train, said.x_train[:3]) and few.x_test.shape == (0, NUM_CLASSES)


def test_a_thousand_classes_are_not_all_printed() -> None:
    assert len(repr(load_dataset("imagenet_logits", num_train=1, num_test=1))) < 600


# --- one photograph of each class


def synset(label: int) -> str:
    """A number like those of ImageNet's synsets, in their order."""
    return f"n{1440764 + 7 * label:08d}"


@pytest.fixture(scope="module")
def thousand(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with a photograph of one colour for each class, in the distributor's layout."""
    root = tmp_path_factory.mktemp("root")
    folder = root / "imagenet_samples"
    folder.mkdir()
    (folder / "README.md").write_text("no photograph")
    for label in range(NUM_CLASSES):
        colour = (label % 250, label // 250 * 60, 100)
        name = (
            f"{synset(label)}_thing_{label}.JPEG" if label % 2 else f"{label:03d}_{synset(label)}_thing.jpg"
        )
        image = Image.new("RGB", (40, 32) if label == 7 else (32, 32), colour)
        image.save(folder / name, "JPEG", quality=95)
    return root


def test_photographs_are_in_the_order_of_their_synsets(
    thousand: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOGRADER_DATA", str(thousand))
    data = load_dataset("imagenet_samples", size=32)
    assert data.x_train.shape == data.x_test.shape == (500, 3, 32, 32) and data.x_train.dtype == np.uint8
    assert not data.embedded and len(data.classes) == NUM_CLASSES
    for x, y in ((data.x_train, data.y_train), (data.x_test, data.y_test)):
        assert np.abs(x[:, 0, 16, 16].astype(int) - y % 250).max() <= 4
        assert np.abs(x[:, 1, 16, 16].astype(int) - y // 250 * 60).max() <= 4
    assert np.array_equal(data.y_train, halves()[0])


def test_photographs_of_other_sizes_are_resized(thousand: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOGRADER_DATA", str(thousand))
    assert load_dataset("imagenet_samples", size=48, num_train=4, num_test=2).x_train.shape == (4, 3, 48, 48)
    with pytest.raises(DatasetError, match="size must be a whole number between 32 and 512"):
        load_dataset("imagenet_samples", size=16)


def test_missing_and_damaged_photographs(thousand: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DatasetMissing, match="EliSchwartz/imagenet-sample-images"):
        load_dataset("imagenet_samples")
    monkeypatch.setenv("AUTOGRADER_DATA", str(thousand))
    broken = thousand / "imagenet_samples" / f"{int(halves()[0][0]):03d}_broken.jpg"
    lost = next((thousand / "imagenet_samples").glob(f"*{synset(int(halves()[0][0]))}*"))
    kept = lost.read_bytes()
    try:
        lost.write_bytes(b"no picture")
        with pytest.raises(DatasetDamaged, match="is not a photograph that can be read"):
            load_dataset("imagenet_samples", size=32)
        lost.rename(broken)  # no synset in its name
        with pytest.raises(DatasetDamaged, match="holds photographs of 999 classes, not of 1,000"):
            load_dataset("imagenet_samples", size=32)
    finally:
        broken.unlink(missing_ok=True)
        lost.write_bytes(kept)
