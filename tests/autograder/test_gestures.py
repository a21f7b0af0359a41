"""Signed digits: the generated hands, and the photographs they stand in for."""

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
    FetchError,
    dataset_path,
    list_datasets,
    load_dataset,
)
from autograder.datasets.fetching import fetch

FIRST_LABELS = [0, 0, 1, 0, 1, 1, 1, 1, 1, 0, 0, 0]
MEAN = 0.6712802660602029
MIDDLE_ROW = [151, 137, 112, 118, 126, 131, 147, 127, 115, 117, 162, 152, 96, 88, 86, 91]
FIRST_TEST_LABELS = [1, 7, 4, 9, 5, 9, 8, 1]


@pytest.fixture(autouse=True)
def empty_root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Keep the tests away from whatever data this machine has."""
    root = tmp_path / "data"
    monkeypatch.setenv("AUTOGRADER_DATA", str(root))
    return root


# --- generated hands


def test_shapes_types_and_range() -> None:
    hands = load_dataset("gestures", num_train=30, num_test=20)
    assert hands.x_train.shape == (30, 32, 32) and hands.x_test.shape == (20, 32, 32)
    assert hands.x_train.dtype == np.float32 and hands.y_train.dtype == np.int64
    assert hands.embedded and hands.classes == tuple("0123456789")
    assert 0.0 <= hands.x_train.min() < 0.2 and 0.8 < hands.x_train.max() <= 1.0
    levels = hands.x_train * 255
    assert np.abs(levels - np.rint(levels)).max() < 1e-4  # eight bits, as a camera gives them


def test_all_signs_are_equally_frequent() -> None:
    assert np.bincount(load_dataset("gestures", num_train=100, num_test=0).y_train).tolist() == [10] * 10
    three = load_dataset("gestures", num_train=150, num_test=0, digits=(7, 1, 4))
    assert np.bincount(three.y_train).tolist() == [50] * 3 and three.classes == ("7", "1", "4")


def test_the_usual_number_and_any_other() -> None:
    usual = load_dataset("gestures", digits=[6, 8], size=16)
    assert len(usual.x_train) == 2000 and len(usual.x_test) == 500
    none = load_dataset("gestures", num_train=0, num_test=1, size=16)
    assert none.x_train.shape == (0, 16, 16) and none.x_test.shape == (1, 16, 16)


def test_the_first_hands_do_not_depend_on_how_many_follow() -> None:
    few = load_dataset("gestures", num_train=7, num_test=60, size=16)
    many = load_dataset("gestures", num_train=120, num_test=61, size=16)
    assert np.array_equal(few.x_train, many.x_train[:7]) and np.array_equal(few.y_train, many.y_train[:7])
    assert np.array_equal(few.x_test, many.x_test[:60])


def test_the_hands_never_change() -> None:
    """Recorded figures in notebooks depend on them: a change of NumPy or of the code must be noticed."""
    hands = load_dataset("gestures", num_train=50, num_test=0, digits=(6, 8))
    assert hands.y_train[:12].tolist() == FIRST_LABELS
    # A machine may round a pixel here and there to the next of 256 levels.
    assert np.mean(hands.x_train, dtype=float) == pytest.approx(MEAN, abs=1e-5)
    row = np.rint(hands.x_train[3, 16, 8:24] * 255).astype(int)
    assert np.abs(row - MIDDLE_ROW).max() <= 1


def test_a_seed_gives_its_own_hands() -> None:
    first, again, other = (
        load_dataset("gestures", num_train=20, num_test=20, size=16, seed=s) for s in (5, 5, 6)
    )
    assert np.array_equal(first.x_train, again.x_train) and np.array_equal(first.x_test, again.x_test)
    assert not np.array_equal(first.x_train, other.x_train)
    assert not np.array_equal(first.x_train, first.x_test)  # the two parts are drawn apart


def test_no_two_hands_are_alike() -> None:
    hands = load_dataset("gestures", num_train=300, num_test=300, size=16)
    pictures = np.concatenate([hands.x_train, hands.x_test])
    assert len({picture.tobytes() for picture in pictures}) == 600


def test_colour_is_the_same_picture() -> None:
    grey = load_dataset("gestures", num_train=40, num_test=0)
    colour = load_dataset("gestures", num_train=40, num_test=0, color=True)
    assert colour.x_train.shape == (40, 3, 32, 32) and np.array_equal(colour.y_train, grey.y_train)
    luminance = np.einsum("nchw,c->nhw", colour.x_train, [0.299, 0.587, 0.114])
    # Where a channel is cut at white, its luminance is lower: most pixels agree, not all.
    assert np.mean(np.abs(luminance - grey.x_train) < 0.01) > 0.95
    red, _, blue = colour.x_train.mean(axis=(0, 2, 3))
    assert red > blue  # skin


def test_size_changes_the_resolution_only() -> None:
    small, large = (load_dataset("gestures", num_train=10, num_test=0, size=size) for size in (32, 64))
    assert large.x_train.shape == (10, 64, 64) and np.array_equal(small.y_train, large.y_train)
    reduced = large.x_train.reshape(10, 32, 2, 32, 2).mean(axis=(2, 4))
    for one, other in zip(small.x_train, reduced, strict=True):
        assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.8  # grain and blur differ


def test_a_hand_can_be_told_from_the_paper() -> None:
    hands = load_dataset("gestures", num_train=200, num_test=0)
    palm, corners = hands.x_train[:, 18:22, 14:18], hands.x_train[:, :6, [0, 1, 2, 29, 30, 31]]
    gap = palm.mean(axis=(1, 2)) - corners.mean(axis=(1, 2))
    assert np.mean(np.abs(gap) > 0.08) > 0.95
    assert 0.1 < np.mean(gap > 0) < 0.5  # light hands on dark paper, and the reverse


def test_shift_changes_the_held_out_part_alone() -> None:
    plain, shifted = (
        load_dataset("gestures", num_train=20, num_test=400, size=16, shift=s) for s in (0.0, 1.0)
    )
    assert np.array_equal(plain.x_train, shifted.x_train)
    # Hands vary more: the pictures of a digit are less like each other.
    spread = [part.x_test[part.y_test == 5].std(axis=0).mean() for part in (plain, shifted)]
    assert spread[1] > 1.05 * spread[0]


def best_template(x: np.ndarray, y: np.ndarray, x_test: np.ndarray, y_test: np.ndarray) -> float:
    """The accuracy of the linear classifier that does best on the unseen pictures themselves."""
    signs, best = 2.0 * y - 1, 0.0
    for penalty in 10.0 ** np.arange(0, 6):
        weights = np.linalg.solve(x.T @ x + penalty * np.eye(x.shape[1]), x.T @ signs)
        best = max(best, float(np.mean((x_test @ weights > 0) == y_test)))
    return best


def hidden_layer(x: np.ndarray, y: np.ndarray, x_test: np.ndarray, y_test: np.ndarray) -> float:
    """The accuracy of 32 tanh units, trained for 20 epochs."""
    rng = np.random.default_rng(0)
    w1, b1 = rng.normal(size=(x.shape[1], 32)) / np.sqrt(x.shape[1]), np.zeros(32)
    w2, b2 = rng.normal(size=32) / np.sqrt(32), 0.0
    for _ in range(20):
        for rows in np.array_split(rng.permutation(len(x)), len(x) // 32):
            h = np.tanh(x[rows] @ w1 + b1)
            error = (1 / (1 + np.exp(-h @ w2 - b2)) - y[rows]) / len(rows)
            passed = np.outer(error, w2) * (1 - h**2)
            w1 -= 0.03 * x[rows].T @ passed
            b1 -= 0.03 * passed.sum(axis=0)
            w2 -= 0.03 * h.T @ error
            b2 -= 0.03 * error.sum()
    return float(np.mean((np.tanh(x_test @ w1 + b1) @ w2 + b2 > 0) == y_test))


@pytest.mark.parametrize("seed", [1, 2])
def test_six_and_eight_need_a_network(seed: int) -> None:
    hands = load_dataset("gestures", digits=(6, 8), num_train=2000, num_test=1000, seed=seed)
    rows = [part.reshape(len(part), -1).astype(float) for part in (hands.x_train, hands.x_test)]
    rows = [(x - x.mean(axis=1, keepdims=True)) / x.std(axis=1, keepdims=True) for x in rows]
    mean, std = rows[0].mean(axis=0), rows[0].std(axis=0)
    x, x_test = (rows[0] - mean) / std, (rows[1] - mean) / std
    # A threshold on the mean or the contrast of the picture, or on any one pixel, is next to a guess.
    features = [hands.x_test.mean(axis=(1, 2)), hands.x_test.std(axis=(1, 2)), *rows[1].T[::7]]
    guesses = [np.mean((feature > np.median(feature)) == hands.y_test) for feature in features]
    assert max(max(guesses), 1 - min(guesses)) < 0.70
    # Over five seeds, the best template reaches 80 to 83 % and the network 96 to 98 %.
    assert best_template(x, hands.y_train, x_test, hands.y_test) < 0.85
    assert hidden_layer(x, hands.y_train, x_test, hands.y_test) > 0.95


def test_drawing_is_fast() -> None:
    start = time.process_time()
    load_dataset("gestures", num_train=1000, num_test=0)
    assert time.process_time() - start < 2.0  # 0.2 s here


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"digits": (6, 10)}, "digits must be different whole numbers from 0 to 9"),
        ({"digits": (6, 6)}, "digits must be different"),
        ({"digits": ()}, "digits must be different"),
        ({"digits": "68"}, "digits must be different"),
        ({"digits": (True, 2)}, "digits must be different"),
        ({"size": 8}, "size must be a whole number between 16 and 128"),
        ({"size": 32.0}, "size must be a whole number"),
        ({"num_train": -1}, "num_train must be a whole number between 0 and 100,000"),
        ({"num_test": 2.5}, "num_test must be a whole number"),
        ({"seed": -1}, "seed must be a whole number"),
        ({"shift": 1.5}, "shift must be a number between 0 and 1"),
        ({"shift": "much"}, "shift must be a number"),
        ({"shift": float("nan")}, "shift must be a number"),
    ],
)
def test_impossible_options_are_refused(options: dict[str, object], complaint: str) -> None:
    with pytest.raises(DatasetError, match=complaint):
        load_dataset("gestures", **options)


# --- photographs


def lay_out(root: Path, suffix: str = ".jpg", count: int = 5) -> Path:
    """Folders as the distributor has them: in digit d, every picture has the red 20 d and a white corner."""
    for digit in range(10):
        folder = root / "sign_digits" / str(digit)
        folder.mkdir(parents=True)
        for number in range(count):
            pixels = np.zeros((100, 100, 3), dtype=np.uint8)
            pixels[..., 0] = 20 * digit
            pixels[:50, :50] = 255
            Image.fromarray(pixels).save(folder / f"IMG_{number}{suffix}", format="JPEG", quality=95)
    return root / "sign_digits"


@pytest.mark.parametrize("suffix", [".jpg", ".JPG"])
def test_photographs_of_all_digits(empty_root: Path, suffix: str) -> None:
    lay_out(empty_root, suffix)
    photographs = load_dataset("sign_digits", color=True, size=50)
    assert photographs.x_train.shape == (40, 3, 50, 50) and photographs.x_test.shape == (10, 3, 50, 50)
    assert photographs.x_train.dtype == np.float32 and not photographs.embedded
    assert np.bincount(photographs.y_test).tolist() == [1] * 10  # a fifth of each digit
    for image, label in zip(photographs.x_train, photographs.y_train, strict=True):
        np.testing.assert_allclose(image[0, 40, 40], 20 * label / 255, atol=0.02)  # red, and no other colour
        np.testing.assert_allclose(image[:, 10, 10], 1.0, atol=0.02)
        assert image[1:, 40, 40].max() < 0.03


def test_two_digits_in_grey(empty_root: Path) -> None:
    lay_out(empty_root)
    photographs = load_dataset("sign_digits", digits=(8, 6), num_train=4)
    assert photographs.x_train.shape == (4, 64, 64) and photographs.classes == ("8", "6")
    assert photographs.x_test.shape == (2, 64, 64)
    for image, label in zip(photographs.x_test, photographs.y_test, strict=True):
        np.testing.assert_allclose(image[60, 60], 0.299 * 20 * (8, 6)[label] / 255, atol=0.01)


def test_the_split_of_the_photographs_never_changes(empty_root: Path) -> None:
    lay_out(empty_root, count=10)
    assert load_dataset("sign_digits").y_test[:8].tolist() == FIRST_TEST_LABELS


def test_missing_photographs_say_where_to_get_them(empty_root: Path) -> None:
    with pytest.raises(
        DatasetMissing, match=r"is not on this machine .*ardamavi/Sign-Language-Digits-Dataset"
    ):
        load_dataset("sign_digits")
    with pytest.raises(FetchError, match=rf"cannot be fetched.*Download.*into {empty_root}/sign_digits\."):
        fetch("sign_digits")
    (lay_out(empty_root) / "7").rename(empty_root / "elsewhere")
    with pytest.raises(DatasetMissing, match="lacks sign_digits/7"):
        load_dataset("sign_digits")


def test_photographs_are_listed_and_have_a_place(empty_root: Path) -> None:
    assert dataset_path("sign_digits") == empty_root / "sign_digits"
    before = {info.name: info for info in list_datasets()}["sign_digits"]
    assert not before.present and not before.embedded and before.download_bytes == 0
    lay_out(empty_root)
    assert {info.name: info.present for info in list_datasets()}["sign_digits"]
    assert fetch("sign_digits") == empty_root / "sign_digits"  # complete: nothing to do


@pytest.mark.parametrize("content", [b"", b"<html>404</html>", b"\xff\xd8\xff\xe0 cut off"])
def test_damaged_photographs_are_named(empty_root: Path, content: bytes) -> None:
    (lay_out(empty_root) / "3" / "IMG_2.jpg").write_bytes(content)
    with pytest.raises(DatasetDamaged, match=r"3/IMG_2\.jpg is not a photograph") as caught:
        load_dataset("sign_digits")
    assert "\n" not in str(caught.value)


def test_a_truncated_photograph_is_damaged(empty_root: Path) -> None:
    path = lay_out(empty_root) / "4" / "IMG_0.jpg"
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DatasetDamaged, match=r"4/IMG_0\.jpg"):
        load_dataset("sign_digits")


def test_a_picture_of_another_kind_is_not_opened(empty_root: Path) -> None:
    path = lay_out(empty_root) / "0" / "IMG_0.jpg"
    Image.new("RGB", (100, 100)).save(path, format="PNG")
    with pytest.raises(DatasetDamaged, match=r"0/IMG_0\.jpg"):
        load_dataset("sign_digits", digits=(0, 1))
    load_dataset("sign_digits", digits=(1, 2))  # the other folders are not touched


def test_a_folder_without_photographs(empty_root: Path) -> None:
    for path in (lay_out(empty_root) / "5").iterdir():
        path.rename(path.with_suffix(".txt"))
    with pytest.raises(DatasetDamaged, match="5 holds no photographs"):
        load_dataset("sign_digits")
