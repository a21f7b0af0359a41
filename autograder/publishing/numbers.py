"""Points and shares as people write them."""

from __future__ import annotations


def percent(part: float, whole: float) -> float:
    """`part` of `whole` in percent, between 0 and 100, one decimal."""
    return round(min(100.0, max(0.0, 100 * part / whole)), 1) if whole > 0 else 0.0


def points(value: float) -> str:
    """Points, rounded to 1/100: 4, 3.5, 0.67."""
    return f"{value:.2f}".rstrip("0").rstrip(".")
