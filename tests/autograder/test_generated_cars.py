"""Cars of many makes: the pictures that are drawn, and the photographs that they stand in for."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from autograder.datasets import (
    DatasetDamaged,
    DatasetError,
    DatasetMissing,
    dataset_path,
    list_datasets,
    load_dataset,
)

FIRST_LABELS = [16, 7, 2, 10, 13, 9, 19, 0, 18, 17, 17, 5]
MEAN = 97.19802879050926
MIDDLE_ROW = [77, 74, 66, 61, 65, 68, 26, 7, 16, 5, 9, 53, 68, 66, 80, 158]
FIRST_PLACES = [39, 23, 44, 2, 22, 11, 7, 1, 44, 31, 43, 25, 40, 47, 22, 21]


@pytest.fixture(autouse=True)
def empty_root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Keep the tests away from whatever data this machine has."""
    root = tmp_path / "data"
    monkeypatch.setenv("AUTOGRADER_DATA", str(root))
    return root


# --- drawn


def test_shapes_types_and_range() -> None:
    cars = load_dataset("generated_cars", num_train=50, num_test=20)
    assert cars.x_train.shape == (50, 3, 48, 48) and cars.x_test.shape == (20, 3, 48, 48)
    assert cars.x_train.dtype == np.uint8 and cars.y_train.dtype == np.int64
    assert cars.embedded and cars.classes == tuple(f"make {k}" for k in range(20))
    assert cars.x_train.min() < 20 and cars.x_train.max() > 235


def test_the_usual_number_and_none() -> None:
    usual = load_dataset("generated_cars", size=24)
    assert len(usual.x_train) == 1200 and len(usual.x_test) == 600
    none = load_dataset("generated_cars", num_train=0, num_test=1, size=24)
    assert none.x_train.shape == (0, 3, 24, 24) and none.x_test.shape == (1, 3, 24, 24)


def test_all_makes_are_equally_frequent() -> None:
    cars = load_dataset("generated_cars", num_train=120, num_test=240, makes=(7, 3, 400), size=24)
    assert np.bincount(cars.y_train).tolist() == [40] * 3 and np.bincount(cars.y_test).tolist() == [80] * 3
    assert cars.classes == ("make 7", "make 3", "make 400")


def test_a_label_means_the_make_at_its_place() -> None:
    """A picture depends on the number of its make, not on that of its label, nor on the other makes."""
    one = load_dataset("generated_cars", num_train=40, num_test=0, makes=[5], size=24)
    more = load_dataset("generated_cars", num_train=40, num_test=0, makes=[8, 5], size=24)
    both = load_dataset("generated_cars", num_train=40, num_test=0, makes=[5, 8], size=24)
    assert np.array_equal(more.y_train, both.y_train) and not np.array_equal(more.x_train, both.x_train)
    same = more.y_train == 1
    assert np.array_equal(more.x_train[same], one.x_train[same])
    assert not np.array_equal(more.x_train[~same], one.x_train[~same])


def test_the_first_ones_do_not_depend_on_how_many_follow() -> None:
    few = load_dataset("generated_cars", num_train=7, num_test=50, size=24)
    many = load_dataset("generated_cars", num_train=100, num_test=51, size=24)
    assert np.array_equal(few.x_train, many.x_train[:7]) and np.array_equal(few.y_train, many.y_train[:7])
    assert np.array_equal(few.x_test, many.x_test[:50])


def test_the_pictures_never_change() -> None:
    """Recorded figures in notebooks depend on them: a change of NumPy or of the code must be noticed."""
    cars = load_dataset("generated_cars", num_train=40, num_test=0)
    assert cars.y_train[:12].tolist() == FIRST_LABELS
    # A machine may round a pixel here and there to the next of 256 levels.
    assert np.mean(cars.x_train, dtype=float) == pytest.approx(MEAN, abs=0.01)
    assert np.abs(cars.x_train[3, 1, 24, 16:32].astype(int) - MIDDLE_ROW).max() <= 1


def test_a_seed_gives_its_own_cars() -> None:
    first, again, other = (
        load_dataset("generated_cars", num_train=20, num_test=20, size=24, seed=s) for s in (5, 5, 6)
    )
    assert np.array_equal(first.x_train, again.x_train) and np.array_equal(first.x_test, again.x_test)
    assert not np.array_equal(first.x_train, other.x_train)
    pictures = np.concatenate([first.x_train, first.x_test, other.x_train])
    assert len({picture.tobytes() for picture in pictures}) == 60


