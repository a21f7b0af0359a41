"""Trained weights are handed in beside a notebook: found in every layout, given to the student's code and to
nobody else, and whatever is wrong with them costs what depends on them.
"""

from __future__ import annotations

import json
import os
import re
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tiny_course import write_tiny_course
from weights_course import COURSE, poisoned, safetensors, solved, torch_zip, write_weights_course

from autograder.authoring import BuildError, build_assignment
from autograder.checking.proxy import Student
from autograder.course import Assignment, Course, CourseError, load_course
from autograder.course.results import Report, SubmissionResult
from autograder.grading import Grader, grade_one, with_grader
from autograder.grading.identity import suite_version
from autograder.grading.pack import pack
from autograder.grading.process import Task, grade_task
from autograder.grading.run import RunOptions, grade_submissions
from autograder.grading.session import LoadedSubmission, worker_limits
from autograder.grading.versions import question_versions
from autograder.notebook.cells import Cell
from autograder.notebook.collect import Collected, Found, collect
from autograder.notebook.handedin import HandedIn, beside, looked_at, own_files, read_files
from autograder.publishing import write_feedback
from autograder.publishing.bundle import bundle_release
from autograder.publishing.files import PublishingError
from autograder.sandbox.host import Profile, Zygote
from autograder.sandbox.removal import remove_tree
from autograder.student import check_namespace
from autograder.student.notebookfile import load_notebook

NOTEBOOK = b'{"cells": [], "nbformat": 4}'


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Course:
    return write_weights_course(tmp_path_factory.mktemp("weights"))


@pytest.fixture
def assignment(course: Course) -> Assignment:
    return course.assignment("tiny")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    folder = tmp_path / "inbox"
    folder.mkdir()
    return folder


