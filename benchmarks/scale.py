"""What a hundred thousand submissions take: reckoned from the measured figures, and checked by a simulation.

    python benchmarks/scale.py

Reads docs/benchmarks.json (`make bench` writes it); writes docs/scale.md and docs/images/scale.png.
"""

from __future__ import annotations

import argparse
import heapq
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from workloads import REPOSITORY

from autograder.course.files import write_whole

SUBMISSIONS = 100_000
DAY = 24 * 3600.0
LAST_HOURS, LAST_SHARE = 2.0, 0.35
"""A deadline: so much of everything comes in the last two hours, ever faster, the rest evenly before."""
PROMISE = 15 * 60.0
"""Seconds after which a student should have an answer."""
SPREAD = 0.5
"""Standard deviation of the logarithm of the service time: some students' code is several times slower."""
PRICE = 0.05
"""Dollars for an hour of one core with 4 GB; put in your own."""
MEMORY_MB = 2048
"""What a submission may use, by default."""


@dataclass(frozen=True)
class Figures:
    """Measured, for one workload: seconds of CPU and megabytes."""

    workload: str
    grading: float
    """On a worker."""
    central: float
    """In the one process that reads submissions and writes the gradebook."""
    peak_mb: float


def arrivals(rng: np.random.Generator, count: int = SUBMISSIONS) -> np.ndarray:
    """Times of arrival in seconds, sorted; the deadline is at the end of the day."""
    late = rng.random(count) < LAST_SHARE
    last = LAST_HOURS * 3600
    times = rng.random(count) * (DAY - last)
    # The density grows linearly in the last hours: the square root of a uniform number.
    times[late] = DAY - last + last * np.sqrt(rng.random(int(late.sum())))
    return np.sort(times)


def waits(times: Sequence[float], services: Sequence[float], servers: int) -> np.ndarray:
    """Seconds from arrival to result of each submission: first come, first served, `servers` at a time."""
    free = [0.0] * servers
    out = np.empty(len(times))
    for i, (arrival, service) in enumerate(zip(times, services, strict=True)):
        done = max(arrival, heapq.heappop(free)) + service
        heapq.heappush(free, done)
        out[i] = done - arrival
    return out


def services(rng: np.random.Generator, mean: float, count: int = SUBMISSIONS) -> np.ndarray:
    """Service times, log-normal about their mean."""
    return rng.lognormal(math.log(mean) - SPREAD**2 / 2, SPREAD, count)


def cores_on_paper(mean: float) -> int:
    """Cores that keep up with the last minute before the deadline, the busiest one."""
    peak = 2 * SUBMISSIONS * LAST_SHARE / (LAST_HOURS * 3600)
    return math.ceil(peak * mean)


def cores_needed(rng: np.random.Generator, mean: float) -> int:
    """The fewest cores with which the simulation answers 99 of 100 within `PROMISE`."""
    times, taken = arrivals(rng), services(rng, mean)
    low, high = 1, cores_on_paper(mean) + 1
    while low < high:
        middle = (low + high) // 2
        if np.quantile(waits(times, taken, middle), 0.99) <= PROMISE:
            high = middle
        else:
            low = middle + 1
    return low


def read_figures() -> list[Figures]:
    """From docs/benchmarks.json. Raises OSError, KeyError."""
    document = json.loads((REPOSITORY / "docs/benchmarks.json").read_text(encoding="utf-8"))
    found = []
    for row in document["measured"]:
        if row["grader"] == "autograder" and row["jobs"] == 2:
            central = document["central_seconds"]
            found.append(Figures(row["workload"], row["cpu"] - central, central, row["peak_mb"]))
    return found


