"""Captioned scenes, drawn by code: coloured shapes in groups, and sentences that say what is where.

A scene holds one group of one to three equal shapes, or two groups of which one is above or to the left of
the other. Its captions come from a small grammar (`datasets/captioned_scenes/card.md` lists it), and each
word that describes a group knows which.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from autograder.datasets.captions import SPECIAL, encode

Float32 = npt.NDArray[np.float32]

SHAPES = ("circle", "square", "triangle", "cross", "ring")
COLOURS = {
    "red": (0.84, 0.14, 0.13),
    "green": (0.14, 0.62, 0.20),
    "blue": (0.13, 0.33, 0.85),
    "yellow": (0.95, 0.78, 0.08),
    "purple": (0.58, 0.20, 0.68),
    "black": (0.08, 0.08, 0.08),
}
RADII = {"small": 0.085, "large": 0.150}
"""Half of a shape's width, as a share of the picture's."""
UNSEEN = (
    ("red", "ring"),
    ("green", "triangle"),
    ("blue", "cross"),
    ("yellow", "circle"),
    ("purple", "square"),
)
"""Combinations that no training scene holds, though it holds each of these colours and shapes."""

NUM_CAPTIONS, MAX_LENGTH = 5, 16
_SIZE_WORDS = {"small": ("small", "little"), "large": ("large", "big")}
_NUMBERS = ("a", "two", "three")
_PLURALS = {shape: shape + ("es" if shape.endswith("s") else "s") for shape in SHAPES}
_RELATIONS = {
    "above": ("above", "over"),
    "below": ("below", "under"),
    "left": ("left of", "to the left of"),
    "right": ("right of", "to the right of"),
}
_INVERSE = {"above": "below", "left": "right"}
_ONE_GROUP = ("{A}", "there {is_A} {A}", "the picture shows {A}", "{A} in the picture", "we see {A}")
_TWO_GROUPS = (
    "{A} {rel} {B}",
    "{B} {inverse} {A}",
    "there {is_A} {A} {rel} {B}",
    "{B} {is_B} {inverse} {A}",
    "the picture shows {A} and {B}",
    "we see {A} {rel} {B}",
)
VOCABULARY = (
    *SPECIAL,
    *_NUMBERS,
    *(word for words in _SIZE_WORDS.values() for word in words),
    *COLOURS,
    *SHAPES,
    *_PLURALS.values(),
    *("above", "over", "below", "under", "left", "right", "of", "to", "the"),
    *("there", "is", "are", "picture", "shows", "in", "we", "see", "and"),
)
_ONE_GROUP_SHARE, _SIZE_NAMED_SHARE = 0.3, 0.8


@dataclass(frozen=True)
class Group:
    """One to three equal shapes. Lengths are shares of the picture's side, x to the right, y downwards."""

    shape: str
    colour: str
    size: str
    places: tuple[tuple[float, float], ...]
    """The centre (x, y) of each shape."""
    radius: float

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom of what the group covers."""
        xs, ys = zip(*self.places, strict=True)
        r = self.radius
        return min(xs) - r, min(ys) - r, max(xs) + r, max(ys) + r


@dataclass(frozen=True)
class Scene:
    """What is in a picture, and what is said of it."""

    groups: tuple[Group, ...]
    relation: str | None
    """"above" or "left": where the first group is, seen from the second; None for a single group."""
    captions: tuple[tuple[str, ...], ...]
    """The words of each of the five captions."""
    mentions: tuple[tuple[int, ...], ...]
    """For each word of each caption the group that it describes, 0 or 1; -1 for the other words."""


@dataclass(frozen=True)
class Scenes:
    """N drawn scenes."""

    scenes: tuple[Scene, ...]
    images: Float32
    """(N, 3, size, size) in 0..1."""
    captions: npt.NDArray[np.int64]
    """(N, 5, 16) token numbers in `VOCABULARY`: <START>, words, <END>, then <NULL>."""


def draw_scenes(
    count: int,
    seed: tuple[int, ...],
    *,
    size: int = 48,
    unseen: bool = False,
    groups: Literal[1, 2] | None = None,
) -> Scenes:
    """Draw `count` scenes; the first ones are the same however many follow.

    `groups` says how many groups each scene has; None for some of either kind. With `unseen` each scene holds
    a group of a colour and shape that stand in `UNSEEN`, without it none does.
    Equal seeds give equal scenes on every machine.
    """
    scenes: list[Scene] = []
    images = np.empty((count, 3, size, size), dtype=np.float32)
    for n in range(count):
        words = np.random.SeedSequence([*seed, n]).generate_state(4)
        random = np.random.RandomState(words)  # its stream is frozen for good (NEP 19)
        scenes.append(_compose(random, unseen, groups))
        images[n] = _paint(scenes[-1].groups, size, random)
    captions = encode([scene.captions for scene in scenes], VOCABULARY, MAX_LENGTH)
    return Scenes(tuple(scenes), images, captions.reshape(count, NUM_CAPTIONS, MAX_LENGTH))


# --- what is in a scene


def _compose(random: np.random.RandomState, unseen: bool, wanted: int | None) -> Scene:
    alone = random.uniform() < {None: _ONE_GROUP_SHARE, 1: 1.0, 2: 0.0}[wanted]
    relation = None if alone else ("above", "left")[random.randint(2)]
    kinds = [_kind(random, unseen)]
    while relation is not None and len(kinds) < 2:
        other = _kind(random, unseen=False)
        if other != kinds[0]:  # two equal groups would be one
            kinds.append(other)
    if len(kinds) == 2 and random.uniform() < 0.5:
        kinds.reverse()
    counts = [1 + random.randint(3) for _ in kinds]
    sizes = [("small", "large")[random.randint(2)] for _ in kinds]
    places = _places(random, relation, counts)
    groups = tuple(
        _group(random, *kind, size, spots) for kind, size, spots in zip(kinds, sizes, places, strict=True)
    )
    captions, mentions = _describe(random, groups, relation)
    return Scene(groups, relation, captions, mentions)


def _kind(random: np.random.RandomState, unseen: bool) -> tuple[str, str]:
    """A colour and a shape: one of `UNSEEN`, or any other pair."""
    if unseen:
        return UNSEEN[random.randint(len(UNSEEN))]
    while True:
        kind = list(COLOURS)[random.randint(len(COLOURS))], SHAPES[random.randint(len(SHAPES))]
        if kind not in UNSEEN:
            return kind


def _places(
    random: np.random.RandomState, relation: str | None, counts: list[int]
) -> list[list[tuple[float, float]]]:
    """A slot of the picture for each shape: nine of them for one group, three in each half for two."""
    if relation is None:
        spots = random.permutation(9)[: counts[0]]
        return [[(1 / 6 + (s % 3) / 3, 1 / 6 + (s // 3) / 3) for s in spots.tolist()]]
    while True:
        slots = [np.sort(random.permutation(3)[:count]) for count in counts]
        # Seen along the other axis the two groups are no further apart than a slot: there, the word that is
        # not said ("left" where "above" is) would be the worse one.
        if abs(slots[0].mean() - slots[1].mean()) <= 1:
            break
    along = [[1 / 6 + slot / 3 for slot in of_group.tolist()] for of_group in slots]
    if relation == "above":
        return [[(place, 0.25 + 0.5 * g) for place in along[g]] for g in range(2)]
    return [[(0.25 + 0.5 * g, place) for place in along[g]] for g in range(2)]


def _group(
    random: np.random.RandomState, colour: str, shape: str, size: str, spots: list[tuple[float, float]]
) -> Group:
    radius = RADII[size] * float(random.uniform(0.92, 1.08))
    room = max(1 / 6 - radius - 0.01, 0.0)  # shapes stay in their slots, and so apart from each other
    moved = [(x + random.uniform(-room, room), y + random.uniform(-room, room)) for x, y in spots]
    return Group(shape, colour, size, tuple((float(x), float(y)) for x, y in moved), radius)


# --- what is said of it


def _describe(
    random: np.random.RandomState, groups: tuple[Group, ...], relation: str | None
) -> tuple[tuple[tuple[str, ...], ...], tuple[tuple[int, ...], ...]]:
    """Five captions from five different sentence patterns, and the group each of their words describes."""
    patterns = _ONE_GROUP if relation is None else _TWO_GROUPS
    captions, mentions = [], []
    for index in random.permutation(len(patterns))[:NUM_CAPTIONS].tolist():
        caption: list[str] = []
        mention: list[int] = []
        for part in patterns[index].split():
            named = {"{A}": 0, "{B}": 1}.get(part, -1)
            if named >= 0:
                added = _noun_phrase(random, groups[named])
            elif part in ("{is_A}", "{is_B}"):
                added = ["is" if len(groups[int(part == "{is_B}")].places) == 1 else "are"]
            elif relation is not None and part in ("{rel}", "{inverse}"):
                said = relation if part == "{rel}" else _INVERSE[relation]
                added = _RELATIONS[said][random.randint(2)].split()
            else:
                added = [part]
            caption += added
            mention += [named] * len(added)
        captions.append(tuple(caption))
        mentions.append(tuple(mention))
    return tuple(captions), tuple(mentions)


def _noun_phrase(random: np.random.RandomState, group: Group) -> list[str]:
    """Number, perhaps size, colour, shape: "two little red rings"."""
    count = len(group.places)
    size = _SIZE_WORDS[group.size][random.randint(2)]
    sized = random.uniform() < _SIZE_NAMED_SHARE
    noun = group.shape if count == 1 else _PLURALS[group.shape]
    return [_NUMBERS[count - 1], *([size] if sized else []), group.colour, noun]


# --- the picture


def _distance(shape: str, x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """How far outside of a shape of half-width 1 a point (x, y) is, roughly; negative inside."""
    if shape == "square":
        return np.maximum(np.abs(x), np.abs(y)) - 0.9
    if shape == "triangle":  # its tip is up: two slanted sides and a base
        return np.maximum((2 * np.abs(x) - y - 1) / 5**0.5, y - 0.85)
    if shape == "cross":
        upright = np.maximum(np.abs(x) - 0.32, np.abs(y) - 1)
        level = np.maximum(np.abs(y) - 0.32, np.abs(x) - 1)
        return np.asarray(np.minimum(upright, level))
    from_centre = np.sqrt(x * x + y * y)
    return np.asarray(np.abs(from_centre - 0.75) - 0.25 if shape == "ring" else from_centre - 1)


def _paint(groups: tuple[Group, ...], size: int, random: np.random.RandomState) -> Float32:
    """The picture: paper with a slant of light, shapes with soft edges, the grain of a camera."""
    middle = (np.arange(size) + 0.5) / size
    slant = random.uniform(-0.06, 0.06, size=2)
    light = random.uniform(0.84, 0.96) + slant[0] * (middle - 0.5) + slant[1] * (middle[:, None] - 0.5)
    picture = light * (1 + random.uniform(-0.02, 0.02, size=(3, 1, 1)))
    for group in groups:
        ink = np.array(COLOURS[group.colour]) * random.uniform(0.9, 1.08) + random.uniform(-0.03, 0.03, 3)
        for x, y in group.places:
            outside = group.radius * _distance(
                group.shape, (middle[None] - x) / group.radius, (middle[:, None] - y) / group.radius
            )
            cover = np.clip(0.5 - outside * size, 0.0, 1.0)
            picture = picture + cover * (ink[:, None, None] - picture)
    picture = picture + random.normal(scale=0.02, size=picture.shape)
    # Eight bits, as a camera gives them. It also hides in which last digit of a float machines differ.
    return np.asarray(np.rint(np.clip(picture, 0.0, 1.0) * 255.0) / 255.0, dtype=np.float32)


# --- what a fixed bank of filters sees in it


def grid_features(images: Float32, cells: int = 6) -> Float32:
    """Features of each part of a picture: (N, 3, size, size) -> (N, 16, cells, cells), from 0 to 1.

    They stand in for the feature maps of a trained network. Six channels say how much of a cell has each
    colour, ten how well one of the five shapes in one of the two sizes matches somewhere in the cell, by
    normalised cross-correlation with its outline. `size` must be a multiple of 2 * cells.
    """
    count, _, size, _ = images.shape
    palette = np.array(list(COLOURS.values()), dtype=np.float32)
    templates, reach = _templates(size)
    features = np.empty((count, len(palette) + len(templates), cells, cells), dtype=np.float32)
    for start in range(0, count, 64):  # blocks whose windows fit into memory
        block = images[start : start + 64]
        sides = block[:, :, 0], block[:, :, -1], block[:, :, :, 0], block[:, :, :, -1]
        paper = np.median(np.concatenate(sides, axis=2), axis=2)[:, :, None, None]
        contrast = np.abs(block - paper).max(axis=1)
        ink = np.clip((contrast - 0.2) * 4, 0, 1)
        gap = ((block[:, None] - palette[None, :, :, None, None]) ** 2).sum(axis=2)
        nearest = gap.argmin(axis=1)[:, None] == np.arange(len(palette))[None, :, None, None]
        colours = nearest * np.maximum(1 - gap / 0.12, 0.0)  # soft edges are mixtures: like none of them
        per = size // cells
        mean = colours.reshape(len(block), len(palette), cells, per, cells, per).mean(axis=(3, 5))

        padded = np.pad(ink, ((0, 0), (reach, reach), (reach, reach)))
        side = 2 * reach + 1
        windows = np.lib.stride_tricks.sliding_window_view(padded, (side, side), axis=(1, 2))[:, ::2, ::2]
        rows = windows.reshape(-1, side * side)
        rows = rows - rows.mean(axis=1, keepdims=True)
        strength = np.sqrt((rows * rows).sum(axis=1, keepdims=True))
        match = (rows @ templates.T) / np.maximum(strength, 1.0)
        match = np.maximum(match, 0.0) ** 6  # the best template stands out
        half = size // 2
        maps = match.reshape(len(block), cells, half // cells, cells, half // cells, len(templates))
        best = maps.max(axis=(2, 4)).transpose(0, 3, 1, 2)
        features[start : start + 64] = np.concatenate([np.minimum(3 * mean, 1.0), best], axis=1)
    return features


def _templates(size: int) -> tuple[Float32, int]:
    """The shapes in both sizes as rows with mean 0 and length 1, and half the side of their windows."""
    reach = int(np.ceil(RADII["large"] * size)) + 2
    offset = np.arange(-reach, reach + 1)
    rows = []
    for radius in (RADII[name] * size for name in ("small", "large")):
        for shape in SHAPES:
            outside = radius * _distance(shape, offset[None] / radius, offset[:, None] / radius)
            cover = np.clip(0.5 - outside, 0.0, 1.0).ravel()
            cover -= cover.mean()
            rows.append(cover / np.sqrt((cover * cover).sum()))
    return np.array(rows, dtype=np.float32), reach
