"""What an audit keeps, measures and records; without a sandbox, for what is graded is invented here."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gradebook_course import prepare
from tiny_course import VARIANT, write_tiny_course

from autograder.audit import AuditReport, audit_assignment, kept, proof
from autograder.audit.held_out import details, judge_held_out, summary
from autograder.audit.ledger import (
    Ledger,
    LedgerError,
    answers_hold,
    changes,
    entry_of,
    mistakes_hold,
    mutants_hold,
    ran_on,
    read_ledger,
    source_digests,
    stale,
    write_ledger,
)
from autograder.audit.margins import margins_of
from autograder.audit.page import assignment_page, write_pages
from autograder.audit.steps import Failure, Outcome, Step, TestInfo, Threshold, Told
from autograder.audit.table import BEGIN, END, readme_is_stale, update_readme
from autograder.checking import assert_accuracy, assert_learns
from autograder.checking.failure import current_student
from autograder.checking.mistakes import Mistake, MistakesError, read_mistakes
from autograder.checking.proxy import Student
from autograder.cli.auditing import AuditCommand, run_audit, run_audit_check
from autograder.course import Assignment, load_course

TESTS = [
    TestInfo(key=f"test_hidden.py::{name}", question=question, name=name, says="It is right.", weight=1)
    for question, name in (("relu_forward", "test_relu_values"), ("softmax", "test_softmax_values"))
]


def failure(
    test: int, outcome: Any = "failed", told: Told | None = None, held: Told | None = None
) -> Failure:
    return Failure(test=test, outcome=outcome, message="wrong", told=told, held_out=held)


class Invented:
    """Stands in for the graders: everything goes as it should, but for what a test changes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.done: list[Step] = []
        self.changed: dict[str, Outcome] = {}
        self.interrupt_after: int | None = None
        self.sentences: dict[str, str] = {}
        monkeypatch.setattr(proof, "do_steps", self.do_steps)

    def do_steps(
        self, assignment: Assignment, steps: Sequence[Step], jobs: int, tests: Any, finished: Any
    ) -> None:
        self.sentences = {each.name: each.sentence for each in read_mistakes(assignment.mistakes)}
        tests(TESTS)
        for count, step in enumerate(steps):
            if count == self.interrupt_after:
                raise KeyboardInterrupt
            self.done.append(step)
            finished(step, self.changed.get(step.name) or self.outcome(step))

    def outcome(self, step: Step) -> Outcome:
        ran, seconds = [0, 1], [0.1, 0.2]
        if step.kind == "nothing":
            return Outcome(ran=ran, seconds=seconds, failures=[failure(0), failure(1)])
        if step.kind in ("mistake", "mutant"):
            place = 0 if step.question == "relu_forward" else 1
            told = Told(sentence=self.sentences.get(step.name, ""), mistake=step.name)
            return Outcome(ran=ran, seconds=seconds, failures=[failure(place, told=told)])
        spread = float(np.random.default_rng(step.seed).normal(0.9, 0.01))
        note = Threshold(test=1, what="accuracy", value=spread, threshold=0.8)
        return Outcome(ran=ran, seconds=seconds, thresholds=[note], used=0.01)


@pytest.fixture
def invented(monkeypatch: pytest.MonkeyPatch) -> Invented:
    return Invented(monkeypatch)


@pytest.fixture
def assignment(tmp_path: Path) -> Assignment:
    root = write_tiny_course(tmp_path)
    prepare(root)
    (root / "README.md").write_text(f"# Tiny\n\n{BEGIN}\n{END}\n\nThe end.\n")
    return load_course(root).assignment("tiny")


def test_what_did_not_change_is_not_audited_again(invented: Invented, assignment: Assignment) -> None:
    first = audit_assignment(assignment, seeds=3, mutants=True)
    assert first.clean and first.reused == 0
    count = len(invented.done)
    again = audit_assignment(assignment, seeds=3, mutants=True)
    assert again == first and len(invented.done) == count and again.reused == count
    assert audit_assignment(assignment, seeds=3, mutants=True, force=True).reused == 0
    assert len(invented.done) == 2 * count


def steps_done_after(
    invented: Invented, assignment: Assignment, change: Callable[[], Any]
) -> list[tuple[str, str]]:
    audit_assignment(assignment, seeds=2, mutants=True)
    invented.done.clear()
    change()
    audit_assignment(load_course(assignment.root).assignment("tiny"), seeds=2, mutants=True)
    return [(step.kind, step.name) for step in invented.done]


