"""The audit: clean on a sound course, and a sentence for whatever is not."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gradebook_course import prepare
from tiny_course import COURSE, HIDDEN, MISTAKES, SOURCE, VARIANT, write_tiny_course

from autograder.audit import AuditReport, audit_assignment
from autograder.audit.garbage import (
    EQUALS_EVERYTHING,
    RETURNS_NOTHING,
    answered_names,
    garbage_cell,
    unusable,
)
from autograder.audit.page import assignment_page
from autograder.audit.steps import Examiner, Step
from autograder.audit.workers import take
from autograder.checking.mistakes import read_mistakes
from autograder.cli.auditing import AuditCommand, run_audit
from autograder.course import Assignment, CourseError, load_course
from autograder.grading.grader import Grader, with_grader
from autograder.notebook.cells import Cell
from autograder.notebook.percent import read_source

Audit = Callable[..., AuditReport]


@pytest.fixture
def assignment_with(tmp_path: Path) -> Callable[..., Assignment]:
    """The tiny assignment, some of its files replaced, with its release."""

    def make(**changed: str) -> Assignment:
        course = COURSE + "limits: {call_seconds: 1, cell_seconds: 1}\n"
        root = write_tiny_course(tmp_path, **{"course": course, **changed})
        prepare(root)
        return load_course(root).assignment("tiny")

    return make


@pytest.fixture
def audit(assignment_with: Callable[..., Assignment]) -> Audit:
    return lambda seeds=1, **changed: audit_assignment(assignment_with(**changed), seeds=seeds)


def hidden_and(test: str) -> str:
    return f"{HIDDEN}\n\n{test}"


def test_a_sound_course_is_clean(assignment_with: Callable[..., Assignment]) -> None:
    seen: list[tuple[int, int]] = []
    assignment = assignment_with()
    report = audit_assignment(assignment, seeds=2, progress=lambda done, total: seen.append((done, total)))
    assert report.problems == [] and report.clean
    assert (report.assignment, report.questions) == ("tiny", ("relu_forward", "softmax"))
    assert (report.tests, report.seeds, report.variants) == (6, 2, 2)
    assert [(entry.name, entry.question) for entry in report.mistakes] == [
        ("absolute_value", "relu_forward"), ("wrong_sign", "relu_forward"), ("in_place", "relu_forward"),
        ("flat", "relu_forward"), ("not_shifted", "softmax"), ("wrong_axis", "softmax"),
        ("not_divided", "softmax"), ("shifted_by_columns", "softmax"),
    ]  # fmt: skip
    assert all(entry.recognised and entry.lost == (entry.question,) for entry in report.mistakes)
    # 3 that solve nothing, 8 mistakes, solution and 2 variants for each of 2 seeds
    assert seen == [(number, 17) for number in range(1, 18)]
    assert audit_assignment(assignment, seeds=2, jobs=2) == report


def test_a_mistake_that_survives(audit: Audit) -> None:
    beginning, _, end = HIDDEN.partition('@pytest.mark.question("softmax")\ndef test_softmax_large_scores')
    assert end
    report = audit(test_hidden=beginning)
    assert report.problems == ["mistake not_shifted survives: softmax keeps all of its points."]


BUILT_ON = SOURCE.replace(
    "shifted = scores - scores.max(axis=1, keepdims=True)",
    "shifted = -relu_forward(scores.max(axis=1, keepdims=True) - scores)[0]",
)
GIVEN = HIDDEN.replace('"softmax", weight=2', '"softmax", weight=2, given=["relu_forward"]').replace(
    '@pytest.mark.question("softmax")', '@pytest.mark.question("softmax", given=["relu_forward"])'
)


def test_a_mistake_that_costs_another_question(audit: Audit) -> None:
    assert BUILT_ON != SOURCE
    report = audit(tiny=BUILT_ON, test_public=PUBLIC_OF_RELU)
    assert any("mistake wrong_sign also costs softmax: test_soft" in problem for problem in report.problems)
    assert next(entry for entry in report.mistakes if entry.name == "wrong_sign").lost == report.questions


PUBLIC_OF_RELU = '''
import numpy as np
import pytest
from autograder.checking import assert_close


@pytest.mark.question("relu_forward")
def test_relu_small(student):
    """Negative entries become 0, the others stay."""
    assert_close(student.relu_forward(np.array([-1.0, 2.0]))[0], np.array([0.0, 2.0]), what="out")
'''


def test_in_brief_one_failure_that_tells_a_mistake_is_enough(
    assignment_with: Callable[..., Assignment],
) -> None:
    assignment = assignment_with()
    whole, brief = (audit_assignment(assignment, brief=brief, force=True) for brief in (False, True))
    assert brief.problems == whole.problems == []
    assert brief.mistakes == whole.mistakes

    def failures(report: AuditReport) -> int:
        return sum(len(each.failures) for step, each in report.outcomes if step.kind == "mistake")

    assert failures(brief) == len(brief.mistakes) < failures(whole)


def test_in_brief_nothing_is_overlooked(assignment_with: Callable[..., Assignment]) -> None:
    def problems(**changed: str) -> list[str]:
        return audit_assignment(assignment_with(**changed), brief=True).problems

    beginning = HIDDEN.partition('@pytest.mark.question("softmax")\ndef test_softmax_large_scores')[0]
    survives = "mistake not_shifted survives: softmax keeps all of its points."
    assert problems(test_hidden=beginning) == [survives]
    costs = "mistake wrong_sign also costs softmax: test_soft"
    assert any(costs in problem for problem in problems(tiny=BUILT_ON, test_public=PUBLIC_OF_RELU))


def test_a_part_that_is_given_but_not_served_costs_the_other_question(
    assignment_with: Callable[..., Assignment], monkeypatch: pytest.MonkeyPatch
) -> None:
    assignment = assignment_with(tiny=BUILT_ON, test_hidden=GIVEN, test_public=PUBLIC_OF_RELU)
    monkeypatch.setattr("autograder.checking.proxy.Student.give", lambda self, names: None)
    for brief in (True, False):
        problems = audit_assignment(assignment, brief=brief, force=True).problems
        assert any("mistake wrong_sign also costs softmax: test_soft" in problem for problem in problems)


def test_what_one_process_has_begun_with_is_left_to_it() -> None:
    waiting = deque(Step("mistake", name, replaces=name[0]) for name in ("a1", "a2", "b1"))
    assert [take(waiting, {"a"}), take(waiting, {"a"}), take(waiting, {"b"})] == [
        Step("mistake", name, replaces=name[0]) for name in ("b1", "a1", "a2")
    ]
    assert take(waiting, set()) is None


def test_what_is_known_in_full_is_not_repeated_in_brief_but_the_other_way_round(
    assignment_with: Callable[..., Assignment],
) -> None:
    assignment = assignment_with()
    mistakes = len(audit_assignment(assignment, brief=True).mistakes)
    whole = audit_assignment(assignment)
    assert whole.reused == len(whole.outcomes) - mistakes
    assert audit_assignment(assignment, brief=True).reused == len(whole.outcomes)


def test_functions_that_are_given_keep_questions_apart(audit: Audit) -> None:
    assert GIVEN.count("given=") == 2
    assert audit(tiny=BUILT_ON, test_hidden=GIVEN, test_public=PUBLIC_OF_RELU).problems == []


def test_questions_that_stand_without_a_part_are_not_run_on_each_of_its_mistakes(
    assignment_with: Callable[..., Assignment],
) -> None:
    def run_on_wrong_sign(grader: Grader) -> set[str]:
        wrong = next(mistake for mistake in grader.mistakes if mistake.name == "wrong_sign")
        step = Step(
            "mistake", wrong.name, source=wrong.source, question=wrong.question, replaces=wrong.replaces
        )
        return {grader.suite.tests[place].question for place in Examiner(grader).outcome(step).ran}

    given = assignment_with(tiny=BUILT_ON, test_hidden=GIVEN, test_public=PUBLIC_OF_RELU)
    assert with_grader(given, run_on_wrong_sign) == {"relu_forward"}
    not_given = assignment_with(tiny=BUILT_ON, test_public=PUBLIC_OF_RELU)
    assert with_grader(not_given, run_on_wrong_sign) == {"relu_forward", "softmax"}


@pytest.mark.parametrize("name", ["f", "C", "C.method", "C.attribute"])
def test_a_part_that_cannot_be_used(name: str) -> None:
    namespace: dict[str, Any] = {}
    exec(
        "def f():\n    return 0\n\nclass C:\n    def method(self):\n        return 0\n\n"
        "    @property\n    def attribute(self):\n        return 0\n",
        namespace,
    )
    uses = {"f": "f()", "C": "C()", "C.method": "C().method()", "C.attribute": "C().attribute"}
    exec(unusable(name), namespace)
    for other, use in uses.items():
        if other == name or other.startswith(f"{name}."):
            with pytest.raises(RuntimeError, match="left out on purpose"):
                eval(use, namespace)
        else:
            eval(use, namespace)


def test_a_mistake_that_is_not_recognised(audit: Audit) -> None:
    own = """

