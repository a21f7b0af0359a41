"""Signed letters: the generated hands, and the photographs they stand in for."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from autograder.datasets import (
    Dataset,
    DatasetDamaged,
    DatasetError,
    DatasetMissing,
    FetchError,
    dataset_path,
    list_datasets,
    load_dataset,
)
from autograder.datasets.fetching import fetch
from autograder.datasets.letters import ALPHABET

FIRST_LABELS = [9, 1, 16, 9, 14, 0, 12, 0, 8, 23, 5, 6]
MEAN = 26.0678
MIDDLE_ROW = [7, 0, 9, 16, 24, 61, 83, 85, 70, 75, 80, 98, 97, 75, 26, 1]
FIRST_PLACES = [6, 18, 18, 13, 10, 9, 2, 21, 0, 21, 7, 13]


@pytest.fixture(autouse=True)
def empty_root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Keep the tests away from whatever data this machine has."""
    root = tmp_path / "data"
    monkeypatch.setenv("AUTOGRADER_DATA", str(root))
    return root


# --- generated hands


def test_shapes_types_and_range() -> None:
    hands = load_dataset("letters", num_train=30, num_test=20)
    assert hands.x_train.shape == (30, 3, 32, 32) and hands.x_test.shape == (20, 3, 32, 32)
    assert hands.x_train.dtype == np.uint8 and hands.y_train.dtype == np.int64
    assert hands.embedded and hands.classes == tuple(ALPHABET) and len(ALPHABET) == 24
    assert hands.x_train.min() == 0 and hands.x_train.max() > 200


def test_all_letters_are_equally_frequent() -> None:
    hands = load_dataset("letters", num_train=100, num_test=100, letters="vbly")
    assert np.bincount(hands.y_train).tolist() == np.bincount(hands.y_test).tolist() == [25] * 4
    assert hands.classes == tuple("vbly")


def test_a_label_means_the_letter_at_its_place() -> None:
    """A picture does not depend on its label's number: only on the letter."""
    one, other = (load_dataset("letters", num_train=50, num_test=0, letters=o) for o in ("ly", "yl"))
    assert np.array_equal(one.y_train, other.y_train) and not np.array_equal(one.x_train, other.x_train)
    # An L has nothing at the lower left where a Y's little finger stands, seen over many.
    left = slice(2, 9)
    means = [each.x_train[each.y_train == 0][:, 0, 4:12, left].mean() for each in (one, other)]
    assert means[1] > 1.5 * means[0]


def test_the_usual_number_and_any_other() -> None:
    usual = load_dataset("letters", size=24)
    assert len(usual.x_train) == 1800 and len(usual.x_test) == 600
    none = load_dataset("letters", num_train=0, num_test=1, size=24)
    assert none.x_train.shape == (0, 3, 24, 24) and none.x_test.shape == (1, 3, 24, 24)


def test_the_first_hands_do_not_depend_on_how_many_follow() -> None:
    few = load_dataset("letters", num_train=7, num_test=60, size=24)
    many = load_dataset("letters", num_train=120, num_test=61, size=24)
    assert np.array_equal(few.x_train, many.x_train[:7]) and np.array_equal(few.y_train, many.y_train[:7])
    assert np.array_equal(few.x_test, many.x_test[:60])


def test_the_hands_never_change() -> None:
    """Recorded figures in notebooks depend on them: a change of NumPy or of the code must be noticed."""
    hands = load_dataset("letters", num_train=50, num_test=0)
    assert hands.y_train[:12].tolist() == FIRST_LABELS
    # A machine may round a pixel here and there to the next of 256 levels.
    assert np.mean(hands.x_train, dtype=float) == pytest.approx(MEAN, abs=3e-3)
    row = hands.x_train[3, 0, 16, 8:24].astype(int)
    assert np.abs(row - MIDDLE_ROW).max() <= 1


def test_a_seed_gives_its_own_people() -> None:
    first, again, other = (
        load_dataset("letters", num_train=20, num_test=20, size=24, seed=s) for s in (5, 5, 6)
    )
    assert np.array_equal(first.x_train, again.x_train) and np.array_equal(first.x_test, again.x_test)
    assert not np.array_equal(first.x_train, other.x_train)


