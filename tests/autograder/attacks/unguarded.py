"""The same attacks graded by `nbgrader autograde`, which runs a submission's cells in a kernel of the grader's user.

The same questions, with hidden tests in the grade cells as nbgrader's documentation shows them; the secrets lie in
the same places. Only attacks that are harmless without a sandbox, and that mean the same there, are run.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import nbformat

from attacks.grade import DAEMON_SECONDS, Run
from attacks.model import Attack, Document, cell_of, grade_id
from attacks.world import HALF, HONEST, Outcome, World
from autograder.course import load_course
from autograder.notebook.percent import read_source

CONFIG = """
c = get_config()
c.CourseDirectory.course_id = "bank"
c.CourseDirectory.db_url = "sqlite:///nbgrader.db"
c.CourseDirectory.source_directory = "source"
c.CourseDirectory.release_directory = "release"
c.ExecutePreprocessor.timeout = 20
c.Execute.timeout = 20
c.Exchange.root = "exchange"
"""
TESTS = {
    "softmax": """
scores = np.array([[1.0, 2.0, 0.5], [1000.0, 1001.0, 999.0]])
exponentials = np.exp(scores - scores.max(axis=1, keepdims=True))
np.testing.assert_allclose(softmax(scores), exponentials / exponentials.sum(axis=1, keepdims=True))
""",
    "slope": """
y = np.array([0.0, 1.0, 4.0, 9.0, 16.0])
np.testing.assert_allclose(slope(y, 1.0), np.array([1.0, 2.0, 4.0, 6.0, 7.0]))
""",
    "cube_backward": """
x, dout = np.array([1.0, -2.0, 0.5]), np.array([1.0, 2.0, 3.0])
np.testing.assert_allclose(cube_backward(dout, x), np.array([3.0, 24.0, 2.25]), rtol=1e-10)
""",
    "classify": """
scores = np.array([[1.0, 2.0], [3.0, 0.0]])
classes, probabilities = classify(scores)
np.testing.assert_allclose(classes, [1, 0])
np.testing.assert_allclose(probabilities, [0.7310585786300049, 0.9525741268224334])
""",
    "nearest_centroid": """
rng = np.random.default_rng(0)
centres, labels = rng.normal(size=(10, 16)), rng.integers(0, 10, size=400)
x = centres[labels] + 0.7 * rng.normal(size=(400, 16))
predictions = nearest_centroid(x[:200], labels[:200], x[200:])
assert np.mean(predictions == labels[200:]) > 0.8
""",
    "distances": """
import time
a, b = np.random.default_rng(0).normal(size=(150, 20)), np.random.default_rng(1).normal(size=(150, 20))
expected = np.array([[((p - q) ** 2).sum() for q in b] for p in a])
np.testing.assert_allclose(distances(a, b), expected)
start = time.perf_counter()
for _ in range(3):
    distances(a, b)
assert time.perf_counter() - start < 0.05
""",
}


def _source(world: World) -> Document:
    """The assignment as an nbgrader source: our solution notebook, with tests in its grade cells."""
    assignment = load_course(world.root).assignment(world.assignment)
    document: Document = json.loads(assignment.solution_notebook.read_bytes())
    for cell in document["cells"]:
        cell["source"] = "".join(cell["source"]).replace("from autograder import check", "")
    for name, tests in TESTS.items():
        cell = cell_of(document, f"test_{name}")
        cell["source"] = f"### BEGIN HIDDEN TESTS\n{tests.strip()}\n### END HIDDEN TESTS"
    return document


def _run(world: World, *command: str) -> subprocess.CompletedProcess[bytes]:
    program = [
        sys.executable,
        "-c",
        "from nbgrader.apps.nbgraderapp import NbGraderApp as A; A.launch_instance()",
    ]
    environment = world.environment() | {
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        "IPYTHONDIR": str(world.folder / "ipython"), "JUPYTER_RUNTIME_DIR": str(world.folder / "runtime"),
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }  # fmt: skip
    return subprocess.run(
        world.mode.command([*program, *command]),
        env=environment,
        cwd=world.root,
        capture_output=True,
        timeout=3000,
    )


def applicable(attacks: Sequence[Attack]) -> list[Attack]:
    """Those that nbgrader is tried with."""
    return [attack for attack in attacks if attack.nbgrader and attack.unsafe and attack.assignment == "bank"]


def autograde(world: World, attacks: Sequence[Attack]) -> Run:
    """Grade the attacks, with two honest submissions, by `nbgrader autograde`."""
    (world.root / "nbgrader_config.py").write_text(CONFIG)
    source = world.root / "source" / world.assignment / f"{world.assignment}.ipynb"
    source.parent.mkdir(parents=True)
    source.write_text(json.dumps(_source(world)))
    world.chown()
    done = _run(world, "generate_assignment", world.assignment, "--force")
    release = world.root / "release" / world.assignment / source.name
    if not release.exists():
        raise AssertionError(f"nbgrader generate_assignment failed: {done.stderr.decode()[-3000:]}")
    world.release = json.loads(release.read_bytes())
    assert not any("assert" in cell["source"] for cell in world.release["cells"] if grade_id(cell))
    cells = read_source(load_course(world.root).assignment(world.assignment).source)
    world.answers = {cell.grade_id: cell.source for cell in cells if cell.question and cell.grade_id}
    world.hand_in(attacks, honest=HONEST[:1])
    start = time.monotonic()
    done = _run(world, "autograde", world.assignment)
    run = Run(["none"], {}, seconds=time.monotonic() - start)
    time.sleep(DAEMON_SECONDS)
    scores = _scores(world)
    marked, connected = world.markers(), world.connected()
    for attack in attacks:
        student = attack.student or attack.name
        outcome = Outcome(attack.name, scores.get(student, 0.0), "graded" if student in scores else "refused")
        outcome.undeserved = max(0.0, outcome.score - attack.deserves)
        text = "".join(path.read_text() for path in world.root.glob(f"autograded/{student}/**/*.ipynb"))
        if f"DONE-{attack.name}" in _outputs(text):
            outcome.traces.append("its act succeeded")
        outcome.traces += [f"it read {what}" for what in world.leaked(text)]
        if attack.name in marked:
            outcome.traces.append("it wrote a file outside")
        if attack.name in connected:
            outcome.traces.append("it reached the network")
        run.outcomes[attack.name] = outcome
    for student, wanted in ((HONEST[0], world.max_points), (HALF, 2.0)):
        if scores.get(student) != wanted:
            run.harm.append(
                f"{student} got {scores.get(student)} of {wanted}: {done.stderr.decode()[-1500:]}"
            )
    return run


def _outputs(text: str) -> str:
    if not text:
        return ""
    cells = nbformat.reads(text, as_version=4)["cells"]
    return json.dumps([output for cell in cells for output in cell.get("outputs", [])])


def _scores(world: World) -> dict[str, float]:
    from nbgrader.api import Gradebook

    with Gradebook(f"sqlite:///{world.root / 'nbgrader.db'}", "bank") as gradebook:
        return {
            submission.student.id: float(submission.score)
            for submission in gradebook.assignment_submissions(world.assignment)
        }
