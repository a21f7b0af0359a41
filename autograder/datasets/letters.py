"""Hands that sign a letter of American Sign Language's manual alphabet: the poses, and whose hands they are.

Two things decide what a hand looks like. The *letter* says what the fingers do; the *person* says how long
and thick they are, how far a fold is folded, how the wrist is held and where in the picture the hand stands.
Pictures of one person are alike in all of the latter, which is what makes unseen people hard.

Palm to the viewer, thumb to the right, as `hands` has it, whose capsules and height field are used. J and Z
are movements and have no picture. Poses are computed in float64.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from autograder.datasets.hands import Capsules, Float64
from autograder.datasets.model import DatasetError

ALPHABET = "abcdefghiklmnopqrstuvwxy"
"""The letters that stand still."""

# Hand coordinates as in `hands`. Index, middle, ring and little finger, in this order:
_KNUCKLES = np.array([[0.29, 0.97], [0.09, 1.02], [-0.12, 0.97], [-0.31, 0.85]])
_LENGTHS = np.array([0.82, 0.91, 0.84, 0.66])
_RADII = np.array([0.118, 0.122, 0.114, 0.100])
_SHARES = np.array([0.46, 0.30, 0.24])  # of a finger's length, for its three segments
_FAN = np.array([8.0, 1.0, -6.0, -15.0])  # degrees from upright in the plane of the palm, at a spread of 1
_THUMB_RADII = np.array([0.180, 0.140, 0.120, 0.100])
_PALM = np.array([[0.11, 0.10, 0.0], [0.04, 0.07, 0.0], [-0.04, 0.07, 0.0], [-0.11, 0.10, 0.0]])

# How far the three segments of a finger are bent towards the viewer, in degrees from the plane of the palm.
_UP = (3.0, 7.0, 11.0)
_FIST = (74.0, 168.0, 224.0)
_CLAW = (66.0, 176.0, 246.0)  # the tips stand on the thumb
_DROOP = (82.0, 150.0, 186.0)  # over a thumb that lies underneath
_ROUND = (34.0, 82.0, 128.0)
_OPEN = (22.0, 56.0, 88.0)
_PINCH = (54.0, 120.0, 156.0)
_HOOK = (14.0, 96.0, 158.0)
_LEAN = (30.0, 36.0, 42.0)


@dataclass(frozen=True)
class _Letter:
    """What the fingers and the wrist do."""

    bends: tuple[tuple[float, ...], ...]
    """For each finger its three segments."""
    thumb: tuple[float, float, float]
    """Where the thumb's tip is; with `meets`, from the tip of that finger."""
    meets: int = -1
    spread: float = 1.0
    aside: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    """Degrees for each finger, beside the fan's."""
    roll: float = 0.0
    """Degrees in the picture, counter-clockwise as seen."""
    turn: float = 0.0
    """Degrees about the axis of the forearm: a C is seen from its side."""


