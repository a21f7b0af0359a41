"""From the source script to the release: what it holds, what it must not hold, and what stops a build."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from tiny_course import PUBLIC, SOURCE, write_tiny_course

from autograder.authoring import BuildError, build_assignment
from autograder.authoring.leaks import release_problems, says_something
from autograder.authoring.notebooks import checksum, release_notebook, serialise
from autograder.authoring.regions import RegionError, find_regions, kept_offsets, strip_solutions
from autograder.course import load_course
from autograder.notebook.cells import Cell, SourceError
from autograder.notebook.percent import read_source

REPOSITORY = Path(__file__).parents[2]
SHIFT = "shifted = scores - scores.max(axis=1, keepdims=True)"


def tiny(root: Path):
    return load_course(root).assignment("tiny")


def problems(folder: Path, **changed: str) -> list[str]:
    with pytest.raises(BuildError) as caught:
        build_assignment(tiny(write_tiny_course(folder, **changed)), execute=False)
    return [str(each) for each in caught.value.problems]


def line_of(text: str, needle: str) -> int:
    """The line on which the last occurrence of `needle` begins."""
    return text[: text.rindex(needle)].count("\n") + 1


def files(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    root = write_tiny_course(tmp_path_factory.mktemp("built"))
    result = build_assignment(tiny(root))
    return root, result


# --- reading the source


def test_cells_of_the_source(tiny_course):
    cells = read_source(tiny(tiny_course).source)
    assert [cell.kind for cell in cells] == ["markdown"] + ["code"] * 3 + ["markdown"] + ["code"] * 4
    assert [cell.index for cell in cells] == list(range(9))
    assert [cell.grade_id for cell in cells] == [
        None,
        None,
        "relu_forward",
        "test_relu_forward",
        None,
        "softmax",
        "test_softmax",
        None,
        None,
    ]
    assert [cell.checks for cell in cells if cell.checks] == ["relu_forward", "softmax"]
    assert [cell.show for cell in cells] == [False] * 7 + [True] * 2
    lines = SOURCE.splitlines()
    for cell in cells:
        assert cell.source.splitlines()[0] in lines[cell.line - 1]


def test_a_second_cell_of_a_question_is_numbered(tmp_path):
    path = tmp_path / "a.py"
    path.write_text('# %% question="f"\n1\n# %% question="f"\n2\n', encoding="utf-8")
    assert [cell.grade_id for cell in read_source(path)] == ["f", "f-2"]


def test_a_changed_source_is_read_again(tmp_path):
    path = tmp_path / "a.py"
    path.write_text("# %%\n1\n", encoding="utf-8")
    assert read_source(path)[0].source == "1"
    path.write_text("# %%\n22\n", encoding="utf-8")
    assert read_source(path)[0].source == "22"


def test_headers_in_text_are_no_headers(tmp_path):
    path = tmp_path / "a.py"
    path.write_text(
        'import os\n\n# %%\n"""\n# %% no header\n"""\n\n# %%\n\n# %matplotlib inline\n', encoding="utf-8"
    )
    cells = read_source(path)
    assert [cell.line for cell in cells] == [1, 4, 10]
    assert cells[2].source == "%matplotlib inline"


@pytest.mark.parametrize(
    ("source", "checks"),
    [
        ('check("f")', "f"),
        ("# hear, hear\ncheck('f')  # now", "f"),
        ('check("f"); check("g")', None),
        ('x = check("f")', None),
        ("check(f)", None),
        ('check("f", 1)', None),
        ('check("f")' + "\n" * 2000, None),
        ('check("f"', None),
    ],
)
def test_grade_cells(source, checks):
    assert Cell(0, "code", source).checks == checks
    assert Cell(0, "markdown", source).checks is None


def test_every_wrong_header_is_told_with_its_line(tmp_path):
    path = tmp_path / "a.py"
    path.write_text(
        "# %% question=f\n1\n# %% A title\n2\n# %% [raw]\n# 3\n"
        '# %% quesiton="f"\n4\n# %% question=5\n5\n# %% [markdown] question="f"\n# 6\n',
        encoding="utf-8",
    )
    with pytest.raises(SourceError) as caught:
        read_source(path)
    found = [(each.line, each.what) for each in caught.value.problems]
    for line, what in [
        (1, "cannot be read: question=f"),
        (3, "The title 'A title'"),
        (5, "A raw cell"),
        (7, "Unknown key 'quesiton'"),
        (9, "name is not a text"),
        (11, "no code cell"),
    ]:
        assert any(line == at and what in said for at, said in found), (line, what, found)
    assert len(found) == 6
    assert "Did you mean 'question'?" in str(caught.value)
    path.write_text('# %%\n1\n# %% tags="show"\n2\n', encoding="utf-8")
    with pytest.raises(SourceError, match=r"a\.py:3: The tags are not a list"):
        read_source(path)
    with pytest.raises(SourceError, match="does not exist"):
        read_source(tmp_path / "b.py")


