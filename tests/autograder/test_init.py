"""`autograder init`: the new course is one that can be built, proven and graded as it stands."""

from __future__ import annotations

from pathlib import Path

import pytest
from gradebook_course import nbgrader_config

from autograder.audit import audit_assignment
from autograder.authoring import BuildError, build_assignment
from autograder.authoring.beginning import create_course
from autograder.cli import main
from autograder.course import load_course

REPOSITORY = Path(__file__).parents[2]


def test_the_new_course_builds_and_its_suite_is_sound(tmp_path: Path) -> None:
    written = create_course(tmp_path / "course")
    assert tmp_path / "course/.gitignore" in written
    course = load_course(tmp_path / "course", check_files=True)
    (assignment,) = course.assignments
    build_assignment(assignment, execute=False)
    report = audit_assignment(assignment, seeds=2, mutants=True)
    assert report.problems == []
    assert len(report.mistakes) == 8 and report.mutation is not None and not report.mutation.survivors


def test_nbgrader_finds_the_new_course(tmp_path: Path) -> None:
    create_course(tmp_path / "course")
    settings = nbgrader_config(tmp_path / "course").CourseDirectory
    assert settings.course_id == "my-course" and settings.source_directory == "solutions"
    assert {"softmax.py", "mistakes.py", "variants"} <= set(settings.ignore)
    assert (tmp_path / "course/nbgrader_config.py").read_bytes() == (
        REPOSITORY / "nbgrader_config.py"
    ).read_bytes()


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(BuildError, match=r"is not empty. Name a folder that is new or empty"):
        create_course(tmp_path)
    with pytest.raises(BuildError, match="is a file"):
        create_course(tmp_path / "notes.txt")
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_the_command_says_what_comes_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["autograder", "init", str(tmp_path / "course")])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    assert "autograder build" in capsys.readouterr().out
