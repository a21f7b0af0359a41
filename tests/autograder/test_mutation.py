"""Machine-made mutants: which changes are made, and which would only be noise."""

from __future__ import annotations

import textwrap

import pytest

from autograder.audit.mutation import Mutant, mutants_of
from autograder.audit.steps import Failure, Outcome
from autograder.audit.survivors import Equivalent, MutationReport, judge_mutants, mutation_steps, review_file
from autograder.notebook.cells import Cell


def made(source: str) -> list[Mutant]:
    cell = Cell(3, "code", textwrap.dedent(source), "f", (), "f")
    return mutants_of([Cell(0, "code", "import numpy as np"), cell])


def lines(source: str) -> list[str]:
    """The changed lines, without the operator's name."""
    return [mutant.what.partition(": ")[2] for mutant in made(f"def f(a, b, x):\n    {source}\n")]


@pytest.mark.parametrize(
    ("line", "mutated"),
    [
        ("return a + b", "return a - b"),
        ("return a * b", "return a / b"),
        ("return a @ b", "return b @ a"),
        ("return -a", "return a"),
        ("return a < b", "return a <= b"),
        ("return a < b", "return a > b"),
        ("return a if b == x else x", "return a if b != x else x"),
        ("return a and b", "return a or b"),
        ("return a[1]", "return a[2]"),
        ("return a[1]", "return a[0]"),
        ("return a * 0.5", "return a * 0.75"),
        ("return a.sum(axis=0)", "return a.sum(axis=1)"),
        ("return a.sum(axis=0)", "return a.sum()"),
        ("return a.sum(axis=0)", "return a.mean(axis=0)"),
        ("return a.max(keepdims=True)", "return a.max(keepdims=False)"),
        ("return a.max(keepdims=True)", "return a.min(keepdims=True)"),
        ("return a[b:x:2]", "return a[b:x]"),
        ("return a[b:x:2]", "return a[:x:2]"),
        ("return a[b:x:2]", "return a[b:x:3]"),
        ("return a[b:x]", "return a[b:x - 1]"),
        ("return a[b:x]", "return a[b + 1:x]"),
        ("return f(a, b, x)", "return f(b, a, x)"),
        ("return f(a, b, x)", "return f(a, x, b)"),
        ("return a.T", "return a"),
        ("a += b", "a = b"),
        ("a += b", "a -= b"),
        ("a += b", "pass"),
        ("a = a * b", "a += a * b"),
        ("a = a * b", "pass"),
        ("a[0] = b", "a[0] += b"),
        ("a[0] = b", "pass"),
        ("a.append(b)", "pass"),
        ("return [i for i in range(x)]", "return [i for i in range(x - 1)]"),
        ("return [i for i in range(x)]", "return [i for i in range(1, x)]"),
        ("return [i for i in range(a, b)]", "return [i for i in range(a + 1, b)]"),
        ("return [i for i in range(a, b)]", "return [i for i in range(a, b - 1)]"),
    ],
)
def test_a_change_is_made(line: str, mutated: str) -> None:
    assert f"{line} => {mutated}" in lines(line)


def test_an_early_return_and_the_ends_of_a_loop() -> None:
    source = """
    def f(a):
        if a < 0:
            return -1
        for i in range(a):
            if i == 3:
                break
            if i == 2:
                continue
        return a
    """
    removed = [mutant.what for mutant in made(source) if mutant.what.startswith("statement removed")]
    assert sorted(removed) == [
        "statement removed: break => pass", "statement removed: continue => pass",
        "statement removed: return -1 => pass",
    ]  # fmt: skip


def test_what_would_only_be_noise_is_not_made() -> None:
    source = '''
    def f(a, b=2):
        """The sum of 3 and 4."""
        def inner(c):
            """Its own sentence."""
            return c
        out = np.zeros(3)
        out[0] = a
        if a is None:
            raise ValueError("not 5")
        return inner(out)
    '''
    found = [mutant.what for mutant in made(source)]
    assert not any("sentence" in what or "ValueError" in what or "b=" in what for what in found)
    # The first definition of a name: without it there is a NameError, and nothing is learned.
    assert "statement removed: out = np.zeros(3) => pass" not in found
    # In an array of zeros, += does what = does.
    assert "accumulated, not assigned: out[0] = a => out[0] += a" not in found
    assert "reduction: out = np.zeros(3) => out = np.ones(3)" in found


def test_nested_functions_and_methods_are_changed() -> None:
    source = """
    class Net:
        class Part:
            def size(self):
                return 1 + self.n

        def loss(self, x):
            def square(y):
                return y * y
            return square(x)
    """
    found = {(mutant.function, mutant.what) for mutant in made(source)}
    assert ("Net.Part.size", "operator: return 1 + self.n => return 1 - self.n") in found
    assert ("Net.loss", "operator: return y * y => return y / y") in found


def test_each_mutant_is_whole_and_has_a_key_of_its_own() -> None:
    source = """
    def f(a):
        a = a + 1
        a = a + 1
        return a
    """
    mutants = made(source)
    assert len({mutant.key for mutant in mutants}) == len(mutants)
    assert len({mutant.cell.source for mutant in mutants}) == len(mutants)
    twice = [mutant.what for mutant in mutants if "a = a + 1 => a = a - 1" in mutant.what]
    assert twice == ["operator: a = a + 1 => a = a - 1", "operator: a = a + 1 => a = a - 1 (number 2)"]
    for mutant in mutants:
        assert (mutant.cell.index, mutant.question) == (3, "f")
        compile(mutant.cell.source, "mutant", "exec")
        assert "+++ mutant" in mutant.diff


def judged(*ends: str, listed: tuple[int, ...] = ()) -> tuple[list[Mutant], MutationReport]:
    mutants = made("def f(a, b):\n    return a + b < 1\n")[: len(ends)]
    outcomes = {
        mutant.key: Outcome(
            failures=[Failure(test=0, outcome=end, message="")] if end != "lives" else []  # type: ignore[arg-type]
        )
        for mutant, end in zip(mutants, ends, strict=True)
    }
    known = [
        Equivalent(key=mutants[i].key, function="f", what=mutants[i].what, reason="same") for i in listed
    ]
    return mutants, judge_mutants(mutants, outcomes, known)


def test_the_score_counts_what_died_of_what_could() -> None:
    _, report = judged("failed", "timeout", "lives", "lives", listed=(3,))
    total = report.total
    assert (total.killed, total.timed_out, total.survived, total.equivalent) == (1, 1, 1, 1)
    assert total.score == 2 / 3
    assert report.questions["f"].dead == 2
    assert MutationReport().total.score == 1.0


def test_a_listed_mutant_that_dies_or_is_gone_is_reported() -> None:
    mutants, report = judged("failed", "lives", listed=(0, 1))
    assert [entry.key for entry in report.stale] == [mutants[0].key]
    gone = Equivalent(key="0123456789", function="f", what="gone", reason="same")
    assert judge_mutants([], {}, [gone]).stale == [gone]


def test_steps_and_the_file_for_review() -> None:
    mutants, report = judged("lives", "failed")
    step = mutation_steps(mutants, explain=True)[0]
    assert (step.kind, step.name, step.question, step.cell, step.explain) == (
        "mutant", mutants[0].key, "f", 3, True,
    )  # fmt: skip
    text = review_file(report.survivors)
    assert text.startswith(f"- key: '{mutants[0].key}'\n  function: f\n") and text.count("- key") == 1