# --- regions


def test_regions_become_stubs_at_their_indentation():
    source = (
        "def f():\n    if x:\n        ### BEGIN SOLUTION\n        a\n        ### END SOLUTION\n    return 1"
    )
    stub = "        # Write your code here.\n        raise NotImplementedError"
    assert strip_solutions(source) == f"def f():\n    if x:\n{stub}\n    return 1"
    assert kept_offsets(source) == [0, 1, 2, 2, 5]
    two = f"{source}\n{source}"
    assert strip_solutions(two).count("raise NotImplementedError") == 2
    assert [region.body for region in find_regions(two)] == [("        a",)] * 2


@pytest.mark.parametrize(
    ("source", "offset"),
    [
        ("a\n# BEGIN SOLUTION\nb", 1),
        ("a\n# END SOLUTION", 1),
        ("# BEGIN SOLUTION\n# BEGIN SOLUTION\n# END SOLUTION", 1),
    ],
)
def test_markers_that_do_not_pair(source, offset):
    with pytest.raises(RegionError) as caught:
        find_regions(source)
    assert caught.value.offset == offset


# --- what is built


def test_the_release_is_what_students_need_and_no_more(built):
    root, result = built
    assert {str(path.relative_to(root)) for path in result.written} == {
        "assignments/tiny/tiny.ipynb",
        "assignments/tiny/test_public.py",
        "solutions/tiny/tiny.ipynb",
    }
    assert sorted(path.name for path in (root / "assignments/tiny").iterdir()) == [
        "test_public.py",
        "tiny.ipynb",
    ]
    notebook = nbformat.read(root / "assignments/tiny/tiny.ipynb", as_version=4)
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert notebook.metadata.kernelspec.name == "python3"
    by_id = {cell.metadata.nbgrader.grade_id: cell for cell in notebook.cells if "nbgrader" in cell.metadata}
    stub = by_id["softmax"].source
    assert stub.endswith("    # Write your code here.\n    raise NotImplementedError")
    assert by_id["relu_forward"].source.endswith("    raise NotImplementedError\n    return out, cache")
    assert "shifted" not in json.dumps(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert (cell.outputs, cell.execution_count) == ([], None)
        assert "question" not in cell.metadata
    grade = by_id["test_softmax"].metadata.nbgrader
    assert (grade.grade, grade.solution, grade.locked, grade.points, grade.schema_version) == (
        True,
        False,
        True,
        3,
        3,
    )
    solution = by_id["softmax"].metadata.nbgrader
    assert (solution.grade, solution.solution, solution.locked) == (False, True, False)
    assert [cell.metadata.get("tags") for cell in notebook.cells][-2:] == [
        ["show"],
        ["nbval-ignore-output", "show", "timing"],
    ]


def test_the_solution_notebook_is_executed(built):
    root, _ = built
    notebook = nbformat.read(root / "solutions/tiny/tiny.ipynb", as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, 8))
    assert code[5].outputs[0].text == "[0.0, 2.0]\n"
    assert "### BEGIN SOLUTION" in code[1].source
    assert all("execution" not in cell.metadata for cell in code)
    assert notebook.metadata.language_info == {"name": "python"}


def test_checksums_are_nbgraders(built):
    from nbgrader.nbgraderformat import MetadataValidator
    from nbgrader.utils import compute_checksum

    root, _ = built
    notebook = nbformat.read(root / "assignments/tiny/tiny.ipynb", as_version=4)
    MetadataValidator().validate_nb(notebook)
    locked = [cell for cell in notebook.cells if "nbgrader" in cell.metadata]
    assert len(locked) == 7
    for cell in locked:
        assert cell.metadata.nbgrader.checksum == compute_checksum(cell) == checksum(cell)


def test_the_bytes_are_nbformats(built):
    root, _ = built
    for path in (root / "assignments/tiny/tiny.ipynb", root / "solutions/tiny/tiny.ipynb"):
        assert path.read_text(encoding="utf-8") == nbformat.writes(nbformat.read(path, as_version=4)) + "\n"


