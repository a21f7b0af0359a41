"""How far the right answers stay from the thresholds of a suite, in standard deviations over many seeds."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from autograder.audit.steps import Outcome, Step, TestInfo

LEAST_DEVIATIONS = 4.0
"""Below this, one submission in some ten thousand would fail by bad luck (for a normal distribution)."""
LEAST_SEEDS = 20
"""With fewer values a standard deviation says too little to call anything a problem."""


@dataclass(frozen=True)
class Margin:
    """One threshold of one test, over the seeds that an answer was graded with."""

    answer: str
    """The solution, or a variant's file."""
    question: str
    test: str
    what: str
    threshold: float
    mean: float
    deviation: float
    seeds: int

    @property
    def deviations(self) -> float:
        """(mean - threshold) / standard deviation; infinite where the value never changes."""
        if self.deviation == 0:
            return math.inf
        return (self.mean - self.threshold) / self.deviation

    @property
    def too_small(self) -> bool:
        """Whether the threshold is too close, as far as so many seeds can tell."""
        return self.seeds >= LEAST_SEEDS and self.deviations < LEAST_DEVIATIONS

    def __str__(self) -> str:
        return (
            f"{self.deviations:.1f} sd ({self.test}, {self.what}: {self.mean:.4g} on average over "
            f"{self.seeds} seeds, sd {self.deviation:.2g}, threshold {self.threshold:.4g})"
        )


def margins_of(tests: Sequence[TestInfo], outcomes: Iterable[tuple[Step, Outcome]]) -> list[Margin]:
    """The margins of every right answer to every threshold, the smallest first.

    A test that compares several values of one name with one threshold is judged by the smallest of them.
    """
    values: defaultdict[tuple[str, int, str], list[tuple[float, float]]] = defaultdict(list)
    for step, outcome in outcomes:
        if step.kind not in ("solution", "variant"):
            continue
        worst: dict[tuple[int, str], tuple[float, float]] = {}
        for each in outcome.thresholds:
            place = (each.test, each.what)
            distance = each.value - each.threshold
            if place not in worst or distance < worst[place][0] - worst[place][1]:
                worst[place] = (each.value, each.threshold)
        for (test, what), pair in worst.items():
            values[step.name, test, what].append(pair)
    margins = []
    for (answer, test, what), pairs in values.items():
        # A threshold that is drawn anew for each seed is taken as part of the value.
        reference = pairs[0][1]
        shifted = [value - threshold + reference for value, threshold in pairs if math.isfinite(value)]
        if len(shifted) < 2:
            continue
        deviation = statistics.stdev(shifted)
        mean = statistics.fmean(shifted)
        if deviation <= 1e-12 * abs(mean):
            deviation = 0.0
        margins.append(
            Margin(
                answer, tests[test].question, tests[test].name, what, reference, mean, deviation, len(shifted)
            )
        )
    return sorted(margins, key=lambda margin: margin.deviations)
