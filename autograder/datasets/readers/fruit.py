"""Fruit, fresh and rotten, drawn by code from a seed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from autograder.datasets.fruit import (
    APPLE,
    BANANA,
    KINDS,
    Float32,
    Noise,
    Peel,
    Random,
    Surface,
    column,
    pixel_centres,
    skins,
    surfaces,
)
from autograder.datasets.model import Dataset, DatasetError
from autograder.datasets.signs import checked_whole

UInt8 = npt.NDArray[np.uint8]
Int64 = npt.NDArray[np.int64]

CLASSES = tuple(f"{state} {kind}" for state in ("fresh", "rotten") for kind in KINDS)
_NUM_TRAIN, _NUM_TEST = 2400, 600
_MOST = 100_000
_SMALLEST, _LARGEST = 24, 128  # pixels; below, a spot is less than one
_SEED = 1844  # the year in which apple scab was first told apart from rot: any fixed number would do
_BLOCK = 48  # images drawn at a time: their pixels stay in the processor's cache


def load(
    folder: Path,
    *,
    num_train: int | None = None,
    num_test: int | None = None,
    size: int = 32,
    seed: int = _SEED,
    shift: float = 0.0,
) -> Dataset:
    """Return pictures: x uint8 of shape (N, 3, size, size), red, green and blue; y int64 of shape (N,).

    Six classes: fresh apple, banana, orange, then the rotten ones in the same order, all equally frequent.
    2,400 for training and 600 held out, or as many as asked for; the first ones are the same however many
    follow. Another `seed` gives other fruit. `shift`, from 0 to 1, draws the held-out part from a harder
    distribution: fruit is turned and moved further, rot is smaller, light more coloured, and more lies in the
    way. `folder` is not used.
    """
    del folder
    size = checked_whole(size, _SMALLEST, _LARGEST, "size")
    seed = checked_whole(seed, 0, 2**63 - 1, "seed")
    number = isinstance(shift, int | float | np.integer | np.floating) and not isinstance(shift, bool)
    if not (number and 0.0 <= shift <= 1.0):
        raise DatasetError(f"shift must be a number between 0 and 1, not {shift!r}.")
    train = checked_whole(_NUM_TRAIN if num_train is None else num_train, 0, _MOST, "num_train")
    test = checked_whole(_NUM_TEST if num_test is None else num_test, 0, _MOST, "num_test")
    x_train, y_train = _draw(train, size, (seed, 0), 0.0)
    x_test, y_test = _draw(test, size, (seed, 1), float(shift))
    return Dataset(
        name="fruit",
        x_train=x_train,
        y_train=y_train,
        x_test=x_test,
        y_test=y_test,
        classes=CLASSES,
        source=f"generated pictures of fresh and rotten fruit, {size} x {size} pixels",
        embedded=True,
    )


def _draw(count: int, size: int, seed: tuple[int, int], shift: float) -> tuple[UInt8, Int64]:
    """Draw `count` images in blocks, each from a seed of its own."""
    x = np.empty((count, 3, size, size), dtype=np.uint8)
    y = np.empty(count, dtype=np.int64)
    for start in range(0, count, _BLOCK):
        words = np.random.SeedSequence([*seed, start]).generate_state(4)
        random = np.random.RandomState(words)  # its stream is frozen for good (NEP 19)
        # _BLOCK is a multiple of the number of classes, so that all are equally frequent.
        labels = random.permutation(np.arange(_BLOCK) % len(CLASSES)).astype(np.int64)
        images = _images(labels, size, random, shift)
        rows = slice(start, min(start + _BLOCK, count))
        x[rows], y[rows] = images[: rows.stop - start], labels[: rows.stop - start]
    return x, y


def _images(labels: Int64, size: int, random: Random, shift: float) -> UInt8:
    """Fruit on a table, lit, in a camera: (n, 3, size, size)."""
    kinds, rotten = labels % len(KINDS), labels >= len(KINDS)
    variety = 1.0 + 0.1 * shift
    fruit = surfaces(kinds, size, random, shift)
    peel = Peel(kinds, fruit, skins(kinds, fruit, random), random, variety)
    peel.rot(rotten)
    colour = _grown(kinds, fruit, peel.colour, random)
    shade, shine = _lit(kinds, fruit, peel, size, random, shift)
    seen = colour * shade[:, np.newaxis] + shine[:, np.newaxis]
    pictures = _table(fruit, size, random, shift)
    pictures += fruit.cover[:, np.newaxis] * (seen - pictures)
    pictures = _in_the_way(pictures, size, random, shift)
    return _photographed(pictures, random, shift)


def _grown(kinds: Int64, fruit: Surface, colour: Float32, random: Random) -> Float32:
    """The place where the stalk was, and now and then a label: fresh and rotten fruit have both."""
    n = len(kinds)
    ends = np.stack([random.uniform(-0.35, 0.35, size=n), random.uniform(-1.0, -0.2, size=n)])
    right, down = fruit.u - column(ends[0]), fruit.v - column(ends[1])
    near = np.clip(1 - np.sqrt(right * right + down * down) / column(random.uniform(0.1, 0.24, size=n)), 0, 1)
    tone = np.where(kinds == APPLE, 0.25, 0.45) * random.uniform(0.6, 1.4, size=n)
    scar = near * column((kinds != BANANA) * (random.uniform(size=n) < 0.7))
    stalk = np.array([0.42, 0.34, 0.16])[:, np.newaxis, np.newaxis].astype(np.float32)
    colour = colour + scar[:, np.newaxis] * (stalk * column(tone * 2)[:, np.newaxis] - colour)
    centre = random.uniform(-0.5, 0.5, size=(2, n))
    right, down = fruit.u - column(centre[0]), fruit.v - column(centre[1])
    inside = np.clip(
        (column(random.uniform(0.16, 0.26, size=n)) - np.sqrt(right * right + down * down)) * 12, 0, 1
    )
    label = inside * column(random.uniform(size=n) < 0.15)
    paint = random.uniform(0.2, 1.0, size=(n, 3, 1, 1)).astype(np.float32)
    return np.asarray(colour + label[:, np.newaxis] * (paint - colour), dtype=np.float32)


def _lit(
    kinds: Int64, fruit: Surface, peel: Peel, size: int, random: Random, shift: float
) -> tuple[Float32, Float32]:
    """Light from everywhere and, by Lambert's law, from a lamp; and what the peel reflects of the lamp."""
    n = len(kinds)
    lamp = np.ones((n, 3))
    # One window, on the left and high; elsewhere the light may come from any side.
    lamp[:, :2] = (0.3 + 0.4 * shift) * random.normal(size=(n, 2)) + (1 - shift) * np.array([-0.5, -0.35])
    lamp /= np.sqrt((lamp**2).sum(axis=1, keepdims=True))
    lamp_x, lamp_y, lamp_z = (column(each) for each in lamp.T)
    grain = Noise(random, n, 21).at(fruit.u, fruit.v)
    rough = np.where(kinds == APPLE, 0.01, np.where(kinds == BANANA, 0.015, 0.035))
    height = np.pad(peel.bump + grain * column(rough), ((0, 0), (1, 1), (1, 1)), mode="edge")
    slope = np.float32(size / 8.0)
    right = np.clip((height[:, 1:-1, 2:] - height[:, 1:-1, :-2]) * slope, -1, 1)
    down = np.clip((height[:, 2:, 1:-1] - height[:, :-2, 1:-1]) * slope, -1, 1)
    facing = lamp_x * (fruit.right - right) + lamp_y * (fruit.down - down) + lamp_z * fruit.front
    facing = np.maximum(facing / np.sqrt(1 + right * right + down * down), 0)
    ambient = column(random.uniform(0.45, 0.7, size=n))
    shade = (ambient + (1 - ambient) * facing) * column(random.uniform(0.9, 1.15, size=n))
    # Half-way between lamp and viewer, to a power that squaring gives.
    half = lamp + np.array([0.0, 0.0, 1.0])
    half /= np.sqrt((half**2).sum(axis=1, keepdims=True))
    mirror = sum(column(a) * b for a, b in zip(half.T, (fruit.right, fruit.down, fruit.front), strict=True))
    gloss = np.maximum(np.asarray(mirror), 0)
    for _ in range(5):
        gloss = gloss * gloss
    gloss = (
        gloss * column(np.where(kinds == APPLE, 0.7, 0.3) * random.uniform(0, 1, size=n)) * (1 - peel.dull)
    )
    return np.asarray(shade, dtype=np.float32), np.asarray(gloss, dtype=np.float32)


