"""Pictures of hands that sign a digit, drawn by code: a skeleton, its pose, and a height field that is lit.

The signs are those of American Sign Language as in the sign-language digits of the Ayrancı Anadolu high
school: palm to the viewer, and for 6 to 9 the thumb meets the little, ring, middle or index finger.

Everything is vectorised over images. A pose is computed in float64; what runs over pixels is float32 and
uses nothing but sums, products, quotients and square roots, whose rounding is the same on every machine.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]
Float32 = npt.NDArray[np.float32]

# Hand coordinates: origin at the wrist, x towards the thumb, y towards the fingers, z towards the viewer;
# the unit is the length of the palm. Index, middle, ring and little finger, in this order:
_KNUCKLES = np.array([[0.30, 0.98], [0.09, 1.03], [-0.13, 0.97], [-0.33, 0.84]])
_LENGTHS = np.array([0.80, 0.90, 0.83, 0.64])
_RADII = np.array([0.115, 0.120, 0.112, 0.097])
_SEGMENTS = np.array([0.46, 0.30, 0.24])  # shares of a finger's length
_SPREAD = np.array([9.0, 1.0, -7.0, -17.0])  # degrees from upright, in the plane of the palm
_THUMB_BASE = np.array([0.20, 0.20, 0.06])
_THUMB_RADII = (0.175, 0.135, 0.115, 0.095)

# How far the three segments of a finger are bent towards the viewer, in degrees from the plane of the palm.
_STRAIGHT = np.array([4.0, 9.0, 13.0])
_FOLDED = np.array([72.0, 166.0, 222.0])
_TOUCHING = np.array([52.0, 122.0, 158.0])
_ROUND = np.array([30.0, 80.0, 124.0])
_THUMB_OUT, _THUMB_ACROSS, _THUMB_OVER, _THUMB_MEETS = range(4)


@dataclass(frozen=True)
class _Sign:
    """What each finger does, and what the thumb does (`finger`: the one that it meets or lies over)."""

    bends: tuple[Float64, Float64, Float64, Float64]
    thumb: int
    finger: int = 1
    turn: float = 0.0
    """Degrees about the vertical axis: a zero is seen from its side."""
    spread: float = 1.0


_S, _F, _T, _R = _STRAIGHT, _FOLDED, _TOUCHING, _ROUND
_SIGNS = (
    _Sign((_R, _R, _R, _R), _THUMB_MEETS, 0, turn=66.0, spread=0.2),
    _Sign((_S, _F, _F, _F), _THUMB_OVER, 1),
    _Sign((_S, _S, _F, _F), _THUMB_OVER, 2, spread=1.5),
    _Sign((_S, _S, _F, _F), _THUMB_OUT, spread=1.5),
    _Sign((_S, _S, _S, _S), _THUMB_ACROSS),
    _Sign((_S, _S, _S, _S), _THUMB_OUT, spread=1.3),
    _Sign((_S, _S, _S, _T), _THUMB_MEETS, 3),
    _Sign((_S, _S, _T, _S), _THUMB_MEETS, 2),
    _Sign((_S, _T, _S, _S), _THUMB_MEETS, 1),
    _Sign((_T, _S, _S, _S), _THUMB_MEETS, 0),
)
_BENDS = np.array([sign.bends for sign in _SIGNS])  # (10, 4, 3)


@dataclass
class Capsules:
    """K rounded, tapering sticks for each picture: their ends, (n, K, 3), and the radii there, (n, K)."""

    start: Float64
    end: Float64
    start_radius: Float64
    end_radius: Float64
    flatness: Float64
    """(K,): how far each bulges towards the viewer, as a share of its radius."""


def pose(digits: npt.NDArray[np.int64], random: np.random.RandomState, variety: float) -> Capsules:
    """Return the hands that sign `digits`, (n,), in hand coordinates.

    `variety` scales how much the hands differ in their proportions and in how they hold their fingers.
    """
    n = len(digits)

    def jitter(scale: float, *shape: int) -> Float64:
        return variety * scale * random.normal(size=(n, *shape))

    lengths = _LENGTHS * np.exp(jitter(0.05, 1) + jitter(0.03, 4))
    thickness = np.exp(jitter(0.10, 1))
    knuckles = np.zeros((n, 4, 3))
    knuckles[:, :, :2] = _KNUCKLES * np.exp(jitter(0.05, 1, 2))

    # Fingers: each segment points along its finger, in the plane of the palm, and bends out of it.
    spread = np.array([sign.spread for sign in _SIGNS])[digits]
    aside = np.radians(_SPREAD * (spread * np.exp(jitter(0.2)))[:, None] + jitter(3.0, 4) + jitter(3.0, 1))
    bend = np.radians(_BENDS[digits] + jitter(7.0, 4, 1) + jitter(4.0, 4, 3))
    direction = np.stack([np.sin(aside), np.cos(aside), np.zeros((n, 4))], axis=-1)[:, :, None]
    forward = np.array([0.0, 0.0, 1.0])
    steps = np.cos(bend)[..., None] * direction + np.sin(bend)[..., None] * forward
    steps *= (lengths[:, :, None] * _SEGMENTS)[..., None]
    joints = np.concatenate([knuckles[:, :, None], steps], axis=2).cumsum(axis=2)  # (n, 4, 4, 3)

    thumb = _thumb(digits, joints, jitter)
    palm_start = np.array([[0.10, 0.10, 0.0], [0.04, 0.08, 0.0], [-0.04, 0.08, 0.0], [-0.11, 0.11, 0.0]])
    fingers = [(joints[:, :, s], joints[:, :, s + 1], _RADII * (1.0 - 0.08 * s)) for s in range(3)]
    starts = [np.broadcast_to(palm_start, (n, 4, 3)), *(start for start, _, _ in fingers), thumb[:, :3]]
    ends = [knuckles, *(end for _, end, _ in fingers), thumb[:, 1:]]
    start_radii = [np.full(4, 0.17), *(radii for _, _, radii in fingers), np.array(_THUMB_RADII[:3])]
    end_radii = [_RADII * 1.2, *(radii * 0.92 for _, _, radii in fingers), np.array(_THUMB_RADII[1:])]
    flatness = [np.full(4, 0.45), np.full(12, 1.0), np.array([0.6, 1.0, 1.0])]
    # The forearm, which leaves the picture.
    starts.append(np.broadcast_to([0.0, 0.10, -0.05], (n, 1, 3)))
    ends.append(np.concatenate([jitter(0.15, 1, 1), np.full((n, 1, 2), [-1.6, -0.05])], axis=2))
    start_radii.append(np.array([0.23]))
    end_radii.append(np.array([0.27]))
    flatness.append(np.array([0.7]))
    return Capsules(
        np.concatenate(starts, axis=1),
        np.concatenate(ends, axis=1),
        np.concatenate(start_radii) * thickness,
        np.concatenate(end_radii) * thickness,
        np.concatenate(flatness),
    )


def _thumb(digits: npt.NDArray[np.int64], joints: Float64, jitter: Callable[..., Float64]) -> Float64:
    """The thumb's base, two joints and tip, (n, 4, 3)."""
    n = len(digits)
    kind = np.array([sign.thumb for sign in _SIGNS])[digits]
    finger = np.array([sign.finger for sign in _SIGNS])[digits]
    tips, middles = joints[np.arange(n), finger, 3], joints[np.arange(n), finger, 2]
    goals = np.stack(
        [
            np.broadcast_to([1.08, 0.84, 0.10], (n, 3)),
            np.broadcast_to([-0.08, 0.66, 0.22], (n, 3)),
            middles + np.array([-0.02, -0.16, 0.12]),
            tips + np.array([0.02, -0.06, 0.03]),
        ]
    )
    goal = goals[kind, np.arange(n)] + jitter(0.04, 3)
    base = _THUMB_BASE + jitter(0.02, 3)
    # The metacarpal swings towards the goal: a thumb that crosses the palm stands in front of it.
    swing = np.array([0.05, 0.30, 0.30, 0.35])[kind][:, None]
    knuckle = (1.0 - swing) * np.array([0.50, 0.46, 0.08]) + swing * goal
    # The last joint lies beside the line from there to the goal, as far as the bones are too long for it.
    span = goal - knuckle
    reach = np.sqrt((span**2).sum(axis=1, keepdims=True))
    bone = 0.36 * np.exp(jitter(0.06, 1))
    slack = np.sqrt(np.maximum(bone**2 - (reach / 2) ** 2, 0.0)) + 0.03
    outward = np.stack([span[:, 1], -span[:, 0], np.full(n, 0.3)], axis=1)
    outward /= np.sqrt((outward**2).sum(axis=1, keepdims=True))
    outward *= np.sign(outward[:, :1])  # towards the thumb's side of the hand
    bent = knuckle + 0.52 * span + slack * outward
    return np.asarray(np.stack([base, knuckle, bent, goal], axis=1))