def picture(figures: Figures, cores: int) -> None:
    """How long an answer takes over the last hours, with the cores needed, and with more and fewer."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    rng = np.random.default_rng(0)
    times, taken = arrivals(rng), services(rng, figures.grading)
    figure, axes = plt.subplots(figsize=(7, 3.6), layout="constrained")
    for count in sorted({max(1, cores * 3 // 4), cores, cores_on_paper(figures.grading)}):
        waited = waits(times, taken, count)
        shown = times > DAY - 3 * 3600
        bins = np.arange(DAY - 3 * 3600, DAY + 1, 300)
        which = np.digitize(times[shown], bins)
        means = [waited[shown][which == b].mean() / 60 for b in range(1, len(bins))]
        axes.plot((bins[:-1] + 150 - DAY) / 3600, means, label=f"{count} cores")
    axes.axhline(PROMISE / 60, color="0.5", ls=":", label="15 minutes")
    axes.set_xlabel("hours (the deadline is at 0)")
    axes.set_ylabel("minutes to the answer")
    axes.set_title(f"{figures.workload}: {SUBMISSIONS:,} submissions in a day", loc="left")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    figure.savefig(REPOSITORY / "docs/images/scale.png", dpi=120)


def page(measured: Sequence[Figures]) -> str:
    """docs/scale.md."""
    rng = np.random.default_rng(0)
    peak = 2 * SUBMISSIONS * LAST_SHARE / (LAST_HOURS * 3600)
    rows, drawn = [], None
    for figures in measured:
        needed = cores_needed(rng, figures.grading)
        hours = SUBMISSIONS * figures.grading / 3600
        memory = needed * (figures.peak_mb + MEMORY_MB) / 1024
        cost = hours * PRICE
        rows.append(
            f"| {figures.workload} | {figures.grading * 1e3:.0f} ms | {hours:.1f} | "
            f"{cores_on_paper(figures.grading)} | {needed} | {memory:.0f} GB | ${cost:.2f} |"
        )
        if drawn is None or figures.grading > drawn[0].grading:
            drawn = (figures, needed)
    assert drawn is not None
    picture(*drawn)
    central = measured[0].central
    return f"""# A hundred thousand submissions

The deadline day of a very large course, reckoned from the figures of [benchmarks](benchmarks.md)
and checked by a simulation of the queue (`python benchmarks/scale.py`): {SUBMISSIONS:,} submissions
in 24 hours, {LAST_SHARE:.0%} of them in the last {LAST_HOURS:g} hours and ever faster, so
{peak:.1f} a second in the last minute. Time on a worker varies as students' code does (log-normal,
σ = {SPREAD:g}). An answer is promised within {PROMISE / 60:g} minutes, for 99 of 100.

| assignment | CPU each | core-hours | cores on paper | cores simulated | memory | cost |
|---|---|---|---|---|---|---|
{chr(10).join(rows)}

"On paper" is the rate of the last minute times the CPU time. The simulation needs fewer,
for the promise lets a queue grow in the last half hour. Memory is a warm grader and a submission at
its limit of {MEMORY_MB // 1024} GB for each core; few submissions come near it. The cost takes
${PRICE} for an hour of one core with 4 GB, paid while it is used.

![Waiting times before the deadline](images/scale.png)

**The first bottleneck** is the one process that reads the submissions, hands them out and writes
the gradebook. It takes {central * 1e3:.0f} ms of CPU time a submission (reading and mending the
notebook, the autograded copy, the database), so it carries {1 / central:.0f} a second: {
        1 / central / peak:.1f} times what the last minute brings. Beyond that rate, split the course: one run
for each half of the students, on one PostgreSQL database, which takes several writers.

**Disk**: an autograded notebook, a feedback page and a line of the journal are about a megabyte a
submission, so 100 GB for the day.
"""


def main() -> int:
    """Write the page. Exit status."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter).parse_args()
    try:
        measured = read_figures()
    except (OSError, KeyError, ValueError):
        print("docs/benchmarks.json is missing or of an older kind. Run `make bench` first.", file=sys.stderr)
        return 2
    write_whole(REPOSITORY / "docs/scale.md", page(measured))
    return 0


if __name__ == "__main__":
    sys.exit(main())