def test_a_second_build_writes_nothing(built):
    root, _ = built
    before = files(root)
    times = {path: path.stat().st_mtime_ns for path in root.rglob("*.ipynb")}
    assert build_assignment(tiny(root)).written == ()
    assert build_assignment(tiny(root), check=True).differences == ()
    assert files(root) == before
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*.ipynb")} == times


def test_ids_hang_on_the_cell_and_not_on_its_place(tiny_course):
    assignment = tiny(tiny_course)
    ids = {cell["id"] for cell in release_notebook(assignment, read_source(assignment.source))["cells"]}
    assignment.source.write_text("# %% [markdown]\n# A new first cell\n\n" + SOURCE, encoding="utf-8")
    more = [cell["id"] for cell in release_notebook(assignment, read_source(assignment.source))["cells"]]
    assert len(set(more)) == len(more) == len(ids) + 1
    assert ids < set(more)


def test_check_tells_what_a_build_would_change_and_writes_nothing(tiny_course):
    assignment = tiny(tiny_course)
    absent = build_assignment(assignment, check=True).differences
    assert [str(each.file) for each in absent] == [
        "solutions/tiny/tiny.ipynb",
        "assignments/tiny/tiny.ipynb",
        "assignments/tiny/test_public.py",
    ]
    assert not assignment.release.exists()

    build_assignment(assignment)
    text = SOURCE.replace("# Shift the scores", "# Shift all scores")
    assignment.source.write_text(text, encoding="utf-8")
    (assignment.tests / "test_public.py").write_text(PUBLIC + "\n", encoding="utf-8")
    before = files(tiny_course)
    changed = build_assignment(assignment, check=True).differences
    assert [(str(each.file), each.cell) for each in changed] == [
        ("solutions/tiny/tiny.ipynb", 5),
        ("assignments/tiny/tiny.ipynb", None),
        ("assignments/tiny/test_public.py", None),
    ]
    assert all("autograder build tiny" in each.remedy for each in changed)
    assert files(tiny_course) == before

    assignment.source.write_text(SOURCE, encoding="utf-8")
    notebook = json.loads(assignment.solution_notebook.read_text(encoding="utf-8"))
    notebook["cells"][2] |= {"execution_count": None, "outputs": []}
    assignment.solution_notebook.write_text(json.dumps(notebook), encoding="utf-8")
    assert "has not been executed" in str(build_assignment(assignment, check=True).differences[0])
    assignment.solution_notebook.write_text("{", encoding="utf-8")
    assert "This is no notebook" in str(build_assignment(assignment, check=True).differences[0])


# --- what stops a build


def test_problems_of_structure_are_told_at_once(tmp_path):
    text = SOURCE.replace('check("softmax")', 'check("sofmax")')
    text = text.replace('# %% question="relu_forward"', '# %% question="relu_forward" tags=["show"]')
    text = text.replace('tags=["show"]\nprint(relu', 'tags=["shwo"]\nprint(relu')
    text += (
        '\n# %% question="softmax"\npass\n\n# %%\n### BEGIN SOLUTION\nx = 1\n\n# %%\ncheck("relu_forward")\n'
    )
    public = PUBLIC.replace('question("softmax")', 'question("sofmax")').replace(
        "(student)", "(student, reference)", 1
    )
    found = problems(tmp_path, tiny=text, test_public=public)
    check, shown = line_of(text, 'check("sofmax")'), line_of(text, "print(relu")
    first = line_of(text, '# %% question="relu_forward"')
    header, marker = line_of(text, '# %% question="softmax"'), line_of(text, "### BEGIN SOLUTION")
    for expected in [
        f"tiny.py:{check} (cell 7): 'sofmax' is no question of tiny in course.yml. Did you mean 'softmax'?",
        f"tiny.py:{first} (cell 3): A question's cell cannot be tagged",
        f"tiny.py:{shown} (cell 8): Unknown tag 'shwo'. Did you mean 'show'?",
        f"tiny.py:{header} (cell 10): The cell of 'softmax' has no solution region",
        f"tiny.py:{marker} (cell 11): BEGIN SOLUTION has no END SOLUTION after it",
        "(cell 12): The question 'relu_forward' has a second grade cell",
        "The question 'softmax' of course.yml has no grade cell",
        f"test_public.py:{line_of(public, '@pytest.mark')}: 'sofmax' is no question",
        f"test_public.py:{line_of(public, 'def test_relu')}: A public test asks for the reference",
        "test_public.py: The question 'softmax' has no public test",
    ]:
        assert any(expected in each for each in found), (expected, found)
    assert len(found) == 10