def place(
    hands: Capsules, digits: npt.NDArray[np.int64], random: np.random.RandomState, variety: float
) -> Capsules:
    """Turn, scale and move hands into picture coordinates: x to the right, y down, both from -1 to 1."""
    n = len(digits)
    turn = np.array([sign.turn for sign in _SIGNS])[digits] + 10.0 * variety * random.normal(size=n)
    nod, roll = 7.0 * variety * random.normal(size=n), 8.0 * variety * random.normal(size=n)
    scale = 0.84 * np.exp(0.08 * variety * random.normal(size=n))
    shift = 0.06 * variety * random.normal(size=(n, 2))
    rotation = _rotation(np.radians(turn), 0, 2) @ _rotation(np.radians(nod), 1, 2)
    rotation = _rotation(np.radians(roll), 0, 1) @ rotation
    centre = np.array([0.05, 0.85, 0.0])

    def move(points: Float64) -> Float64:
        moved = np.einsum("nij,nkj->nki", rotation, points - centre) * scale[:, None, None]
        moved[:, :, 1] *= -1.0  # rows are counted from above
        moved[:, :, :2] += shift[:, None]
        return np.asarray(moved)

    factor = scale[:, None]
    return Capsules(
        move(hands.start),
        move(hands.end),
        hands.start_radius * factor,
        hands.end_radius * factor,
        hands.flatness,
    )


