"""Nothing a submission does can change a grade: the attack bank, graded by the real command.

The whole bank in the strongest mode that this machine offers; what depends on the mode also in the weakest.
All modes, and nbgrader beside them: `make bench-security`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest
from attacks.bank import BANK
from attacks.grade import Run, counts, grade_all, table
from attacks.model import GROUPS, Attack
from attacks.modes import Mode, modes, why_not

MODES = modes()
# What lies in answers and notebooks is the same in every mode.
DEPENDS_ON_THE_MODE = ("read", "escape", "exhaust")


def failures(runs: Sequence[Run]) -> list[str]:
    """Everything that an attack achieved, in words."""
    found = [harm for run in runs for harm in run.harm]
    for run in runs:
        for outcome in run.outcomes.values():
            if outcome.undeserved:
                found.append(f"{outcome.name} earned {outcome.undeserved:g} points that it does not deserve")
            found += [f"{outcome.name}: {trace}; {outcome.said[:300]}" for trace in outcome.traces]
    return found


def graded(mode: Mode, attacks: Sequence[Attack]) -> list[Run]:
    """The runs; the table of it is printed."""
    if why_not(mode):
        pytest.skip(f"{mode.name}: {why_not(mode)}")
    runs = grade_all(mode, attacks)
    print(f"\nattacks that succeeded\n{table({mode.name: counts(attacks, runs)})}")
    assert all(run.layers == mode.layers for run in runs)
    return runs


def test_the_bank_is_large_and_has_every_group() -> None:
    sizes = Counter(attack.group for attack in BANK)
    assert sum(sizes.values()) >= 100
    assert set(sizes) == set(GROUPS) and min(sizes.values()) >= 15


def test_no_attack_succeeds() -> None:
    """None earns what it does not deserve, leaves a trace, or costs anybody else anything."""
    runs = graded(MODES[0], BANK)
    assert failures(runs) == []
    # 16 processes of 512 MB, answers of 400 MB call after call: and the grader keeps to a few of them.
    assert max(run.grader_mb for run in runs) < 4096


def test_no_attack_succeeds_in_the_weakest_mode() -> None:
    """The same without namespaces, and where nothing but the sandbox stands before the user's own files."""
    attacks = [a for a in BANK if a.group in DEPENDS_ON_THE_MODE and a.assignment == "bank"]
    assert failures(graded(MODES[-1], attacks)) == []


def test_the_attacks_are_real() -> None:
    """Without a sandbox they do succeed."""
    mode = MODES[2] if len(MODES) > 2 and not why_not(MODES[2]) else MODES[0]
    if mode.user is None and "root" in mode.name:
        pytest.skip("without a sandbox nothing is run as root")
    attacks = [a for a in BANK if a.unsafe and a.control and a.group in ("read", "escape")]
    (run,) = grade_all(mode, attacks, sandbox=False)
    stopped = [name for name, outcome in run.outcomes.items() if not (outcome.traces or outcome.undeserved)]
    assert stopped == [], {name: run.outcomes[name].said[:200] for name in stopped}
    assert len(run.outcomes) >= 60


def test_the_cheats_are_real() -> None:
    """Without the ban they do earn points."""
    attacks = [a for a in BANK if a.group == "cheat" and a.control]
    runs = grade_all(MODES[0], attacks, bans=False)
    poor = [o.name for run in runs for o in run.outcomes.values() if not o.undeserved]
    assert poor == []
    assert sum(len(run.outcomes) for run in runs) >= 25