_BESIDE, _OVER, _ACROSS = (0.47, 0.96, 0.12), (0.02, 0.70, 0.40), (-0.10, 0.62, 0.16)
_OUT, _TUCKED = (1.02, 0.72, 0.06), (0.16, 0.72, 0.34)
_LETTERS = {
    "a": _Letter((_FIST, _FIST, _FIST, _FIST), _BESIDE),
    "b": _Letter((_UP, _UP, _UP, _UP), _ACROSS, spread=0.25),
    "c": _Letter((_OPEN, _OPEN, _OPEN, _OPEN), (0.66, 0.62, 0.62), spread=0.2, turn=58.0),
    "d": _Letter((_UP, _ROUND, _ROUND, _ROUND), (0.02, -0.05, 0.02), meets=1, turn=18.0),
    "e": _Letter((_CLAW, _CLAW, _CLAW, _CLAW), (-0.04, 0.58, 0.30), spread=0.4),
    "f": _Letter((_PINCH, _UP, _UP, _UP), (0.02, -0.06, 0.03), meets=0, spread=1.4),
    "g": _Letter((_UP, _FIST, _FIST, _FIST), (0.50, 1.22, 0.16), roll=84.0, turn=12.0),
    "h": _Letter((_UP, _UP, _FIST, _FIST), _TUCKED, spread=0.2, roll=84.0, turn=12.0),
    "i": _Letter((_FIST, _FIST, _FIST, _UP), _OVER),
    "k": _Letter((_UP, _LEAN, _FIST, _FIST), (0.24, 1.16, 0.26), spread=1.5, aside=(0.0, -6.0, 0.0, 0.0)),
    "l": _Letter((_UP, _FIST, _FIST, _FIST), _OUT),
    "m": _Letter((_DROOP, _DROOP, _DROOP, _FIST), (-0.24, 0.84, 0.12), spread=0.5),
    "n": _Letter((_DROOP, _DROOP, _FIST, _FIST), (-0.03, 0.90, 0.14), spread=0.5),
    "o": _Letter((_ROUND, _ROUND, _ROUND, _ROUND), (0.02, -0.04, 0.02), meets=0, spread=0.2, turn=50.0),
    "p": _Letter((_UP, _LEAN, _FIST, _FIST), (0.24, 1.12, 0.28), spread=1.5, roll=122.0, turn=-16.0),
    "q": _Letter((_UP, _FIST, _FIST, _FIST), (0.56, 1.20, 0.20), roll=150.0, turn=-12.0),
    "r": _Letter((_UP, _UP, _FIST, _FIST), _OVER, aside=(-17.0, 9.0, 0.0, 0.0)),
    "s": _Letter((_FIST, _FIST, _FIST, _FIST), (-0.02, 0.74, 0.46)),
    "t": _Letter((_FIST, _FIST, _FIST, _FIST), (0.20, 1.10, 0.36)),
    "u": _Letter((_UP, _UP, _FIST, _FIST), _OVER, spread=0.15),
    "v": _Letter((_UP, _UP, _FIST, _FIST), _OVER, spread=1.8),
    "w": _Letter((_UP, _UP, _UP, _FIST), (-0.20, 0.60, 0.36), spread=1.7),
    "x": _Letter((_HOOK, _FIST, _FIST, _FIST), _OVER, turn=14.0),
    "y": _Letter((_FIST, _FIST, _FIST, _UP), _OUT, spread=1.3),
}
assert "".join(_LETTERS) == ALPHABET

_BENDS = np.array([letter.bends for letter in _LETTERS.values()])  # (24, 4, 3)
_THUMBS = np.array([letter.thumb for letter in _LETTERS.values()])  # (24, 3)
_MEETS = np.array([letter.meets for letter in _LETTERS.values()])
_SPREADS = np.array([letter.spread for letter in _LETTERS.values()])
_ASIDES = np.array([letter.aside for letter in _LETTERS.values()])
_ROLLS = np.array([letter.roll for letter in _LETTERS.values()])
_TURNS = np.array([letter.turn for letter in _LETTERS.values()])


@dataclass(frozen=True)
class People:
    """Whose hands: all that pictures of one person have in common, for n people."""

    lengths: Float64
    """(n, 4) factors of the fingers' lengths."""
    thickness: Float64
    """(n,) factor of all radii."""
    palm: Float64
    """(n, 2) factors of its width and height."""
    thumb: Float64
    """(n,) length of the thumb's bones."""
    spread: Float64
    """(n,) factor of the angles between fingers."""
    curl: Float64
    """(n, 4) degrees by which each finger is bent more."""
    accent: Float64
    """(n, 24, 4) degrees by which each finger is bent more in one letter."""
    reach: Float64
    """(n, 24, 3) where the thumb's tip goes in one letter, from where it should."""
    wrist: Float64
    """(n, 3) roll, turn and nod in degrees."""
    scale: Float64
    """(n,) size in the picture."""
    place: Float64
    """(n, 2) position in the picture."""
    tone: Float64
    """(n,) of the skin, 0 to 1."""

    def of(self, who: npt.NDArray[np.int64]) -> People:
        """The people with these numbers, in this order, again and again if need be."""
        return People(**{each.name: getattr(self, each.name)[who] for each in fields(self)})


