"""The course at a glance: `course.yml` as typed models, and the report that grading produces."""

from __future__ import annotations

from autograder.course.loading import find_course, load_course
from autograder.course.models import Assignment, Course, Limits, Question, SubmittedFile
from autograder.course.problems import CourseError, Problem

__all__ = [
    "Assignment",
    "Course",
    "CourseError",
    "Limits",
    "Problem",
    "Question",
    "SubmittedFile",
    "find_course",
    "load_course",
]
