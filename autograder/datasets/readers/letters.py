"""Hands that sign a letter, in colour on a dark ground, drawn by code from a seed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from autograder.datasets import hands
from autograder.datasets.hands import Float32, Float64
from autograder.datasets.letters import (
    ALPHABET,
    People,
    checked_share,
    chosen_letters,
    chosen_part,
    draw_hands,
    draw_people,
)
from autograder.datasets.model import Dataset
from autograder.datasets.signs import checked_whole

UInt8 = npt.NDArray[np.uint8]

_NUM_TRAIN, _NUM_TEST = 1800, 600
_MOST = 100_000
_PEOPLE, _MOST_PEOPLE = 4, 1000
_SMALLEST, _LARGEST = 24, 128  # pixels; below, a thumb is thinner than a pixel
_SEED = 1776  # the Abbé de l'Épée's manual for teaching by signs: any fixed number would do
_BLOCK = 50  # images drawn at a time: their pixels stay in the processor's cache
_SKIN = np.array([[0.95, 0.78, 0.69], [0.86, 0.63, 0.52], [0.66, 0.45, 0.34], [0.42, 0.28, 0.21]])
# Where the lamp stands, as in the photographs: everywhere, and at the left, right, top and bottom.
_LAMPS = np.array([[0.0, 0.0], [-0.9, 0.0], [0.9, 0.0], [0.0, -0.9], [0.0, 0.9]])
_TRAIN, _SEEN, _UNSEEN, _PERSON = range(4)  # streams of random numbers


def load(
    folder: Path,
    *,
    num_train: int | None = None,
    num_test: int | None = None,
    letters: str = ALPHABET,
    size: int = 32,
    held_out: str = "hands",
    people: int = _PEOPLE,
    seed: int = _SEED,
    shift: float = 0.0,
) -> Dataset:
    """Return hands: x uint8 of shape (N, 3, size, size), red, green and blue; y int64 of shape (N,).

    The training pictures show the hands of `people` people, picture i those of person i % people. The
    held-out part shows other people, each picture somebody else, or with held_out="images" the same people
    in other pictures; the training part is the same for both. 1,800 and 600 pictures, or as many as asked
    for; the first ones are the same however many follow. Label i belongs to letters[i], and all letters are
    equally frequent. Another `seed` gives other people. `shift`, from 0 to 1, draws the held-out part from a
    harder distribution: wrists, places and light vary more, and the ground is less dark. `folder` is not
    used.
    """
    del folder
    signs = chosen_letters(letters)
    size = checked_whole(size, _SMALLEST, _LARGEST, "size")
    seed = checked_whole(seed, 0, 2**63 - 1, "seed")
    people = checked_whole(people, 1, _MOST_PEOPLE, "people")
    seen = chosen_part(held_out) == "images"
    harder = checked_share(shift, "shift")
    train = checked_whole(_NUM_TRAIN if num_train is None else num_train, 0, _MOST, "num_train")
    test = checked_whole(_NUM_TEST if num_test is None else num_test, 0, _MOST, "num_test")
    known = [draw_people(1, _random(seed, _PERSON, number)) for number in range(people)]
    x_train, y_train = _draw(train, signs, size, (seed, _TRAIN), known, 0.0)
    stream = (seed, _SEEN if seen else _UNSEEN)
    x_test, y_test = _draw(test, signs, size, stream, known if seen else None, harder)
    return Dataset(
        name="letters",
        x_train=x_train,
        y_train=y_train,
        x_test=x_test,
        y_test=y_test,
        classes=tuple(letters),
        source=f"generated pictures of {people} people's hands that sign a letter, {size} x {size} pixels; "
        f"held out are {'other pictures of them' if seen else 'other people'}",
        embedded=True,
    )


def _random(*words: int) -> np.random.RandomState:
    """A generator whose stream is frozen for good (NEP 19)."""
    return np.random.RandomState(np.random.SeedSequence(words).generate_state(4))


def _draw(
    count: int,
    signs: npt.NDArray[np.int64],
    size: int,
    stream: tuple[int, int],
    known: list[People] | None,
    shift: float,
) -> tuple[UInt8, npt.NDArray[np.int64]]:
    """Draw `count` images of `known` people, or of strangers, in blocks, each from a seed of its own."""
    x = np.empty((count, 3, size, size), dtype=np.uint8)
    y = np.empty(count, dtype=np.int64)
    everybody = None if known is None else _together(known)
    for start in range(0, count, _BLOCK):
        random = _random(*stream, start)
        # Letters take turns, from block to block too, so that all are equally frequent.
        labels = random.permutation(np.arange(start, start + _BLOCK) % len(signs)).astype(np.int64)
        if everybody is None:
            somebody = draw_people(_BLOCK, random, 1.0 + 0.25 * shift)
        else:
            somebody = everybody.of(np.arange(start, start + _BLOCK) % len(everybody.scale))
        images = _images(signs[labels], somebody, size, random, shift)
        rows = slice(start, min(start + _BLOCK, count))
        x[rows], y[rows] = images[: rows.stop - start], labels[: rows.stop - start]
    return x, y


def _together(known: list[People]) -> People:
    """Several people as one table."""
    return People(**{name: np.concatenate([getattr(one, name) for one in known]) for name in vars(known[0])})


def _images(
    signs: npt.NDArray[np.int64], people: People, size: int, random: np.random.RandomState, shift: float
) -> UInt8:
    """Hands on a dark ground, lit, blurred, with the noise of a camera: (n, 3, size, size)."""
    n = len(signs)
    height, cover = hands.height_field(draw_hands(signs, people, random), size)
    shade = _shade(height, size, random, shift)
    skin = _skin(people.tone) * np.exp(0.03 * random.normal(size=(n, 3)))
    skin *= random.uniform(0.90 - 0.20 * shift, 1.15, size=(n, 1))  # exposure
    ground = random.uniform(0.0, 0.06 + 0.10 * shift, size=(n, 1)) * np.exp(0.1 * random.normal(size=(n, 3)))
    hand, paper = (each.astype(np.float32)[:, :, np.newaxis, np.newaxis] for each in (skin, ground))
    pictures = paper + cover[:, np.newaxis] * (hand * shade[:, np.newaxis] - paper)
    pictures = _blurred(pictures, random.uniform(0.0, 0.8, size=n))
    grain = random.normal(size=(n, 3, size, size)) * random.uniform(0.01, 0.03, size=(n, 1, 1, 1))
    pictures = np.clip(pictures + grain.astype(np.float32), 0.0, 1.0)
    return np.asarray(np.rint(pictures * np.float32(255.0)), dtype=np.uint8)


def _shade(height: Float32, size: int, random: np.random.RandomState, shift: float) -> Float32:
    """Light from everywhere, and by Lambert's law from one of the lamps: (n, size, size)."""
    n = len(height)
    lamp = np.ones((n, 3))
    lamp[:, :2] = _LAMPS[random.randint(0, len(_LAMPS), size=n)]
    lamp[:, :2] += (0.15 + 0.25 * shift) * random.normal(size=(n, 2))
    lamp /= np.sqrt((lamp**2).sum(axis=1, keepdims=True))
    lamp_x, lamp_y, lamp_z = lamp.T.astype(np.float32)[:, :, np.newaxis, np.newaxis]
    ambient = random.uniform(0.35, 0.60, size=(n, 1, 1)).astype(np.float32)
    padded = np.pad(height, ((0, 0), (1, 1), (1, 1)), mode="edge")
    slope = np.float32(size / 4.0)  # central differences; two pixels are 4 / size wide
    right = np.clip((padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2]) * slope, -2.0, 2.0)
    down = np.clip((padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1]) * slope, -2.0, 2.0)
    facing = (lamp_z - lamp_x * right - lamp_y * down) / np.sqrt(1.0 + right * right + down * down)
    return np.asarray(ambient + (1.0 - ambient) * np.maximum(facing, 0.0), dtype=np.float32)


def _skin(tone: Float64) -> Float64:
    """Red, green and blue of the skin, (n, 3), for tones from 0 to 1."""
    place = tone * (len(_SKIN) - 1)
    before = np.minimum(place.astype(int), len(_SKIN) - 2)
    part = (place - before)[:, np.newaxis]
    return np.asarray(_SKIN[before] * (1.0 - part) + _SKIN[before + 1] * part)


def _blurred(pictures: Float32, strength: Float64) -> Float32:
    """Each of (n, C, H, W) mixed with its average over 3 x 3 pixels: 0 leaves it as it is."""
    size = pictures.shape[-1]
    padded = np.pad(pictures, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge")
    rows = padded[:, :, :size] + padded[:, :, 1 : size + 1] + padded[:, :, 2:]
    soft = (rows[..., :size] + rows[..., 1 : size + 1] + rows[..., 2:]) / np.float32(9.0)
    share = strength.astype(np.float32)[:, np.newaxis, np.newaxis, np.newaxis]
    return np.asarray(pictures + share * (soft - pictures), dtype=np.float32)
