"""nbgrader's database and the graded copies beside it, so that formgrader, exports and manual grades work."""

from __future__ import annotations

from autograder.gradebook.copies import grade_cells_from, write_graded_copy
from autograder.gradebook.database import Gradebook, GradebookError, default_url

__all__ = ["Gradebook", "GradebookError", "default_url", "grade_cells_from", "write_graded_copy"]
