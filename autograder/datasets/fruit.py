"""Pictures of fruit, fresh and rotten, drawn by code: a surface, what grows and decays on it, and the light.

Apples, bananas and oranges, each of many colours. What tells a rotten one from a fresh one lies in small
things on the surface (soft patches, mould, wrinkles, pits, dark streaks), among others that mean nothing
(blush, specks, scars, leaves, stickers, shadows, highlights).

Everything is vectorised over pictures. A few numbers for each are computed in float64; what runs over pixels
is float32 and uses nothing but sums, products, quotients and square roots, whose rounding is the same on
every machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]
Float32 = npt.NDArray[np.float32]
Random = np.random.RandomState

KINDS = ("apple", "banana", "orange")
APPLE, BANANA, ORANGE = range(3)

_RED, _GREEN, _GOLD = (0.80, 0.12, 0.14), (0.52, 0.72, 0.22), (0.92, 0.82, 0.44)
_SKINS = {
    APPLE: (_RED, _GREEN, _GOLD, (0.82, 0.30, 0.15)),
    BANANA: ((0.95, 0.80, 0.24), (0.90, 0.70, 0.16), (0.72, 0.76, 0.26), (0.96, 0.86, 0.42)),
    ORANGE: ((0.95, 0.52, 0.10), (0.98, 0.62, 0.18), (0.92, 0.44, 0.08), (0.84, 0.66, 0.20)),
}
_BROWN, _DARK = np.array([0.40, 0.24, 0.11]), np.array([0.13, 0.08, 0.05])
_MOULD, _RIM = np.array([0.47, 0.54, 0.45]), np.array([0.86, 0.87, 0.83])


@dataclass
class Surface:
    """Where the fruit is seen; arrays (n, size, size)."""

    cover: Float32
    """How much of a pixel is fruit, 0 to 1."""
    right: Float32
    down: Float32
    front: Float32
    """The unit normal: towards the right, down, towards the viewer."""
    u: Float32
    v: Float32
    """The place on the fruit, across and along its axis: what grows there moves and turns with it."""


def column(values: npt.ArrayLike) -> Float32:
    """A number for each picture, (n,), to be combined with pixels, (n, size, size)."""
    return np.asarray(values, dtype=np.float32)[:, np.newaxis, np.newaxis]


def pixel_centres(size: int) -> tuple[Float32, Float32]:
    """The coordinates of the middles of pixels, between -1 and 1: to the right and down, (1, size, size)."""
    middle = ((np.arange(size) + 0.5) * (2.0 / size) - 1.0).astype(np.float32)
    right = np.broadcast_to(middle, (size, size))[np.newaxis]
    return right, np.swapaxes(right, 1, 2)


class Noise:
    """Smooth random fields: a lattice of normal numbers for each picture, interpolated between its knots."""

    def __init__(self, random: Random, n: int, knots: int) -> None:
        self._values = random.normal(size=(n, knots, knots)).astype(np.float32)
        self._knots = knots

    def at(self, u: Float32, v: Float32) -> Float32:
        """The field at places between -1 and 1 (beyond, its edge): (n, size, size)."""
        last = np.float32(self._knots - 1)
        x, y = (np.clip((place + 1) * (last / 2), 0, last) for place in (u, v))
        column_, row = (np.minimum(place.astype(np.int32), self._knots - 2) for place in (x, y))
        right, down = x - column_, y - row
        right, down = right * right * (3 - 2 * right), down * down * (3 - 2 * down)
        picture = np.arange(len(u))[:, np.newaxis, np.newaxis]
        above = self._mix(picture, row, column_, right)
        below = self._mix(picture, row + 1, column_, right)
        return np.asarray(above + down * (below - above), dtype=np.float32)

    def _mix(self, picture: npt.NDArray[np.int64], row: Float32, column_: Float32, right: Float32) -> Float32:
        left = self._values[picture, row, column_]
        return np.asarray(left + right * (self._values[picture, row, column_ + 1] - left), dtype=np.float32)


def surfaces(kinds: npt.NDArray[np.int64], size: int, random: Random, shift: float) -> Surface:
    """Fruits of `kinds`, (n,), somewhere near the middle, upright but for what `shift` adds to it."""
    n = len(kinds)
    furthest = np.where(kinds == BANANA, 0.6 + 1.4 * shift, 0.3 + 1.2 * shift)  # radians
    roll = furthest * random.uniform(-1, 1, size=n)
    larger = (0.08 + 0.08 * shift) * random.normal(size=n)
    scale = np.where(kinds == BANANA, 0.86, 0.70) * np.exp(larger)
    moved = (0.08 + 0.09 * shift) * random.normal(size=(2, n))
    right, down = pixel_centres(size)
    along_x, along_y = column(np.cos(roll) / scale), column(np.sin(roll) / scale)
    from_x, from_y = right - column(moved[0]), down - column(moved[1])
    x, y = along_x * from_x + along_y * from_y, along_x * from_y - along_y * from_x
    pixel = column(2.0 / (size * scale))

    found = _round(kinds, x, y, pixel, random)
    bent = _bent(x, y, pixel, random)
    banana = column(kinds == BANANA) > 0
    parts = [np.where(banana, b, r) for b, r in zip(bent, found, strict=True)]
    cover, across, along, front, u, v = parts
    # Normals were found in the fruit's own frame; light comes from a direction in the picture's.
    cosine, sine = column(np.cos(roll)), column(np.sin(roll))
    return Surface(cover, cosine * across - sine * along, sine * across + cosine * along, front, u, v)


def _round(
    kinds: npt.NDArray[np.int64], x: Float32, y: Float32, pixel: Float32, random: Random
) -> Sequence[Float32]:
    """Apples, broader at the top and dented there, and oranges, a little flat."""
    n, apple = len(kinds), kinds == APPLE
    taper = np.where(apple, random.uniform(0.02, 0.20, size=n), 0.0)
    flat = np.where(apple, random.uniform(0.88, 1.06, size=n), random.uniform(0.90, 1.02, size=n))
    dent = np.where(apple, random.uniform(0.14, 0.30, size=n), random.uniform(0.0, 0.04, size=n))
    lobes = Noise(random, n, 4)
    wide = x / (1 - column(taper) * y)
    tall = y / column(flat)
    hollow = column(dent) / (1 + (x / np.float32(0.3)) ** 2)
    tall = np.where(tall < 0, tall - hollow, tall)
    squared = wide * wide + tall * tall
    squared = squared * (1 + np.float32(0.05) * lobes.at(x, y))
    front = np.sqrt(np.maximum(1 - squared, 0))
    cover = np.clip((1 - np.sqrt(squared)) / pixel + np.float32(0.5), 0, 1)
    length = np.sqrt(wide * wide + tall * tall + front * front) + np.float32(1e-6)
    curved = 1 + np.float32(0.4) * (1 - front)  # what lies near the rim is seen from the side
    return cover, wide / length, tall / length, front / length, wide * curved, tall * curved


def _bent(x: Float32, y: Float32, pixel: Float32, random: Random) -> Sequence[Float32]:
    """Bananas: a tube about a parabola, thin at its ends; sometimes a second one behind the first."""
    n = len(x)
    bend, thick = random.uniform(0.25, 0.75, size=n), random.uniform(0.24, 0.34, size=n)
    second = random.uniform(size=n) < 0.4
    beside, other_bend = random.uniform(0.25, 0.45, size=n), bend + 0.12 * random.normal(size=n)
    first = _tube(x, y + column(np.where(second, beside / 2, 0.0)), column(bend), column(thick), pixel)
    behind = _tube(x, y - column(beside / 2), column(other_bend), column(thick), pixel)
    hidden = (first[0] > np.float32(0.5)) | (column(second) == 0)
    mixed = [np.where(hidden, a, b) for a, b in zip(first, behind, strict=True)]
    mixed[0] = np.where(column(second) > 0, np.maximum(first[0], behind[0]), first[0])
    return mixed


def _tube(x: Float32, y: Float32, bend: Float32, thick: Float32, pixel: Float32) -> list[Float32]:
    slope = 2 * bend * x
    steep = np.sqrt(1 + slope * slope)
    distance = (y - bend * (x * x - np.float32(0.4))) / steep
    end = x * x
    radius = thick * (1 - np.float32(0.62) * end * end) + np.float32(1e-3)
    across = distance / radius
    inside = np.maximum(1 - across * across, 0)
    # Flat sides with ridges between them: the cross-section of a banana is more a pentagon than a circle.
    tilt = across + np.float32(0.35) * np.where(np.abs(across) < np.float32(0.4), across, 0)
    front = np.sqrt(inside)
    cover = np.clip((1 - np.abs(across)) * radius / pixel + np.float32(0.5), 0, 1)
    cover = cover * np.clip((1 - np.abs(x)) / pixel + np.float32(0.5), 0, 1)
    length = np.sqrt(tilt * tilt + inside) + np.float32(1e-6)
    return [cover, -slope / steep * tilt / length, tilt / steep / length, front / length, x, distance * 2]


def skins(kinds: npt.NDArray[np.int64], surface: Surface, random: Random) -> Float32:
    """The colours of a sound peel, (n, 3, size, size): one or two, shading into each other, with specks."""
    n = len(kinds)
    palette = np.array([_SKINS[kind] for kind in range(3)])[kinds]  # (n, 4, 3)
    first, other = random.randint(4, size=n), random.randint(4, size=n)
    strength = np.where(kinds == APPLE, random.uniform(0, 1, size=n), random.uniform(0, 0.5, size=n))
    blush = Noise(random, n, 3).at(surface.u, surface.v) + np.float32(0.8) * surface.v * column(
        random.normal(size=n)
    )
    part = np.clip(blush * np.float32(0.5) + np.float32(0.4), 0, 1) * column(strength)
    rows = np.arange(n)
    tint = np.exp(0.10 * random.normal(size=(n, 3)))
    one, two = palette[rows, first] * tint, palette[rows, other] * tint
    colour = _fill(one) + part[:, np.newaxis] * _fill(two - one)
    # Pores of an orange, lenticels of an apple, sugar spots of a banana.
    fine = Noise(random, n, 17).at(surface.u, surface.v)
    specks = np.clip(fine - column(random.uniform(1.0, 2.2, size=n)), 0, 1)
    darker = np.where(kinds == APPLE, random.choice([-0.35, 0.30], size=n), 0.60) * random.uniform(size=n)
    colour = colour * (1 - column(darker) * specks)[:, np.newaxis]
    ends = np.clip(np.abs(surface.u) * 8 - column(random.uniform(6.6, 7.4, size=n)), 0, 1)
    ends = ends * column((kinds == BANANA) * random.uniform(0.2, 0.7, size=n))
    return np.asarray(colour + ends[:, np.newaxis] * (_fill(np.tile(_DARK, (n, 1))) - colour))


def _fill(colours: Float64) -> Float32:
    """Colours (n, 3) as pictures of one pixel."""
    return colours.astype(np.float32)[:, :, np.newaxis, np.newaxis]


class Peel:
    """A sound peel, and what can befall it. Each way of rotting takes which of the pictures it comes over."""

    def __init__(
        self, kinds: npt.NDArray[np.int64], surface: Surface, colour: Float32, random: Random, variety: float
    ) -> None:
        self._kinds, self._surface, self._random, self._variety = kinds, surface, random, variety
        self._count = len(kinds)
        self._coarse = Noise(random, self._count, 5).at(surface.u, surface.v)
        middle = Noise(random, self._count, 9).at(surface.u, surface.v)
        self._ragged = np.float32(0.30) * self._coarse + np.float32(0.16) * middle
        self._grain = Noise(random, self._count, 19).at(surface.u, surface.v)
        self.colour = colour
        """(n, 3, size, size)."""
        self.dull = np.zeros_like(surface.u)
        """How little it shines, 0 to 1."""
        self.bump = np.zeros_like(surface.u)
        """A height that bends the normals."""

    def rot(self, rotten: npt.NDArray[np.bool_]) -> None:
        """Let the `rotten` ones, (n,), rot, each in one to four of five ways; the others stay as they are."""
        random, n, banana = self._random, self._count, self._kinds == BANANA
        patches, mould, wrinkles, pits = (
            random.uniform(size=(4, n)) < np.array([0.62, 0.34, 0.30, 0.42])[:, np.newaxis]
        )
        streaks = banana & (random.uniform(size=n) < 0.7)
        mould &= ~banana
        patches |= ~(mould | pits | streaks)  # wrinkles alone are too faint to see in 32 pixels
        for chance in (1.0, 0.6):
            self._soften(rotten & patches & (random.uniform(size=n) < chance))
        self._grow_mould(rotten & mould)
        self._wrinkle(rotten & wrinkles)
        self._pit(rotten & pits)
        self._streak(rotten & streaks)

    def _paint(self, share: Float32, colour: Float32) -> None:
        """Cover a share of each pixel, (n, size, size), with a colour."""
        self.colour = self.colour + share[:, np.newaxis] * (colour - self.colour)

    def _soften(self, chosen: npt.NDArray[np.bool_]) -> None:
        """A soft patch: brown, sunken, with a darker edge, and some of the peel's own colour in it."""
        random, n = self._random, self._count
        here = self._blob(0.34 / self._variety, 0.70) * column(chosen)
        edge = here * (1 - here) * 4
        brown = _fill(_BROWN * np.exp(0.25 * random.normal(size=(n, 1))))
        colour = np.float32(1.1) * brown * self.colour + np.float32(0.45) * _fill(np.tile(_BROWN, (n, 1)))
        colour = colour * (1 + np.float32(0.18) * self._grain)[:, np.newaxis]
        self._paint(here * column(random.uniform(0.75, 1.0, size=n)), colour)
        self.colour = self.colour * (1 - np.float32(0.35) * edge)[:, np.newaxis]
        self.dull = np.maximum(self.dull, here)
        self.bump = self.bump - np.float32(0.10) * here

    def _grow_mould(self, chosen: npt.NDArray[np.bool_]) -> None:
        """Mould: green or grey with a white rim, and no shine at all."""
        n = self._count
        depth = self._blob(0.38 / self._variety, 0.72)
        core = np.clip(depth * 4 - np.float32(1.6), 0, 1)[:, np.newaxis]
        mould = _fill(_MOULD * np.exp(0.15 * self._random.normal(size=(n, 3))))
        fur = _fill(np.tile(_RIM, (n, 1))) * (1 - core) + mould * core
        here = np.clip(depth * 3, 0, 1) * column(chosen)
        self._paint(here, fur * (1 + np.float32(0.12) * self._grain)[:, np.newaxis])
        self.dull = np.maximum(self.dull, here)

    def _wrinkle(self, chosen: npt.NDArray[np.bool_]) -> None:
        """Ridges along the axis, which only the light shows."""
        random, n = self._random, self._count
        waves = self._coarse * np.float32(0.9) + self._surface.u * column(random.uniform(5, 8, size=n))
        saw = np.abs(waves - np.floor(waves) - np.float32(0.5))
        ridges = saw * column(chosen * random.uniform(0.26, 0.42, size=n))
        self.bump = np.asarray(self.bump + ridges, dtype=np.float32)
        self.colour = self.colour * (1 - np.float32(0.12) * column(chosen))[:, np.newaxis]

    def _pit(self, chosen: npt.NDArray[np.bool_]) -> None:
        """A handful of small dark holes."""
        holes = [self._blob(0.14, 0.22, np.float32(0.3)) for _ in range(4)]
        here = np.clip(2 * np.maximum.reduce(holes), 0, 1) * column(chosen)
        self._paint(here, _fill(np.tile(_DARK, (self._count, 1))))

    def _streak(self, chosen: npt.NDArray[np.bool_]) -> None:
        """Dark streaks along a banana, from a few to all of it."""
        random, n = self._random, self._count
        field = Noise(random, n, 7).at(self._surface.u * np.float32(0.7), self._surface.v * np.float32(1.4))
        field = np.float32(2) * field + self._grain - column(random.uniform(-2.0, 0.5, size=n))
        black = (_DARK + random.uniform(0, 0.12, size=(n, 1))) * np.exp(0.1 * random.normal(size=(n, 3)))
        self._paint(np.clip(field, 0, 1) * column(chosen * 0.9), _fill(black))

    def _blob(self, least: float, most: float, ragged: np.float32 | float = 1.0) -> Float32:
        """A ragged patch on the visible side: 1 in its middle, falling to 0, (n, size, size)."""
        random, n = self._random, self._count
        reach = np.where(self._kinds == BANANA, [[0.65], [0.2]], [[0.5], [0.5]])
        place = random.uniform(-1, 1, size=(2, n)) * reach
        radius = random.uniform(least, most, size=n) * np.where(self._kinds == BANANA, 0.8, 1.0)
        right, down = self._surface.u - column(place[0]), self._surface.v - column(place[1])
        distance = np.sqrt(right * right + down * down) / column(radius)
        inside = (1 - distance + np.float32(ragged) * self._ragged) * np.float32(1.8)
        return np.asarray(np.clip(inside, 0, 1), dtype=np.float32)
