"""Pictures of cars, drawn by code from what their makes have in common (see `car_makes`).

A car is a contour that is as wide as the car: at each height there is a front end, a rear end and half a
width, and a line of sight meets either the front or the side of that rectangle. So roofs, bonnets and
windscreens are seen in their true perspective from every direction between the side and the front.

Paint, light, place, direction, background and what stands in the way are drawn anew for each picture, and
say nothing about the make.

Everything is vectorised over pictures. A few numbers for each are computed in float64; what runs over
pixels is float32 and uses nothing but sums, products, quotients and square roots, whose rounding is the same
on every machine.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from autograder.datasets.car_makes import Makes
from autograder.datasets.fruit import Noise, column, pixel_centres

Float64 = npt.NDArray[np.float64]
Float32 = npt.NDArray[np.float32]
Bool = npt.NDArray[np.bool_]
UInt8 = npt.NDArray[np.uint8]
Random = np.random.RandomState

_NOTHING, _PAINT, _GLASS, _RUBBER, _RIM, _CHROME, _BLACK, _LAMP, _TAIL, _TRIM = range(10)
"""What a line of sight may meet."""


@dataclass
class _View:
    """From where each car is seen; arrays (n, 1, 1) of float32, but for `u` and `y`."""

    u: Float32
    """Places to the right, across the line of sight: (n, size, size)."""
    y: Float32
    """Heights above the ground: (n, size, size)."""
    cosine: Float32
    sine: Float32
    """Of the angle between the line of sight and the axle: 0 shows the side alone."""


def car_pictures(makes: Makes, size: int, random: Random, shift: float) -> UInt8:
    """A picture of a car of each of the makes: (n, 3, size, size), red, green and blue."""
    n = len(makes.roof)
    fine = 2 * size  # four lines of sight through each pixel
    view = _view(n, fine, random, shift)
    met, shade = _met(makes, view, random)
    colours = _palette(n, random)
    palette = colours[np.arange(n)[:, np.newaxis, np.newaxis], met]  # (n, fine, fine, 3)
    painted = palette * shade[..., np.newaxis]
    cover = (met != _NOTHING).astype(np.float32)
    painted = painted * cover[..., np.newaxis]
    car = np.moveaxis(_reduced(painted), 3, 1)
    share = _reduced(cover[..., np.newaxis])[..., 0]
    pictures = _street(makes, view, size, random, shift)
    pictures = pictures * (1 - share)[:, np.newaxis] + car
    pictures = _in_the_way(pictures, random, shift)
    return _photographed(pictures, random, shift)


def _reduced(values: Float32) -> Float32:
    """The mean of four neighbours: (n, 2 s, 2 s, c) becomes (n, s, s, c)."""
    rows = values[:, ::2] + values[:, 1::2]
    return np.asarray((rows[:, :, ::2] + rows[:, :, 1::2]) * np.float32(0.25), dtype=np.float32)


def _view(n: int, fine: int, random: Random, shift: float) -> _View:
    """A direction between the side and the front, from either side, near and far, somewhat crooked."""
    yaw = np.radians(random.uniform(25 - 9 * shift, 58 + 9 * shift, size=n))
    cosine, sine = np.cos(yaw), np.sin(yaw)
    extent = cosine + 0.4 * sine
    scale = 0.98 / extent * np.exp((0.07 + 0.05 * shift) * random.normal(size=n))
    tall = scale * 1.45 * np.exp(0.06 * random.normal(size=n))
    moved = (0.05 + 0.04 * shift) * random.normal(size=(2, n))
    mirrored = np.where(random.uniform(size=n) < 0.5, -1.0, 1.0)
    roll = (0.04 + 0.04 * shift) * random.normal(size=n)
    right, down = pixel_centres(fine)
    from_x, from_y = right - column(moved[0]), down - column(moved[1])
    turned_x = column(np.cos(roll)) * from_x + column(np.sin(roll)) * from_y
    turned_y = column(np.cos(roll)) * from_y - column(np.sin(roll)) * from_x
    u = turned_x * column(mirrored / scale)
    y = np.asarray(np.float32(0.36) - turned_y / column(tall), dtype=np.float32)
    return _View(u, y, column(cosine), column(sine))


def _through(y: Float32, knots: list[tuple[Float64, Float64]]) -> Float32:
    """The broken line through knots (height, place), each (n,), at heights y, (n, size, size)."""
    result = np.broadcast_to(column(knots[0][1]), y.shape)
    for (low, before), (high, after) in itertools.pairwise(knots):
        rise = np.maximum(high - low, 1e-3)
        part = np.clip((y - column(low)) / column(rise), 0, 1)
        result = result + column(after - before) * part
    return np.asarray(result, dtype=np.float32)


def _met(makes: Makes, view: _View, random: Random) -> tuple[npt.NDArray[np.int8], Float32]:
    """What each line of sight meets, and how bright it is there: two arrays (n, size, size)."""
    n, y, u = len(makes.roof), view.y, view.u
    one = np.ones(n)
    cowl = makes.bonnet + makes.slope
    peak = (makes.roof_x + makes.rear_x) / 2
    front = _through(
        y,
        [
            (makes.sill, -one),
            (makes.bonnet, -one + makes.nose),
            (cowl, makes.cowl_x),
            (makes.roof, makes.roof_x),
            (makes.roof + makes.crown, peak),
        ],
    )
    rear = _through(
        y,
        [
            (makes.deck - 0.06, one),
            (makes.deck, np.maximum(0.97 * one, makes.deck_x)),
            (makes.deck + 0.02, makes.deck_x),
            (makes.roof, makes.rear_x),
            (makes.roof + makes.crown, peak),
        ],
    )
    width = column(makes.width) - column(makes.taper) * np.clip(y - column(cowl), 0, 1)
    x = (u - width * view.sine) / view.cosine
    z = np.asarray((u - front * view.cosine) / view.sine, dtype=np.float32)
    body = (y > column(makes.sill)) & (y < column(makes.roof + makes.crown))
    side = body & (x >= front) & (x <= rear)
    ahead = body & (z <= width) & (z >= -width)

    met = np.zeros(u.shape, dtype=np.int8)
    shade = np.ones(u.shape, dtype=np.float32)
    _tyres_ahead(makes, view, met)
    from_front, from_side = random.uniform(0.55, 1.1, size=(2, n))
    from_above = random.uniform(1.05, 1.35, size=n)
    _side(makes, x, y, front, rear, side, met, shade, column(from_side), column(cowl))
    _front(makes, z, y, width, ahead, met, shade, column(from_front), column(from_above), column(cowl))
    _wheels(makes, view, side, met, random)
    # The sky, or a wall, mirrored in paint and glass.
    gloss = 1 + np.float32(0.10) * Noise(random, n, 5).at(u, y * np.float32(2) - 1)
    return met, np.asarray(shade * gloss, dtype=np.float32)


def _side(
    makes: Makes, x: Float32, y: Float32, front: Float32, rear: Float32, side: Bool,
    met: npt.NDArray[np.int8], shade: Float32, light: Float32, cowl: Float32,
) -> None:  # fmt: skip
    """The side of the car: paint, windows and what divides them, doors, a line, a sill, lamps."""
    met[side] = _PAINT
    height = (y - column(makes.sill)) / column(makes.roof - makes.sill)
    bright = light * (np.float32(0.82) + np.float32(0.30) * height)
    along = (y - column(makes.sill)) / column(makes.bonnet - makes.sill)
    line = column(makes.line) + column(makes.line_slope) * x
    bright = bright * np.where(along < line, np.float32(0.82), np.float32(1.04))
    gap = np.abs(along - line) < np.float32(0.05)
    bright = bright * np.where(gap, np.float32(0.7), np.float32(1))
    shade[side] = bright[side]
    low = cowl + column(makes.glass)
    window = side & (y > low) & (y < column(makes.roof - 0.035))
    window &= (x > front + np.float32(0.07)) & (x < rear - column(makes.window_end))
    door = np.abs(x - column(makes.pillar)) < np.float32(0.018)
    window &= ~door & (np.abs(x - column(makes.second_pillar)) > np.float32(0.025))
    met[window] = _GLASS
    shade[window] = (np.float32(0.6) + np.float32(0.7) * height)[window]
    below = side & (y < low)
    seam = below & (door | (np.abs(x + np.float32(0.42)) < np.float32(0.012)))
    met[seam] = _BLACK
    handle = below & (np.abs(x - column(makes.pillar - 0.09)) < np.float32(0.045))
    met[handle & (np.abs(along - np.float32(0.86)) < np.float32(0.05))] = _TRIM
    met[side & (along < np.float32(0.10))] = _BLACK
    wrap = below & (x < np.float32(-1) + column(makes.nose * makes.lamp_y + makes.lamp_wrap))
    lamp_h = column(makes.lamp_h / (makes.bonnet - makes.sill))
    met[wrap & (np.abs(along - column(makes.lamp_y)) < lamp_h)] = _LAMP
    tail = side & (x > rear - column(makes.tail_w)) & (y < low)
    met[tail & (np.abs(along - column(makes.tail_y)) < column(makes.tail_h))] = _TAIL


def _front(
    makes: Makes, z: Float32, y: Float32, width: Float32, ahead: Bool, met: npt.NDArray[np.int8],
    shade: Float32, light: Float32, above: Float32, cowl: Float32,
) -> None:  # fmt: skip
    """The front of the car: nose, bonnet and windscreen; grille, lamps, an intake, a plate."""
    met[ahead] = _PAINT
    bonnet = column(makes.bonnet)
    bright = np.where(y < bonnet, light, light * above)
    shade[ahead] = np.broadcast_to(bright, shade.shape)[ahead]
    far = np.abs(z)
    screen = ahead & (y > cowl) & (y < column(makes.roof - 0.02)) & (far < width - np.float32(0.05))
    met[screen] = _GLASS
    shade[screen] = (np.float32(0.7) + np.float32(0.8) * (y - cowl))[screen]
    nose = ahead & (y < bonnet)
    along = (y - column(makes.sill)) / column(makes.bonnet - makes.sill)

    met[nose & (along < np.float32(0.08))] = _BLACK
    tall = makes.bonnet - makes.sill
    low = np.abs(along - np.float32(0.18)) < column(makes.intake_h)
    met[nose & low & (far < column(makes.intake_w))] = _BLACK
    across = far / column(makes.grille_w)
    up = (along - column(makes.grille_y)) * column(tall / makes.grille_h)
    leaning = across * (1 + column(makes.grille_lean) * up)
    cut = (np.abs(up) + leaning) / column(makes.grille_corner)
    reach = np.maximum(np.maximum(np.abs(up), leaning), cut)
    apart = far > column(makes.grille_split)
    met[nose & (reach < 1 + column(makes.frame))] = _CHROME
    grille = nose & (reach < 1) & apart
    met[grille] = _BLACK
    kind = column(makes.bar_kind)
    rows = (up + 1) * column(makes.bars / 2)
    columns = (z / column(makes.grille_w) + 1) * column(makes.bars)
    bar = ((rows - np.floor(rows) < np.float32(0.42)) & (kind != 1)) | (
        (columns - np.floor(columns) < np.float32(0.42)) & (kind != 0)
    )
    met[grille & bar] = _CHROME

    lamp_z, lamp_w, lamp_h = column(makes.lamp_z), column(makes.lamp_w), column(makes.lamp_h / tall)
    slant = column(makes.lamp_slant) * (far - lamp_z) / lamp_w * lamp_h
    rise = (along - column(makes.lamp_y) - slant) / lamp_h
    out = (far - lamp_z) / lamp_w
    # Twins stand beside each other, each half as wide.
    pair = np.abs(out) * 2 - 1
    out = np.where(column(makes.lamp_twin) > 0, pair, out)
    disc = out * out + rise * rise < np.float32(1.1)
    box = (np.abs(out) < 1) & (np.abs(rise) < 1)
    met[nose & np.where(column(makes.lamp_round) > 0, disc, box)] = _LAMP
    met[nose & (far < np.float32(0.10)) & (np.abs(along - np.float32(0.26)) < np.float32(0.06))] = _TRIM


def _tyres_ahead(makes: Makes, view: _View, met: npt.NDArray[np.int8]) -> None:
    """The front wheels as they show below the bumper."""
    place = (view.u - column(makes.front_axle - 0.8 * makes.wheel) * view.cosine) / view.sine
    far = np.abs(place)
    tyre = (far < column(makes.width)) & (far > column(makes.width - 0.13))
    met[tyre & (view.y > 0) & (view.y < column(makes.sill + 0.02))] = _RUBBER


def _wheels(makes: Makes, view: _View, side: Bool, met: npt.NDArray[np.int8], random: Random) -> None:
    """Two wheels in the plane of the side: an arch, a tyre, a rim with its spokes, turned at random."""
    n = len(makes.wheel)
    turn = random.uniform(-np.pi, np.pi, size=n)
    cosine, sine = column(np.cos(turn)), column(np.sin(turn))
    along = (view.u - column(makes.width) * view.sine) / view.cosine
    radius = column(makes.wheel)
    count = column(makes.spokes)
    for axle in (makes.front_axle, makes.rear_axle):
        right, up = (along - column(axle)) / radius, view.y / radius - 1
        far = np.sqrt(right * right + up * up)
        met[side & (far < np.float32(1.16))] = _BLACK
        met[far < 1] = _RUBBER
        rim = column(makes.rim)
        inside = far < rim
        met[inside] = _BLACK
        # cos(k t) by Chebyshev's recurrence from cos(t).
        cos = (right * cosine + up * sine) / np.maximum(far, np.float32(1e-3))
        before, now = np.ones_like(cos), cos
        wave = np.zeros_like(cos)
        for order in range(2, 10):
            before, now = now, 2 * cos * now - before
            wave = np.where(count == order, now, wave)
        edge = far > rim * np.float32(0.86)
        hub = far < rim * column(makes.hub)
        met[inside & ((wave > column(makes.spoke)) | edge | hub)] = _RIM


_PAINTS = np.array(
    [
        [0.93, 0.93, 0.93], [0.70, 0.72, 0.74], [0.42, 0.44, 0.46], [0.09, 0.09, 0.10],
        [0.66, 0.09, 0.10], [0.13, 0.24, 0.52], [0.38, 0.58, 0.76], [0.10, 0.34, 0.22],
        [0.88, 0.72, 0.18], [0.78, 0.42, 0.12], [0.44, 0.30, 0.20], [0.86, 0.82, 0.70],
    ]
)  # fmt: skip


def _palette(n: int, random: Random) -> Float32:
    """The colours of what can be met, (n, 10, 3)."""
    paint = _PAINTS[random.randint(len(_PAINTS), size=n)] * np.exp(0.10 * random.normal(size=(n, 3)))
    grey = np.array([0.0, 0.0, 0.16, 0.07, 0.66, 0.80, 0.05, 0.90, 0.0, 0.72])
    palette = grey[np.newaxis, :, np.newaxis] * np.exp(0.10 * random.normal(size=(n, 10, 1)))
    palette = np.repeat(palette, 3, axis=2)
    palette[:, _PAINT] = paint
    palette[:, _GLASS] *= np.array([0.9, 1.0, 1.15])
    palette[:, _LAMP] *= np.array([1.0, 1.0, 0.94])
    palette[:, _TAIL] = np.array([0.72, 0.08, 0.07]) * np.exp(0.15 * random.normal(size=(n, 1)))
    return np.asarray(palette, dtype=np.float32)


def _street(makes: Makes, view: _View, size: int, random: Random, shift: float) -> Float32:
    """A road, something behind it, and the shadow under the car: (n, 3, size, size)."""
    n = len(makes.roof)
    right, down = pixel_centres(size)
    right, down = (np.broadcast_to(each, (n, size, size)) for each in (right, down))
    wall = random.uniform(0.15, 0.95, size=(n, 1)) * np.exp(0.18 * random.normal(size=(n, 3)))
    road = random.uniform(0.25, 0.75, size=(n, 1)) * np.exp(0.06 * random.normal(size=(n, 3)))
    rough = column(random.uniform(0.03, 0.22 + 0.1 * shift, size=n))
    texture = rough * Noise(random, n, 7).at(right, down)
    pictures = _fill(wall) * (1 + texture)[:, np.newaxis]
    for _ in range(4):  # houses, trees, other cars
        place = random.uniform(-1.1, 1.1, size=n)
        half = random.uniform(0.08, 0.5, size=n)
        top, bottom = random.uniform(-1.1, 0.1, size=n), random.uniform(0.1, 0.7, size=n)
        inside = (
            (down > column(top)) & (down < column(bottom)) & column(random.uniform(size=n) < 0.6).astype(bool)
        )
        inside = inside & (np.abs(right - column(place)) < column(half))
        colour = _fill(random.uniform(0.05, 0.95, size=(n, 1)) * np.exp(0.2 * random.normal(size=(n, 3))))
        pictures = np.where(inside[:, np.newaxis], colour * (1 + texture)[:, np.newaxis], pictures)
    horizon = column(random.uniform(-0.1, 0.45, size=n)) + column(0.05 * random.normal(size=n)) * right
    ground = _fill(road) * (1 + np.float32(0.5) * texture)[:, np.newaxis]
    pictures = np.where((down > horizon)[:, np.newaxis], ground, pictures)
    u, y = view.u[:, ::2, ::2], view.y[:, ::2, ::2]
    under = np.abs(u) < view.cosine + np.float32(0.4) * view.sine
    dark = np.clip(1 - np.abs(y - np.float32(0.02)) / np.float32(0.12), 0, 1) * under
    dark = dark * column(random.uniform(0.4, 0.9, size=n))
    return np.asarray(pictures * (1 - dark)[:, np.newaxis], dtype=np.float32)


def _fill(colours: Float64) -> Float32:
    """Colours (n, 3) as pictures of one pixel."""
    return colours.astype(np.float32)[:, :, np.newaxis, np.newaxis]


def _in_the_way(pictures: Float32, random: Random, shift: float) -> Float32:
    """A lamp post, a hedge or the edge of another car, on some pictures; a shadow across others."""
    n, _, size, _ = pictures.shape
    right, down = (np.broadcast_to(each, (n, size, size)) for each in pixel_centres(size))
    colour = _fill(random.uniform(0.08, 0.85, size=(n, 1)) * np.exp(0.2 * random.normal(size=(n, 3))))
    chance = random.uniform(size=n) / (1 + 0.5 * shift)
    place, half = random.uniform(-0.9, 0.9, size=n), random.uniform(0.03, 0.10, size=n)
    post = (np.abs(right - column(place)) < column(half)) & column(chance < 0.18).astype(bool)
    edge = random.uniform(0.50, 0.85, size=n)
    ragged = down + np.float32(0.06) * Noise(random, n, 9).at(right, down)
    hedge = (ragged > column(edge)) & column((chance >= 0.18) & (chance < 0.30)).astype(bool)
    side = np.where(random.uniform(size=n) < 0.5, -1.0, 1.0)
    beyond = right * column(side) > column(random.uniform(0.65, 0.9, size=n))
    other = beyond & (down > np.float32(-0.4)) & column((chance >= 0.30) & (chance < 0.42)).astype(bool)
    pictures = np.where((post | hedge | other)[:, np.newaxis], colour, pictures)
    turn = random.uniform(-np.pi, np.pi, size=n)
    slant = column(np.cos(turn)) * right + column(np.sin(turn)) * down
    slant = slant - column(random.uniform(-0.5, 0.9, size=n))
    deep = random.uniform(0.15, 0.5 + 0.1 * shift, size=n) * (random.uniform(size=n) < 0.35)
    dark = np.clip(slant * column(random.uniform(1, 8, size=n)), 0, 1) * column(deep)
    return np.asarray(pictures * (1 - dark)[:, np.newaxis], dtype=np.float32)


def _photographed(pictures: Float32, random: Random, shift: float) -> UInt8:
    """White balance, exposure, blur, grain, eight bits: (n, 3, size, size)."""
    n = len(pictures)
    warm = (0.05 + 0.10 * shift) * random.normal(size=(n, 1)) * np.array([1.0, 0.1, -1.0])
    exposure = np.exp(warm + (0.12 + 0.10 * shift) * random.normal(size=(n, 1)))
    pictures = pictures * _fill(exposure)
    padded = np.pad(pictures, ((0, 0), (0, 0), (1, 1), (0, 0)), mode="edge")
    soft = np.float32(0.25) * (padded[:, :, :-2] + padded[:, :, 2:]) + np.float32(0.5) * pictures
    padded = np.pad(soft, ((0, 0), (0, 0), (0, 0), (1, 1)), mode="edge")
    soft = np.float32(0.25) * (padded[..., :-2] + padded[..., 2:]) + np.float32(0.5) * soft
    blur = random.uniform(0, 0.7 + 0.3 * shift, size=(n, 1, 1, 1)).astype(np.float32)
    pictures = np.asarray(pictures + blur * (soft - pictures), dtype=np.float32)
    grain = random.uniform(0.005, 0.03 + 0.01 * shift, size=(n, 1, 1, 1))
    pictures = pictures + (random.normal(size=pictures.shape) * grain).astype(np.float32)
    return np.asarray(np.rint(np.clip(pictures, 0, 1) * np.float32(255)), dtype=np.uint8)
