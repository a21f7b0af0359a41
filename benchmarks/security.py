"""How many attacks of the bank succeed: here, in every sandbox mode of this machine, and with nbgrader.

    python benchmarks/security.py            (make bench-security)
    python benchmarks/security.py --skip-nbgrader

An attack has succeeded that earned points which it does not deserve, read a secret, wrote outside, reached
the network, or left a process. nbgrader is given the attacks that mean the same there and are harmless
without a sandbox, in shards; it runs as an ordinary user where it can.
"""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "autograder"))

from attacks import unguarded
from attacks.bank import BANK
from attacks.grade import Run, counts, grade_all, table
from attacks.modes import modes, why_not
from attacks.world import World

SHARD = 20


def nbgrader_runs(jobs: int) -> list[Run]:
    """The applicable attacks, a shard to a course."""
    mode = modes()[2] if len(modes()) > 2 and not why_not(modes()[2]) else modes()[0]
    attacks = unguarded.applicable(BANK)
    shards = [attacks[start :: -(-len(attacks) // SHARD)] for start in range(-(-len(attacks) // SHARD))]

    def run(number: int) -> Run:
        with World(mode) as world:
            return unguarded.autograde(world, shards[number])

    with ThreadPoolExecutor(jobs) as pool:
        return list(pool.map(run, range(len(shards))))


def succeeded(runs: list[Run]) -> list[str]:
    """What went wrong, a line each."""
    lines = [harm for run in runs for harm in run.harm]
    for run in runs:
        for outcome in run.outcomes.values():
            if outcome.undeserved or outcome.traces:
                points = [f"{outcome.undeserved:g} points"] if outcome.undeserved else []
                lines.append(f"{outcome.name}: {', '.join(points + outcome.traces)}")
    return lines


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--skip-nbgrader", action="store_true")
    options = parser.parse_args()
    columns, failed = {}, []
    for mode in modes():
        if why_not(mode):
            print(f"{mode.name}: not here ({why_not(mode)})")
            continue
        runs = grade_all(mode, BANK, jobs=options.jobs)
        failed += [f"{mode.name}: {line}" for line in succeeded(runs)]
        columns[mode.name] = counts(BANK, runs)
        print(f"{mode.name}: {sum(run.seconds for run in runs):.0f} s", flush=True)
    if not options.skip_nbgrader:
        same = unguarded.applicable(BANK)
        theirs = nbgrader_runs(options.jobs)
        columns[f"nbgrader {version('nbgrader')}"] = counts(same, theirs)
        print("\nwith nbgrader:", *succeeded(theirs), sep="\n    ")
    print(f"\nattacks that succeeded, autograder-kit {version('autograder-kit')}\n\n{table(columns)}")
    if failed:
        print("\nhere:", *failed, sep="\n    ")
        sys.exit(1)


if __name__ == "__main__":
    main()
