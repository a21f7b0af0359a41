"""`check("question")`: in a real kernel, and as a function on a namespace."""

from __future__ import annotations

import json
import linecache
import random
import shutil
import sys
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from tiny_course import PUBLIC, SOURCE, write_tiny_course

import autograder
from autograder.course.results import TestResult
from autograder.student import CheckError, check, check_namespace
from autograder.student.check import public_questions, public_suite
from autograder.student.notebookfile import load_notebook

RIGHT_RELU = "def relu_forward(x):\n    return np.maximum(x, 0), x"
WRONG_RELU = "def relu_forward(x):\n    return np.abs(x), x"
STUB = "def softmax(scores):\n    raise NotImplementedError"
RAISES = "def softmax(scores):\n    unused = 1\n    return scores @ scores"


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    path = tmp_path / "test_public.py"
    path.write_text(PUBLIC)
    return path


def namespace_of(*cells: str) -> dict[str, Any]:
    namespace: dict[str, Any] = {"np": np}
    for number, source in enumerate(cells, start=1):
        linecache.cache[f"<cell {number}>"] = (len(source), None, source.splitlines(), f"<cell {number}>")
        exec(compile(source, f"<cell {number}>", "exec"), namespace)
    return namespace


def only(results: list[TestResult]) -> TestResult:
    (result,) = results
    return result


def test_verdicts_on_a_namespace(suite: Path) -> None:
    namespace = namespace_of(RIGHT_RELU, STUB)
    assert only(check_namespace("relu_forward", namespace, suite)).outcome == "passed"
    stub = only(check_namespace("softmax", namespace, suite))
    assert (stub.outcome, stub.message) == ("error", "softmax is not written yet.")

    wrong = only(check_namespace("relu_forward", namespace_of(WRONG_RELU), suite))
    assert (wrong.outcome, wrong.says) == ("failed", "Negative entries become 0, the others stay.")
    assert wrong.message == "2 of 4 elements of out are wrong."
    assert wrong.finding is not None
    assert wrong.finding.call == "relu_forward(x = float64 array (2, 2))"
    assert "worst at [1, 1]: 0 was expected, 3 came" in wrong.finding.where

    raised = only(check_namespace("softmax", namespace_of(RAISES), suite))
    assert raised.outcome == "error" and raised.message.startswith("Your code raised ValueError: matmul")
    assert raised.finding is not None
    assert raised.finding.where == "cell 1, line 3: return scores @ scores"

    missing = only(check_namespace("softmax", namespace_of(RIGHT_RELU), suite))
    assert "softmax is not defined in the notebook" in missing.message


def test_the_notebook_is_left_as_it_was(suite: Path) -> None:
    noisy = (
        "import random\ndef relu_forward(x):\n    x *= random.random() * np.random.rand()\n    return x, x"
    )
    namespace = namespace_of(noisy)
    before = dict(namespace)
    random.seed(3)
    np.random.seed(3)
    expected = random.random(), np.random.rand()
    random.seed(3)
    np.random.seed(3)
    arguments, folder, modules = list(sys.argv), Path.cwd(), set(sys.modules)
    check_namespace("relu_forward", namespace, suite)
    assert (random.random(), np.random.rand()) == expected
    assert namespace == before
    assert (sys.argv, Path.cwd()) == (arguments, folder)
    assert not [name for name in set(sys.modules) - modules if "test_public" in name]


def test_an_edited_suite_and_an_edited_function_count_at_once(suite: Path) -> None:
    namespace = namespace_of(WRONG_RELU)
    assert only(check_namespace("relu_forward", namespace, suite)).outcome == "failed"
    exec(RIGHT_RELU, namespace)
    assert only(check_namespace("relu_forward", namespace, suite)).outcome == "passed"
    suite.write_text(PUBLIC.replace("Negative entries become 0", "Other words"))
    assert only(check_namespace("relu_forward", namespace, suite)).says.startswith("Other words")


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ("sofmax", "test_public.py has no check called 'sofmax'. Did you mean check(\"softmax\")?"),
        ("third", "test_public.py has no check called 'third'. There are: relu_forward, softmax."),
        (np.tanh, 'check wants the name of a question, in quotes: check("tanh").'),
        (None, 'check wants the name of a question, in quotes: check("name").'),
    ],
)
def test_questions_that_are_none(question: Any, said: str, suite: Path) -> None:
    with pytest.raises(CheckError) as caught:
        check_namespace(question, {}, suite)
    assert str(caught.value) == said


def test_a_suite_that_is_missing_or_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckError) as caught:
        check("relu_forward")
    assert str(caught.value) == (
        f"test_public.py is not in {tmp_path}. Put the file that came with the notebook beside it."
    )
    assert caught.value._render_traceback_() == [str(caught.value)]
    (tmp_path / "test_public.py").write_text("def (:")
    for call in (lambda: check("relu_forward"), lambda: public_questions(tmp_path / "test_public.py")):
        with pytest.raises(
            CheckError, match=r"The public tests cannot be used: .*test_public\.py, line 1: Syntax"
        ):
            call()


def test_the_suite_is_found_beside_the_notebook(
    suite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path.parent)
    assert public_suite({"__vsc_ipynb_file__": str(tmp_path / "tiny.ipynb")}) == suite
    with pytest.raises(CheckError):
        public_suite({})
    monkeypatch.chdir(tmp_path)
    assert public_suite({}) == suite
    assert public_questions(suite) == ["relu_forward", "softmax"]


