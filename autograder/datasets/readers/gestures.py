"""Hands that sign a digit, drawn by code from a seed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from autograder.datasets import hands
from autograder.datasets.model import Dataset, DatasetError

Float32 = npt.NDArray[np.float32]

_NUM_TRAIN, _NUM_TEST = 2000, 500
_MOST = 100_000
_SIZES = (16, 128)
_SEED = 1817  # the year the first permanent school for the deaf in America opened: any fixed number would do
_BLOCK = 50  # images drawn at a time: their pixels stay in the processor's cache
_SKIN = np.array([[0.96, 0.83, 0.74], [0.88, 0.68, 0.55], [0.68, 0.47, 0.35], [0.42, 0.28, 0.21]])
_CONTRAST = 0.24  # between skin and paper, at least
_DARKEST, _BRIGHTEST = 0.30, 0.97  # paper
_LUMINANCE = np.array([0.299, 0.587, 0.114])  # of red, green and blue (ITU-R BT.601)


def load(
    folder: Path,
    *,
    num_train: int | None = None,
    num_test: int | None = None,
    digits: Sequence[int] = tuple(range(10)),
    size: int = 32,
    color: bool = False,
    seed: int = _SEED,
    shift: float = 0.0,
) -> Dataset:
    """Return hands: x float32 of shape (N, size, size) in 0..1, y int64 of shape (N,).

    `digits` chooses the signs; label i belongs to digits[i], and the classes are as large as each other. With
    `color`, x has the shape (N, 3, size, size). `seed` gives other hands; `shift`, from 0 to 1, draws the
    test part from a harder distribution: hands turned further, stronger light, darker paper. Any number of
    images may be asked for, 2,000 and 500 unless told otherwise. `folder` is not used.
    """
    del folder
    signs = _signs(digits)
    if not (isinstance(size, int | np.integer) and _SIZES[0] <= size <= _SIZES[1]):
        raise DatasetError(f"size must be a whole number from {_SIZES[0]} to {_SIZES[1]}, not {size!r}.")
    if not (isinstance(shift, int | float | np.floating) and 0.0 <= shift <= 1.0):
        raise DatasetError(f"shift must be a number from 0 to 1, not {shift!r}.")
    if not (isinstance(seed, int | np.integer) and 0 <= seed < 2**63):
        raise DatasetError(f"seed must be a whole number from 0 to 2**63 - 1, not {seed!r}.")
    parts = []
    for part, (count, usual, what) in enumerate(
        [(num_train, _NUM_TRAIN, "num_train"), (num_test, _NUM_TEST, "num_test")]
    ):
        wanted = usual if count is None else count
        if isinstance(wanted, bool) or not isinstance(wanted, int | np.integer) or not 0 <= wanted <= _MOST:
            raise DatasetError(f"{what} must be a whole number between 0 and {_MOST:,}, not {count!r}.")
        parts.append(_draw(int(wanted), signs, int(size), bool(color), [int(seed), part], shift * part))
    (x_train, y_train), (x_test, y_test) = parts
    return Dataset(
        name="gestures",
        x_train=x_train,
        y_train=y_train,
        x_test=x_test,
        y_test=y_test,
        classes=tuple(str(sign) for sign in signs),
        source=f"generated hands that sign a digit, {size} x {size} pixels",
        embedded=True,
    )


def _signs(digits: Sequence[int]) -> npt.NDArray[np.int64]:
    signs = list(digits) if isinstance(digits, list | tuple | range | np.ndarray) else []
    whole = all(isinstance(d, int | np.integer) and not isinstance(d, bool) and 0 <= d <= 9 for d in signs)
    if not signs or not whole or len(set(signs)) < len(signs):
        raise DatasetError(f"digits must be different whole numbers from 0 to 9, not {digits!r}.")
    return np.array(signs, dtype=np.int64)


def _draw(
    count: int, signs: npt.NDArray[np.int64], size: int, color: bool, seed: list[int], shift: float
) -> tuple[Float32, npt.NDArray[np.int64]]:
    """Draw `count` images in blocks, each from a seed of its own: the first images do not depend on the count."""
    shape = (count, 3, size, size) if color else (count, size, size)
    x, y = np.empty(shape, dtype=np.float32), np.empty(count, dtype=np.int64)
    for block, start in enumerate(range(0, count, _BLOCK)):
        words = np.random.SeedSequence([*seed, block]).generate_state(4)
        random = np.random.RandomState(words)  # its stream is frozen for good (NEP 19)
        first = block * _BLOCK  # classes take turns, so that they stay equally large
        labels = random.permutation((first + np.arange(_BLOCK)) % len(signs)).astype(np.int64)
        images = _images(signs[labels], size, color, random, shift)
        rows = slice(start, min(start + _BLOCK, count))
        x[rows], y[rows] = images[: rows.stop - start], labels[: rows.stop - start]
    return x, y


def _images(
    signs: npt.NDArray[np.int64], size: int, color: bool, random: np.random.RandomState, shift: float
) -> Float32:
    """Hands before a sheet of paper, lit, blurred, with the noise of a camera; (n, [3,] size, size)."""
    n = len(signs)
    variety = 1.0 + 0.4 * shift
    placed = hands.place(hands.pose(signs, random, variety), signs, random, variety)
    height, cover = hands.height_field(placed, size)
    shade = _shading(height, size, random, shift)
    cloth = _sleeve(placed, size, random)
    paper = _paper(n, size, random, shift)

    skin, sleeve_tone, paper_tone = _tones(n, random, shift)
    if not color:
        skin, sleeve_tone, paper_tone = (tone @ _LUMINANCE[:, None] for tone in (skin, sleeve_tone, paper_tone))
    lit = []
    for channel in range(skin.shape[1]):
        skin_c, sleeve_c, paper_c = (
            tone[:, channel, None, None].astype(np.float32) for tone in (skin, sleeve_tone, paper_tone)
        )
        hand = (skin_c + cloth * (sleeve_c - skin_c)) * shade
        ground = paper_c * paper
        lit.append(ground + cover * (hand - ground))
    pictures = np.stack(lit, axis=1)
    pictures = _blurred(pictures, random.uniform(0.0, 1.0, size=n), max(1, size // 32))
    grain = random.normal(size=(n, 1, size, size)) * random.uniform(0.01, 0.04, size=(n, 1, 1, 1))
    pictures += grain.astype(np.float32)
    np.clip(pictures, 0.0, 1.0, out=pictures)
    # Eight bits, as a camera gives them; so the last digit of a float never shows.
    pictures = np.rint(pictures * np.float32(255.0)) / np.float32(255.0)
    return pictures if color else pictures[:, 0]


def _shading(height: Float32, size: int, random: np.random.RandomState, shift: float) -> Float32:
    """Lambert's law for a lamp somewhere above the viewer's shoulder, and light from everywhere."""
    n = len(height)
    lamp = random.normal(size=(n, 2)) * (0.55 + 0.25 * shift)
    ambient = random.uniform(0.45, 0.75, size=n).astype(np.float32)[:, None, None]
    lamp = np.concatenate([lamp, np.ones((n, 1))], axis=1)
    lamp /= np.sqrt((lamp**2).sum(axis=1, keepdims=True))
    lamp_x, lamp_y, lamp_z = (lamp[:, axis, None, None].astype(np.float32) for axis in range(3))
    padded = np.pad(height, ((0, 0), (1, 1), (1, 1)), mode="edge")
    slope = np.float32(size / 4.0)  # central differences over two pixels of width 2 / size
    right = np.clip((padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2]) * slope, -2.0, 2.0)
    down = np.clip((padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1]) * slope, -2.0, 2.0)
    facing = (lamp_z - lamp_x * right - lamp_y * down) / np.sqrt(1.0 + right * right + down * down)
    return np.asarray(ambient + (1.0 - ambient) * np.maximum(facing, 0.0), dtype=np.float32)


def _sleeve(placed: hands.Capsules, size: int, random: np.random.RandomState) -> Float32:
    """How much of each pixel belongs to a sleeve: half of the hands wear one, of any length."""
    n = len(placed.start)
    wears = random.uniform(size=n) < 0.5
    arm = placed.end[:, -1, :2] - placed.start[:, -1, :2]
    arm /= np.sqrt((arm**2).sum(axis=1, keepdims=True))
    cuff = np.where(wears, random.uniform(0.15, 0.6, size=n), 9.0)
    edge = (placed.start[:, -1, :2] * arm).sum(axis=1) + cuff
    middle = (np.arange(size) + 0.5) * (2.0 / size) - 1.0
    along = arm[:, 0, None, None] * middle[None, None, :] + arm[:, 1, None, None] * middle[None, :, None]
    return np.clip((along - edge[:, None, None]) * (size / 2.0) + 0.5, 0.0, 1.0).astype(np.float32)


def _paper(n: int, size: int, random: np.random.RandomState, shift: float) -> Float32:
    """The light on the paper: a gradient across it and soft blotches, around 1."""
    knots = 5
    coarse = 1.0 + (0.06 + 0.06 * shift) * random.normal(size=(n, knots, knots))
    slant = random.normal(size=(n, 2)) * (0.10 + 0.06 * shift)
    ramp = np.linspace(-1.0, 1.0, knots)
    coarse += slant[:, :1, None] * ramp[None, :, None] + slant[:, 1:, None] * ramp[None, None, :]
    place = np.linspace(0.0, knots - 1.0, size)
    left = np.minimum(place.astype(int), knots - 2)
    part = place - left
    rows = coarse[:, left] * (1.0 - part)[None, :, None] + coarse[:, left + 1] * part[None, :, None]
    whole = rows[:, :, left] * (1.0 - part) + rows[:, :, left + 1] * part
    return np.clip(whole, 0.2, 1.6).astype(np.float32)


def _tones(n: int, random: np.random.RandomState, shift: float) -> tuple[Any, Any, Any]:
    """Colours of skin, sleeve and paper, (n, 3) each."""
    place = random.uniform(0.0, len(_SKIN) - 1.0, size=(n, 1))
    darker = np.minimum(place.astype(int), len(_SKIN) - 2)
    part = place - darker
    skin = _SKIN[darker[:, 0]] * (1.0 - part) + _SKIN[darker[:, 0] + 1] * part
    skin = skin * np.exp(0.05 * random.normal(size=(n, 3)))
    sleeve = random.uniform(0.05, 0.95, size=(n, 3))
    # Paper as bright as the hand would hide it from anybody: leave a gap on both sides of the skin.
    hand = 0.85 * skin @ _LUMINANCE
    below = np.maximum(hand - _CONTRAST - (_DARKEST - 0.15 * shift), 0.0)
    above = np.maximum(_BRIGHTEST - hand - _CONTRAST, 0.0)
    place = random.uniform(0.0, 1.0, size=n) * (below + above)
    brightness = np.where(place < below, hand - _CONTRAST - place, hand + _CONTRAST + place - below)
    paper = brightness[:, None] * np.exp(0.03 * random.normal(size=(n, 3)))
    return skin, sleeve, paper


def _blurred(pictures: Float32, strength: npt.NDArray[np.float64], rounds: int) -> Float32:
    """Blur each image by its own strength: 0 leaves it, 1 applies the binomial filter 1 2 1 `rounds` times."""
    soft = pictures
    for _ in range(rounds):
        for axis in (2, 3):
            margin = [(0, 0)] * 4
            margin[axis] = (1, 1)
            padded = np.pad(soft, margin, mode="edge")
            before, after = np.take(padded, range(soft.shape[axis]), axis), None
            before = padded[:, :, :-2] if axis == 2 else padded[:, :, :, :-2]
            after = padded[:, :, 2:] if axis == 2 else padded[:, :, :, 2:]
            soft = np.float32(0.25) * (before + after) + np.float32(0.5) * soft
    weight = strength.astype(np.float32)[:, None, None, None]
    return np.asarray(pictures + weight * (soft - pictures), dtype=np.float32)
