"""How good the diagnosis is on mistakes that it does not know: each one is held out of the bank in turn.

What is right is written in mistakes.py: `family` names the simple families that a mistake's results are truly
of, `like` the other mistakes whose sentences are just as true of it. A held-out mistake is

    right    where something of that was said and nothing else, or where nothing of that kind is true of it
             and nothing was said;
    silent   where a family or another sentence would have been true, and nothing was said;
    wrong    where anything else was said, in any of its failed tests.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from autograder.audit.steps import Outcome, TestInfo, Told
from autograder.checking.mistakes import Mistake

HeldOutVerdict = Literal["right", "silent", "wrong"]


@dataclass(frozen=True)
class HeldOut:
    """What the rest of the bank and the families say of one mistake."""

    mistake: str
    question: str
    explicable: bool
    """Whether a family or another mistake's sentence is true of it."""
    verdict: HeldOutVerdict
    told: tuple[Told, ...]
    """What was said, each thing once."""


def judge_held_out(mistake: Mistake, tests: Sequence[TestInfo], outcome: Outcome) -> HeldOut:
    """Judge what was said of a mistake's failed tests, of its own question."""
    told = tuple(
        dict.fromkeys(
            failure.held_out
            for failure in outcome.failures
            if failure.held_out is not None and tests[failure.test].question == mistake.question
        )
    )
    explicable = bool(mistake.families or mistake.like)
    if not all(each.family in mistake.families or each.mistake in mistake.like for each in told):
        verdict: HeldOutVerdict = "wrong"
    elif told or not explicable:
        verdict = "right"
    else:
        verdict = "silent"
    return HeldOut(mistake.name, mistake.question, explicable, verdict, told)


def summary(judged: Sequence[HeldOut]) -> str:
    """The figures in one line."""
    counts = Counter(each.verdict for each in judged)
    explicable = [each for each in judged if each.explicable]
    explained = sum(each.verdict == "right" for each in explicable)
    return (
        f"held out in turn: right {share(counts['right'], len(judged))}, silent "
        f"{share(counts['silent'], len(judged))}, wrong {share(counts['wrong'], len(judged))}; of the "
        f"{len(explicable)} of which a sentence is true, {share(explained, len(explicable))} got it"
    )


def details(judged: Sequence[HeldOut], mistakes: Mapping[str, Mistake]) -> list[str]:
    """A line for each mistake that was not judged right."""
    lines = []
    for each in judged:
        if each.verdict == "right":
            continue
        wanted = ", ".join([*mistakes[each.mistake].families, *mistakes[each.mistake].like]) or "nothing"
        said = "; ".join(f"{one.family or one.mistake}: {one.sentence}" for one in each.told) or "nothing"
        lines.append(f"{each.verdict}: {each.mistake} ({each.question}), true {wanted}; said {said}")
    return lines


def share(part: int, whole: int) -> str:
    """ "12 of 15 (80 %)" """
    return f"{part} of {whole} ({part / whole:.1%})" if whole else "0 of 0"