def draw_people(n: int, random: np.random.RandomState, variety: float = 1.0) -> People:
    """`n` people. `variety` scales how they differ in how they hold their hand and where."""
    normal = random.normal
    return People(
        lengths=np.exp(0.05 * normal(size=(n, 1)) + 0.03 * normal(size=(n, 4))),
        thickness=np.exp(0.10 * normal(size=n)),
        palm=np.exp(0.05 * normal(size=(n, 2))),
        thumb=0.36 * np.exp(0.05 * normal(size=n)),
        spread=np.exp(0.18 * normal(size=n)),
        curl=3.0 * normal(size=(n, 4)),
        accent=4.0 * normal(size=(n, len(ALPHABET), 4)),
        reach=0.030 * normal(size=(n, len(ALPHABET), 3)),
        wrist=variety * np.array([9.0, 7.0, 6.0]) * normal(size=(n, 3)),
        scale=0.78 * np.exp(variety * 0.10 * normal(size=n)),
        place=variety * 0.10 * normal(size=(n, 2)),
        tone=random.uniform(size=n),
    )


def draw_hands(letters: npt.NDArray[np.int64], people: People, random: np.random.RandomState) -> Capsules:
    """The hands of `people` (n of them) that sign `letters`, (n,), in picture coordinates: x to the right and
    y down, both from -1 to 1. No two pictures of the same person and letter are alike.
    """
    n = len(letters)
    rows = np.arange(n)

    def jitter(scale: float, *shape: int) -> Float64:
        return scale * random.normal(size=(n, *shape))

    knuckles = np.zeros((n, 4, 3))
    knuckles[:, :, :2] = _KNUCKLES * people.palm[:, np.newaxis]
    fan = _FAN * (_SPREADS[letters] * people.spread * np.exp(jitter(0.08)))[:, np.newaxis]
    aside = np.radians(fan + _ASIDES[letters] + jitter(1.5, 4) + jitter(2.0, 1))
    more = people.curl + people.accent[rows, letters] + jitter(3.0, 4)
    bend = np.radians(_BENDS[letters] + more[:, :, np.newaxis] + jitter(2.0, 4, 3))
    along = np.stack([np.sin(aside), np.cos(aside), np.zeros((n, 4))], axis=-1)[:, :, np.newaxis]
    steps = np.cos(bend)[..., np.newaxis] * along
    steps[..., 2] += np.sin(bend)
    steps *= ((_LENGTHS * people.lengths)[:, :, np.newaxis] * _SHARES)[..., np.newaxis]
    joints = np.concatenate([knuckles[:, :, np.newaxis], steps], axis=2).cumsum(axis=2)  # (n, 4, 4, 3)
    thumb = _thumb(letters, joints, people, jitter(0.015, 3))

    starts = [np.broadcast_to(_PALM, (n, 4, 3)), *(joints[:, :, k] for k in range(3)), thumb[:, :3]]
    ends = [knuckles, *(joints[:, :, k + 1] for k in range(3)), thumb[:, 1:]]
    taper = [_RADII * (1.0 - 0.08 * k) for k in range(3)]
    first = [np.full(4, 0.18), *taper, _THUMB_RADII[:3]]
    last = [1.2 * _RADII, *(0.92 * radii for radii in taper), _THUMB_RADII[1:]]
    flatness = [np.full(4, 0.45), np.ones(12), np.array([0.6, 1.0, 1.0])]
    # The wrist, which is cut off below the hand.
    starts.append(np.broadcast_to([0.0, 0.10, -0.05], (n, 1, 3)))
    ends.append(np.broadcast_to([0.0, -0.22, -0.05], (n, 1, 3)))
    first.append(np.array([0.24]))
    last.append(np.array([0.22]))
    flatness.append(np.array([0.7]))
    thickness = people.thickness[:, np.newaxis]
    hands = Capsules(
        np.concatenate(starts, axis=1),
        np.concatenate(ends, axis=1),
        np.concatenate(first) * thickness,
        np.concatenate(last) * thickness,
        np.concatenate(flatness),
    )
    wrist = people.wrist + jitter(1.0, 3) * np.array([5.0, 5.0, 4.0])
    wrist[:, 0] += _ROLLS[letters]
    wrist[:, 1] += _TURNS[letters]
    scale = people.scale * np.exp(jitter(0.06))
    return _placed(hands, joints, wrist, scale, people.place + jitter(0.08, 2))


