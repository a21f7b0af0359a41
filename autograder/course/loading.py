"""Finding `course.yml`, reading it, and saying everything that is wrong with it at once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from autograder.course.models import Assignment, Course, Limits, Question, SubmittedFile
from autograder.course.problems import CourseError, Problem, suggestion
from autograder.course.yamltree import YamlTree, parse_yaml

FILE_NAME = "course.yml"

_NAME_RULE = "Use letters, digits, '_' and '-' only, and do not begin with '-'."
_REMEDIES = {
    ("slug",): _NAME_RULE + " It names folders.",
    ("notebook",): _NAME_RULE + " It names files, without an ending.",
    ("name",): _NAME_RULE,
    ("questions", "name"): "Use the name of the function or class that answers the question.",
    ("forbid",): "Write the package or module as in an import, for example torch.autograd.",
    ("data",): "Write a list of names of data sets, for example [digits, cifar10].",
    ("due",): "Write a date, 2026-10-30, or a date and a time, 2026-10-30 18:00.",
    ("questions", "points"): "Write a number above 0.",
    ("torch",): "Write true or false.",
    ("gradebook",): "Write a database URL, for example postgresql+psycopg://grader@localhost/grades.",
    ("after",): "Write a list of slugs, for example [01_linear_regression].",
    ("hours",): "Write a number above 0.",
    ("files",): "Write a list of mappings, for example {name: weights, patterns: [model.pt]}.",
    ("files", "name"): "Use letters, digits and '_'; suites call the file by it.",
    ("files", "patterns"): "Write names that end in .safetensors, .pt or .pth, for example [model.pt].",
    ("files", "max_mb"): "Write a whole number from 1 to 200.",
}


def find_course(start: Path | str) -> Path:
    """The course.yml in the folder `start` or in the nearest folder above it; a file is taken as it is.

    Raises `CourseError` when there is none.
    """
    start = Path(start)
    if start.is_file():
        return start
    folder = start.absolute()
    for candidate in (folder, *folder.parents):
        if (candidate / FILE_NAME).is_file():
            return candidate / FILE_NAME
    raise CourseError(
        [
            Problem(
                None,
                f"There is no {FILE_NAME} in {folder} or in a folder above it.",
                "Go to the folder of a course, or create one with `autograder init DIR`.",
            )
        ]
    )


def load_course(folder_or_file: Path | str = ".", *, check_files: bool = False) -> Course:
    """Read a course.

    Parameters
    ----------
    folder_or_file : Path or str
        A course.yml, or a folder; without course.yml in it, the folders above are searched.
    check_files : bool
        Whether each assignment must have its source script and its folder of tests.

    Raises
    ------
    CourseError
        With every problem at once, each with its line and a remedy.
    """
    path = find_course(folder_or_file)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise CourseError(
            [Problem(line, "There is a byte here that is not UTF-8.", "Save the file as UTF-8.")], path
        ) from None
    except OSError as error:
        raise CourseError(
            [Problem(None, f"{path} cannot be read: {error.strerror}.", "Check its permissions.")], path
        ) from None

    root = path.absolute().parent
    tree = parse_yaml(text)
    problems = list(tree.problems)
    if tree.value is None and not problems:
        problems.append(
            Problem(1, f"{FILE_NAME} is empty.", "Begin with `name:`, `title:` and `assignments:`.")
        )
    course: Course | None = None
    if tree.value is not None:
        try:
            course = Course.model_validate(tree.value, context={"root": root})
        except ValidationError as error:
            problems += _validation_problems(error, tree)
        problems += _duplicates(tree)
        problems += _not_above(tree)
        if check_files:
            problems += _missing_files(tree, root)
    if problems or course is None:
        raise CourseError(problems, path)
    return course.model_copy(
        update={"assignments": tuple(_with_defaults(each, course.limits) for each in course.assignments)}
    )


def _with_defaults(assignment: Assignment, defaults: Limits) -> Assignment:
    """The assignment with its own limits laid over those of the course."""
    own = {name: getattr(assignment.limits, name) for name in assignment.limits.model_fields_set}
    return assignment.model_copy(update={"limits": defaults.model_copy(update=own)})


def _validation_problems(error: ValidationError, tree: YamlTree) -> Iterator[Problem]:
    seen: set[tuple[int, str]] = set()
    for detail in error.errors():
        if detail["type"] == "default_factory_not_called":  # the slug is wrong, which is reported itself
            continue
        # pydantic appends the tried type to the location of a union: the file does not hold it
        location = tuple(part for part in detail["loc"] if part not in ("date", "datetime"))
        line = tree.line(location)
        what, remedy = _explain(detail["type"], location, detail["input"], detail.get("ctx", {}))
        if (line, what) not in seen:
            seen.add((line, what))
            yield Problem(line, what, remedy)


def _explain(
    kind: str, location: tuple[str | int, ...], value: Any, context: dict[str, Any]
) -> tuple[str, str]:
    """What pydantic found, in words for somebody who never heard of pydantic."""
    keys = tuple(part for part in location if isinstance(part, str))
    key = keys[-1] if keys else ""
    where = _owner(location)
    remedy = _REMEDIES.get(keys[1:] if keys[:1] == ("assignments",) else keys, "")
    shown = _shown(value)
    if kind == "extra_forbidden":
        known = list(_model_at(keys[:-1]).model_fields)
        return f"Unknown key {key!r} in {where}.", suggestion(key, known, kind="keys")
    if kind == "missing":
        return (
            f"The key {key!r} is missing in {where}.",
            f"Add `{key}:`." if not remedy else f"Add it. {remedy}",
        )
    if kind in ("greater_than", "finite_number"):
        return f"{key} is {shown}, not a number above 0.", "Write a number above 0."
    if kind == "string_too_short":
        return f"{key} is empty.", "Write a text."
    if kind == "value_error" and str(context.get("error")) == "empty list":
        return f"There are no {key} in {where}.", "Add at least one."
    if kind == "less_than_equal":
        return f"{key} is {shown}, more than {context['le']}.", remedy
    if kind == "string_too_long":
        return f"{key} is longer than {context['max_length']} characters.", remedy
    if kind == "value_error" and str(context.get("error")) == "reserved":
        return f"The question name {shown} begins with 'test_', which is kept for grade cells.", remedy
    if kind == "value_error":
        return f"{key} is {shown}, which is no date.", remedy
    expected = {
        "string_type": "a text (in quotes where it looks like a number)",
        "string_pattern_mismatch": "an allowed name",
        "float_type": "a number",
        "int_type": "a whole number",
        "int_from_float": "a whole number",
        "bool_type": "true or false",
        "tuple_type": "a list",
        "model_type": "a mapping of keys to values",
        "date_type": "a date",
        "datetime_type": "a date",
    }.get(kind, "allowed here")
    subject = f"An entry of {key}" if location and isinstance(location[-1], int) else key or "The file"
    return f"{subject} is {shown}, not {expected}.", remedy or f"Write {expected}."


def _owner(location: tuple[str | int, ...]) -> str:
    """What the last part of a location belongs to, in words."""
    owners = [part for part in location[:-1] if isinstance(part, str)]
    if not owners:
        return "the course"
    known = {"assignments": "this assignment", "questions": "this question", "files": "this file"}
    return known.get(owners[-1], f"`{owners[-1]}`")


def _model_at(keys: tuple[str, ...]) -> type[BaseModel]:
    models: dict[str, type[BaseModel]] = {
        "assignments": Assignment, "questions": Question, "limits": Limits, "files": SubmittedFile,
    }  # fmt: skip
    return models[keys[-1]] if keys else Course


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, (list, tuple)):
        return "a list"
    if value is None:
        return "empty"
    text = {True: "true", False: "false"}[value] if isinstance(value, bool) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _items(value: Any, key: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """The mappings in the list under `key`, for whatever the file holds there."""
    items = value.get(key) if isinstance(value, dict) else None
    for index, item in enumerate(items if isinstance(items, list) else []):
        if isinstance(item, dict):
            yield index, item


def _duplicates(tree: YamlTree) -> Iterator[Problem]:
    slugs: dict[str, int] = {}
    for index, assignment in _items(tree.value, "assignments"):
        yield from _seen_before(slugs, assignment.get("slug"), tree, ("assignments", index, "slug"), "slug")
        for key, kind in (("questions", "question"), ("files", "file")):
            names: dict[str, int] = {}
            for number, item in _items(assignment, key):
                path = ("assignments", index, key, number, "name")
                yield from _seen_before(names, item.get("name"), tree, path, kind)


def _not_above(tree: YamlTree) -> Iterator[Problem]:
    """`after` names what stands above, so that nothing can come after itself in a circle."""
    above: list[str] = []
    for index, assignment in _items(tree.value, "assignments"):
        named = assignment.get("after")
        for place, slug in enumerate(named if isinstance(named, list) else []):
            if isinstance(slug, str) and slug not in above:
                line = tree.line(("assignments", index, "after", place))
                what = f"No assignment {slug!r} stands above this one."
                yield Problem(line, what, suggestion(slug, above, kind="assignments above"))
        if isinstance(assignment.get("slug"), str):
            above.append(assignment["slug"])


def _seen_before(
    seen: dict[str, int], value: Any, tree: YamlTree, path: tuple[str | int, ...], kind: str
) -> Iterator[Problem]:
    if not isinstance(value, str):
        return
    line = tree.line(path)
    # Case is folded: on macOS and Windows two slugs that differ in case alone name one folder.
    name = value.lower() if kind == "slug" else value
    if name in seen:
        yield Problem(
            line, f"The {kind} {value!r} is already used on line {seen[name]}.", "Give this one another name."
        )
    seen.setdefault(name, line)


def _missing_files(tree: YamlTree, root: Path) -> Iterator[Problem]:
    for index, item in _items(tree.value, "assignments"):
        try:
            assignment = Assignment.model_validate(item, context={"root": root})
        except ValidationError:
            continue  # reported already; its paths mean nothing
        line = tree.line(("assignments", index, "slug"))
        if not assignment.source.is_file():
            yield Problem(
                line,
                f"The source {assignment.source.relative_to(root)} does not exist.",
                "Write it, or set `notebook:` to its name without .py.",
            )
        if not assignment.tests.is_dir():
            yield Problem(
                line,
                f"The folder {assignment.tests.relative_to(root)} does not exist.",
                "Create it, with test_public.py and test_hidden.py.",
            )
