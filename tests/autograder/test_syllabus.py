"""`autograder syllabus`: the page follows course.yml, and one that does not is told."""

from __future__ import annotations

import xml.etree.ElementTree
from pathlib import Path

import pytest
from tiny_course import COURSE, write_tiny_course

from autograder.audit.ledger import (
    Caught,
    Entry,
    HeldOutCounts,
    Ledger,
    MutantsOfQuestion,
    stale,
    write_ledger,
)
from autograder.cli.authoring import chosen
from autograder.cli.syllabus import run_syllabus
from autograder.course import load_course
from autograder.publishing import PublishingError, bundle_release
from autograder.publishing.syllabus import syllabus_page, syllabus_picture

SECOND = """\
  - slug: 02_next
    title: Another one
    part: II. Later
    after: [tiny]
    hours: 2.5
    data: [digits]
    questions:
      - {name: mean, points: 1.5}
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = write_tiny_course(tmp_path)
    (root / "course.yml").write_text(
        COURSE.replace("    title: Two", "    hours: 1\n    title: Two") + SECOND
    )
    return root


def test_the_page_says_what_the_course_holds(root: Path) -> None:
    page = syllabus_page(load_course(root), {"02_next": ["mean: 97 %"]}, {"02_next": ["20 seeds", "all"]})
    assert "2 assignments, 6.5 points, about 3.5 hours of work." in page
    assert "| [Two functions](tiny/tiny.ipynb) | 2 | 5 | 1 |  |  |  |" in page
    assert "## II. Later" in page
    assert (
        "| [02 Another one](02_next/next.ipynb) | 1 | 1.5 | 2.5 | digits | 20 seeds; all | mean: 97 % |"
        in page
    )


def test_the_picture_has_a_box_for_each_and_is_the_same_every_time(root: Path) -> None:
    course = load_course(root)
    picture = syllabus_picture(course)
    assert picture == syllabus_picture(course)
    drawn = xml.etree.ElementTree.fromstring(picture)
    groups = [element.get("id", "") for element in drawn.iter() if element.get("id", "").startswith("patch_")]
    assert len(groups) == 1 + 2 + 1  # the page, two boxes, and an arrow from one to the other


def test_a_page_that_is_out_of_date_is_told(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_syllabus(root, check=True) == 2
    assert "Run `autograder syllabus`" in capsys.readouterr().err
    assert not (root / "assignments/README.md").exists()
    assert run_syllabus(root, check=False) == 0
    assert run_syllabus(root, check=True) == 0
    text = (root / "course.yml").read_text()
    (root / "course.yml").write_text(text.replace("hours: 2.5", "hours: 3"))
    assert run_syllabus(root, check=True) == 2


def test_the_page_shows_the_recorded_audit(root: Path) -> None:
    mistakes = {
        "seen": Caught(question="relu", fails=["test_relu"], recognised=True),
        "seen_elsewhere": Caught(question="relu", fails=["test_softmax"], recognised=False),
    }
    mutants = {"relu": MutantsOfQuestion(killed=3, timed_out=0, equivalent=1, survived=["a"], explained=0)}
    entry = Entry(
        versions={}, engine="", sources={}, seeds=20, tests={"test_relu": "relu", "test_softmax": "softmax"},
        variants=[], mistakes=mistakes, mutants=mutants, held_out=HeldOutCounts(), problems=0,
    )  # fmt: skip
    course = load_course(root)
    (root / "docs").mkdir(exist_ok=True)
    write_ledger(course, Ledger(assignments={"tiny": entry}))
    assert run_syllabus(root, check=False) == 0
    page = (root / "assignments/README.md").read_text()
    assert "| 20 seeds; 1 of 2 mistakes caught; 75% of the mutants killed |" in page


def test_a_draft_is_not_in_the_syllabus_nor_released_nor_held_to_a_recorded_audit(root: Path) -> None:
    text = (root / "course.yml").read_text()
    assert "02_next" in text
    title = "    title: Another one"
    (root / "course.yml").write_text(text.replace(title, f"    draft: true\n{title}"))
    course = load_course(root)
    draft = course.assignment("02_next")
    assert [assignment.slug for assignment in course.published] == ["tiny"]
    assert "Another one" not in syllabus_page(course, {}, {}) and syllabus_picture(course)
    assert stale(course, Ledger()) == ["docs/audit.json holds no audit of tiny."]
    assert [a.slug for a in chosen(root, [])] == ["tiny"] and chosen(root, ["02_next"]) == [draft]
    assert len(chosen(root, [], drafts=True)) == 2
    with pytest.raises(PublishingError, match=r"02_next is a draft\. Take `draft: true` out"):
        bundle_release(draft, root / "out")