def test_a_question_without_cells(tmp_path):
    found = problems(tmp_path, tiny="# %%\nx = 1\n")
    assert [each.partition(": ")[2].partition(".")[0] for each in found] == [
        f"The question '{name}' of course" for name in ("relu_forward", "relu_forward", "softmax", "softmax")
    ]


def test_regions_where_they_do_not_belong(tmp_path):
    text = f"{SOURCE}\n# %% [markdown]\n# BEGIN SOLUTION\n# a\n# END SOLUTION\n"
    text += "\n# %%\n### BEGIN SOLUTION\n### END SOLUTION\n"
    found = problems(tmp_path, tiny=text)
    assert any("in a markdown cell" in each for each in found)
    assert any("in a cell without a question" in each for each in found)
    assert any("region is empty" in each for each in found)


def test_stubs_must_be_python(tmp_path):
    text = SOURCE.replace("    ### BEGIN SOLUTION\n    out", "  ### BEGIN SOLUTION\n    out")
    found = problems(tmp_path, tiny=text)
    assert len(found) == 1
    assert "(cell 3): Without the solution this is not Python" in found[0]
    found = problems(tmp_path, tiny=SOURCE.replace("import numpy as np", "import numpy as"))
    assert "tiny.py:6 (cell 2): This is not Python" in found[0]


def test_magics_are_python_enough(tmp_path):
    text = SOURCE.replace("import numpy as np\n", "# %matplotlib inline\nimport numpy as np\n", 1)
    root = write_tiny_course(tmp_path, tiny=text + "\n# %%\n# !ls\n# np?\n")
    assert build_assignment(tiny(root), execute=False).written


@pytest.mark.parametrize(
    ("cell", "leak"),
    [
        ("# %%\nexponentials = np.exp( shifted )  # here", "exponentials = np.exp("),
        (f"# %%\ndef other(scores):\n    {SHIFT}\n    return shifted", SHIFT),
        (f"# %% [markdown]\n# Use `{SHIFT}` first.", f"# Use `{SHIFT}"),
    ],
)
def test_a_line_of_a_solution_stops_the_build(tmp_path, cell, leak):
    text = f"{SOURCE}\n{cell}\n"
    found = problems(tmp_path, tiny=text)
    assert len(found) == 1
    where, solved = line_of(text, leak), line_of(SOURCE, SHIFT if SHIFT in leak else leak)
    assert (
        f"tiny.py:{where} (cell 10): This line also stands in the solution of 'softmax' (line {solved})"
        in found[0]
    )
    header, _, body = cell.partition("\n")
    root = write_tiny_course(tmp_path / "given", tiny=f'{SOURCE}\n{header} tags=["given"]\n{body}\n')
    assert build_assignment(tiny(root), execute=False).written


def test_lines_that_say_nothing_leak_in_a_row(tmp_path):
    steps = ["a, first = relu_forward(x)", "b, second = relu_forward(a)", "c = softmax(b)"]
    body = "\n".join(f"    {step}" for step in steps)
    solved = f'# %% question="softmax"\ndef both(x):\n    ### BEGIN SOLUTION\n{body}\n    ### END SOLUTION\n'
    given = "\n\n".join(steps)
    found = problems(tmp_path, tiny=f"{SOURCE}\n{solved}\n# %%\nx = 1\n{given}\n")
    assert len(found) == 1
    assert "(cell 11): 3 lines from here also stand in the solution of 'softmax'" in found[0]
    root = write_tiny_course(tmp_path / "two", tiny=f"{SOURCE}\n{solved}\n# %%\n{steps[0]}\n{steps[2]}\n")
    assert build_assignment(tiny(root), execute=False).written


def test_the_public_suite_must_not_leak_either(tmp_path):
    text = (
        PUBLIC + "\n\ndef expected(scores):\n    exponentials = np.exp(shifted)\n    # see solutions/tiny\n"
    )
    found = problems(tmp_path, test_public=text)
    assert len(found) == 2
    leak, name = line_of(text, "exponentials ="), line_of(text, "# see")
    assert f"test_public.py:{leak}: This line also stands in the solution of 'softmax'" in found[0]
    assert f"test_public.py:{name}: The release names 'solutions/'" in found[1]


