"""What became of the mutants, and the reviewed list of those that compute the same function."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, field

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from autograder.audit.mutation import Mutant
from autograder.audit.steps import Outcome, Step
from autograder.checking.mistakes import MistakesError
from autograder.course import Assignment

EQUIVALENT = "equivalent.yml"


class Equivalent(BaseModel):
    """A mutant that computes the same function as the solution, and why."""

    model_config = ConfigDict(extra="forbid")

    key: str
    function: str
    what: str
    reason: str


@dataclass
class MutationCount:
    """How many mutants of a question came to which end."""

    killed: int = 0
    """By a wrong result or an exception."""
    timed_out: int = 0
    """By the limit of time; they count as killed, apart."""
    equivalent: int = 0
    survived: int = 0
    explained: int = 0
    """Of the dead: those of which a student would have read a true sentence."""

    @property
    def dead(self) -> int:
        """Killed, by a result or by time."""
        return self.killed + self.timed_out

    @property
    def score(self) -> float:
        """Dead over all that are not equivalent."""
        total = self.dead + self.survived
        return self.dead / total if total else 1.0


@dataclass
class MutationReport:
    """What the mutants of an assignment showed."""

    questions: dict[str, MutationCount] = field(default_factory=dict)
    survivors: list[Mutant] = field(default_factory=list)
    stale: list[Equivalent] = field(default_factory=list)
    """Listed as equivalent, and yet they die or are not made any more."""

    @property
    def total(self) -> MutationCount:
        """Of all questions together."""
        counts = [astuple(count) for count in self.questions.values()]
        return MutationCount(*map(sum, zip(*counts, strict=True))) if counts else MutationCount()


def equivalent_mutants(assignment: Assignment) -> list[Equivalent]:
    """The reviewed list beside the source. Raises `MistakesError` where it cannot be read."""
    path = assignment.source.with_name(EQUIVALENT)
    if not path.exists():
        return []
    try:
        document = YAML(typ="safe").load(path) or []
        return TypeAdapter(list[Equivalent]).validate_python(document)
    except (YAMLError, ValidationError) as error:
        first = str(error).strip().splitlines()[0]
        raise MistakesError(f"{path} is not a list of key, function, what and reason: {first}") from None


def mutation_steps(mutants: Sequence[Mutant], *, explain: bool = False) -> list[Step]:
    """A step for each mutant."""
    return [
        Step(
            "mutant",
            mutant.key,
            source=mutant.cell.source,
            question=mutant.question,
            cell=mutant.cell.index,
            replaces=mutant.function,
            explain=explain,
        )
        for mutant in mutants
    ]


def judge_mutants(
    mutants: Sequence[Mutant], outcomes: Mapping[str, Outcome], listed: Sequence[Equivalent]
) -> MutationReport:
    """Which mutants died, and how the reviewed list of equivalent ones compares.

    Args:
        mutants: all mutants of the solution.
        outcomes: by the mutant's key.
        listed: the reviewed list.
    """
    known = {entry.key: entry for entry in listed}
    report = MutationReport()
    for mutant in mutants:
        question = report.questions.setdefault(mutant.question, MutationCount())
        failures = outcomes[mutant.key].failures
        if not failures and mutant.key in known:
            question.equivalent += 1
        elif not failures:
            question.survived += 1
            report.survivors.append(mutant)
        elif failures[0].outcome == "timeout":
            question.timed_out += 1
        else:
            question.killed += 1
        if failures:
            question.explained += failures[0].told is not None
            if mutant.key in known:
                report.stale.append(known[mutant.key])
    made = {mutant.key for mutant in mutants}
    report.stale += [entry for entry in listed if entry.key not in made]
    return report


def review_file(survivors: Sequence[Mutant]) -> str:
    """The survivors as entries for the list of equivalent mutants, reasons still to be written."""
    lines = []
    for mutant in survivors:
        lines += [
            f"- key: '{mutant.key}'",
            f"  function: {mutant.function}",
            f"  what: {_quoted(mutant.what)}",
        ]
        lines += ["  reason: ''"]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