def _table(fruit: Surface, size: int, random: Random, shift: float) -> Float32:
    """Paper, cloth, wood or a plate behind the fruit, with its shadow: (n, 3, size, size)."""
    n = len(fruit.cover)
    right, down = (np.broadcast_to(each, fruit.cover.shape) for each in pixel_centres(size))
    bright = np.where(
        random.uniform(size=n) < 0.4, random.uniform(0.82, 1.0, size=n), random.uniform(0.1, 0.85, size=n)
    )
    tint = np.exp(0.22 * random.normal(size=(n, 3)) * (random.uniform(size=(n, 1)) < 0.6))
    ground = np.clip(bright[:, np.newaxis] * tint, 0, 1).astype(np.float32)[:, :, np.newaxis, np.newaxis]
    turn = random.uniform(-np.pi, np.pi, size=n)
    along = column(np.cos(turn)) * right + column(np.sin(turn)) * down
    across = column(np.cos(turn)) * down - column(np.sin(turn)) * right
    blotches = Noise(random, n, 6).at(right, down) * column(random.uniform(0.02, 0.14 + 0.08 * shift, size=n))
    wood = Noise(random, n, 13).at(along * np.float32(0.25), across * np.float32(0.7))
    wood = wood * column((random.uniform(size=n) < 0.35) * random.uniform(0.05, 0.22, size=n))
    light = 1 + blotches + wood + column(0.1 * random.normal(size=n)) * along
    # The edge of the table, or the black corner of a turned photograph.
    beyond = np.clip((across - column(random.uniform(0.4, 1.2, size=n))) * (size / 2), 0, 1)
    other = random.uniform(0, 1, size=(n, 3, 1, 1)) * (random.uniform(size=(n, 1, 1, 1)) < 0.7)
    beyond = beyond * column(random.uniform(size=n) < 0.4)
    pictures = ground * light[:, np.newaxis]
    pictures = pictures + beyond[:, np.newaxis] * (other.astype(np.float32) - pictures)
    # A soft shadow: the fruit's own outline, moved and blurred.
    moved = _moved(fruit.cover, random)
    return np.asarray(pictures * (1 - column(random.uniform(0, 0.5, size=n)) * moved)[:, np.newaxis])