MORE = "\n\n# %%\nmore = 1\n"


def edit(path: Path, old: str, new: str) -> Callable[[], Any]:
    assert old in path.read_text()
    return lambda: path.write_text(path.read_text().replace(old, new))


def test_only_what_changed_is_audited_again(invented: Invented, assignment: Assignment) -> None:
    variant = assignment.variants[-1]
    assert variant.read_text() == VARIANT
    assert (
        steps_done_after(invented, assignment, edit(variant, "0.0)", "0)")) == [("variant", variant.name)] * 2
    )
    redone = steps_done_after(
        invented, assignment, edit(assignment.mistakes, "this is |x|", "this is abs(x)")
    )
    # The bank of its question is another one, and so may be what its other mistakes are taken for.
    assert redone == [
        ("mistake", name) for name in ("absolute_value", "wrong_sign", "in_place", "flat")
    ]  # fmt: skip
    everything = steps_done_after(
        invented, assignment, edit(assignment.tests / "test_hidden.py", "(3, 5)", "(3, 6)")
    )
    assert {kind for kind, _ in everything} == {"nothing", "solution", "variant", "mistake", "mutant"}


@pytest.mark.parametrize("what", ["library_versions", "engine_digest"])
def test_another_library_or_engine_is_audited_again(
    what: str, invented: Invented, assignment: Assignment, monkeypatch: pytest.MonkeyPatch
) -> None:
    other: Any = {"numpy": "9.9"} if what == "library_versions" else "another"
    redone = steps_done_after(invented, assignment, lambda: monkeypatch.setattr(kept, what, lambda: other))
    assert ("solution", "solution") in redone and any(kind == "mutant" for kind, _ in redone)


def test_an_interrupted_audit_goes_on(invented: Invented, assignment: Assignment) -> None:
    invented.interrupt_after = 7
    with pytest.raises(KeyboardInterrupt):
        audit_assignment(assignment)
    invented.interrupt_after = None
    seen: list[tuple[int, int]] = []
    report = audit_assignment(assignment, progress=lambda done, total: seen.append((done, total)))
    assert report.clean and report.reused == 7
    assert seen[0] == (7, len(report.outcomes)) and seen[-1] == (len(report.outcomes), len(report.outcomes))
    assert len(invented.done) == len(report.outcomes)


def test_what_went_wrong_is_looked_at_again(invented: Invented, assignment: Assignment) -> None:
    invented.changed = {
        "loops.py": Outcome(ran=[0], seconds=[0.1], failures=[failure(0, "timeout")]),
        "flat": Outcome(ran=[0], seconds=[0.1]),
        "wrong_sign": Outcome(ran=[0], seconds=[0.1], failures=[failure(0, "timeout")]),
    }
    assert not audit_assignment(assignment).clean
    invented.done.clear()
    invented.changed = {}
    assert audit_assignment(assignment).clean
    assert sorted(step.name for step in invented.done) == ["flat", "loops.py", "wrong_sign"]


