"""nbgrader's database and the graded copies beside it, so that formgrader, exports and manual grades work.

Importing nbgrader takes longer than grading a submission. So this package imports none of it, and who opens a
`database.Gradebook` does so while something else is going on.
"""

from __future__ import annotations

from autograder.course import Course


def default_url(course: Course) -> str:
    """The database that course.yml names, or nbgrader's own: gradebook.db in the course's folder."""
    return course.gradebook or f"sqlite:///{course.root.absolute() / 'gradebook.db'}"


__all__ = ["default_url"]