def test_other_files_in_the_release_stop_the_build(tiny_course):
    assignment = tiny(tiny_course)
    build_assignment(assignment, execute=False)
    (assignment.release / "__pycache__").mkdir()
    (assignment.release / "__pycache__/test_public.pyc").write_bytes(b"")
    assert build_assignment(assignment, execute=False).written == ()
    (assignment.release / "data").mkdir()
    (assignment.release / "data/mistakes.py").write_text("", encoding="utf-8")
    with pytest.raises(
        BuildError, match=r"assignments/tiny/data/mistakes.py: This file is no part of the release"
    ):
        build_assignment(assignment, check=True)


def test_the_leak_check_reads_the_release_and_not_its_making(tiny_course):
    assignment = tiny(tiny_course)
    cells = read_source(assignment.source)

    def found(change) -> list[str]:
        notebook = json.loads(serialise(release_notebook(assignment, cells)))
        change(notebook["cells"])
        return [str(each) for each in release_problems(assignment, cells, notebook, PUBLIC)]

    def unsolved(released):
        released[5]["source"] = [line + "\n" for line in cells[5].source.split("\n")]

    assert found(lambda released: None) == []
    assert "other lines than the source" in found(unsolved)[0]
    assert "has outputs" in found(lambda released: released[5].update(outputs=[{}]))[0]
    assert "has been executed" in found(lambda released: released[5].update(execution_count=1))[0]
    assert (
        "metadata 'question'" in found(lambda released: released[5]["metadata"].update(question="softmax"))[0]
    )
    assert (
        "metadata 'answer'" in found(lambda released: released[5]["metadata"]["nbgrader"].update(answer=1))[0]
    )
    assert "8 cells and the source has 9" in found(lambda released: released.pop())[0]


@pytest.mark.parametrize("marker", ["BEGIN HIDDEN TESTS", "END MARK SCHEME"])
def test_nbgraders_other_markers_are_refused(tmp_path, marker):
    text = f"{SOURCE}\n# %%\n# {marker}\n"
    at = f"solutions/tiny/tiny.py:{line_of(text, marker)} (cell 10)"
    assert problems(tmp_path, tiny=text) == [f"{at}: The release would show the marker {marker}. Remove it."]


@pytest.mark.parametrize(
    "line",
    [
        "out = x @ w + b",
        "return np.maximum(x, 0)",
        "mask = x > 0",
        "dx[mask] *= 2",
        "return 1 / (1 + y)",
        "np.add.at(dW, y, x)",
        "x ** 2,",
    ],
)
def test_lines_that_say_something(line):
    assert says_something(line, {"len", "np.zeros_like", "forward"})


@pytest.mark.parametrize(
    "line",
    [
        "",
        "return out, cache",
        "x, w, b = cache",
        "else:",
        "for i in forward(x):",
        "dx = np.zeros_like(x)",
        "n = len(x)",
        "if mode == 'train':",
        "raise KeyError",
        "losses.append(loss)",
        "scores = forward(*args, axis=-1)",
        "h = 1e-5",
        "return -1",
        "import numpy as np",
    ],
)
def test_lines_that_say_nothing(line):
    assert not says_something(line, {"len", "np.zeros_like", "forward"})


# --- execution


@pytest.mark.parametrize(
    ("old", "new", "at", "expected"),
    [
        (
            "np.maximum(x, 0)",
            "np.abs(x)",
            'check("relu',
            "(cell 4): The solution raised CheckError: relu_forward: not",
        ),
        (
            "np.exp(shifted)",
            "unknown",
            "exponentials = unknown",
            "(cell 6): The solution raised NameError: name 'unk",
        ),
        (
            "print(relu_f",
            "z = 1\nz / 0 #",
            "z / 0",
            "(cell 8): The solution raised ZeroDivisionError: division by",
        ),
        ("print(relu_f", "object() #", "object()", "(cell 8): The output holds a memory address"),
        (
            "print(relu_f",
            "np.log(0) #",
            "np.log(0)",
            "(cell 8): The cell warns: divide by zero encountered in log",
        ),
        ("print(relu_f", "import os; os._exit(1) #", "import os", "(cell 8): The kernel died in this cell"),
    ],
    ids=["a check that fails", "an error in a function", "an error", "an address", "a warning", "a crash"],
)
def test_what_a_run_shows_stops_the_build(tmp_path, old, new, at, expected):
    text = SOURCE.replace(old, new)
    if "unknown" in new:  # reached from a show cell, since a check would catch it first
        text = text.replace('check("softmax")', 'softmax(np.ones((1, 2)))\n\n# %%\ncheck("softmax")')
    assignment = tiny(write_tiny_course(tmp_path, tiny=text))
    with pytest.raises(BuildError) as caught:
        build_assignment(assignment)
    assert f"tiny.py:{line_of(text, at)} {expected}" in str(caught.value)
    assert not assignment.solution_notebook.exists()
    assert not assignment.release.exists()


