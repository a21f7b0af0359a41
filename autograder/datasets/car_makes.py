"""What cars of one make have in common, drawn from a generator of its own for each make.

Shape tells makes apart, and nothing else: the contour, the grille, lamps, windows, wheels, lines.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]
Random = np.random.RandomState

# The outline of each style, for a car that reaches from -1 (its front) to 1: the height of the roof; where
# the windscreen, the roof and the rear window begin and end; how high the boot is; the ground clearance.
_STYLES = np.array(
    [
        [0.66, -0.44, -0.12, 0.36, 0.68, 0.43, 0.13],  # saloon
        [0.70, -0.54, -0.20, 0.62, 0.92, 0.42, 0.14],  # hatchback
        [0.68, -0.48, -0.16, 0.84, 0.97, 0.42, 0.13],  # estate
        [0.58, -0.36, -0.02, 0.20, 0.86, 0.42, 0.10],  # coupé
        [0.86, -0.46, -0.30, 0.88, 0.98, 0.52, 0.21],  # off-roader
        [0.84, -0.76, -0.36, 0.84, 0.97, 0.48, 0.14],  # van
        [0.80, -0.42, -0.22, 0.14, 0.24, 0.48, 0.20],  # pick-up
    ]
)
_SPREAD = np.array([0.03, 0.04, 0.04, 0.05, 0.03, 0.02, 0.02])  # of the makes of one style


@dataclass(frozen=True)
class Makes:
    """All that cars of a make have in common, for n of them: arrays (n,), lengths in half cars."""

    roof: Float64
    cowl_x: Float64
    roof_x: Float64
    rear_x: Float64
    deck_x: Float64
    deck: Float64
    sill: Float64
    bonnet: Float64
    """The height of its front edge."""
    slope: Float64
    """How much higher the bonnet ends."""
    nose: Float64
    """How far the upper edge of the nose lies behind its lower one."""
    crown: Float64
    width: Float64
    taper: Float64
    wheel: Float64
    front_axle: Float64
    rear_axle: Float64
    spokes: Float64
    rim: Float64
    hub: Float64
    spoke: Float64
    glass: Float64
    """How high the window begins above the bonnet's end."""
    pillar: Float64
    second_pillar: Float64
    window_end: Float64
    line: Float64
    line_slope: Float64
    grille_y: Float64
    grille_w: Float64
    grille_h: Float64
    grille_lean: Float64
    grille_split: Float64
    grille_corner: Float64
    bars: Float64
    bar_kind: Float64
    """0 across, 1 upright, 2 both."""
    frame: Float64
    lamp_y: Float64
    lamp_z: Float64
    lamp_w: Float64
    lamp_h: Float64
    lamp_slant: Float64
    lamp_round: Float64
    lamp_twin: Float64
    lamp_wrap: Float64
    intake_w: Float64
    intake_h: Float64
    tail_w: Float64
    tail_y: Float64
    tail_h: Float64

    def of(self, rows: npt.NDArray[np.int64]) -> Makes:
        """The makes in these rows, in this order."""
        return Makes(**{each.name: getattr(self, each.name)[rows] for each in fields(self)})


def draw_makes(randoms: list[Random]) -> Makes:
    """One make from each generator."""
    drawn = [_make(random) for random in randoms]
    return Makes(**{each.name: np.array([make[each.name] for make in drawn]) for each in fields(Makes)})


def _make(random: Random) -> dict[str, float]:
    style = random.randint(len(_STYLES))
    outline = _STYLES[style] + _SPREAD * random.normal(size=7)
    roof, cowl_x, roof_x, rear_x, deck_x, deck, sill = outline
    even = random.uniform
    bonnet = deck - even(0.0, 0.09)
    wheel = even(0.15, 0.19) + 0.25 * (max(sill, 0.1) - 0.13)
    tall = bonnet - sill
    twin = float(random.uniform() < 0.3)
    lamp_round = float(random.uniform() < 0.45)
    lamp_h = even(0.16, 0.34) * tall * (1.0 if lamp_round else 0.75)
    width = even(0.37, 0.44)
    has_third = random.uniform() < 0.5
    return {
        "roof": roof,
        "cowl_x": cowl_x,
        "roof_x": max(roof_x, cowl_x + 0.1),
        "rear_x": max(rear_x, roof_x + 0.2),
        "deck_x": min(max(deck_x, rear_x + 0.03), 0.99),
        "deck": deck,
        "sill": max(sill, 0.07),
        "bonnet": bonnet,
        "slope": even(0.02, 0.07),
        "nose": even(0.0, 0.12),
        "crown": even(0.01, 0.05),
        "width": width,
        "taper": even(0.1, 0.4),
        "wheel": wheel,
        "front_axle": even(-0.70, -0.58),
        "rear_axle": even(0.54, 0.68),
        "spokes": float(random.randint(3, 10)),
        "rim": even(0.58, 0.80),
        "hub": even(0.10, 0.40),
        "spoke": even(-0.6, 0.5),
        "glass": even(0.01, 0.05),
        "pillar": even(0.02, 0.22),
        "second_pillar": even(0.34, 0.55) if has_third else 9.0,
        "window_end": even(0.03, 0.20),
        "line": even(0.35, 0.85),
        "line_slope": even(-0.06, 0.06),
        "grille_y": even(0.45, 0.75),
        "grille_w": even(0.28, 0.72) * width,
        "grille_h": even(0.10, 0.26) * tall,
        "grille_lean": even(-0.45, 0.45),
        "grille_split": even(0.05, 0.22) * width if random.uniform() < 0.25 else -1.0,
        "grille_corner": even(1.05, 1.8),
        "bars": float(random.randint(2, 6)),
        "bar_kind": float(random.randint(3)),
        "frame": even(0.0, 0.35),
        "lamp_y": even(0.50, 0.80),
        "lamp_z": width - even(0.07, 0.11),
        "lamp_w": lamp_h * even(0.8, 1.0) if lamp_round else even(0.06, 0.11),
        "lamp_h": lamp_h,
        "lamp_slant": even(-0.5, 0.6),
        "lamp_round": lamp_round,
        "lamp_twin": twin,
        "lamp_wrap": 0.0 if lamp_round else even(0.0, 0.22),
        "intake_w": even(0.3, 0.9) * width,
        "intake_h": even(0.06, 0.24) * tall,
        "tail_w": even(0.04, 0.16),
        "tail_y": even(0.55, 0.85),
        "tail_h": even(0.06, 0.28),
    }