def _thumb(letters: npt.NDArray[np.int64], joints: Float64, people: People, noise: Float64) -> Float64:
    """The thumb's base, two joints and tip, (n, 4, 3): two bones of fixed length reach for the tip's place,
    and bend outwards as far as they are too long for it.
    """
    n = len(letters)
    rows = np.arange(n)
    goal = _THUMBS[letters] + people.reach[rows, letters] + noise
    met = _MEETS[letters]
    goal = np.where((met >= 0)[:, np.newaxis], goal + joints[rows, np.maximum(met, 0), 3], goal)
    base = np.broadcast_to([0.20, 0.20, 0.06], (n, 3)) * np.append(people.palm, np.ones((n, 1)), axis=1)
    knuckle = 0.78 * np.array([0.47, 0.50, 0.08]) + 0.22 * goal
    span = goal - knuckle
    reach = np.sqrt((span**2).sum(axis=1, keepdims=True))
    slack = np.sqrt(np.maximum(people.thumb[:, np.newaxis] ** 2 - (reach / 2.0) ** 2, 0.0))
    slack = np.minimum(slack, 0.12)
    outward = np.stack([span[:, 1], -span[:, 0], np.full(n, 0.25)], axis=1)
    outward *= np.where(outward[:, :1] < 0.0, -1.0, 1.0)  # towards the thumb's side of the hand
    outward /= np.sqrt((outward**2).sum(axis=1, keepdims=True))
    bent = knuckle + 0.52 * span + (0.02 + slack) * outward
    return np.asarray(np.stack([base, knuckle, bent, goal], axis=1))


def _placed(hands: Capsules, joints: Float64, wrist: Float64, scale: Float64, place: Float64) -> Capsules:
    """Turned by roll, turn and nod, (n, 3) in degrees; centred as a photographer would; scaled and moved."""
    roll, turn, nod = np.radians(wrist).T
    rotation = _rotation(roll, 0, 1) @ _rotation(turn, 0, 2) @ _rotation(nod, 1, 2)

    def turned(points: Float64) -> Float64:
        return np.asarray(np.einsum("nij,nkj->nki", rotation, points))

    start, end = turned(hands.start), turned(hands.end)
    # The middle of the hand's outline, so that a sign is in the picture whatever its wrist does.
    points = np.concatenate([start, end, turned(joints.reshape(len(joints), -1, 3))], axis=1)[:, :, :2]
    middle = np.zeros((len(points), 1, 3))
    low, high = points.min(axis=1), points.max(axis=1)
    middle[:, 0, :2] = (low + high) / 2.0
    # A photographer goes nearer to a fist than to an open hand, though not so near that both are as large.
    scale = scale * np.sqrt(1.7 / (high - low).max(axis=1))
    factor = scale[:, np.newaxis]

    def moved(points: Float64) -> Float64:
        at = (points - middle) * factor[:, :, np.newaxis]
        at[:, :, 1] *= -1.0  # rows are counted from above
        at[:, :, :2] += place[:, np.newaxis]
        return np.asarray(at)

    return Capsules(
        moved(start), moved(end), hands.start_radius * factor, hands.end_radius * factor, hands.flatness
    )


def _rotation(angle: Float64, first: int, second: int) -> Float64:
    """Rotations by `angle`, (n,), in the plane of two axes, as matrices (n, 3, 3)."""
    matrix = np.tile(np.eye(3), (len(angle), 1, 1))
    matrix[:, first, first] = matrix[:, second, second] = np.cos(angle)
    matrix[:, first, second], matrix[:, second, first] = -np.sin(angle), np.sin(angle)
    return np.asarray(matrix)


def chosen_letters(letters: str) -> npt.NDArray[np.int64]:
    """Return the places of `letters` in the alphabet, or raise `DatasetError` unless they are different
    letters of it.
    """
    known = isinstance(letters, str) and letters and set(letters) <= set(ALPHABET)
    if not known or len(set(letters)) < len(letters):
        raise DatasetError(f"letters must be different ones of {ALPHABET!r}, not {letters!r}.")
    return np.array([ALPHABET.index(letter) for letter in letters], dtype=np.int64)


def chosen_part(held_out: str) -> str:
    """Return `held_out`, or raise `DatasetError` unless it is "hands" or "images"."""
    if held_out not in ("hands", "images"):
        raise DatasetError(f'held_out must be "hands" or "images", not {held_out!r}.')
    return held_out


def checked_share(value: float, what: str) -> float:
    """Return `value`, or raise `DatasetError` unless it is a number between 0 and 1."""
    number = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    if not (number and 0.0 <= value <= 1.0):
        raise DatasetError(f"{what} must be a number between 0 and 1, not {value!r}.")
    return float(value)