def test_no_two_pictures_are_alike() -> None:
    parts = [
        load_dataset("letters", num_train=200, num_test=200, size=24, held_out=h) for h in ("hands", "images")
    ]
    pictures = np.concatenate([parts[0].x_train, parts[0].x_test, parts[1].x_test])
    assert len({picture.tobytes() for picture in pictures}) == 600


def test_both_held_out_parts_have_the_same_training_part() -> None:
    hands, images = (
        load_dataset("letters", num_train=30, num_test=30, held_out=h) for h in ("hands", "images")
    )
    assert np.array_equal(hands.x_train, images.x_train) and np.array_equal(hands.y_train, images.y_train)
    assert not np.array_equal(hands.x_test, images.x_test)
    assert "other people" in hands.source and "other pictures of them" in images.source


def colours(x: np.ndarray) -> np.ndarray:
    """The mean colour of the hand in each picture, its brightness divided out: (N, 3)."""
    bright = x.max(axis=1, keepdims=True) > 60
    mean = (x * bright).sum(axis=(2, 3)) / np.maximum(bright.sum(axis=(2, 3)), 1)
    return np.asarray(mean / mean.sum(axis=1, keepdims=True))


def test_a_person_is_the_same_in_all_pictures() -> None:
    """Training pictures i, i + people, ... show one person, as do those held out by image."""
    hands = load_dataset("letters", num_train=200, num_test=200, held_out="images", people=2, letters="b")
    skin = colours(hands.x_train)
    means = [skin[k::2].mean(axis=0) for k in range(2)]
    within = max(skin[k::2].std(axis=0).max() for k in range(2))
    apart = np.abs(means[0] - means[1]).max()
    assert apart > within
    other = colours(hands.x_test)
    for k in range(2):
        assert np.abs(other[k::2].mean(axis=0) - means[k]).max() < apart / 4


def test_people_differ_more_than_their_pictures() -> None:
    """Held-out people lie outside of what a few people show: where their hands are, say."""

    def places(x: np.ndarray) -> np.ndarray:
        weight = (x.max(axis=1) > 60).astype(float)
        rows = (weight.sum(axis=2) * np.arange(32)).sum(axis=1) / weight.sum(axis=(1, 2))
        return np.asarray(rows)

    options = {"num_train": 200, "num_test": 200, "letters": "b", "people": 1}
    one = load_dataset("letters", held_out="images", **options)
    many = load_dataset("letters", held_out="hands", **options)
    assert places(many.x_test).std() > 1.3 * places(one.x_test).std()


def test_shift_changes_the_held_out_part_alone() -> None:
    plain, shifted = (
        load_dataset("letters", num_train=20, num_test=300, size=24, shift=s) for s in (0.0, 1.0)
    )
    assert np.array_equal(plain.x_train, shifted.x_train)
    corners = [part.x_test[:, :, :3, :3].mean() for part in (plain, shifted)]
    assert corners[1] > 1.5 * corners[0]  # the ground is less dark


def test_size_changes_the_resolution_only() -> None:
    small, large = (load_dataset("letters", num_train=10, num_test=0, size=size) for size in (32, 64))
    assert large.x_train.shape == (10, 3, 64, 64) and np.array_equal(small.y_train, large.y_train)
    reduced = large.x_train.reshape(10, 3, 32, 2, 32, 2).mean(axis=(3, 5))
    for one, other in zip(small.x_train, reduced, strict=True):
        assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.9  # grain and blur differ


def test_hands_are_in_the_picture() -> None:
    hands = load_dataset("letters", num_train=0, num_test=480)
    bright = hands.x_test.max(axis=1) > 60
    share = bright.mean(axis=(1, 2))
    assert np.quantile(share, 0.01) > 0.03 and share.max() < 0.7
    # Little touches the border: a wrist may leave the picture.
    border = np.concatenate([bright[:, 0], bright[:, :, 0], bright[:, :, -1]], axis=1)
    assert border.mean() < 0.05


def best_linear(x: np.ndarray, y: np.ndarray, x_test: np.ndarray, y_test: np.ndarray) -> float:
    """The accuracy of the ridge classifier that does best on the unseen pictures themselves."""
    wanted, best = 2.0 * np.eye(y.max() + 1)[y] - 1, 0.0
    middle = x.mean(axis=0)
    x, x_test = x - middle, x_test - middle
    gram = x @ x.T
    for penalty in 10.0 ** np.arange(0, 4):
        weights = np.linalg.solve(gram + penalty * np.eye(len(x)), wanted)
        best = max(best, float(np.mean((x_test @ x.T @ weights).argmax(axis=1) == y_test)))
    return best


