"""The damage bank, graded: every damaged notebook through the real command, in one batch."""

from __future__ import annotations

import html
import json
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from damage_bank import BANK, REFUSED, Damage
from damage_course import FULL, Sheet, write_damage_course

from autograder.course.results import Report, SubmissionResult

COMMAND = [sys.executable, "-c", "from autograder.cli import main; main()"]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The course, with every damaged notebook graded."""
    assignment = write_damage_course(tmp_path_factory.mktemp("damage"))
    for one in BANK:
        sheet = Sheet(assignment)
        raw = one.make(sheet)
        folder = assignment.root / "submitted" / one.name / "tiny"
        folder.mkdir(parents=True)
        (folder / one.file).write_bytes(json.dumps(sheet.document).encode() if raw is None else raw)
    arguments = ["grade", "tiny", "submitted", "--course", ".", "--json", "report.json", "--jobs", "2", "-q"]
    done = subprocess.run([*COMMAND, *arguments], cwd=assignment.root, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr  # one of them cannot be graded
    assert "Traceback" not in done.stderr
    return assignment.root


@pytest.fixture(scope="module")
def results(root: Path) -> dict[str, SubmissionResult]:
    report = Report.model_validate_json((root / "report.json").read_bytes())
    assert report.sandbox and not report.sandbox[0].startswith("none")
    return {entry.student: entry for entry in report.submissions}


def test_the_bank_is_wide(results: dict[str, SubmissionResult]) -> None:
    assert len(BANK) >= 40
    assert sorted(results) == sorted(one.name for one in BANK)
    assert [one.name for one in BANK if one.points == REFUSED] == ["download_cut_off"]


@pytest.mark.parametrize("one", BANK, ids=lambda one: one.name)
def test_what_it_is_worth_and_what_is_said(one: Damage, results: dict[str, SubmissionResult]) -> None:
    result = results[one.name]
    notes = [*result.repairs, *([result.reason] if result.reason else [])]
    if one.points == REFUSED:
        assert (result.status, result.score) == ("refused", 0.0)
    else:
        assert (result.status, result.score, result.max_score) == ("graded", one.points, FULL), notes
    for pattern in one.says:
        assert any(re.search(pattern, note) for note in notes), (pattern, notes)
    unexpected = [note for note in notes if not any(re.search(pattern, note) for pattern in one.says)]
    assert not unexpected


@pytest.mark.parametrize("one", BANK, ids=lambda one: one.name)
def test_each_repair_is_on_the_feedback_page(
    one: Damage, results: dict[str, SubmissionResult], root: Path
) -> None:
    page = (root / "feedback" / one.name / "tiny.html").read_text(encoding="utf-8")
    text = words(html.unescape(re.sub(r"<[^>]*>", "", page)))
    result = results[one.name]
    for note in [*result.repairs, *([result.reason] if result.reason else [])]:
        assert words(note) in text, note


def words(text: str) -> str:
    """Letters and digits only: a page sets names in code and breaks lines."""
    return re.sub(r"\W+", " ", text)


def test_the_gradebook_has_the_same_points(results: dict[str, SubmissionResult], root: Path) -> None:
    query = """
        SELECT s.student_id, SUM(g.auto_score) FROM grade g
        JOIN submitted_notebook n ON g.notebook_id = n.id
        JOIN submitted_assignment s ON n.assignment_id = s.id GROUP BY s.student_id
    """
    with closing(sqlite3.connect(root / "gradebook.db")) as connection:
        scores = dict(connection.execute(query).fetchall())
    assert scores == {name: result.score for name, result in results.items() if result.status == "graded"}
