"""Hands that sign a digit, drawn by code from a seed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from autograder.datasets import hands
from autograder.datasets.hands import Float32, Float64
from autograder.datasets.model import Dataset, DatasetError
from autograder.datasets.signs import ALL_DIGITS, checked_whole, chosen_digits

_NUM_TRAIN, _NUM_TEST = 2000, 500
_MOST = 100_000
_SMALLEST, _LARGEST = 16, 128  # pixels; below, fingers are thinner than a pixel
_SEED = 1817  # the year the first permanent school for the deaf in the United States opened
_BLOCK = 50  # images drawn at a time: their pixels stay in the processor's cache
_SKIN = np.array([[0.96, 0.83, 0.74], [0.88, 0.68, 0.55], [0.68, 0.47, 0.35], [0.42, 0.28, 0.21]])
_LUMINANCE = np.array([0.299, 0.587, 0.114])  # of red, green and blue (ITU-R BT.601)
_CONTRAST = 0.24  # between hand and paper, at least
_DARKEST, _BRIGHTEST = 0.30, 0.97  # paper


def load(
    folder: Path,
    *,
    num_train: int | None = None,
    num_test: int | None = None,
    digits: Sequence[int] = ALL_DIGITS,
    size: int = 32,
    color: bool = False,
    seed: int = _SEED,
    shift: float = 0.0,
) -> Dataset:
    """Return hands: x float32 of shape (N, size, size) in 0..1, y int64 of shape (N,).

    2,000 for training and 500 held out, or as many as asked for; the first ones are the same however many
    follow. `digits` chooses the signs: label i belongs to digits[i], and all are equally frequent. With
    `color`, x has the shape (N, 3, size, size). Another `seed` gives other hands. `shift`, from 0 to 1, draws
    the held-out part from a harder distribution: hands vary more, light is more oblique, paper darker.
    `folder` is not used.
    """
    del folder
    signs = chosen_digits(digits)
    size = checked_whole(size, _SMALLEST, _LARGEST, "size")
    seed = checked_whole(seed, 0, 2**63 - 1, "seed")
    number = isinstance(shift, int | float | np.integer | np.floating) and not isinstance(shift, bool)
    if not (number and 0.0 <= shift <= 1.0):
        raise DatasetError(f"shift must be a number between 0 and 1, not {shift!r}.")
    train = checked_whole(_NUM_TRAIN if num_train is None else num_train, 0, _MOST, "num_train")
    test = checked_whole(_NUM_TEST if num_test is None else num_test, 0, _MOST, "num_test")
    x_train, y_train = _draw(train, signs, size, bool(color), (seed, 0), 0.0)
    x_test, y_test = _draw(test, signs, size, bool(color), (seed, 1), float(shift))
    return Dataset(
        name="gestures",
        x_train=x_train,
        y_train=y_train,
        x_test=x_test,
        y_test=y_test,
        classes=tuple(str(sign) for sign in signs),
        source=f"generated pictures of hands that sign a digit, {size} x {size} pixels",
        embedded=True,
    )


def _draw(
    count: int, signs: npt.NDArray[np.int64], size: int, color: bool, seed: tuple[int, int], shift: float
) -> tuple[Float32, npt.NDArray[np.int64]]:
    """Draw `count` images in blocks, each from a seed of its own."""
    x = np.empty((count, 3, size, size) if color else (count, size, size), dtype=np.float32)
    y = np.empty(count, dtype=np.int64)
    for start in range(0, count, _BLOCK):
        words = np.random.SeedSequence([*seed, start]).generate_state(4)
        random = np.random.RandomState(words)  # its stream is frozen for good (NEP 19)
        # Signs take turns, from block to block too, so that all are equally frequent.
        labels = random.permutation(np.arange(start, start + _BLOCK) % len(signs)).astype(np.int64)
        images = _images(signs[labels], size, color, random, shift)
        rows = slice(start, min(start + _BLOCK, count))
        x[rows], y[rows] = images[: rows.stop - start], labels[: rows.stop - start]
    return x, y


def _images(
    signs: npt.NDArray[np.int64], size: int, color: bool, random: np.random.RandomState, shift: float
) -> Float32:
    """Hands before a sheet of paper, lit, blurred, with the noise of a camera: (n, [3,] size, size)."""
    n = len(signs)
    variety = 1.0 + 0.4 * shift
    placed = hands.place(hands.pose(signs, random, variety), signs, random, variety)
    height, cover = hands.height_field(placed, size)
    shade = _shade(height, size, random, shift)
    cloth = _sleeve(placed, size, random)
    light = _light_on_paper(n, size, random, shift)

    tones = _tones(n, random, shift)
    if not color:
        tones = tones @ _LUMINANCE[:, np.newaxis]
    skin, sleeve, paper = np.moveaxis(tones.astype(np.float32)[..., np.newaxis, np.newaxis], 1, 0)
    ground = paper * light[:, np.newaxis]
    hand = (skin + cloth[:, np.newaxis] * (sleeve - skin)) * shade[:, np.newaxis]
    pictures = ground + cover[:, np.newaxis] * (hand - ground)

    pictures = _blurred(pictures, random.uniform(0.0, 1.0, size=n), rounds=max(1, size // 32))
    grain = random.normal(size=(n, 1, size, size)) * random.uniform(0.01, 0.04, size=(n, 1, 1, 1))
    pictures = np.clip(pictures + grain.astype(np.float32), 0.0, 1.0)
    # Eight bits, as a camera gives them. It also hides in which last digit of a float machines differ.
    pictures = np.rint(pictures * np.float32(255.0)) / np.float32(255.0)
    return np.asarray(pictures if color else pictures[:, 0], dtype=np.float32)


def _shade(height: Float32, size: int, random: np.random.RandomState, shift: float) -> Float32:
    """Light from everywhere, and by Lambert's law from a lamp behind the viewer: (n, size, size)."""
    n = len(height)
    lamp = np.ones((n, 3))
    lamp[:, :2] = (0.55 + 0.25 * shift) * random.normal(size=(n, 2))
    lamp /= np.sqrt((lamp**2).sum(axis=1, keepdims=True))
    lamp_x, lamp_y, lamp_z = lamp.T.astype(np.float32)[:, :, np.newaxis, np.newaxis]
    ambient = random.uniform(0.45, 0.75, size=(n, 1, 1)).astype(np.float32)
    padded = np.pad(height, ((0, 0), (1, 1), (1, 1)), mode="edge")
    slope = np.float32(size / 4.0)  # central differences; two pixels are 4 / size wide
    right = np.clip((padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2]) * slope, -2.0, 2.0)
    down = np.clip((padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1]) * slope, -2.0, 2.0)
    facing = (lamp_z - lamp_x * right - lamp_y * down) / np.sqrt(1.0 + right * right + down * down)
    return np.asarray(ambient + (1.0 - ambient) * np.maximum(facing, 0.0), dtype=np.float32)


