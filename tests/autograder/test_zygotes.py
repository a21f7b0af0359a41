"""matplotlib is loaded where a submission draws, and nowhere else; either way its code does the same."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from autograder.checking.failure import StudentError
from autograder.checking.proxy import Student
from autograder.course.models import Limits
from autograder.grading.session import LoadedSubmission
from autograder.grading.zygotes import Zygotes, needs, seems_to_draw
from autograder.notebook.cells import Cell
from autograder.sandbox.host import Profile, Zygote
from autograder.sandbox.verdicts import SandboxError

LOADED = "import sys\ndef loaded():\n    return 'mat' + 'plotlib.cbook' in sys.modules\n"
SETTINGS = """\
import matplotlib
import matplotlib.pyplot as plt
plt.rcParams["figure.figsize"] = (3, 2)
plt.rcParams.update({"figure.dpi": 77})
"""
DRAWING = """\
def drawn():
    figure, axes = plt.subplots()
    axes.plot([1, 2, 3])
    return [float(side) for side in figure.get_size_inches()], float(figure.dpi)
"""


def cells_of(*sources: str) -> list[Cell]:
    return [Cell(number, "code", source) for number, source in enumerate(sources)]


@pytest.fixture(scope="module")
def zygotes() -> Iterator[Zygotes]:
    made = Zygotes(Zygote(Profile()), lambda zygote: None)
    yield made
    made.close()


def asked(zygote: Zygote, name: str, *sources: str) -> object:
    with LoadedSubmission(zygote, cells_of(*sources), Limits()) as submission:
        assert submission.notes == []
        process = submission.fork(1, None)
        try:
            return getattr(Student(process, lambda _: None), name)()
        finally:
            process.close()


@pytest.mark.parametrize(
    ("source", "draws"),
    [
        ("import numpy as np\nimport matplotlib.pyplot as plt", False),
        ("    from matplotlib import pyplot as plt", False),
        (SETTINGS, False),
        ("plt.rcParams.update({\n    'figure.dpi': 90,\n})", False),
        ("plt.plot([1])", True),
        ("import matplotlib.pyplot as pictures", True),
        ("from matplotlib.patches import Rectangle", True),
        ("%matplotlib inline", True),
        ("!ls", True),
        ("from IPython.display import HTML", True),
        ("x = 7 % 3\nsimply = not x", False),
    ],
)  # fmt: skip
def test_what_seems_to_draw(source: str, draws: bool) -> None:
    assert seems_to_draw(cells_of("x = 1", source)) is draws


@pytest.mark.parametrize(
    ("source", "needed"),
    [
        ("import torch\nx = torch.ones(2)", set()),
        ("from torchvision.transforms import v2", {"torchvision"}),
        ("import torch\nimport torchvision", {"torchvision"}),
        ("# torchvision would do this in a line", set()),
        ("step = torch.optim.Adam(model.parameters())", {"optimizers"}),
        ("def fit(model, optimizer):\n    optimizer.step()\nplt.show()", {"optimizers", "pictures"}),
    ],
)  # fmt: skip
def test_what_is_loaded_beforehand_for_torch(source: str, needed: set[str]) -> None:
    assert needs(cells_of("x = 1", source), torch=True) == needed
    assert needs(cells_of("x = 1", source), torch=False) == needed & {"pictures"}


def test_who_needs_less_gets_what_is_running() -> None:
    fullest = Zygotes(Zygote(Profile(preload=frozenset({"pictures"}))), lambda zygote: None)
    try:
        assert fullest.for_cells([]) is fullest.for_cells(cells_of("plt.show()"))
    finally:
        fullest.close()


def test_the_usual_beginning_of_a_notebook_does_not_load_matplotlib(zygotes: Zygotes) -> None:
    sources = (SETTINGS, LOADED)
    assert asked(zygotes.for_cells(cells_of(*sources)), "loaded", *sources) is False


def test_a_submission_that_draws_gets_it_loaded_and_warm(zygotes: Zygotes) -> None:
    sources = (SETTINGS, LOADED, DRAWING)
    zygote = zygotes.for_cells(cells_of(*sources))
    assert zygote is zygotes.for_cells(cells_of("plt.show()")) and zygote.profile.preload == {"pictures"}
    assert asked(zygote, "loaded", *sources) is True
    assert asked(zygote, "drawn", *sources) == ([3.0, 2.0], 77.0)


def test_who_hides_that_they_draw_draws_all_the_same(zygotes: Zygotes) -> None:
    plain = zygotes.for_cells([])
    assert not plain.profile.preload
    assert asked(plain, "drawn", SETTINGS, DRAWING) == ([3.0, 2.0], 77.0)
    later = "import matplotlib.animation\nfrom matplotlib import cm\ndef name():\n    return cm.__name__\n"
    assert asked(plain, "name", later) == "matplotlib.cm"
    assert asked(plain, "read", "import matplotlib\ndef read():\n    return len(matplotlib.rcParams) > 200\n")
    assert asked(plain, "kept", SETTINGS, "def kept():\n    plt.mine = 4\n    return plt.mine\n") == 4


def test_a_setting_that_does_not_exist_costs_nothing_where_nothing_is_drawn(zygotes: Zygotes) -> None:
    wrong = 'import matplotlib.pyplot as plt\nplt.rcParams["no.such.setting"] = 1\n'
    assert asked(zygotes.for_cells([]), "size", wrong, "def size():\n    return len(plt.rcParams) > 200\n")


def test_one_that_cannot_be_proven_is_not_used() -> None:
    def refuse(zygote: Zygote) -> None:
        raise SandboxError("a forbidden act succeeded")

    made = Zygotes(Zygote(Profile()), refuse)
    try:
        with pytest.raises(SandboxError, match="forbidden act"):
            made.for_cells(cells_of("plt.plot([1])"))
        assert made.for_cells([]).alive
        with pytest.raises(SandboxError):
            made.for_cells(cells_of("plt.plot([1])"))
    finally:
        made.close()


def test_random_numbers_are_seeded_where_parts_of_torch_are_banned() -> None:
    """PyTorch looks some of its parts up at the first call only."""
    pytest.importorskip("torch")
    cells = "import torch\ntorch.manual_seed(3)\ndef drawn():\n    return torch.rand(1).item()\n"
    with Zygote(Profile(torch=True, forbid=("torch.autograd", "torch.nn"))) as zygote:
        assert asked(zygote, "drawn", cells) == asked(zygote, "drawn", cells)


LATE = """
import importlib.util
import torch

def step():
    torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1).step()
    return importlib.util.find_spec("sklearn") is not None

def resize():
    from torchvision.transforms import v2
    return list(v2.Resize([4, 4])(torch.zeros(3, 8, 8)).shape)

def forbidden():
    import sklearn.metrics
"""


def test_what_was_not_loaded_beforehand_is_loaded_when_it_is_used() -> None:
    """PyTorch asks, when it loads the rest of itself, whether packages are there that a course may forbid."""
    with Zygote(Profile(torch=True, forbid=("sklearn",))) as zygote:
        assert asked(zygote, "step", LATE) is True
        assert asked(zygote, "resize", LATE) == [3, 4, 4]
        with pytest.raises(StudentError, match="sklearn may not be used in this assignment"):
            asked(zygote, "forbidden", LATE)


@pytest.mark.parametrize(
    ("name", "module"), [("torchvision", "torchvision.transforms.v2"), ("optimizers", "torch._dynamo")]
)
def test_what_is_loaded_beforehand_is_there(name: str, module: str) -> None:
    source = f"import sys\ndef there():\n    return {module!r} in sys.modules\n"
    with Zygote(Profile(torch=True, preload=frozenset({name}))) as zygote:
        assert asked(zygote, "there", source) is True