def write(path: Path, content: bytes = NOTEBOOK, age: float = 0.0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    moment = time.time() - age
    os.utime(path, (moment, moment))
    return path


def zipped(path: Path, **files: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def labels(collected: Collected) -> dict[str, str]:
    """Student -> the file that was found for weights, without its folder; or why there is none."""
    return {
        found.student: "/".join(Path(found.files[0].label).parts[-2:]) or found.files[0].problem
        for found in collected.submissions
    }


# Found in every layout


@pytest.mark.parametrize("given_folder", ["submitted", "submitted/alice", "submitted/alice/tiny"])
def test_in_nbgraders_layout(place: Path, assignment: Assignment, given_folder: str) -> None:
    write(place / "submitted/alice/tiny/tiny.ipynb")
    write(place / "submitted/alice/tiny/model.safetensors", safetensors())
    write(place / "submitted/alice/other/model.safetensors", b"other")
    write(place / "submitted/alice/tiny/timestamp.txt", b"2026-10-30 19:59:58 UTC")
    found = collect([place / given_folder], assignment)
    assert labels(found) == {"alice": "tiny/model.safetensors"}
    assert (found.notes, found.refused) == ([], [])
    (weights,) = read_files(found.submissions[0].files, assignment)
    assert (weights.content, weights.file_name) == (safetensors(), "weights.safetensors")


def test_in_a_folder_of_files(place: Path, assignment: Assignment) -> None:
    for name in ("alice", "bob", "carol", "dan"):
        write(place / f"{name}.ipynb")
    write(place / "alice.safetensors")
    write(place / "tiny_bob.pt")
    write(place / "model-carol.PT")
    write(place / "erin.pt")
    write(place / "model.pt")
    found = collect([place], assignment)
    assert labels(found) == {
        "alice": "inbox/alice.safetensors",
        "bob": "inbox/tiny_bob.pt",
        "carol": "inbox/model-carol.PT",
        "dan": "No weights were handed in: model.safetensors or model.pt belongs beside the notebook.",
    }
    assert [note.partition(": notebooks")[0] for note in found.notes] == [f"{place}/model.pt is nobody's"]


def test_in_a_folder_of_folders(place: Path, assignment: Assignment) -> None:
    write(place / "alice/tiny.ipynb")
    write(place / "alice/model.pt")
    write(place / "bob/my work.ipynb")
    write(place / "bob/Model (1).safetensors")
    write(place / "carol/tiny.ipynb")
    write(place / "carol/weights.h5")
    found = collect([place], assignment)
    assert labels(found) == {
        "alice": "alice/model.pt",
        "bob": "bob/Model (1).safetensors",
        "carol": "No weights were handed in: model.safetensors or model.pt belongs beside the notebook, "
        "and weights.h5 is not called so.",
    }
    assert found.refused == []


def test_in_a_zip_of_canvas(place: Path, assignment: Assignment) -> None:
    files = {
        "adaada_11_501_tiny.ipynb": NOTEBOOK,
        "adaada_11_502_model.pt": b"one",
        "bobbob_LATE_12_503_tiny-2.ipynb": NOTEBOOK,
        "bobbob_LATE_12_504_model-1.pt": b"older",
        "bobbob_LATE_12_505_model-2.pt": b"newest",
        "eveeve_13_506_model.pt": b"no notebook",
    }
    found = collect([zipped(place / "submissions.zip", **files)], assignment)
    names = {name: label.partition(": ")[2] for name, label in labels(found).items()}
    assert names == {"adaada_11": "adaada_11_502_model.pt", "bobbob_12": "bobbob_LATE_12_505_model-2.pt"}
    assert [refused.student for refused in found.refused] == ["eveeve_13"]
    assert any("model-1.pt does not" in note for note in found.notes)
    (weights,) = read_files(found.submissions[1].files, assignment)
    assert "bobbob_LATE_12_505_model-2.pt is refused: it is neither" in weights.problem


@pytest.mark.parametrize("between", ["", "/"])
def test_in_a_zip_of_moodle(place: Path, assignment: Assignment, between: str) -> None:
    files = {
        f"Ada Lovelace_101_assignsubmission_file_{between}tiny.ipynb": NOTEBOOK,
        f"Ada Lovelace_101_assignsubmission_file_{between}model.safetensors": b"hers",
        f"Ada Lovelace_102_assignsubmission_file_{between}tiny.ipynb": NOTEBOOK,
        f"Ada Lovelace_102_assignsubmission_file_{between}model.safetensors": b"her namesake's",
        f"Grace Hopper_103_assignsubmission_file_{between}tiny.ipynb": NOTEBOOK,
    }
    found = collect([zipped(place / "export.zip", **files)], assignment)
    content = {each.student: each.files[0].content for each in found.submissions}
    texts = {student: member.read(99) for student, member in content.items() if member is not None}  # type: ignore[union-attr]
    assert texts == {"Ada_Lovelace_101": b"hers", "Ada_Lovelace_102": b"her namesake's"}
    assert content["Grace_Hopper"] is None


def test_in_a_zip_of_one_student(place: Path, assignment: Assignment) -> None:
    found = collect([zipped(place / "alice.zip", **{"tiny.ipynb": NOTEBOOK, "model.pt": b"x"})], assignment)
    assert labels(found) == {"alice": "alice.zip: model.pt"}


def test_beside_a_notebook_that_is_named(place: Path, assignment: Assignment) -> None:
    paths = [write(place / name / "tiny.ipynb") for name in ("alice", "bob")]
    write(place / "alice/model.pt")
    write(place / "alice/notes.txt")
    found = collect(paths, assignment)
    assert labels(found)["alice"] == "alice/model.pt" and labels(found)["bob"].startswith("No weights")
    assert found.refused == []
    (only,) = beside(paths[0], assignment)
    assert only.label == str(place / "alice/model.pt")


def test_beside_notebooks_of_several_students_in_one_folder(place: Path, assignment: Assignment) -> None:
    paths = [write(place / f"{name}.ipynb") for name in ("alice", "bob")]
    write(place / "alice_model.pt")
    write(place / "carolc_7_8_model.pt")
    found = collect(paths, assignment)
    assert labels(found)["alice"] == "inbox/alice_model.pt" and labels(found)["bob"].startswith("No weights")
    assert found.refused == []


def test_of_two_files_the_preferred_name_counts(place: Path, assignment: Assignment) -> None:
    write(place / "alice/tiny.ipynb")
    write(place / "alice/model.pt")
    write(place / "alice/model.safetensors", age=100)
    write(place / "bob/tiny.ipynb")
    found = collect([place], assignment)
    assert labels(found)["alice"] == "alice/model.safetensors"
    (note,) = found.notes
    assert note.endswith(f"model.safetensors counts, {place}/alice/model.pt does not.")


def test_assignments_without_files_find_none(tmp_path: Path, place: Path) -> None:
    plain = load_course(write_tiny_course(tmp_path)).assignment("tiny")
    write(place / "alice/tiny.ipynb")
    write(place / "alice/model.pt")
    write(place / "bob/tiny.ipynb")
    assert [found.files for found in collect([place], plain).submissions] == [(), ()]


# Handed over, or refused with a reason


def link(path: Path) -> None:
    path.symlink_to("/etc/passwd")


Make = Callable[[Path], object]
MARKER = "/tmp/autograder-poison-ran"
WRONG: dict[str, tuple[str, Make, str]] = {
    "missing": ("model.h5", lambda path: path.write_bytes(b"x"), "No weights were handed in: .* model.h5 is"),
    "foreign": ("model.pt", lambda path: path.write_bytes(b"my weights"), "neither a safetensors file nor"),
    "empty": ("model.pt", lambda path: path.write_bytes(b""), "model.pt is refused: it is empty"),
    "oversized": ("model.pt", lambda path: path.write_bytes(bytes((1 << 20) + 1)), "more than 1.0 MB"),
    "poisoned": (
        "model.pt", lambda path: path.write_bytes(poisoned(f"touch {MARKER}")), "would call 'posix.system'",
    ),
    "leading elsewhere": (
        "model.pt", lambda path: path.write_bytes(torch_zip(b"", **{"../x": b""})), "not one that torch.save",
    ),
    "a link": ("model.pt", link, "model.pt is refused: it is a link"),
    "a folder": ("model.pt", lambda path: path.mkdir(), "No weights were handed in"),
    "unreadable": ("model.pt", lambda path: os.mkfifo(path), "model.pt is refused: it is not a plain file"),
}  # fmt: skip
MISMATCHED = {
    "of another shape": (safetensors(range(5)), "error", "cannot reshape array of size 5"),
    "with other numbers": (safetensors([0, 1, 2, 4]), "failed", "1 of 4 elements"),
}


@pytest.fixture(scope="module")
def graded(course: Course, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Report, Path]]:
    """One run over a class in which everybody has handed in something else."""
    assignment = course.assignment("tiny")
    inbox = course.root / "submitted"
    Path(MARKER).unlink(missing_ok=True)
    for name, (file_name, make, _) in WRONG.items():
        folder = inbox / name.replace(" ", "_") / "tiny"
        write(folder / "tiny.ipynb", solved(assignment))
        make(folder / file_name)
    for name, (content, *_) in {"fine": (safetensors(),), **MISMATCHED}.items():
        folder = inbox / name.replace(" ", "_") / "tiny"
        write(folder / "tiny.ipynb", solved(assignment))
        write(folder / "model.safetensors", content)
    report = grade_submissions(course, assignment, collect([inbox], assignment), RunOptions())
    out = tmp_path_factory.mktemp("feedback")
    write_feedback(report, course.title, assignment, out)
    yield report, out
    Path(MARKER).unlink(missing_ok=True)


def of(report: Report, student: str) -> SubmissionResult:
    return next(each for each in report.submissions if each.student == student.replace(" ", "_"))


def test_a_good_file_reaches_the_students_code(graded: tuple[Report, Path]) -> None:
    result = of(graded[0], "fine")
    assert (result.score, result.repairs) == (5.0, [])


@pytest.mark.parametrize("what", WRONG)
def test_a_file_that_cannot_be_used_costs_what_needs_it(what: str, graded: tuple[Report, Path]) -> None:
    report, out = graded
    result, reason = of(report, what), WRONG[what][2]
    double, load = result.questions
    assert (result.status, double.points, load.points) == ("graded", 2.0, 0.0)
    assert [test.outcome for test in load.tests] == ["failed", "failed"]
    assert all(re.search(reason, test.message) for test in load.tests), load.tests[0].message
    assert any(re.search(reason, repair) for repair in result.repairs)
    page = (out / what.replace(" ", "_") / "tiny.html").read_text()
    assert re.search(reason.replace("'", "&#39;"), page)
    assert not Path(MARKER).exists()


@pytest.mark.parametrize("what", MISMATCHED)
def test_a_file_that_does_not_fit_the_model_is_the_models_failure(
    what: str, graded: tuple[Report, Path]
) -> None:
    result = of(graded[0], what)
    _, outcome, message = MISMATCHED[what]
    hidden = next(test for test in result.questions[1].tests if test.name == "test_numbers")
    assert (result.questions[0].points, hidden.outcome) == (2.0, outcome)
    assert message in hidden.message and result.repairs == []


def test_a_mistake_is_recognised_with_the_solutions_own_file(course: Course) -> None:
    assignment = course.assignment("tiny")
    mistake = (
        'def load_model(path):\n    return np.frombuffer(open(path, "rb").read()[-16:], "<f4")[::-1].copy()\n'
    )

    def grade(grader: Grader) -> SubmissionResult:
        files = own_files(assignment)
        return grader.grade(solved(assignment, load_model=mistake), "s", 1, files=files).result

    result = with_grader(assignment, grade)
    hidden = next(test for test in result.questions[1].tests if test.name == "test_numbers")
    assert hidden.diagnosis == "The numbers are read in the wrong order."


# What the student's code may do with it

TAMPER = """
import os
def tamper(path):
    done = []
    try:
        os.chmod(path, 0o777)  # its owner may do that, and gains nothing by it
    except OSError:
        pass
    folder = os.path.dirname(path)
    acts = [
        lambda: open(path, "ab").write(b"x"), lambda: open(path, "r+b").write(b"x"),
        lambda: os.remove(path), lambda: os.rename(path, path + "2"), lambda: os.truncate(path, 0),
        lambda: os.replace(__file__, path), lambda: os.link(path, "copy"),
        lambda: open(folder + "/more", "wb"), lambda: os.rename(folder, folder + "2"),
        lambda: os.symlink("/etc/passwd", folder + "/link"), lambda: os.mkdir(folder + "/sub"),
    ]
    for number, act in enumerate(acts):
        try:
            act()
            done.append(number)
        except Exception:
            pass
    return done, open(path, "rb").read()
def first_seen():
    return seen
__file__ = "own"
open(__file__, "w").write("mine")
seen = [tamper(os.path.dirname(os.getcwd()) + "/files/weights.pt")]
"""


@pytest.mark.parametrize("namespaces", [True, False])
def test_the_submission_reads_its_file_and_cannot_change_it(assignment: Assignment, namespaces: bool) -> None:
    file = HandedIn("weights", "weights.pt", b"weights", digest="d")
    cells = [Cell(0, "code", TAMPER)]
    with (
        Zygote(Profile(namespaces=namespaces, own_user=namespaces)) as zygote,
        LoadedSubmission(zygote, cells, assignment.limits, [file]) as submission,
    ):
        assert submission.notes == []
        path = submission.file("weights")
        for _ in range(2):  # a test sees nothing of what the one before did
            process = submission.fork(1, None)
            student = Student(process, files=submission.file)
            assert student.file("weights") == path and path.endswith("/files/weights.pt")
            assert student.tamper(path) == ([], b"weights")
            assert student.first_seen() == [([], b"weights")]
            process.close()


def test_the_file_takes_nothing_of_the_submissions_own_disk(assignment: Assignment) -> None:
    limits = assignment.limits.model_copy(update={"disk_mb": 2, "file_mb": 1})
    file = HandedIn("weights", "weights.pt", bytes(3 << 20), digest="d")
    given_limits = worker_limits(limits, [file])
    assert (given_limits.disk_mb, given_limits.file_mb) == (5, 3)
    source = "open('mine', 'wb').write(bytes(1800 << 10))\n"
    source += "def size(path):\n    return len(open(path, 'rb').read())"
    with (
        Zygote(Profile()) as zygote,
        LoadedSubmission(zygote, [Cell(0, "code", source)], limits, [file]) as submission,
    ):
        assert submission.notes == []
        process = submission.fork(1, None)
        assert Student(process).size(submission.file("weights")) == 3 << 20
        process.close()


def test_a_submission_that_is_loaded_again_has_its_file_again(assignment: Assignment) -> None:
    file = looked_at("weights", safetensors(), "model.safetensors")
    cells = [
        Cell(0, "code", "import os\nos._exit(3)"),
        Cell(1, "code", "def f(path):\n    return open(path, 'rb').read()"),
    ]
    with (
        Zygote(Profile()) as zygote,
        LoadedSubmission(zygote, cells, assignment.limits, [file]) as submission,
    ):
        process = submission.fork(1, None)
        assert Student(process).f(submission.file("weights")) == safetensors()
        process.close()


def test_no_box_is_left_behind(tmp_path: Path) -> None:
    """A folder with files that may only be read is removed like any other."""
    box = tmp_path / "box"
    (box / "files").mkdir(parents=True)
    (box / "files/weights.pt").write_bytes(b"x")
    (box / "files/weights.pt").chmod(0o444)
    (box / "files").chmod(0o555)
    remove_tree(box)
    assert not box.exists()


# Grades depend on the file


def test_a_changed_file_is_graded_again_with_other_numbers(tmp_path: Path) -> None:
    course = write_weights_course(tmp_path)
    assignment = course.assignment("tiny")
    folder = course.root / "submitted/ada/tiny"
    write(folder / "tiny.ipynb", solved(assignment))
    said: list[str] = []

    def grade() -> SubmissionResult:
        said.clear()
        found = collect([course.root / "submitted"], assignment)
        (result,) = grade_submissions(
            course, assignment, found, RunOptions(), announce=said.append
        ).submissions
        return result

    nothing = grade()
    write(folder / "model.safetensors", safetensors([0, 1, 2, 9]))
    wrong = grade()
    assert said == []
    again = grade()
    assert "1 not graded again" in said[0] and again == wrong
    write(folder / "model.safetensors", safetensors())
    right = grade()
    assert said == []
    assert [nothing.score, wrong.score, right.score] == [2.0, 3.5, 5.0]
    assert len({nothing.seed, wrong.seed, right.seed}) == 3
    assert len({nothing.sha256, wrong.sha256, right.sha256}) == 3


def test_the_solutions_own_file_is_part_of_every_version(tmp_path: Path) -> None:
    assignment = write_weights_course(tmp_path).assignment("tiny")
    before = question_versions(assignment), suite_version(assignment)
    (assignment.source.parent / "model.safetensors").write_bytes(safetensors([9.0] * 4))
    after = question_versions(assignment), suite_version(assignment)
    assert all(before[0][name] != after[0][name] for name in before[0]) and before[1] != after[1]
    assert b"model.safetensors" in pack(assignment).content


def test_a_variant_may_have_weights_of_its_own(tmp_path: Path) -> None:
    assignment = write_weights_course(tmp_path).assignment("tiny")
    variants = assignment.source.parent / "variants"
    write(variants / "wide.py", b"")
    write(variants / "deep.py", b"")
    write(variants / "wide/model.pt", b"x")
    own = assignment.source.parent / "model.safetensors"
    assert assignment.own_files() == {"weights": own} == assignment.own_files("deep.py")
    assert assignment.own_files("wide.py") == {"weights": variants / "wide/model.pt"}
    assert assignment.all_own_files == [own, variants / "wide/model.pt"]


# Around it: check, build, release, nbgrader, course.yml


def test_check_looks_beside_the_notebook(course: Course, tmp_path: Path) -> None:
    assignment = course.assignment("tiny")
    notebook = tmp_path / "tiny.ipynb"
    notebook.write_bytes(solved(assignment))
    suite = tmp_path / "test_public.py"
    suite.write_text((assignment.tests / "test_public.py").read_text())
    namespace = load_notebook(notebook, lambda note: None)
    (result,) = check_namespace("load_model", namespace, suite)
    assert result.outcome == "failed"
    assert "no model.safetensors or model.pt beside the notebook yet" in result.message
    (tmp_path / "model.pt").write_bytes(safetensors())
    (result,) = check_namespace("load_model", namespace, suite)
    assert result.outcome == "passed"


def test_the_build_keeps_what_the_notebook_saves(tmp_path: Path) -> None:
    assignment = write_weights_course(tmp_path).assignment("tiny")
    own = assignment.source.parent / "model.safetensors"
    own.unlink()
    missing = [str(each.what) for each in build_assignment(assignment, check=True).differences]
    assert any("has not been built" in what for what in missing)
    assert own in build_assignment(assignment).written
    assert own.read_bytes() == safetensors()
    own.write_bytes(safetensors([0, 1, 2, 3.0]) + b"")
    assert build_assignment(assignment).written == ()
    assert build_assignment(assignment, check=True).differences == ()
    text = assignment.source.read_text().replace('open("model.safe', 'open("other.safe')
    assignment.source.write_text(text)
    suite = assignment.tests / "test_public.py"
    suite.write_text(suite.read_text().partition("    path = ")[0] + '    assert student.has("load_model")\n')
    with pytest.raises(BuildError, match=r"saves no model.safetensors or model.pt"):
        build_assignment(assignment)


def test_the_release_holds_no_weights(tmp_path: Path) -> None:
    course = write_weights_course(tmp_path)
    assignment = course.assignment("tiny")
    (assignment.release / "test_public.py").write_bytes((assignment.tests / "test_public.py").read_bytes())
    bundle = bundle_release(assignment, tmp_path / "release.zip")
    assert zipfile.ZipFile(bundle).namelist() == ["tiny/test_public.py", "tiny/tiny.ipynb"]
    (assignment.release / "model.safetensors").write_bytes(safetensors())
    with pytest.raises(PublishingError, match=r"model\.safetensors"):
        bundle_release(assignment, tmp_path / "release.zip")


def test_one_submission_is_graded_as_in_a_run(graded: tuple[Report, Path], course: Course) -> None:
    """What nbgrader's preprocessor calls gives the grade of `autograder grade`."""
    assignment = course.assignment("tiny")
    for student in ("fine", "poisoned"):
        notebook = course.root / "submitted" / student / "tiny" / "tiny.ipynb"
        files = read_files(beside(notebook, assignment), assignment)
        result = grade_one(assignment, notebook.read_bytes(), student, files=files)
        expected = of(graded[0], student)
        assert (result.score, result.seed, result.sha256) == (expected.score, expected.seed, expected.sha256)


def test_a_task_for_another_machine_carries_the_file(course: Course) -> None:
    assignment = course.assignment("tiny")
    found = Found("s", Path("gone.ipynb"), "gone.ipynb", datetime.now(UTC))
    task = Task(found, 1, raw=solved(assignment), files=own_files(assignment))
    result = with_grader(assignment, lambda grader: grade_task(grader, task).result)
    assert result.score == 5.0
    without = with_grader(assignment, lambda grader: grade_task(grader, replace(task, files=None)).result)
    assert without.score == 2.0


@pytest.mark.parametrize(
    ("written", "what", "remedy"),
    [
        ("[{name: weights, patterns: [model.pkl]}]", "'model.pkl', not an allowed name", ".safetensors, .pt"),
        ("[{name: weights, patterns: [../model.pt]}]", "'../model.pt', not an allowed name", ".safetensors"),
        ("[{name: weights, patterns: []}]", "There are no patterns in this file", "at least one"),
        ("[{name: weights}]", "The key 'patterns' is missing in this file", "[model.pt]"),
        ("[{name: weights, patterns: model.pt}]", "patterns is 'model.pt', not a list", "[model.pt]"),
        ("[{name: weights, patterns: [a.pt], max_mb: 500}]", "max_mb is 500, more than 200", "1 to 200"),
        ("[{name: weights, patterns: [a.pt], max_mb: 0}]", "max_mb is 0, not a number above 0", "above 0"),
        ("[{name: a b, patterns: [a.pt]}]", "name is 'a b', not an allowed name", "letters"),
        ("[{name: weights, pattern: [a.pt]}]", "Unknown key 'pattern' in this file", "'patterns'"),
        ("[model.pt]", "An entry of files is 'model.pt', not a mapping", "{name: weights"),
        (
            "[{name: w, patterns: [a.pt]}, {name: w, patterns: [b.pt]}]",
            "The file 'w' is already used on line 8", "another name",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_in_course_yml_is_said(tmp_path: Path, written: str, what: str, remedy: str) -> None:
    first = COURSE.index("    files:")
    text = COURSE[:first] + f"    files: {written}\n" + COURSE[COURSE.index("    questions:") :]
    path = tmp_path / "course.yml"
    path.write_text(text.replace("limits: {call_seconds: 5, cell_seconds: 5}\n", "limits: {}\n\n"))
    with pytest.raises(CourseError) as raised:
        load_course(path)
    problems = raised.value.problems
    assert any(what in each.what and remedy in each.remedy for each in problems), problems
    assert all(each.line == 8 for each in problems)


def test_json_of_a_report_holds_no_weights(graded: tuple[Report, Path]) -> None:
    assert len(json.dumps(graded[0].model_dump(mode="json"))) < 100_000
