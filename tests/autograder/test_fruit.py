"""Fresh and rotten fruit: the pictures that are drawn, and the photographs that they stand in for."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from autograder.datasets import DatasetDamaged, DatasetError, DatasetMissing, list_datasets, load_dataset
from autograder.datasets.readers.fruits import FOLDERS

FIRST_LABELS = [0, 2, 2, 3, 2, 2, 1, 3, 4, 1, 4, 0]
MEAN = 132.7925550672743
MIDDLE_ROW = [64, 59, 68, 78, 145, 183, 214, 161, 174, 108, 22, 22, 22, 148, 51, 68]
CLASSES = ("fresh apple", "fresh banana", "fresh orange", "rotten apple", "rotten banana", "rotten orange")


@pytest.fixture(autouse=True)
def empty_root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Keep the tests away from whatever data this machine has."""
    root = tmp_path / "data"
    monkeypatch.setenv("AUTOGRADER_DATA", str(root))
    return root


# --- drawn


def test_shapes_types_and_classes() -> None:
    fruit = load_dataset("fruit", num_train=50, num_test=20)
    assert fruit.x_train.shape == (50, 3, 32, 32) and fruit.x_test.shape == (20, 3, 32, 32)
    assert fruit.x_train.dtype == np.uint8 and fruit.y_train.dtype == np.int64
    assert fruit.embedded and fruit.classes == CLASSES
    assert fruit.x_train.min() < 20 and fruit.x_train.max() > 235


def test_all_classes_are_equally_frequent() -> None:
    assert np.bincount(load_dataset("fruit", num_train=96, num_test=0, size=24).y_train).tolist() == [16] * 6


def test_the_first_ones_do_not_depend_on_how_many_follow() -> None:
    few = load_dataset("fruit", num_train=7, num_test=50, size=24)
    many = load_dataset("fruit", num_train=100, num_test=51, size=24)
    assert np.array_equal(few.x_train, many.x_train[:7]) and np.array_equal(few.y_train, many.y_train[:7])
    assert np.array_equal(few.x_test, many.x_test[:50])


def test_the_pictures_never_change() -> None:
    """The weights that are committed were trained on them: a change of the code must be noticed."""
    fruit = load_dataset("fruit", num_train=48, num_test=0)
    assert fruit.y_train[:12].tolist() == FIRST_LABELS
    # A machine may round a pixel here and there to the next of 256 levels.
    assert np.mean(fruit.x_train, dtype=float) == pytest.approx(MEAN, abs=0.01)
    assert np.abs(fruit.x_train[3, 1, 16, 8:24].astype(int) - MIDDLE_ROW).max() <= 1


def test_a_seed_gives_its_own_fruit() -> None:
    one, other = (load_dataset("fruit", num_train=6, num_test=6, size=24, seed=seed) for seed in (1, 2))
    assert not np.array_equal(one.x_train, other.x_train)
    assert not np.array_equal(one.x_train, one.x_test)


def test_shift_changes_what_is_held_out_and_nothing_else() -> None:
    same, shifted = (load_dataset("fruit", num_train=12, num_test=12, size=24, shift=s) for s in (0.0, 1.0))
    assert np.array_equal(same.x_train, shifted.x_train) and np.array_equal(same.y_test, shifted.y_test)
    assert not np.array_equal(same.x_test, shifted.x_test)


def test_rot_shows() -> None:
    """Drawn with the same numbers but for the rot, every rotten fruit differs from the fresh one."""
    from autograder.datasets.readers import fruit

    labels = np.arange(96) % 3
    fresh = fruit._images(labels, 32, np.random.RandomState(3), 0.6).astype(int)
    rotten = fruit._images(labels + 3, 32, np.random.RandomState(3), 0.6).astype(int)
    changed = (np.abs(fresh - rotten).max(axis=1) > 25).sum(axis=(1, 2))
    assert changed.min() >= 3, np.sort(changed)[:5]
    assert np.median(changed) > 40


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"size": 8}, "size must be a whole number between 24 and 128"),
        ({"seed": -1}, "seed must be"),
        ({"shift": 2}, "shift must be a number between 0 and 1"),
        ({"shift": True}, "shift must be"),
        ({"num_train": -1}, "num_train must be"),
        ({"colour": True}, "has no option 'colour'"),
    ],
)
def test_what_cannot_be_drawn(options: dict[str, object], says: str) -> None:
    with pytest.raises(DatasetError, match=says):
        load_dataset("fruit", **options)


def test_a_thousand_are_drawn_in_seconds() -> None:
    start = time.process_time()
    load_dataset("fruit", num_train=0, num_test=1000)
    assert time.process_time() - start < 6


# --- photographs


def photograph(path: Path, colour: tuple[int, int, int], spots: int) -> None:
    """A disc with some spots, before white paper."""
    image = np.full((64, 64, 3), 255, np.uint8)
    y, x = np.indices((64, 64)) - 32
    image[x**2 + y**2 < 700] = colour
    image[20:24, 20 : 20 + spots] = (200, 10, 200)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


def distribute(root: Path, photographs: int = 10, copies: int = 3) -> None:
    """The distributor's layout: of each photograph turned copies, every third of them in the test part."""
    for label, name in enumerate(FOLDERS):
        for number in range(photographs):
            colour = (250 - 40 * label, 30 + 24 * number, 40 + (97 * number) % 160)
            for copy in range(copies):
                part = "test" if copy == 2 else "train"
                path = root / "fruits" / part / name / f"{number:02d}_{copy}.png"
                photograph(path, colour, 2)
                Image.open(path).rotate(90 * copy).save(path)


def test_copies_of_a_photograph_lie_on_one_side(empty_root: Path) -> None:
    distribute(empty_root)
    fruits = load_dataset("fruits", size=16)
    assert not fruits.embedded and fruits.classes == CLASSES
    assert np.bincount(fruits.y_train).tolist() == [24] * 6 and np.bincount(fruits.y_test).tolist() == [6] * 6
    middle = {tuple(image[:, 8, 8]) for image in fruits.x_train}
    assert not middle & {tuple(image[:, 8, 8]) for image in fruits.x_test}
    parts = load_dataset("fruits", size=16, held_out="parts")
    assert len(parts.y_train) == 120 and len(parts.y_test) == 60
    assert {tuple(image[:, 8, 8]) for image in parts.x_test} <= {tuple(i[:, 8, 8]) for i in parts.x_train}


def test_the_order_is_the_same_every_time(empty_root: Path) -> None:
    distribute(empty_root, photographs=5)
    one, other = load_dataset("fruits"), load_dataset("fruits", num_train=9)
    assert one.x_train.shape[1:] == (3, 32, 32) and one.x_train.dtype == np.uint8
    assert np.array_equal(one.x_train[:9], other.x_train)
    assert len(set(one.y_train[:12].tolist())) > 2


def test_missing_damaged_and_odd(empty_root: Path) -> None:
    with pytest.raises(DatasetMissing, match="Kaggle"):
        load_dataset("fruits")
    assert not next(info for info in list_datasets() if info.name == "fruits").present
    distribute(empty_root, photographs=5)
    with pytest.raises(DatasetError, match="held_out must be"):
        load_dataset("fruits", held_out="images")
    broken = empty_root / "fruits/train/freshapples/00_0.png"
    broken.write_bytes(b"no image")
    with pytest.raises(DatasetDamaged, match=r"00_0\.png is not a photograph"):
        load_dataset("fruits")
    for path in broken.parent.iterdir():
        path.unlink()
    with pytest.raises(DatasetDamaged, match="holds no photographs"):
        load_dataset("fruits")