def test_a_public_test_that_wants_the_reference_says_so(suite: Path) -> None:
    suite.write_text(PUBLIC.replace("(student):", "(student, reference):"))
    result = only(check_namespace("softmax", namespace_of(STUB), suite))
    assert result.outcome != "passed"
    assert "only hidden tests have" in result.message


def test_without_a_notebook_the_panel_is_text(
    suite: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(suite.parent)
    monkeypatch.delenv("NBGRADER_EXECUTION", raising=False)
    script = namespace_of(WRONG_RELU) | {"check": autograder.check, "__name__": "script"}
    exec(compile("check('relu_forward')", "script.py", "exec"), script)
    out = capsys.readouterr().out
    assert "relu_forward" in out and "2 of 4 elements of out are wrong." in out
    assert "\x1b" not in out and "<" not in out.replace("<cell", "")

    monkeypatch.setenv("NBGRADER_EXECUTION", "validate")
    with pytest.raises(CheckError, match="relu_forward: not all checks pass"):
        exec(compile("check('relu_forward')", "script.py", "exec"), script)
    exec(RIGHT_RELU, script)
    exec(compile("check('relu_forward')", "script.py", "exec"), script)


def test_in_a_kernel(suite: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NBGRADER_EXECUTION", raising=False)
    cells = [
        "import random\nimport numpy as np\nfrom autograder import check",
        RIGHT_RELU,
        "random.seed(1); np.random.seed(1)\ncheck('relu_forward')\n(random.random(), np.random.rand())",
        "random.seed(1); np.random.seed(1)\n(random.random(), np.random.rand())",
        WRONG_RELU,
        "check('relu_forward')",
        STUB,
        "check('softmax')",
        RAISES,
        "check('softmax')",
        "check('sofmax')",
        "import os; os.remove('test_public.py')\ncheck('softmax')",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in cells])
    client = NotebookClient(
        notebook, kernel_name="python3", allow_errors=True, timeout=120,
        resources={"metadata": {"path": str(suite.parent)}},
    )  # fmt: skip
    client.execute()
    outputs = [cell.outputs for cell in notebook.cells]

    def panel(place: int) -> tuple[str, str]:
        shown = next(output for output in outputs[place] if output.output_type == "display_data")
        return shown.data["text/html"], shown.data["text/plain"]

    html, text = panel(2)
    assert "relu_forward" in html and "Negative entries become 0" in html and "passed" in text.lower()
    drawn = [
        output.data["text/plain"]
        for place in (2, 3)
        for output in outputs[place]
        if "execution_count" in output
    ]
    assert drawn[0] == drawn[1]
    html, text = panel(5)
    assert "2 of 4 elements of out are wrong." in html and "2 of 4 elements of out are wrong." in text
    assert html.lstrip().startswith("<div") and "<script" not in html
    assert "not written yet" in panel(7)[1]
    html, text = panel(9)
    assert "Your code raised ValueError" in text and "return scores @ scores" in text and "line 3" in text
    for place, said in ((10, 'Did you mean check("softmax")?'), (11, "test_public.py is not in")):
        (error,) = outputs[place]
        assert error.output_type == "error" and error.ename == "CheckError"
        assert len(error.traceback) == 1 and said in error.traceback[0]


# `autograder check`


def student_notebook(folder: Path, *cells: str, tags: dict[int, list[str]] | None = None) -> Path:
    notebook = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_code_cell(source, metadata={"tags": (tags or {}).get(place, [])})
            for place, source in enumerate(cells)
        ]
    )
    path = folder / "mine.ipynb"
    nbformat.write(notebook, path)
    return path


def test_a_notebook_file_is_loaded_as_jupyter_would(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "numbers.txt").write_text("7")
    path = student_notebook(
        tmp_path,
        "%matplotlib inline\n!ls\nx = int(open('numbers.txt').read())",
        "print('much')\n1 / 0",
        "import sys\nsys.exit(3)",
        "y = (",
        "check('anything')",
        "z = 1",
        "w = x + 1\nname = __name__",
        tags={5: ["show"]},
    )
    notes: list[str] = []
    before = Path.cwd()
    found = load_notebook(path, notes.append)
    assert (found["x"], found["w"], found["name"]) == (7, 8, "__main__")
    assert "z" not in found and "y" not in found
    assert [note.partition(":")[0] for note in notes] == [
        "Cell 2 raised ZeroDivisionError", "Cell 3 raised SystemExit", "Cell 4 raised SyntaxError",
    ]  # fmt: skip
    assert Path.cwd() == before
    assert capsys.readouterr().out == ""


def test_the_public_suite_passes_on_the_solution(tmp_path: Path) -> None:
    root = write_tiny_course(tmp_path)
    shutil.copy(root / "tests/tiny/test_public.py", tmp_path)
    cells = [part.partition("\n")[2] for part in SOURCE.split("# %%") if "def " in part]
    path = student_notebook(tmp_path, "import numpy as np", *cells)
    namespace = load_notebook(path, lambda note: pytest.fail(note))
    for question in ("relu_forward", "softmax"):
        assert only(check_namespace(question, namespace, tmp_path / "test_public.py")).outcome == "passed"
    assert json.loads(path.read_text())["nbformat"] == 4
