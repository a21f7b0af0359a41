"""The bank, graded by the real command."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from attacks.model import GROUPS, Attack
from attacks.modes import Mode
from attacks.world import HALF, HONEST, Outcome, World, page_of
from autograder.course import load_course
from autograder.gradebook import default_url

COMMAND = [sys.executable, "-P", "-c", "from autograder.cli import main; main()"]
LONGEST_ENTRY = 400_000
"""Characters of one submission in the report: 2000 cells make a long list of notes, a flood is longer."""
DAEMON_SECONDS = 2.5
"""Longer than a process of an attack waits before it leaves its mark."""


@dataclass
class Run:
    """One run of the command over a batch of attacks."""

    layers: list[str]
    outcomes: dict[str, Outcome]
    harm: list[str] = field(default_factory=list)
    """What must not have happened and is nobody's in particular: an honest student who lost points, a file
    that changed, a process that is left."""
    seconds: float = 0.0
    grader_mb: int = 0
    """The largest process of the grader's side."""


def grade(world: World, attacks: Sequence[Attack], *, jobs: int = 2, sandbox: bool = True) -> Run:
    """Hand in the attacks among honest submissions, grade them all, and look at what happened."""
    submitted = world.hand_in(attacks)
    before = world.guarded()
    report = world.root / "report.json"
    command = [*COMMAND, "grade", world.assignment, str(submitted), "--course", str(world.root)]
    command += ["--jobs", str(jobs), "--json", str(report)]
    if not sandbox:
        command.append("--unsafe-no-sandbox")
    start = time.monotonic()
    done = subprocess.run(
        world.mode.command(command), env=world.environment(), cwd=world.root, capture_output=True, timeout=900
    )
    seconds = time.monotonic() - start
    if done.returncode not in (0, 1) or not report.exists():
        raise AssertionError(f"autograder grade ended with {done.returncode}: {done.stderr.decode()[-3000:]}")
    time.sleep(DAEMON_SECONDS)
    document = json.loads(report.read_bytes())
    run = Run(document["sandbox"], {}, seconds=seconds)
    run.grader_mb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10
    entries = {entry["student"]: entry for entry in document["submissions"]}
    marked, connected = world.markers(), world.connected()
    for attack in attacks:
        run.outcomes[attack.name] = _outcome(attack, entries, world, marked, connected)
    run.harm += _harm(world, entries, before, done.stdout + done.stderr)
    return run


def _entry(attack: Attack, entries: dict[str, Any]) -> dict[str, Any] | None:
    """An attack that changes its folder's name is found by the file that was graded."""
    folder = attack.student or attack.name
    for student, entry in entries.items():
        if student == folder or f"/{folder}/" in entry["source"]:
            return dict(entry)
    return None


def _outcome(
    attack: Attack, entries: dict[str, Any], world: World, marked: set[str], connected: set[str]
) -> Outcome:
    entry = _entry(attack, entries)
    if entry is None:
        return Outcome(attack.name, 0.0, "lost", traces=["it is not in the report"])
    outcome = Outcome(attack.name, entry["score"], entry["status"])
    outcome.undeserved = max(0.0, entry["score"] - attack.deserves)
    text = json.dumps(entry)
    pages = page_of(world.root, entry["student"])
    html = page_of(world.root, entry["student"], ".html")
    traces = outcome.traces
    if f"DONE-{attack.name}" in text:
        traces.append("its act succeeded")
    traces += [f"it read {what}" for what in world.leaked(text + pages)]
    if attack.name in marked:
        traces.append("it wrote a file outside")
    if attack.name in connected:
        traces.append("it reached the network")
    if outcome.score < attack.deserves:
        traces.append(f"it got {outcome.score:g} of the {attack.deserves:g} points that it deserves")
    if entry["status"] != "graded" and not attack.refused:
        traces.append(f"it was refused: {entry['reason']}")
    if "Traceback (most recent call last)" in text:
        traces.append("a traceback of the engine is in its report")
    if len(text) > LONGEST_ENTRY:
        traces.append(f"its entry in the report has {len(text):,} characters")
    traces += _harmful_html(html, attack.name)
    traces += _harmful_copy(page_of(world.root, entry["student"], ".ipynb"))
    outcome.said = _said(entry)
    return outcome


def _harmful_html(pages: str, name: str) -> list[str]:
    """What an injection would leave in a page: each such attack writes its name into its tag or template."""
    found = [what for what in (f"<script>hello-{name}", f"<img src=hello-{name}") if what in pages]
    traces = [f"{what} is in its page" for what in found]
    if "1787569" in pages:  # 1337 * 1337, which a template would have computed
        traces.append("a template in its answer was evaluated")
    if "\x1b" in pages or "\u202e" in pages:
        traces.append("a control character is in its page")
    return traces