def _rotation(angle: Float64, first: int, second: int) -> Float64:
    """Rotations by `angle`, (n,), in the plane of two axes, as matrices (n, 3, 3)."""
    matrix = np.tile(np.eye(3), (len(angle), 1, 1))
    matrix[:, first, first] = matrix[:, second, second] = np.cos(angle)
    matrix[:, first, second], matrix[:, second, first] = -np.sin(angle), np.sin(angle)
    return np.asarray(matrix)


def pixel_centres(size: int) -> Float64:
    """Return the coordinates of the middles of `size` pixels between -1 and 1."""
    return np.asarray((np.arange(size) + 0.5) * (2.0 / size) - 1.0)


def height_field(hands: Capsules, size: int) -> tuple[Float32, Float32]:
    """Return how high above the paper each pixel lies and how much of it is covered, (n, size, size) each.

    Pixels that no capsule covers have height 0.
    """
    n, count = hands.start_radius.shape
    pixel = np.float32(2.0 / size)
    middle = pixel_centres(size).astype(np.float32)
    floor = np.float32(-0.6)
    height = np.full((n, size, size), floor, dtype=np.float32)
    cover = np.zeros((n, size, size), dtype=np.float32)
    start, end = hands.start.astype(np.float32), hands.end.astype(np.float32)
    radii = hands.start_radius.astype(np.float32), hands.end_radius.astype(np.float32)
    for k in range(count):
        from_x, from_y, from_z = (start[:, k, axis, None, None] for axis in range(3))
        span = end[:, k] - start[:, k]
        span_x, span_y, span_z = (span[:, axis, None, None] for axis in range(3))
        squared = span_x * span_x + span_y * span_y + np.float32(1e-6)
        right, down = middle[None, None, :] - from_x, middle[None, :, None] - from_y
        along = right * (span_x / squared) + down * (span_y / squared)
        np.clip(along, 0.0, 1.0, out=along)
        across_x, across_y = right - along * span_x, down - along * span_y
        distance = across_x * across_x
        distance += across_y * across_y  # squared
        radius = radii[0][:, k, None, None] + along * (radii[1] - radii[0])[:, k, None, None]
        inside = radius * radius - distance
        bulge = np.sqrt(np.maximum(inside, 0.0)) * np.float32(hands.flatness[k])
        covered = (radius - np.sqrt(distance)) / pixel + np.float32(0.5)
        np.clip(covered, 0.0, 1.0, out=covered)
        top = from_z + along * span_z + bulge
        np.maximum(height, np.where(covered > 0.0, top, floor), out=height)
        np.maximum(cover, covered, out=cover)
    height -= floor
    return height, cover