@pytest.mark.parametrize("seed", [1, 2])
def test_letters_need_more_than_a_linear_classifier(seed: int) -> None:
    rates = []
    for held_out in ("images", "hands"):
        hands = load_dataset("letters", num_train=1200, num_test=400, seed=seed, held_out=held_out)
        x, x_test = (part.reshape(len(part), -1) / 255.0 for part in (hands.x_train, hands.x_test))
        rates.append(best_linear(x, hands.y_train, x_test, hands.y_test))
    assert rates[0] < 0.7 and rates[1] < 0.5  # see the card
    assert rates[0] > rates[1] + 0.1  # known people are easier
    assert rates[1] > 3 / 24  # and the pictures do say something


def test_drawing_is_fast() -> None:
    start = time.process_time()
    load_dataset("letters", num_train=1000, num_test=0)
    assert time.process_time() - start < 2.0  # 0.3 s here


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"letters": "abj"}, "letters must be different ones of 'abcdefghiklmnopqrstuvwxy', not 'abj'"),
        ({"letters": "aba"}, "letters must be different"),
        ({"letters": ""}, "letters must be different"),
        ({"letters": ("a", "b")}, "letters must be different"),
        ({"size": 16}, "size must be a whole number between 24 and 128"),
        ({"size": 32.0}, "size must be a whole number"),
        ({"people": 0}, "people must be a whole number between 1 and 1,000"),
        ({"held_out": "people"}, 'held_out must be "hands" or "images"'),
        ({"num_train": -1}, "num_train must be a whole number between 0 and 100,000"),
        ({"num_test": 2.5}, "num_test must be a whole number"),
        ({"seed": -1}, "seed must be a whole number"),
        ({"shift": 1.5}, "shift must be a number between 0 and 1"),
        ({"shift": "much"}, "shift must be a number"),
        ({"shift": True}, "shift must be a number"),
        ({"shift": float("nan")}, "shift must be a number"),
    ],
)
def test_impossible_options_are_refused(options: dict[str, object], complaint: str) -> None:
    with pytest.raises(DatasetError, match=complaint):
        load_dataset("letters", **options)


# --- photographs


def lay_out(root: Path, suffix: str = ".jpeg", shots: int = 5) -> Path:
    """Folders as the distributor has them: the red of a picture is its letter's number, the blue its hand's;
    the left half is white.
    """
    for number, letter in enumerate(ALPHABET + "jz0"):
        folder = root / "asl_letters" / letter
        folder.mkdir(parents=True)
        for hand in range(1, 6):
            for shot in range(1, shots + 1):
                pixels = np.zeros((40, 40, 3), dtype=np.uint8)
                pixels[..., 0], pixels[..., 2] = 9 * number, 50 * hand
                pixels[:, :20] = 255
                path = folder / f"hand{hand}_{letter}_dif_seg_{shot}_cropped{suffix}"
                Image.fromarray(pixels).save(path, format="JPEG", quality=95, subsampling=0)
    return root / "asl_letters"


def hands_in(x: np.ndarray) -> set[int]:
    """Whose pictures these are, read off their blue."""
    return {round(float(each[2, :, -2].mean()) / 50) for each in x}


@pytest.mark.parametrize("suffix", [".jpeg", ".JPG"])
def test_photographs_are_held_out_by_hand(empty_root: Path, suffix: str) -> None:
    lay_out(empty_root, suffix)
    photographs = load_dataset("asl_letters", size=20)
    assert photographs.x_train.shape == (192, 3, 20, 20) and photographs.x_test.shape == (360, 3, 20, 20)
    assert photographs.x_train.dtype == np.uint8 and not photographs.embedded
    assert hands_in(photographs.x_train) == {1, 2} and hands_in(photographs.x_test) == {3, 4, 5}
    for x, y in ((photographs.x_train, photographs.y_train), (photographs.x_test, photographs.y_test)):
        assert len(np.unique(np.bincount(y, minlength=24))) == 1
        for image, label in zip(x, y, strict=True):
            np.testing.assert_allclose(image[0, 10, -3], 9 * label, atol=6)  # red is first
            np.testing.assert_allclose(image[:, 10, 2], 255, atol=6)
            assert image[1, 10, -3] < 20