def _harmful_copy(copies: str) -> list[str]:
    """What formgrader, which puts texts and HTML outputs into its page as they are, must not be given."""
    traces = []
    for copy in filter(None, copies.split("\0")):
        for cell in json.loads(copy)["cells"]:
            kinds = {kind for output in cell.get("outputs", []) for kind in output.get("data", {})}
            if kinds & {
                "text/html",
                "application/javascript",
                "image/svg+xml",
                "text/markdown",
                "text/latex",
            }:
                traces.append("an active output is in its graded copy")
            if cell["cell_type"] == "markdown" and "<script" in cell["source"]:
                traces.append("a script is in a text of its graded copy")
    return traces


def _said(entry: dict[str, Any]) -> str:
    messages = [entry["reason"], *entry["repairs"][:3]]
    messages += [test["message"] for question in entry["questions"] for test in question["tests"]]
    return " | ".join(dict.fromkeys(message[:300] for message in messages if message))


def _harm(world: World, entries: dict[str, Any], before: dict[str, Any], output: bytes) -> list[str]:
    harm = []
    for student in HONEST:
        score = entries[student]["score"] if student in entries else None
        if score != world.max_points:
            lost = [
                f"{test['name']}: {test['message']}"
                for question in entries.get(student, {"questions": []})["questions"]
                for test in question["tests"]
                if test["outcome"] != "passed"
            ]
            harm.append(f"{student} got {score} of {world.max_points}: {'; '.join(lost)[:500]}")
    first = next(iter(world.points.values()))
    if entries.get(HALF, {}).get("score") != first:
        harm.append(f"{HALF} got {entries.get(HALF, {}).get('score')}, not {first}")
    after = world.guarded()
    harm += [f"{name} changed" for name in before if after.get(name) != before[name]]
    harm += [f"{name} is new" for name in after if name not in before]
    if world.left_over():
        harm.append("a process is left")
    if world.signals.exists():
        harm.append(f"another process got signals {world.signals.read_text()}")
    text = output.decode(errors="replace")
    harm += [f"the screen shows {what}" for what in world.leaked(text)]
    if "Traceback (most recent call last)" in text:
        harm.append(f"a traceback on the screen: {text[-2000:]}")
    if "\x1b]" in text or "\x07" in text:
        harm.append("a control sequence on the screen")
    harm += _gradebook(world, entries)
    return harm


def _gradebook(world: World, entries: dict[str, Any]) -> list[str]:
    """Where the gradebook and the report differ."""
    from nbgrader.api import Gradebook, MissingEntry

    course = load_course(world.root)
    harm = []
    with Gradebook(default_url(course), course.name) as gradebook:
        for student, entry in entries.items():
            try:
                score = gradebook.find_submission(world.assignment, student).score
            except MissingEntry:
                score = 0.0
            if abs(score - entry["score"]) > 1e-6:
                harm.append(f"the gradebook has {score} for {student}, the report {entry['score']}")
    return harm


def table(columns: dict[str, dict[str, tuple[int, int]]]) -> str:
    """Column -> group -> (succeeded, of), as a markdown table."""
    names = list(columns)
    lines = [f"| group | {' | '.join(names)} |", f"|---|{'---|' * len(names)}"]
    for group in [*GROUPS, "all"]:
        cells = []
        for column in columns.values():
            got, of = column.get(group, (0, 0)) if group != "all" else _sum(column)
            cells.append(f"{got} of {of}" if of else "-")
        lines.append(f"| {group} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _sum(column: dict[str, tuple[int, int]]) -> tuple[int, int]:
    return sum(got for got, _ in column.values()), sum(of for _, of in column.values())


def counts(attacks: Sequence[Attack], runs: Sequence[Run]) -> dict[str, tuple[int, int]]:
    """Group -> (attacks that succeeded in any way, attacks)."""
    found: dict[str, list[bool]] = defaultdict(list)
    for run in runs:
        for attack in attacks:
            if attack.name in run.outcomes:
                outcome = run.outcomes[attack.name]
                found[attack.group].append(bool(outcome.undeserved or outcome.traces))
    return {group: (sum(values), len(values)) for group, values in found.items()}


def grade_all(
    mode: Mode, attacks: Sequence[Attack], *, jobs: int = 2, sandbox: bool = True, bans: bool = True
) -> list[Run]:
    """A world for each assignment that the attacks aim at."""
    runs = []
    for assignment in dict.fromkeys(attack.assignment for attack in attacks):
        with World(mode, assignment=assignment, bans=bans) as world:
            chosen = [attack for attack in attacks if attack.assignment == assignment]
            runs.append(grade(world, chosen, jobs=jobs, sandbox=sandbox))
    return runs