@mistake("softmax", "It guesses.")
def guesses(scores):
    return np.random.default_rng().random(scores.shape)


@mistake("softmax", "The same as another.")
def same(scores):
    return np.exp(scores - scores.max(axis=1, keepdims=True)) * 1.0
"""
    report = audit(mistakes=MISTAKES + own)
    assert report.problems == [
        "mistake guesses is not recognised.",
        "mistake same is not recognised; the student reads 'The exponentials are not divided by their sum.'.",
    ]


def test_a_mistake_that_belongs_nowhere_or_cannot_be_loaded(audit: Audit) -> None:
    own = """

@mistake("sofmax", "Misspelt.")
def misspelt(scores):
    return scores


@mistake("softmax", "It does not load.", replaces="Softmax.forward")
def unloadable(self, scores):
    return scores
"""
    report = audit(mistakes=MISTAKES + own)
    line = (MISTAKES + own).splitlines().index("def misspelt(scores):") + 1
    assert report.problems[0] == (
        f"mistake misspelt (mistakes.py, line {line}) belongs to 'sofmax', which is no question."
    )
    assert any(problem.startswith("mistake unloadable: Cell ") for problem in report.problems), (
        report.problems
    )
    assert "mistake unloadable survives: softmax keeps all of its points." in report.problems
    assert "misspelt" not in [entry.name for entry in report.mistakes]


def test_a_variant_that_is_wrong_or_missing(audit: Audit) -> None:
    wrong = VARIANT.replace("np.exp(scores - log_sum)", "np.exp(scores - log_sum) * 1.01")
    report = audit(other_way=wrong, loops="import no_such_module\n")
    assert report.problems and not report.clean
    assert any(
        problem.startswith("variant other_way.py fails softmax, test_softmax_values (seed 1): ")
        for problem in report.problems
    )
    assert any(
        "variant loops.py: Cell " in problem and "no_such_module" in problem for problem in report.problems
    )


def test_a_variant_is_run_on_what_calls_what_it_replaces(
    assignment_with: Callable[..., Assignment],
) -> None:
    relu = "def relu_forward(x):\n    return np.maximum(x, 0), x\n"
    assignment = assignment_with(other_way=relu, loops=relu + "\nnp.seterr(all='ignore')\n")
    report = audit_assignment(assignment, seeds=3)
    assert report.clean
    ran = {
        (step.name, step.seed): {report.suite[test].question for test in outcome.ran}
        for step, outcome in report.outcomes
        if step.kind in ("solution", "variant")
    }
    everything = {"relu_forward", "softmax"}
    for seed in (1, 2, 3):
        assert ran["solution", seed] == ran["loops.py", seed] == everything
        assert ran["other_way.py", seed] == (everything if seed == 1 else {"relu_forward"})
    mistakes = {mistake.name: mistake for mistake in read_mistakes(assignment.mistakes)}
    page = assignment_page(assignment, report, mistakes, "Tiny")
    assert page.count("other_way.py: full marks in 3 of 3 runs") == 1
    assert page.count("other_way.py: full marks in 1 of 1 runs") == 1
    assert page.count("loops.py: full marks in 3 of 3 runs") == 2


def test_too_few_variants(assignment_with: Callable[..., Assignment]) -> None:
    assignment = assignment_with()
    assignment.variants[0].unlink()
    report = audit_assignment(assignment)
    assert report.problems == ["There are 1 variants; at least two are needed."]


FREE = '''
@pytest.mark.question("softmax")
def test_asks_nothing(student):
    """It is there."""


@pytest.mark.question("softmax")
def test_calls_only(student):
    """It can be called."""
    student.softmax(np.ones((1, 2)))


@pytest.mark.question("relu_forward")
def test_believes_equality(student):
    """It is something."""
    assert student.relu_forward(np.ones(2)) is not None
'''


def test_work_that_solves_nothing_earns_nothing(audit: Audit) -> None:
    report = audit(test_hidden=hidden_and(FREE))
    assert report.problems == [
        "the bare stub passes softmax: test_asks_nothing.",
        "a function that returns None passes softmax: test_asks_nothing, test_calls_only.",
        "an object equal to everything passes relu_forward: test_believes_equality.",
        "an object equal to everything passes softmax: test_asks_nothing, test_calls_only.",
    ]


def test_a_test_that_flickers(audit: Audit) -> None:
    luck = '''
@pytest.mark.question("softmax")
def test_luck(student, reference, rng):
    """It is lucky."""
    scores = np.ones((2, 2))
    assert_close(student.softmax(scores), reference.softmax(scores))
    assert rng.random() < 0.7, "Unlucky."
'''
    problems = audit(seeds=6, test_hidden=hidden_and(luck)).problems
    unlucky = [
        problem for problem in problems if "solution solution fails softmax, test_luck (seed" in problem
    ]
    assert 1 <= len(unlucky) < 6
    assert all(problem.endswith("): Unlucky.") for problem in unlucky)


def test_what_is_put_in_place_of_answers(assignment_with: Callable[..., Assignment]) -> None:
    cells = [*read_source(assignment_with().source), Cell(99, "code", "def helper(): ...")]
    assert answered_names(cells) == ["relu_forward", "softmax"]  # helpers are no answers
    for text in (RETURNS_NOTHING, EQUALS_EVERYTHING):
        namespace: dict[str, object] = {}
        exec(garbage_cell(cells, text).source, namespace)
        answer = namespace["softmax"]
        assert callable(answer)
        given = answer(1, x=2)
        assert given is None or (given == 5 and given != 5 and given[3] == given.x)


def test_the_command(assignment_with: Callable[..., Assignment], capsys: pytest.CaptureFixture[str]) -> None:
    root = assignment_with().root
    assert run_audit(root, [], AuditCommand()) == 0
    out, err = capsys.readouterr()
    assert out == "tiny: 2 questions, 6 tests, 1 seed, 2 variants x 1, 8 mistakes, 8 recognised: clean\n"
    assert err == ""
    with pytest.raises(CourseError, match="no assignment 'tyni'"):
        run_audit(root, ["tyni"], AuditCommand())

    (root / "solutions/tiny/mistakes.py").write_text(MISTAKES.partition('@mistake("softmax"')[0])
    (root / "tests/tiny/test_hidden.py").write_text(
        hidden_and(FREE.partition('@pytest.mark.question("relu')[0])
    )
    assert run_audit(root, ["tiny"], AuditCommand()) == 1
    out, err = capsys.readouterr()
    assert "4 mistakes, 4 recognised: 3 problems" in out and "fewer than four mistakes: softmax (0)" in out
    assert err.splitlines()[0] == "  the bare stub passes softmax: test_asks_nothing."


def test_the_command_in_brief(
    assignment_with: Callable[..., Assignment], capsys: pytest.CaptureFixture[str]
) -> None:
    root = assignment_with().root
    assert run_audit(root, [], AuditCommand(brief=True)) == 0
    assert capsys.readouterr().out.endswith("8 mistakes, 8 recognised: clean\n")
    for needs_all in (AuditCommand(brief=True, record=True), AuditCommand(brief=True, diagnosis=True)):
        assert run_audit(root, [], needs_all) == 2
        assert capsys.readouterr().err.startswith("--brief leaves tests out, which ")


def test_mutants_die_in_the_sandbox_and_are_explained(assignment_with: Callable[..., Assignment]) -> None:
    source = SOURCE.replace(
        "    cache = x\n    ### END",
        "    count = 0\n    while count < 1:\n        count += 1\n    cache = x\n    ### END",
    )
    assignment = assignment_with(tiny=source)
    report = audit_assignment(assignment, mutants=True, explain=True, jobs=2)
    mutation = report.mutation
    assert mutation is not None
    total = mutation.total
    assert set(mutation.questions) == {"relu_forward", "softmax"}
    assert total.timed_out >= 1  # `count += 1` removed, and the loop has no end
    survivors = [mutant.what for mutant in mutation.survivors]
    assert "reduction: out = np.maximum(x, 0) => out = np.minimum(x, 0)" not in survivors
    assert "constant: while count < 1: => while count < 2:" in survivors  # it changes nothing that counts
    assert total.dead > total.survived and 0 < total.explained <= total.dead
    assert total.score == total.dead / (total.dead + total.survived)
    dead = [outcome for step, outcome in report.outcomes if step.kind == "mutant" and outcome.failures]
    told = {failure.told.mistake for outcome in dead for failure in outcome.failures if failure.told}
    assert "wrong_sign" in told  # np.minimum is one of the known mistakes
    assert any(mutant.key in problem for mutant in mutation.survivors for problem in report.problems)