def test_a_damaged_file_costs_a_repetition_only(invented: Invented, assignment: Assignment) -> None:
    first = audit_assignment(assignment)
    path = assignment.root / ".autograder/audit/tiny.jsonl"
    text = path.read_text()
    path.write_text(text[: len(text) // 2])  # cut off in the middle of a line
    again = audit_assignment(assignment)
    assert again == first and 0 < again.reused < len(first.outcomes)
    assert audit_assignment(assignment).reused == len(first.outcomes)
    path.write_bytes(b"\xff\x00 nonsense\n")
    assert audit_assignment(assignment).reused == 0


def test_what_no_longer_holds_is_dropped(invented: Invented, assignment: Assignment) -> None:
    source = assignment.source
    for change in range(4):
        source.write_text(source.read_text() + f"\n# %%\nUNUSED = {change}\n")
        audit_assignment(load_course(assignment.root).assignment("tiny"))
    lines = [
        line for line in (assignment.root / ".autograder/audit/tiny.jsonl").read_text().splitlines() if line
    ]
    assert len({line.split("\t")[0] for line in lines}) <= 2


def test_a_mutant_that_was_explained_need_not_be_run_again(
    invented: Invented, assignment: Assignment
) -> None:
    audit_assignment(assignment, mutants=True, explain=True)
    invented.done.clear()
    report = audit_assignment(assignment, mutants=True)
    assert not invented.done and report.mutation is not None and report.mutation.total.dead > 5
    audit_assignment(assignment, mutants=True, force=True)
    invented.done.clear()
    audit_assignment(assignment, mutants=True, explain=True)
    assert len(invented.done) == 0  # the explained ones are still there


# --- thresholds


def thresholds(values: Sequence[float], answer: str = "solution") -> list[tuple[Step, Outcome]]:
    return [
        (
            Step("solution" if answer == "solution" else "variant", answer, seed),
            Outcome(thresholds=[Threshold(test=1, what="accuracy", value=value, threshold=0.8)]),
        )
        for seed, value in enumerate(values, start=1)
    ]


def test_margins_are_in_standard_deviations() -> None:
    values = [0.85, 0.87] * 10
    (margin,) = margins_of(TESTS, thresholds(values))
    assert margin.deviations == pytest.approx((0.86 - 0.8) / np.std(values, ddof=1))
    assert not margin.too_small and "test_softmax_values, accuracy" in str(margin)
    near = margins_of(TESTS, [*thresholds(values), *thresholds([0.80, 0.83] * 10, "loops.py")])
    assert [each.answer for each in near] == ["loops.py", "solution"] and near[0].too_small
    assert not margins_of(TESTS, thresholds([0.80, 0.83]))[0].too_small  # two seeds say nothing
    (constant,) = margins_of(TESTS, thresholds([1.0] * 30))
    assert constant.deviations == float("inf") and not constant.too_small
    assert margins_of(TESTS, thresholds([0.9])) == []


def test_the_smallest_of_several_values_counts() -> None:
    notes = [Threshold(test=1, what="accuracy", value=value, threshold=0.8) for value in (0.95, 0.85)]
    outcomes = [(Step("solution", "solution", seed), Outcome(thresholds=notes)) for seed in (1, 2)]
    assert margins_of(TESTS, outcomes)[0].mean == pytest.approx(0.85)


def test_a_threshold_that_is_too_close_is_a_problem(invented: Invented, assignment: Assignment) -> None:
    report = audit_assignment(assignment, seeds=20)
    assert report.clean and 4 < report.margins[0].deviations < 20
    invented.changed = {"solution": thresholds([0.81])[0][1]}
    assert audit_assignment(assignment, seeds=20, force=True).clean  # no spread: it is no matter of luck
    values = iter(np.tile([0.805, 0.83], 20).tolist())
    invented.outcome = lambda step: (  # type: ignore[method-assign]
        thresholds([next(values)])[0][1] if step.kind == "solution" else Invented.outcome(invented, step)
    )
    invented.changed = {}
    report = audit_assignment(assignment, seeds=20, force=True)
    assert len(report.problems) == 1
    assert report.problems[0].startswith("solution stays too close to a threshold: 1.")


def test_assertions_note_what_they_held_against_a_threshold() -> None:
    student = Student(backend=None)  # type: ignore[arg-type]
    token = current_student.set(student)
    try:
        assert_accuracy([1, 1, 0, 1], [1, 1, 1, 1], 0.5)
        assert_learns([1.0, 0.5, 0.1], by_factor=5)
        assert_learns([1.0, 0.5])  # no threshold but its own beginning
    finally:
        current_student.reset(token)
    accuracy, loss = student.margins
    assert (accuracy.what, accuracy.value, accuracy.threshold) == ("accuracy", 0.75, 0.5)
    assert loss.value == pytest.approx(np.log10(0.2 / 0.1)) and loss.threshold == 0


def test_variants_need_fewer_seeds_than_the_solution(invented: Invented, assignment: Assignment) -> None:
    audit_assignment(assignment, seeds=60)
    seeds = [step.seed for step in invented.done if step.kind == "solution"]
    assert seeds == list(range(1, 61))
    assert max(step.seed for step in invented.done if step.kind == "variant") == 50


# --- mistakes held out


def mistake(families: tuple[str, ...] = (), like: tuple[str, ...] = ()) -> Mistake:
    return Mistake("twice", "softmax", "Twice.", "softmax", "", 1, families, like)


def said(*told: Told, test: int = 1) -> Outcome:
    return Outcome(failures=[failure(test, held=each) for each in told] or [failure(test)])


SCALED = Told(sentence="Every element is twice the right one.", family="scaled")
SIGN = Told(sentence="Every element is right but for its sign.", family="sign")
OTHER = Told(sentence="The other.", mistake="other")


@pytest.mark.parametrize(
    ("families", "like", "told", "verdict"),
    [
        (("scaled",), (), (SCALED,), "right"),
        (("scaled",), (), (SCALED, SCALED), "right"),
        (("scaled",), (), (), "silent"),
        (("scaled",), (), (SIGN,), "wrong"),
        (("scaled",), (), (SCALED, SIGN), "wrong"),
        (("scaled", "sign"), (), (SCALED, SIGN), "right"),
        ((), ("other",), (OTHER,), "right"),
        (("scaled",), (), (OTHER,), "wrong"),
        ((), (), (), "right"),
        ((), (), (SCALED,), "wrong"),
    ],
)
def test_what_is_said_of_a_mistake_held_out(
    families: tuple[str, ...], like: tuple[str, ...], told: tuple[Told, ...], verdict: str
) -> None:
    judged = judge_held_out(mistake(families, like), TESTS, said(*told))
    assert judged.verdict == verdict
    assert judged.explicable == bool(families or like)
    line = details([judged], {"twice": mistake(families, like)})
    assert len(line) == (verdict != "right")
    assert f"{verdict} 1 of 1 (100.0%)" in summary([judged])


def test_what_is_said_in_other_questions_does_not_count() -> None:
    assert judge_held_out(mistake(), TESTS, said(SIGN, test=0)).verdict == "right"


# --- the record


def entry(invented: Invented, assignment: Assignment) -> Any:
    sources = source_digests(assignment)
    return entry_of(assignment, audit_assignment(assignment, seeds=2, mutants=True), sources)


def test_a_record_is_read_as_it_was_written(invented: Invented, assignment: Assignment) -> None:
    course = load_course(assignment.root)
    assert read_ledger(course) == Ledger()
    ledger = Ledger(assignments={"tiny": entry(invented, assignment)})
    path = write_ledger(course, ledger)
    assert read_ledger(course) == ledger and path == course.root / "docs/audit.json"
    path.write_text("{")
    with pytest.raises(LedgerError, match=r"audit\.json cannot be read.*Restore it"):
        read_ledger(course)


def test_a_changed_source_makes_a_record_stale(invented: Invented, assignment: Assignment) -> None:
    course = load_course(assignment.root)
    assert stale(course, Ledger()) == ["docs/audit.json holds no audit of tiny."]
    ledger = Ledger(assignments={"tiny": entry(invented, assignment)})
    assert stale(course, ledger) == []
    for path in (
        assignment.source,
        assignment.mistakes,
        assignment.variants[0],
        assignment.tests / "test_hidden.py",
    ):
        before = path.read_text()
        path.write_text(before + MORE)
        relative = path.relative_to(assignment.root).as_posix()
        assert stale(course, ledger) == [f"tiny was audited before {relative} changed."]
        path.write_text(before)
    prose = '\n# %% [markdown]\n# More words.\n\n# %% tags=["show"]\nprint("and a picture")\n'
    assignment.source.write_text(assignment.source.read_text() + prose)
    assert stale(course, ledger) == []  # no verdict depends on it
    added = assignment.source.with_name("equivalent.yml")
    added.write_text("[]")
    assert stale(course, ledger) == ["tiny was audited before solutions/tiny/equivalent.yml changed."]


def test_other_rules_make_a_record_stale_and_other_points_do_not(
    invented: Invented, assignment: Assignment
) -> None:
    ledger = Ledger(assignments={"tiny": entry(invented, assignment)})
    rules = assignment.root / "course.yml"
    rules.write_text(rules.read_text().replace("points: 3", "points: 4"))
    course = load_course(assignment.root)
    assert stale(course, ledger) == [] and mistakes_hold(course.assignments[0], ledger.assignments["tiny"])
    rules.write_text(rules.read_text().replace("[torch, scipy]", "[torch]"))
    course = load_course(assignment.root)
    assert stale(course, ledger) == ["tiny was audited before course.yml changed."]
    assert not mistakes_hold(course.assignments[0], ledger.assignments["tiny"])


def test_a_record_of_problems_is_not_up_to_date(invented: Invented, assignment: Assignment) -> None:
    found = entry(invented, assignment).model_copy(update={"problems": 2})
    told = stale(load_course(assignment.root), Ledger(assignments={"tiny": found}))
    assert told == ["The recorded audit of tiny found problems: 2."]


def test_another_reason_for_a_listed_mutant_asks_for_no_audit(assignment: Assignment) -> None:
    listed = assignment.source.with_name("equivalent.yml")
    entry = "- {{key: '{}', function: double, what: 'constant: 2', reason: '{}'}}\n"
    listed.write_text(entry.format("12ab", "Both are even."))
    before = source_digests(assignment)
    listed.write_text(entry.format("12ab", "The result is the same for all integers."))
    assert source_digests(assignment) == before
    listed.write_text(entry.format("12ab", "Both are even.") + entry.format("34cd", "Both are even."))
    assert source_digests(assignment) != before
    listed.write_text("- key: 12ab")
    with pytest.raises(MistakesError, match="not a list of key, function, what and reason"):
        source_digests(assignment)


def test_mutants_are_made_again_only_where_they_may_end_otherwise(
    invented: Invented, assignment: Assignment, capsys: pytest.CaptureFixture[str]
) -> None:
    root = assignment.root
    assert not mutants_hold(assignment, None)
    assert run_audit(root, [], AuditCommand(record=True)) == 0
    course = load_course(root)
    first = read_ledger(course).assignments["tiny"]
    assert first.mutants and mutants_hold(assignment, first)

    invented.done.clear()
    assignment.mistakes.write_text(assignment.mistakes.read_text() + "\n# looked at again\n")
    assignment.variants[0].write_text(assignment.variants[0].read_text() + "\n# and this\n")
    capsys.readouterr()
    assert run_audit(root, [], AuditCommand(record=True)) == 0
    assert "mutants: as recorded" in capsys.readouterr().out
    assert invented.done and not any(step.kind == "mutant" for step in invented.done)
    second = read_ledger(course).assignments["tiny"]
    assert second.mutants == first.mutants and second.sources != first.sources
    assert run_audit_check(root) == 0

    for path in (assignment.source, assignment.tests / "test_hidden.py"):
        before = path.read_text()
        path.write_text(before + MORE)
        assert not mutants_hold(assignment, second)
        path.write_text(before)
    assert not mutants_hold(assignment, second.model_copy(update={"versions": {"numpy": "0"}}))
    invented.done.clear()
    assert run_audit(root, [], AuditCommand(record=True, force=True)) == 0
    assert any(step.kind == "mutant" for step in invented.done)


def test_mistakes_are_run_again_only_where_they_may_cost_something_else(
    invented: Invented, assignment: Assignment, capsys: pytest.CaptureFixture[str]
) -> None:
    root, course = assignment.root, load_course(assignment.root)

    def kinds_done(command: AuditCommand) -> set[str]:
        invented.done.clear()
        capsys.readouterr()
        # Another machine's audit: nothing of what this one has finished is at hand.
        shutil.rmtree(root / ".autograder" / "audit", ignore_errors=True)
        assert run_audit(root, [], command) == 0
        return {step.kind for step in invented.done}

    record = AuditCommand(record=True)
    assert "mistake" in kinds_done(record)
    first = read_ledger(course).assignments["tiny"]
    variant = assignment.variants[0]
    variant.write_text(variant.read_text() + "\n# and this\n")
    assert mistakes_hold(assignment, first)
    assert "variant" in kinds_done(record) and "mistake" not in {step.kind for step in invented.done}
    out = capsys.readouterr().out
    assert "no mistakes run: clean" in out and "8 mistakes: as recorded" in out
    second = read_ledger(course).assignments["tiny"]
    assert (second.mistakes, second.held_out) == (first.mistakes, first.held_out)
    assert second.sources != first.sources and run_audit_check(root) == 0

    brief = kinds_done(AuditCommand(brief=True))
    assert {"solution", "variant", "nothing"} <= brief and "mistake" not in brief
    assert "8 mistakes: as recorded" in capsys.readouterr().out
    for whole in (AuditCommand(), AuditCommand(record=True, diagnosis=True)):
        assert "mistake" in kinds_done(whole)
    assert "mistake" in kinds_done(AuditCommand(brief=True, force=True))
    assert not mistakes_hold(assignment, None)
    assert not mistakes_hold(assignment, second.model_copy(update={"problems": 1}))
    for changed in ({"versions": {**second.versions, "pytest": "0"}}, {"engine": "another"}):
        assert not mistakes_hold(assignment, second.model_copy(update=changed))
    for path in (assignment.source, assignment.mistakes, assignment.tests / "test_hidden.py"):
        before = path.read_text()
        path.write_text(before + MORE)
        assert not mistakes_hold(assignment, second)
        path.write_text(before)


def test_what_is_edited_during_an_audit_has_not_been_audited(
    invented: Invented, assignment: Assignment, monkeypatch: pytest.MonkeyPatch
) -> None:
    variant = assignment.variants[0]

    def edited(report: AuditReport) -> dict[str, set[str]]:
        variant.write_text(variant.read_text() + "\n# while it ran\n")
        return ran_on(report)

    assert run_audit(assignment.root, [], AuditCommand(record=True)) == 0  # a record to compare with
    monkeypatch.setattr("autograder.cli.auditing.ran_on", edited)
    variant.write_text(variant.read_text() + "\n# before\n")
    assert run_audit(assignment.root, [], AuditCommand(record=True)) == 0
    assert variant.read_text().endswith("# while it ran\n") and run_audit_check(assignment.root) == 2


def test_many_seeds_are_looked_at_again_only_where_a_right_answer_may_fail(
    invented: Invented, assignment: Assignment, capsys: pytest.CaptureFixture[str]
) -> None:
    root, course = assignment.root, load_course(assignment.root)
    assert run_audit(root, [], AuditCommand(seeds=3, record=True)) == 0
    first = read_ledger(course).assignments["tiny"]

    def seeds_seen() -> int:
        invented.done.clear()
        assert run_audit(root, [], AuditCommand(seeds=3, record=True)) == 0
        entry = read_ledger(course).assignments["tiny"]
        assert (entry.seeds, entry.closest) == (3, first.closest)
        return sum(step.kind == "solution" for step in invented.done)

    assignment.mistakes.write_text(assignment.mistakes.read_text() + "\n# looked at again\n")
    assert seeds_seen() <= 1 and "3 seeds: as recorded" in capsys.readouterr().out
    assert answers_hold(assignment, first, 3) and not answers_hold(assignment, first, 4)
    variant = assignment.variants[0]
    variant.write_text(variant.read_text() + "\n# and this\n")
    assert not answers_hold(assignment, first, 3) and mutants_hold(assignment, first)
    assert run_audit_check(root) == 2
    seeds_seen()
    assert "as recorded, for no right answer" not in capsys.readouterr().out
    assert run_audit_check(root) == 0


def test_changed_verdicts_are_named_with_the_reason(invented: Invented, assignment: Assignment) -> None:
    before = entry(invented, assignment)
    every_test = dict.fromkeys(before.mistakes, before.tests)
    assert changes(before, before, every_test) == []
    mutant = next(step.name for step in invented.done if step.kind == "mutant" and step.question == "softmax")
    invented.changed = {
        "solution": Outcome(ran=[0, 1], seconds=[0.1, 0.1], failures=[failure(1)]),
        "flat": Outcome(ran=[0, 1], seconds=[0.1, 0.1]),
        mutant: Outcome(ran=[1], seconds=[0.1]),
    }
    report = audit_assignment(assignment, seeds=2, mutants=True, force=True)
    now = entry_of(assignment, report, source_digests(assignment))
    now = now.model_copy(update={"versions": {**now.versions, "numpy": "9.9"}})
    numpy = before.versions["numpy"]
    assert changes(before, now, every_test) == [
        "softmax, test_softmax_values: solution passed it, and fails it now.",
        "relu_forward, test_relu_values: mistake flat failed it, and passes it now.",
        "relu_forward: mistake flat was recognised, and is not any more.",
        f"softmax: mutant {mutant} survives now.",
        f"Why: numpy {numpy} -> 9.9.",
    ]
    other_tests = {**every_test, "flat": ["test_softmax_values"]}  # what was not run has no verdict
    assert not any("test_relu_values" in line for line in changes(before, now, other_tests))
    same = now.model_copy(update={"versions": before.versions})
    assert (
        changes(before, same, every_test)[-1]
        == "Why: nothing that a verdict depends on changed, so it flickers."
    )
    back = changes(now, before, every_test)
    assert "softmax, test_softmax_values: solution failed it, and passes it now." in back


def test_of_two_tests_of_one_name_both_must_have_been_run() -> None:
    suite = [
        TestInfo(key=f"{file}::{name}", question="softmax", name=name, says="It is right.", weight=1)
        for file, name in (("hidden", "test_a"), ("public", "test_a"), ("public", "test_b"))
    ]
    mistake = Step("mistake", "flat", question="softmax")

    def run(*places: int) -> dict[str, set[str]]:
        outcome = Outcome(ran=list(places), seconds=[0.1] * len(places))
        return ran_on(AuditReport("tiny", suite=suite, outcomes=[(mistake, outcome)]))

    assert run(1, 2) == {"flat": {"test_b"}}
    assert run(0, 1) == {"flat": {"test_a"}}


def test_the_table_in_the_readme(invented: Invented, assignment: Assignment) -> None:
    course = load_course(assignment.root)
    ledger = Ledger(assignments={"tiny": entry(invented, assignment)})
    assert readme_is_stale(course, ledger)
    text = update_readme(course, ledger).read_text()
    assert not readme_is_stale(course, ledger)
    assert text.startswith("# Tiny\n\n<!-- audit") and text.endswith(f"{END}\n\nThe end.\n")
    row = next(line for line in text.splitlines() if line.startswith("| tiny"))
    assert row.startswith("| tiny | 2 | 2 | 2 | 2 x 2 | 8 of 8 | ") and "(100.0%)" in row
    (course.root / "README.md").write_text("# Nothing\n")
    with pytest.raises(LedgerError, match="lacks the markers"):
        readme_is_stale(course, ledger)


def test_the_commands(
    invented: Invented, assignment: Assignment, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = assignment.root
    assert run_audit_check(root) == 2
    assert "docs/audit.json holds no audit of tiny." in capsys.readouterr().err
    pages = tmp_path / "pages"
    assert run_audit(root, [], AuditCommand(seeds=3, record=True, diagnosis=True, html=pages)) == 0
    out = capsys.readouterr().out
    assert "tiny: 2 questions, 2 tests, 3 seeds, 2 variants x 3, 8 mistakes, 8 recognised: clean\n" in out
    assert "score 100.0%" in out and "lowest margin to a threshold" in out and "held out in turn" in out
    assert f"Report: {pages / 'index.html'}" in out and (pages / "tiny.html").is_file()
    assert run_audit_check(root) == 0
    invented.changed = {"solution": Outcome(ran=[0, 1], seconds=[0.1, 0.1], failures=[failure(1)])}
    assert run_audit(root, [], AuditCommand(seeds=3, mutants=True, force=True)) == 1
    err = capsys.readouterr().err
    assert "Other verdicts than in docs/audit.json:" in err
    assert "tiny: softmax, test_softmax_values: solution passed it, and fails it now." in err
    (root / "README.md").write_text("# Nothing\n")
    invented.done.clear()
    with pytest.raises(LedgerError):  # before anything is audited
        run_audit(root, [], AuditCommand(record=True))
    assert not invented.done


# --- the page


def test_the_page_shows_what_was_found(invented: Invented, assignment: Assignment, tmp_path: Path) -> None:
    mistakes = {each.name: each for each in read_mistakes(assignment.mistakes)}
    clean = audit_assignment(assignment, seeds=20, mutants=True)
    page = assignment_page(assignment, clean, mistakes, "A <b>course</b>")
    assert "A &lt;b&gt;course&lt;/b&gt;" in page and "<b>course" not in page
    assert page.count('class="box bad"') == 1  # in the key
    assert "Mutants that survive" not in page
    assert page.count('title="flat (caught)') == 1 and "full marks in 20 of 20 runs" in page
    survivor = next(step for step in invented.done if step.kind == "mutant")
    invented.changed = {
        "flat": Outcome(ran=[0, 1], seconds=[0.1, 0.1]),
        "not_divided": Outcome(ran=[0, 1], seconds=[0.1, 0.1], failures=[failure(0), failure(1)]),
        "loops.py": Outcome(ran=[0, 1], seconds=[0.1, 0.1], failures=[failure(1)]),
        survivor.name: Outcome(ran=[0], seconds=[0.1]),
    }
    report = audit_assignment(assignment, seeds=20, mutants=True, force=True)
    page = assignment_page(assignment, report, mistakes, "A course")
    for expected in (
        "flat (survives)", "not_divided (costs others)", "loops.py: full marks in 0 of 20 runs",
        "fails: loops.py, seed 1", "Mutants that survive", survivor.name, 'class="minus"',
    ):  # fmt: skip
        assert expected in page
    written = write_pages([(assignment, report, mistakes)], "A course", tmp_path / "out")
    assert [path.name for path in written] == ["tiny.html", "index.html"]
    assert f"{len(report.problems)} problems" in written[1].read_text()
