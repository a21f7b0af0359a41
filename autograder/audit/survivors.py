"""Running a suite on mutants, and the reviewed list of those that compute the same function."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from autograder.audit.mutation import Mutant, mutants_of
from autograder.checking.mistakes import MistakesError
from autograder.checking.namespace import gradable_cells
from autograder.course import Assignment
from autograder.grading.grader import Grader

EQUIVALENT = "equivalent.yml"


class Equivalent(BaseModel):
    """A mutant that computes the same function as the solution, and why."""

    model_config = ConfigDict(extra="forbid")

    key: str
    function: str
    what: str
    reason: str


@dataclass
class MutationReport:
    """What the mutants of an assignment showed."""

    killed: int = 0
    timed_out: int = 0
    equivalent: int = 0
    survivors: list[Mutant] = field(default_factory=list)
    stale: list[Equivalent] = field(default_factory=list)
    """Listed as equivalent, and yet they die or are not made any more."""

    @property
    def score(self) -> float:
        """Killed over all that are not equivalent; a timed-out one counts as killed."""
        dead = self.killed + self.timed_out
        total = dead + len(self.survivors)
        return dead / total if total else 1.0


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


def run_mutants(
    grader: Grader, share: tuple[int, int] = (0, 1), progress: Callable[[int, int], None] | None = None
) -> MutationReport:
    """Run each mutant's own question on it, in the sandbox, until a test fails.

    Args:
        grader: the assignment's grader.
        share: (number, count): only every count-th mutant, for processes that share the work.
        progress: called with (done, total).
    """
    listed = {entry.key: entry for entry in equivalent_mutants(grader.assignment)}
    mutants = mutants_of(grader.solution)
    mine = mutants[share[0] :: share[1]]
    report = MutationReport()
    for done, mutant in enumerate(mine, start=1):
        cells = [
            mutant.cell if cell.index == mutant.cell.index else cell
            for cell in gradable_cells(grader.solution)
        ]
        outcome = grader.first_failure(cells, mutant.question)
        if outcome is None and mutant.key in listed:
            report.equivalent += 1
        elif outcome is None:
            report.survivors.append(mutant)
        elif outcome == "timeout":
            report.timed_out += 1
        else:
            report.killed += 1
        if outcome is not None and mutant.key in listed:
            report.stale.append(listed[mutant.key])
        if progress:
            progress(done, len(mine))
    if share[0] == 0:
        made = {mutant.key for mutant in mutants}
        report.stale += [entry for key, entry in listed.items() if key not in made]
    return report


def merged(reports: Sequence[MutationReport]) -> MutationReport:
    """One report of several shares."""
    total = MutationReport()
    for report in reports:
        total.killed += report.killed
        total.timed_out += report.timed_out
        total.equivalent += report.equivalent
        total.survivors += report.survivors
        total.stale += report.stale
    return total


def review_file(survivors: Sequence[Mutant]) -> str:
    """The survivors as entries for the list of equivalent mutants, reasons still to be written."""
    lines = []
    for mutant in survivors:
        lines += [f"- key: {mutant.key}", f"  function: {mutant.function}", f"  what: {_quoted(mutant.what)}"]
        lines += ["  reason: ''"]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