def _sleeve(placed: hands.Capsules, size: int, random: np.random.RandomState) -> Float32:
    """How much of each pixel lies below the cuff of a sleeve, if there is one: (n, size, size)."""
    n = len(placed.start)
    elbow, wrist = placed.end[:, -1, :2], placed.start[:, -1, :2]  # the forearm is the last capsule
    arm = (elbow - wrist) / np.sqrt(((elbow - wrist) ** 2).sum(axis=1, keepdims=True))
    cuff = (wrist * arm).sum(axis=1) + random.uniform(0.15, 0.6, size=n)
    cuff[random.uniform(size=n) < 0.5] = np.inf
    middle = hands.pixel_centres(size)
    along = arm[:, 0, None, None] * middle[None, None, :] + arm[:, 1, None, None] * middle[None, :, None]
    covered = np.clip((along - cuff[:, None, None]) * (size / 2.0) + 0.5, 0.0, 1.0)
    return np.asarray(covered, dtype=np.float32)


def _light_on_paper(n: int, size: int, random: np.random.RandomState, shift: float) -> Float32:
    """A slant from edge to edge and soft blotches, around 1: (n, size, size)."""
    knots = 5
    coarse = 1.0 + (0.06 + 0.06 * shift) * random.normal(size=(n, knots, knots))
    slant = (0.10 + 0.06 * shift) * random.normal(size=(n, 2))
    ramp = np.linspace(-1.0, 1.0, knots)
    coarse += slant[:, 0, None, None] * ramp[:, np.newaxis] + slant[:, 1, None, None] * ramp
    # Bilinear interpolation between the knots.
    place = np.linspace(0.0, knots - 1.0, size)
    before = np.minimum(place.astype(int), knots - 2)
    part = place - before
    rows = coarse[:, before] * (1.0 - part)[:, np.newaxis] + coarse[:, before + 1] * part[:, np.newaxis]
    light = rows[:, :, before] * (1.0 - part) + rows[:, :, before + 1] * part
    return np.asarray(np.clip(light, 0.2, 1.6), dtype=np.float32)


def _tones(n: int, random: np.random.RandomState, shift: float) -> Float64:
    """The colours of skin, sleeve and paper: (n, 3, 3), the last axis red, green, blue."""
    tone = random.uniform(0.0, len(_SKIN) - 1.0, size=(n, 1))
    lighter = np.minimum(tone[:, 0].astype(int), len(_SKIN) - 2)
    part = tone - lighter[:, np.newaxis]
    skin = _SKIN[lighter] * (1.0 - part) + _SKIN[lighter + 1] * part
    skin *= np.exp(0.025 * random.normal(size=(n, 3)))
    sleeve = random.uniform(0.05, 0.95, size=(n, 3))
    # Paper may be lighter or darker than the hand, but never so like it that nobody could see the hand.
    hand = 0.85 * skin @ _LUMINANCE
    below = np.maximum(hand - _CONTRAST - (_DARKEST - 0.15 * shift), 0.0)
    above = np.maximum(_BRIGHTEST - hand - _CONTRAST, 0.0)
    place = random.uniform(0.0, 1.0, size=n) * (below + above)
    brightness = hand + np.where(place < below, -_CONTRAST - place, _CONTRAST + place - below)
    paper = brightness[:, np.newaxis] * np.exp(0.03 * random.normal(size=(n, 3)))
    return np.stack([skin, sleeve, paper], axis=1)


def _blurred(pictures: Float32, strength: Float64, rounds: int) -> Float32:
    """Blur each of (n, C, H, W) by its own strength: 0 leaves it; 1 is the filter 1 2 1, `rounds` times."""
    soft = pictures
    for _ in range(rounds):
        padded = np.pad(soft, ((0, 0), (0, 0), (1, 1), (0, 0)), mode="edge")
        soft = np.float32(0.25) * (padded[:, :, :-2] + padded[:, :, 2:]) + np.float32(0.5) * soft
        padded = np.pad(soft, ((0, 0), (0, 0), (0, 0), (1, 1)), mode="edge")
        soft = np.float32(0.25) * (padded[..., :-2] + padded[..., 2:]) + np.float32(0.5) * soft
    share = strength.astype(np.float32)[:, None, None, None]
    return np.asarray(pictures + share * (soft - pictures), dtype=np.float32)