def test_shift_changes_the_held_out_part_alone() -> None:
    same, shifted = (
        load_dataset("generated_cars", num_train=12, num_test=12, size=24, shift=s) for s in (0.0, 1.0)
    )
    assert np.array_equal(same.x_train, shifted.x_train) and np.array_equal(same.y_test, shifted.y_test)
    assert not np.array_equal(same.x_test, shifted.x_test)


def test_size_changes_the_resolution() -> None:
    cars = load_dataset("generated_cars", num_train=3, num_test=0, size=96)
    assert cars.x_train.shape == (3, 3, 96, 96)


def test_every_make_shows() -> None:
    """Drawn with the same numbers, cars of two makes differ; the same make gives the same picture."""
    from autograder.datasets.car_makes import draw_makes
    from autograder.datasets.generated_cars import car_pictures

    makes = draw_makes([np.random.RandomState(number) for number in range(40)])
    rows = np.arange(40)
    one = car_pictures(makes.of(rows), 48, np.random.RandomState(3), 0.0).astype(int)
    again = car_pictures(makes.of(rows), 48, np.random.RandomState(3), 0.0).astype(int)
    other = car_pictures(makes.of(np.roll(rows, 1)), 48, np.random.RandomState(3), 0.0).astype(int)
    assert np.array_equal(one, again)
    changed = (np.abs(one - other).max(axis=1) > 25).mean(axis=(1, 2))
    assert changed.min() > 0.02 and np.median(changed) > 0.06, np.sort(changed)[:5]


def test_paint_says_nothing() -> None:
    """The mean colour of a make's pictures does not tell it from the others."""
    cars = load_dataset("generated_cars", num_train=800, num_test=0, size=24)
    colour = cars.x_train.mean(axis=(2, 3))
    means = np.array([colour[cars.y_train == label].mean(axis=0) for label in range(20)])
    # 40 pictures of each: the means would spread by 1 / sqrt(40) of the pictures' own spread.
    assert (means.std(axis=0) < 2 * colour.std(axis=0) / np.sqrt(40)).all()


def test_cars_need_more_than_a_linear_classifier() -> None:
    cars = load_dataset("generated_cars", num_train=1000, num_test=400, size=32)
    x, x_test = (part.reshape(len(part), -1) / 255.0 for part in (cars.x_train, cars.x_test))
    middle = x.mean(axis=0)
    gram, across = (x - middle) @ (x - middle).T, (x_test - middle) @ (x - middle).T
    wanted, best = 2.0 * np.eye(20)[cars.y_train] - 1, 0.0
    for penalty in 10.0 ** np.arange(0, 5):
        weights = np.linalg.solve(gram + penalty * np.eye(len(x)), wanted)
        best = max(best, float(np.mean((across @ weights).argmax(axis=1) == cars.y_test)))
    assert 0.08 < best < 0.6  # see the card


def test_drawing_is_fast() -> None:
    start = time.process_time()
    load_dataset("generated_cars", num_train=500, num_test=0)
    assert time.process_time() - start < 10  # 2 s here


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"makes": []}, "makes must be 1 to 1,000 different whole numbers"),
        ({"makes": "abc"}, "makes must be 1 to 1,000"),
        ({"makes": range(1001)}, "makes must be 1 to 1,000"),
        ({"makes": [1, 2, 1]}, "makes must be different from each other"),
        ({"makes": [-1]}, "each of makes must be a whole number between 0 and 999,999"),
        ({"makes": [0.5]}, "each of makes must be"),
        ({"size": 16}, "size must be a whole number between 24 and 128"),
        ({"seed": -1}, "seed must be"),
        ({"shift": 2}, "shift must be a number between 0 and 1"),
        ({"num_train": -1}, "num_train must be"),
        ({"num_test": 2.5}, "num_test must be"),
        ({"colour": True}, "has no option 'colour'"),
    ],
)
def test_what_cannot_be_drawn(options: dict[str, object], says: str) -> None:
    with pytest.raises(DatasetError, match=says):
        load_dataset("generated_cars", **options)


# --- photographs

CLASSES, EACH = 6, 10


def lay_out(root: Path) -> Path:
    """Sixty photographs of six classes, whose red says which class, and whose blue which photograph."""
    folder = root / "cars"
    (folder / "images").mkdir(parents=True)
    lines = ["file,class0,class_name"]
    for number in range(CLASSES * EACH):
        label = number * 7 % CLASSES
        pixels = np.zeros((112, 112, 3), dtype=np.uint8)
        pixels[..., 0], pixels[..., 2] = 40 * label, 4 * number
        Image.fromarray(pixels).save(folder / "images" / f"{number:05d}.jpg", quality=95, subsampling=0)
        lines.append(f"{number:05d}.jpg,{label},Make {'ABCDEF'[label]} Coupe 2012")
    (folder / "train.csv").write_text("\n".join(lines) + "\n")
    return folder