def test_the_run_sees_what_a_student_has(tmp_path):
    show = (
        "import os, pathlib\nprint(sorted(set(os.listdir()) - {'__pycache__'}))\n"
        "print(pathlib.Path(os.environ['AUTOGRADER_DATA']).exists())\nrelu_forward"
    )
    text = f'{SOURCE}\n# %% tags=["show", "timing"]\n{show}\n'
    assignment = tiny(write_tiny_course(tmp_path, tiny=text))
    steps: list[tuple[int, int]] = []
    build_assignment(assignment, progress=lambda done, total: steps.append((done, total)))
    outputs = nbformat.read(assignment.solution_notebook, as_version=4).cells[-1].outputs
    assert outputs[0].text == "['test_public.py']\nFalse\n"
    assert steps[-1] == (10, 10)
    assert steps == sorted(steps)


def test_a_folder_that_cannot_be_written(tiny_course):
    (tiny_course / "assignments").write_text("a file stands in the way", encoding="utf-8")
    with pytest.raises(
        BuildError, match=r"assignments/tiny/tiny.ipynb: This file cannot be written: .* permissions"
    ):
        build_assignment(tiny(tiny_course), execute=False)


# --- nbgrader


def nbgrader(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        [sys.executable, "-m", "nbgrader", *arguments],
        cwd=root,
        env={**os.environ, "PATH": path, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_generate_assignment_gives_the_same_release_or_none(tiny_course):
    (tiny_course / "nbgrader_config.py").write_bytes((REPOSITORY / "nbgrader_config.py").read_bytes())
    assignment = tiny(tiny_course)
    build_assignment(assignment)
    ours = files(tiny_course / "assignments")
    (tiny_course / "solutions/tiny/answers[1].npz").write_bytes(b"secret")
    (tiny_course / "solutions/tiny/drafts").mkdir()
    (tiny_course / "solutions/tiny/drafts/first.csv").write_bytes(b"secret")

    done = nbgrader(tiny_course, "generate_assignment", "tiny", "--force")
    assert done.returncode == 0, done.stderr
    assert files(tiny_course / "assignments") == ours

    notebook = json.loads(assignment.solution_notebook.read_text(encoding="utf-8"))
    notebook["cells"][7]["source"] = [SHIFT]
    assignment.solution_notebook.write_text(json.dumps(notebook), encoding="utf-8")
    done = nbgrader(tiny_course, "generate_assignment", "tiny", "--force")
    assert done.returncode == 1
    assert "This line also stands in the solution of 'softmax'" in done.stderr
    assert files(tiny_course / "assignments") == {}


def test_validate_praises_the_solution_and_not_the_release(built, tmp_path):
    root, _ = built
    for folder, verdict in (("solutions", "Success!"), ("assignments", "VALIDATION FAILED ON 2 CELL(S)")):
        work = tmp_path / folder
        work.mkdir()
        for path in (root / folder / "tiny/tiny.ipynb", root / "tests/tiny/test_public.py"):
            (work / path.name).write_bytes(path.read_bytes())
        assert verdict in nbgrader(work, "validate", "tiny.ipynb").stdout


def test_prose_alone_keeps_the_outputs(tiny_course: Path) -> None:
    assignment = tiny(tiny_course)
    build_assignment(assignment)
    before = nbformat.read(assignment.solution_notebook, as_version=4)
    source = assignment.source.read_text()
    assignment.source.write_text(
        source.replace("# %% [markdown]\n#", "# %% [markdown]\n# In other words:", 1)
    )
    assert assignment.solution_notebook in build_assignment(assignment, execute=False).written
    after = nbformat.read(assignment.solution_notebook, as_version=4)
    assert [cell.get("outputs") for cell in after.cells] == [cell.get("outputs") for cell in before.cells]
    assert "In other words:" in after.cells[0].source
    assert build_assignment(assignment, check=True).differences == ()

    assignment.source.write_text(source + "\n# %%\nmore = 1\n")
    assert assignment.solution_notebook not in build_assignment(assignment, execute=False).written