def _moved(cover: Float32, random: Random) -> Float32:
    """An outline, (n, size, size), a little aside and blurred."""
    size = cover.shape[-1]
    steps = np.rint(random.uniform(-0.1, 0.1, size=2) * size).astype(int)
    moved = np.roll(cover, tuple(steps), axis=(1, 2))
    for _ in range(max(2, size // 12)):
        padded = np.pad(moved, ((0, 0), (1, 1), (1, 1)), mode="edge")
        beside = padded[:, :-2, 1:-1] + padded[:, 2:, 1:-1] + padded[:, 1:-1, :-2] + padded[:, 1:-1, 2:]
        moved = np.asarray(beside * np.float32(0.25), dtype=np.float32)
    return moved


def _in_the_way(pictures: Float32, size: int, random: Random, shift: float) -> Float32:
    """A leaf, and a shadow's edge across everything, on some pictures."""
    n = len(pictures)
    shape = (n, size, size)
    right, down = (np.broadcast_to(each, shape) for each in pixel_centres(size))
    place = random.uniform(-0.8, 0.8, size=(2, n))
    turn = random.uniform(-np.pi, np.pi, size=n)
    from_x, from_y = right - column(place[0]), down - column(place[1])
    along = column(np.cos(turn)) * from_x + column(np.sin(turn)) * from_y
    across = column(np.cos(turn)) * from_y - column(np.sin(turn)) * from_x
    length = column(random.uniform(0.25, 0.5, size=n))
    blade = 1 - (along / length) ** 2 - (across / (length * np.float32(0.36))) ** 2
    leaf = np.clip(blade * (size / 8), 0, 1) * column(random.uniform(size=n) < 0.18 + 0.1 * shift)
    green = np.array([0.24, 0.42, 0.14]) * np.exp(0.2 * random.normal(size=(n, 3)))
    vein = 1 - np.float32(0.25) * np.clip(1 - np.abs(across) * (size / 3), 0, 1)
    paint = green.astype(np.float32)[:, :, np.newaxis, np.newaxis] * vein[:, np.newaxis]
    pictures = pictures + leaf[:, np.newaxis] * (paint - pictures)
    edge = (
        column(np.sin(turn)) * right + column(np.cos(turn)) * down - column(random.uniform(-0.6, 0.9, size=n))
    )
    dark = np.clip(edge * column(random.uniform(1, 6, size=n)), 0, 1)
    dark = dark * column((random.uniform(size=n) < 0.35) * random.uniform(0.15, 0.45 + 0.1 * shift, size=n))
    return np.asarray(pictures * (1 - dark)[:, np.newaxis], dtype=np.float32)


def _photographed(pictures: Float32, random: Random, shift: float) -> UInt8:
    """White balance, exposure, blur, grain, eight bits: (n, 3, size, size)."""
    n, _, size, _ = pictures.shape
    warm = (0.03 + 0.14 * shift) * random.normal(size=(n, 1)) * np.array([1.0, 0.1, -1.0])
    balance = np.exp(warm + (0.05 + 0.08 * shift) * random.normal(size=(n, 1)))
    pictures = pictures * balance.astype(np.float32)[:, :, np.newaxis, np.newaxis]
    soft = pictures
    for _ in range(max(1, size // 32)):
        padded = np.pad(soft, ((0, 0), (0, 0), (1, 1), (0, 0)), mode="edge")
        soft = np.float32(0.25) * (padded[:, :, :-2] + padded[:, :, 2:]) + np.float32(0.5) * soft
        padded = np.pad(soft, ((0, 0), (0, 0), (0, 0), (1, 1)), mode="edge")
        soft = np.float32(0.25) * (padded[..., :-2] + padded[..., 2:]) + np.float32(0.5) * soft
    share = random.uniform(0, 0.7 + 0.2 * shift, size=(n, 1, 1, 1)).astype(np.float32)
    pictures = pictures + share * (soft - pictures)
    grain = random.normal(size=pictures.shape) * random.uniform(
        0.005, 0.025 + 0.01 * shift, size=(n, 1, 1, 1)
    )
    pictures = np.clip(pictures + grain.astype(np.float32), 0, 1)
    return np.asarray(np.rint(pictures * np.float32(255)), dtype=np.uint8)