def numbers_in(x: np.ndarray) -> list[int]:
    """Which photographs these are, read off their blue."""
    return [round(float(each[2].mean()) / 4) for each in x]


def test_photographs_are_held_out_by_image(empty_root: Path) -> None:
    lay_out(empty_root)
    cars = load_dataset("cars", size=20)
    assert cars.x_train.shape == (48, 3, 20, 20) and cars.x_test.shape == (12, 3, 20, 20)
    assert cars.x_train.dtype == np.uint8 and cars.y_train.dtype == np.int64 and not cars.embedded
    assert np.bincount(cars.y_train).tolist() == [8] * 6 and np.bincount(cars.y_test).tolist() == [2] * 6
    assert cars.classes[2] == "Make C Coupe 2012" and "other photographs of the same classes" in cars.source
    assert sorted(numbers_in(cars.x_train) + numbers_in(cars.x_test)) == list(range(60))
    for image, label in zip(cars.x_test, cars.y_test, strict=True):
        np.testing.assert_allclose(image[0], 40 * label, atol=6)


def test_photographs_are_held_out_by_class(empty_root: Path) -> None:
    lay_out(empty_root)
    cars = load_dataset("cars", size=20, held_out="classes")
    assert set(cars.y_train) == {0, 1, 2} and set(cars.y_test) == {3, 4, 5}
    assert len(cars.y_train) == len(cars.y_test) == 30 and len(cars.classes) == 6
    assert sorted(numbers_in(cars.x_train) + numbers_in(cars.x_test)) == list(range(60))
    assert "other classes" in cars.source


def test_the_split_of_the_photographs_never_changes(empty_root: Path) -> None:
    lay_out(empty_root)
    images = load_dataset("cars", size=16, num_train=4, num_test=4)
    classes = load_dataset("cars", size=16, num_train=4, num_test=4, held_out="classes")
    parts = (images.x_train, images.x_test, classes.x_train, classes.x_test)
    assert [number for part in parts for number in numbers_in(part)] == FIRST_PLACES
    assert load_dataset("cars").x_test.shape == (12, 3, 64, 64)


def test_missing_photographs(empty_root: Path) -> None:
    with pytest.raises(DatasetMissing, match=r"is not on this machine .*Stanford Cars.*train\.csv"):
        load_dataset("cars")
    assert dataset_path("cars") == empty_root / "cars"
    assert not next(info for info in list_datasets() if info.name == "cars").present
    folder = lay_out(empty_root)
    assert next(info for info in list_datasets() if info.name == "cars").present
    (folder / "train.csv").unlink()
    with pytest.raises(DatasetMissing, match=r"lacks cars/train\.csv"):
        load_dataset("cars")


@pytest.mark.parametrize(
    "table",
    [
        "",
        "file,label\n00001.jpg,1\n",
        "file,class0,class_name\n",
        "file,class0,class_name\n00001.jpg,one,Make A\n",
        "file,class0,class_name\n00001.jpg,0\n",
        "file,class0,class_name\n00001.jpg,1,Make B\n",
        "file,class0,class_name\n00001.jpg,0,Make A\n00002.jpg,0,Make B\n",
        "file,class0,class_name\n../../secret.jpg,0,Make A\n",
    ],
)
def test_a_damaged_table_is_named(empty_root: Path, table: str) -> None:
    (lay_out(empty_root) / "train.csv").write_text(table)
    with pytest.raises(DatasetDamaged, match=r"train\.csv is not a table of file, class0, class_name"):
        load_dataset("cars")


def test_damaged_photographs_and_odd_options(empty_root: Path) -> None:
    folder = lay_out(empty_root)
    with pytest.raises(DatasetError, match='held_out must be "images" or "classes"'):
        load_dataset("cars", held_out="makes")
    with pytest.raises(DatasetError, match="size must be a whole number between 16 and 224"):
        load_dataset("cars", size=300)
    with pytest.raises(DatasetError, match="num_test must be"):
        load_dataset("cars", num_test=13)
    (folder / "images" / "00017.jpg").write_bytes(b"no image")
    with pytest.raises(DatasetDamaged, match=r"00017\.jpg is not a photograph"):
        load_dataset("cars")
    (folder / "images" / "00017.jpg").unlink()
    with pytest.raises(DatasetDamaged, match=r"00017\.jpg is missing"):
        load_dataset("cars")