def test_photographs_are_held_out_by_image(empty_root: Path) -> None:
    lay_out(empty_root)
    hands, images = (load_dataset("asl_letters", held_out=h) for h in ("hands", "images"))
    assert np.array_equal(hands.x_train, images.x_train)
    assert images.x_test.shape == (48, 3, 32, 32) and hands_in(images.x_test) == {1, 2}
    assert np.bincount(images.y_test).tolist() == [2] * 24


def test_some_letters_and_the_first_few(empty_root: Path) -> None:
    lay_out(empty_root)
    photographs = load_dataset("asl_letters", letters="yb", num_train=5, num_test=7)
    assert photographs.classes == ("y", "b") and len(photographs.x_train) == 5
    assert len(photographs.x_test) == 7 and set(photographs.y_test) == {0, 1}
    for image, label in zip(photographs.x_test, photographs.y_test, strict=True):
        np.testing.assert_allclose(image[0, 16, -3], 9 * ALPHABET.index("yb"[label]), atol=6)
    with pytest.raises(DatasetError, match="num_test must be a whole number between 0 and 360"):
        load_dataset("asl_letters", num_test=361)
    with pytest.raises(DatasetError, match="letters must be different"):
        load_dataset("asl_letters", letters="az")


def test_the_split_of_the_photographs_never_changes(empty_root: Path) -> None:
    lay_out(empty_root)
    photographs: Dataset = load_dataset("asl_letters", size=8)
    labels = [*photographs.y_train[:6].tolist(), *photographs.y_test[:6].tolist()]
    assert labels == FIRST_PLACES


def test_missing_photographs_say_where_to_get_them(empty_root: Path) -> None:
    with pytest.raises(
        DatasetMissing, match=r"is not on this machine .*snrao310/ASL-Finger-Spelling-Recognition"
    ):
        load_dataset("asl_letters")
    with pytest.raises(FetchError, match=rf"cannot be fetched.*Download.*into {empty_root}/asl_letters\."):
        fetch("asl_letters")
    (lay_out(empty_root, shots=1) / "g").rename(empty_root / "elsewhere")
    with pytest.raises(DatasetMissing, match="lacks asl_letters/g"):
        load_dataset("asl_letters")


def test_photographs_are_listed_and_have_a_place(empty_root: Path) -> None:
    assert dataset_path("asl_letters") == empty_root / "asl_letters"
    before = {info.name: info for info in list_datasets()}["asl_letters"]
    assert not before.present and not before.embedded and before.download_bytes == 0
    lay_out(empty_root, shots=1)
    assert {info.name: info.present for info in list_datasets()}["asl_letters"]


@pytest.mark.parametrize("content", [b"", b"<html>404</html>", b"\xff\xd8\xff\xe0 cut off"])
def test_damaged_photographs_are_named(empty_root: Path, content: bytes) -> None:
    folder = lay_out(empty_root) / "c"
    for path in folder.iterdir():
        path.write_bytes(content)
    with pytest.raises(DatasetDamaged, match=r"c/hand\d_c_dif_seg_\d_cropped\.jpeg is not a photograph"):
        load_dataset("asl_letters")


def test_a_photograph_that_does_not_name_its_hand(empty_root: Path) -> None:
    path = lay_out(empty_root) / "d" / "hand4_d_dif_seg_2_cropped.jpeg"
    path.rename(path.with_name("IMG_2.jpeg"))
    with pytest.raises(DatasetDamaged, match=r"d/IMG_2\.jpeg does not say in its name whose hand"):
        load_dataset("asl_letters")


def test_a_picture_of_another_kind_is_not_opened(empty_root: Path) -> None:
    folder = lay_out(empty_root) / "a"
    for path in folder.glob("hand1_*"):
        Image.new("RGB", (40, 40)).save(path, format="PNG")
    with pytest.raises(DatasetDamaged, match=r"a/hand1_a"):
        load_dataset("asl_letters", letters="ab")
    load_dataset("asl_letters", letters="bc")  # the other folders are not touched


def test_a_folder_without_photographs(empty_root: Path) -> None:
    for path in (lay_out(empty_root) / "e").iterdir():
        path.rename(path.with_suffix(".txt"))
    with pytest.raises(DatasetDamaged, match="e holds no photographs"):
        load_dataset("asl_letters")
