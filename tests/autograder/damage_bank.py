"""The damage bank: what happens to honest notebooks on their way, and what each is still worth.

    from damage_bank import BANK

Each damage is a function that does it to a right submission (`Sheet`). Its `points` are what the answers that
are still there deserve, and `says` is a pattern for every sentence that the report must hold, and no other.
"""

from __future__ import annotations

import base64
import copy
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from damage_course import FULL, Sheet

REFUSED = -1.0


@dataclass(frozen=True)
class Damage:
    """One kind of damage."""

    name: str
    make: Callable[[Sheet], bytes | None]
    """Changes the sheet, or returns the bytes of the file."""
    points: float
    says: tuple[str, ...]
    file: str
    """The name under which the notebook is handed in."""


BANK: list[Damage] = []


def damage(
    *says: str, points: float = FULL, file: str = "tiny.ipynb"
) -> Callable[[Callable[[Sheet], bytes | None]], Callable[[Sheet], bytes | None]]:
    def register(make: Callable[[Sheet], bytes | None]) -> Callable[[Sheet], bytes | None]:
        BANK.append(Damage(make.__name__, make, points, says, file))
        return make

    return register


def saved(sheet: Sheet, **options: Any) -> bytes:
    return json.dumps(sheet.document, **options).encode()


# Cells


@damage()
def undamaged(sheet: Sheet) -> None:
    """The right answers in the release as it was."""


@damage("import numpy as np' was deleted; it was put back")
def imports_deleted(sheet: Sheet) -> None:
    sheet.drop("imports")


@damage("check cell of softmax was deleted; it was put back", "check cell of relu_forward was deleted")
def checks_deleted(sheet: Sheet) -> None:
    sheet.drop("test_relu_forward", "test_softmax")


@damage(r"Texts of the assignment were changed or deleted \(2\)")
def texts_deleted(sheet: Sheet) -> None:
    sheet.drop("text", "softmax_text")


@damage("softmax was deleted; it was put back without an answer", points=FULL - 3)
def answer_deleted(sheet: Sheet) -> None:
    sheet.drop("softmax")


@damage("metadata was missing in 1 cell")
def answer_pasted_into_a_new_cell(sheet: Sheet) -> None:
    sheet.code(sheet["softmax"]["source"], after="softmax")
    sheet.drop("softmax")


@damage(r"answer to softmax stands in cell \d+, which counts; its own cell still holds the stub")
def answer_above_its_stub(sheet: Sheet) -> None:
    sheet.code(sheet["softmax"]["source"], before="softmax")
    sheet.answer("softmax", sheet.stubs["softmax"])


@damage("softmax is there twice .*all of them run")
def answer_duplicated(sheet: Sheet) -> None:
    sheet.cells.insert(sheet.cells.index(sheet["softmax"]), copy.deepcopy(sheet["softmax"]))


@damage("check cell of softmax is there twice .*it counts once")
def check_duplicated(sheet: Sheet) -> None:
    sheet.cells.append(copy.deepcopy(sheet["test_softmax"]))


@damage(*[f"{name} is there twice" for name in ("relu_forward", "softmax", "centred")] * 2, "is there twice")
def everything_duplicated(sheet: Sheet) -> None:
    sheet.document["cells"] += copy.deepcopy(sheet.cells)


@damage(r"answer to softmax stands in cell 7, which counts; its own cell does not define it")
def answer_split_behind_a_helper(sheet: Sheet) -> None:
    answer = sheet["softmax"]["source"]
    sheet.answer("softmax", "def shifted(scores):\n    return scores - scores.max(axis=1, keepdims=True)")
    sheet.code(answer, after="softmax")


@damage("Cell 7 is the second half of cell 6: they were put together")
def answer_split_in_the_middle(sheet: Sheet) -> None:
    first, second = halves(sheet["softmax"]["source"])
    sheet.answer("softmax", first)
    sheet.code(second, after="softmax")


@damage("Cell 7 is the second half of cell 6: they were put together")
def answer_split_with_its_metadata(sheet: Sheet) -> None:
    first, second = halves(sheet["softmax"]["source"])
    sheet.answer("softmax", first)
    sheet.code(second, after="softmax")["metadata"] = copy.deepcopy(sheet["softmax"]["metadata"])


def halves(source: str) -> tuple[str, str]:
    place = source.index("    exponentials =")
    return source[:place].rstrip(), source[place:]


@damage("softmax was deleted, but what it defines stands in another cell, which counts")
def two_answers_merged(sheet: Sheet) -> None:
    sheet.answer("relu_forward", sheet["relu_forward"]["source"] + "\n\n" + sheet["softmax"]["source"])
    sheet.drop("softmax")


@damage("check cell of softmax was deleted")
def answer_merged_with_its_check(sheet: Sheet) -> None:
    sheet.answer("softmax", sheet["softmax"]["source"] + '\n\ncheck("softmax")')
    sheet.drop("test_softmax")


@damage("was deleted", r"Texts .*\(2\)")
def everything_merged_into_one_cell(sheet: Sheet) -> None:
    code = "\n\n".join(cell["source"] for cell in sheet.cells if cell["cell_type"] == "code")
    sheet.document["cells"] = [sheet["softmax"]]
    sheet.answer("softmax", code)


@damage("uses what only a later cell defines: it was run again after all others")
def cells_reversed(sheet: Sheet) -> None:
    sheet.above("softmax", "EPSILON = np.finfo(float).eps")
    sheet.cells.reverse()


@damage(r"Cell 3 \(relu_forward\) uses what only a later cell defines")
def imports_last(sheet: Sheet) -> None:
    sheet.above("relu_forward", "ZERO = np.zeros(1)")
    sheet.cells.append(sheet.cells.pop(1))
    sheet.code("helper = 1", before="text")


@damage(r"The type of cell 6 \(softmax\) was markdown")
def answer_retyped_to_markdown(sheet: Sheet) -> None:
    retype(sheet["softmax"], "markdown")


@damage(r"The type of cell 6 \(softmax\) was raw")
def answer_retyped_to_raw(sheet: Sheet) -> None:
    retype(sheet["softmax"], "raw")


@damage("The type of cell 2 was raw", r"The type of cell 7 \(softmax\) was markdown", "cell 1 was code")
def given_cells_retyped(sheet: Sheet) -> None:
    retype(sheet["imports"], "raw")
    retype(sheet["test_softmax"], "markdown")
    sheet["text"].update(cell_type="code", outputs=[], execution_count=None)


def retype(cell: dict[str, Any], kind: str) -> None:
    cell["cell_type"] = kind
    cell.pop("outputs", None)
    cell.pop("execution_count", None)


@damage("The grade id 'my_softmax' of cell 6 .*it was taken for softmax")
def grade_id_renamed(sheet: Sheet) -> None:
    sheet["softmax"]["metadata"]["nbgrader"]["grade_id"] = "my_softmax"


@damage(r"The grade id 'cell-\d+' of cell \d+ .*it was taken for ")
def grade_ids_of_another_tool(sheet: Sheet) -> None:
    for number, cell in enumerate(sheet.cells):
        if "nbgrader" in cell["metadata"]:
            cell["metadata"]["nbgrader"]["grade_id"] = f"cell-{number}"


@damage(r"points of cell 7 \(softmax\) had been changed to 30; the course's 3 count")
def points_changed(sheet: Sheet) -> None:
    sheet["test_softmax"]["metadata"]["nbgrader"]["points"] = 30


@damage("check cell of softmax was changed; the original counts. What was there runs too")
def code_in_a_check_cell(sheet: Sheet) -> None:
    sheet["test_softmax"]["source"] += "\nprint(softmax(np.ones((1, 2))))"


# Other programs' saves


@damage("metadata was missing in 9 cells")
def saved_by_colab(sheet: Sheet) -> bytes:
    for number, cell in enumerate(sheet.cells):
        cell.pop("id", None)
        cell["metadata"] = {"id": f"gX3-{number}_Qe", "colab": {"base_uri": "https://localhost:8080/"}}
        if cell["cell_type"] == "code":
            cell["metadata"]["outputId"] = "5a0c"
            cell["execution_count"] = number + 1
        cell["source"] = cell["source"].splitlines(keepends=True)
    colab = {"provenance": [], "gpuType": "T4", "authorship_tag": "ABX9TyN", "collapsed_sections": []}
    sheet.document.update(nbformat_minor=0, metadata={"colab": colab, "accelerator": "GPU"})
    return saved(sheet, indent=2)


@damage(points=FULL)
def saved_by_vs_code(sheet: Sheet) -> bytes:
    for cell in sheet.cells:
        cell["metadata"]["vscode"] = {"languageId": "python"}
    sheet.document["metadata"] = {
        "kernelspec": {"display_name": ".venv", "language": "python", "name": "python3"},
        "language_info": {"codemirror_mode": {"name": "ipython", "version": 3}, "version": "3.12.1"},
        "orig_nbformat": 4,
        "vscode": {"interpreter": {"hash": "31f2aee4e71d21fbe5cf8b01ff0e069b"}},
    }
    return saved(sheet, indent=1)


@damage("metadata was missing in 9 cells")
def saved_by_kaggle(sheet: Sheet) -> None:
    for cell in sheet.cells:
        cell.pop("id", None)
        cell["metadata"] = {"_uuid": "8f2839f2", "_cell_guid": "b1076dfc", "trusted": True}
        if cell["cell_type"] == "code":
            cell["metadata"]["execution"] = {"iopub.status.busy": "2026-10-30T17:59:58.123456Z"}
    kaggle = {"accelerator": "none", "dataSources": [], "isGpuEnabled": False, "isInternetEnabled": True}
    sheet.document.update(nbformat_minor=4, metadata={"kaggle": kaggle})


@damage("metadata was missing in 9 cells")
def metadata_stripped(sheet: Sheet) -> None:
    for cell in sheet.cells:
        cell["metadata"] = {}


@damage()
def kernelspec_missing(sheet: Sheet) -> None:
    sheet.document["metadata"] = {}


@damage()
def widget_state(sheet: Sheet) -> None:
    state = {
        f"{number:032x}": {"model_name": "FloatProgressModel", "state": {"value": 1.0}}
        for number in range(500)
    }
    widgets = {"application/vnd.jupyter.widget-state+json": {"state": state, "version_major": 2}}
    sheet.document["metadata"]["widgets"] = widgets
    view = {"model_id": f"{1:032x}", "version_major": 2, "version_minor": 0}
    data = {"application/vnd.jupyter.widget-view+json": view, "text/plain": "  0%|          | 0/10"}
    sheet["show"]["outputs"] = [{"output_type": "display_data", "metadata": {}, "data": data}]


@damage("Each of the cells 4, 7, 9 had no text", "check cell of .* was changed; the original counts")
def sources_lost(sheet: Sheet) -> None:
    for name in ("test_relu_forward", "test_softmax", "test_centred"):
        sheet[name]["source"] = None


@damage(file="Copy of tiny.ipynb")
def file_named_by_colab(sheet: Sheet) -> None:
    """Drive's copies are called so."""


@damage(file="tiny (1).ipynb")
def file_named_by_a_browser(sheet: Sheet) -> None:
    """The second download of a file."""


# Formats and encodings


@damage("old format 3; it was converted, without its outputs")
def format_3(sheet: Sheet) -> bytes:
    cells = []
    for cell in sheet.cells:
        old = {"cell_type": cell["cell_type"], "metadata": cell["metadata"]}
        lines = cell["source"].splitlines(keepends=True)
        code = {"input": lines, "language": "python", "outputs": [], "collapsed": False, "prompt_number": 1}
        cells.append(old | (code if cell["cell_type"] == "code" else {"source": lines}))
    document = {
        "nbformat": 3,
        "nbformat_minor": 0,
        "metadata": {"name": ""},
        "worksheets": [{"cells": cells}],
    }
    return json.dumps(document).encode()


def _format_4(minor: int) -> None:
    def make(sheet: Sheet) -> None:
        sheet.document["nbformat_minor"] = minor
        for cell in sheet.cells:
            if minor < 5:
                del cell["id"]
            if minor < 1 and cell["cell_type"] == "code":
                cell["metadata"]["collapsed"] = False
            cell["source"] = cell["source"].splitlines(keepends=True)

    make.__name__ = f"format_4_{minor}"
    damage()(make)


for _minor in range(6):
    _format_4(_minor)


@damage(
    "did not say its format; it was read as format 4", "Each of the cells .* had no metadata", "in 9 cells"
)
def format_not_stated(sheet: Sheet) -> None:
    for key in ("nbformat", "nbformat_minor", "metadata"):
        del sheet.document[key]
    for cell in sheet.cells:
        del cell["metadata"]


@damage("began with a byte order mark; it was left out")
def byte_order_mark(sheet: Sheet) -> bytes:
    return b"\xef\xbb\xbf" + saved(sheet)


@damage("saved as UTF-16; it was read as such")
def utf_16(sheet: Sheet) -> bytes:
    return json.dumps(sheet.document).encode("utf-16")


@damage("not UTF-8 throughout")
def latin_1(sheet: Sheet) -> bytes:
    sheet.above("softmax", "# Für große Werte")
    return json.dumps(sheet.document, ensure_ascii=False).encode("latin-1")


@damage("Windows line ends were changed to plain ones")
def windows_line_ends(sheet: Sheet) -> bytes:
    for cell in sheet.cells:
        cell["source"] = cell["source"].replace("\n", "\r\n")
    return saved(sheet, indent=1).replace(b"\n", b"\r\n")


@damage("control characters that JSON does not allow; they were kept")
def line_ends_not_escaped(sheet: Sheet) -> bytes:
    return saved(sheet).replace(b"\\n", b"\n")


@damage("no valid Unicode")
def half_an_emoji(sheet: Sheet) -> None:
    sheet.code("face = '\ud83d'")


@damage(
    "Line 2 of cell 6 .*merge conflict", r"Cell 6 .* raised IndentationError.*It was not run", points=FULL - 3
)
def merge_conflict_in_an_answer(sheet: Sheet) -> None:
    answer = sheet["softmax"]["source"]
    first, _, rest = answer.partition("\n")
    sheet.answer("softmax", f"{first}\n<<<<<<< HEAD\n    pass\n=======\n{rest}\n>>>>>>> mine")


@damage("Line 1 of cell 12 .*merge conflict", "Cell 12.* raised SyntaxError")
def merge_conflict_in_a_cell_of_ones_own(sheet: Sheet) -> None:
    sheet.code("<<<<<<< HEAD\nlr = 1e-3\n=======\nlr = 1e-4\n>>>>>>> mine")


@damage("The file is cut off", points=REFUSED)
def download_cut_off(sheet: Sheet) -> bytes:
    return saved(sheet)[:-400]


# Outputs


@damage("had too much output; the graded copy holds a part of it")
def outputs_of_50_mb(sheet: Sheet) -> None:
    picture = base64.b64encode(os.urandom(3 << 18)).decode()
    shown = {"output_type": "display_data", "metadata": {}, "data": {"image/png": picture}}
    text = {"output_type": "stream", "name": "stdout", "text": ["loss 0.123456\n"] * 100_000}
    sheet["show"]["outputs"] = [shown] * 42
    sheet["timing"]["outputs"] = [text] * 8


@damage()
def outputs_of_every_kind(sheet: Sheet) -> None:
    html = {"text/html": ["<script>", "alert(1)"], "text/plain": "x", "application/javascript": "1"}
    sheet["show"]["outputs"] = [
        {"output_type": "execute_result", "execution_count": None, "metadata": {}, "data": html},
        {"output_type": "error", "ename": "E", "evalue": "\x1b[31mred", "traceback": ["\x1b[0;31m---"]},
        {"output_type": "update_display_data", "data": {}, "metadata": {}},
    ]


# Code that expects another machine


@damage("Notebook commands are passed over .*%matplotlib, %config, %load_ext, %autoreload in cell 2")
def matplotlib_magics(sheet: Sheet) -> None:
    magics = ["%matplotlib inline", "%config InlineBackend.dpi = 90", "%load_ext autoreload", "%autoreload 2"]
    sheet.code("\n".join(magics), before="imports")


@damage(r"Notebook commands are passed over .*!pip, %pip, !nvidia in cell 6")
def installs_packages(sheet: Sheet) -> None:
    sheet.above("softmax", "!pip install -q numpy\n%pip install torch\n!nvidia-smi")


@damage("%%bash, %%html in cells 12 and 13")
def cells_of_other_languages(sheet: Sheet) -> None:
    sheet.code("%%bash\nwget https://example.org/data.zip && unzip data.zip")
    sheet.code("%%html\n<b>Results</b>")


@damage()
def answer_under_time(sheet: Sheet) -> None:
    sheet.answer("softmax", "%%time\n" + sheet["softmax"]["source"])


@damage("input.* got empty lines in cells 2 and 7")
def asks_for_input(sheet: Sheet) -> None:
    sheet.code('name = input("Your name? ")\nepochs = int(input("Epochs? ") or 10)', before="imports")
    sheet.above("softmax", 'input("Press Enter to go on")')


@damage("input.* got empty lines in cell 12", "Cell 12, line 3, raised EOFError")
def asks_until_it_is_told_to_stop(sheet: Sheet) -> None:
    sheet.code('answer = ""\nwhile answer != "q":\n    answer = input()')


@damage()
def plots(sheet: Sheet) -> None:
    plot = "import matplotlib.pyplot as plt\nfig, ax = plt.subplots()\nax.plot([1, 2])\nplt.show()"
    sheet.code(f"{plot}\nplt.savefig('a.png')", before="softmax")
    sheet.above("centred", "plt.imshow(np.eye(3)); plt.colorbar(); plt.show(); plt.close('all')")


@damage(r"Cell 12, line 2, raised ImportError")
def plots_in_a_window(sheet: Sheet) -> None:
    sheet.code("import matplotlib\nmatplotlib.use('TkAgg')")


@damage()
def progress_bars(sheet: Sheet) -> None:
    sheet.above(
        "softmax",
        "from tqdm.notebook import tqdm, trange\nfor epoch in (bar := trange(3)):\n"
        "    bar.set_description(f'epoch {epoch}')\nwith tqdm(total=3) as bar:\n    bar.update(1)",
    )
    sheet.answer(
        "relu_forward",
        "from tqdm.auto import tqdm\n\ndef relu_forward(x):\n    out = x.copy()\n"
        "    for index in tqdm(list(np.ndindex(x.shape)), leave=False):\n"
        "        out[index] = max(out[index], 0.0)\n    return out, x",
    )


@damage(
    r"Cell 2, line 2, raised FileNotFoundError: .*/home/ada/data.npy",
    "Cell 7 .*line 1, raised FileNotFoundError",
)
def absolute_paths(sheet: Sheet) -> None:
    sheet.code("import numpy as np\ndata = np.load('/home/ada/data.npy')", before="imports")
    sheet.above("softmax", r"labels = open(r'C:\Users\Ada\labels.csv').read()")


@damage("Cell 2, line 2, raised (FileNotFound|Permission)Error")
def another_working_directory(sheet: Sheet) -> None:
    sheet.code("import os, sys\nos.chdir('/content/drive/MyDrive')\nsys.path.append('.')", before="imports")


@damage()
def mounts_a_drive(sheet: Sheet) -> None:
    sheet.above(
        "softmax",
        "from google.colab import drive, files, userdata\ndrive.mount('/content/drive')\n"
        "from google.colab.patches import cv2_imshow\nkey = userdata.get('KEY')",
    )


@damage("There is no GPU at grading: what asks for one in cell 8 ran on the CPU")
def calls_cuda(sheet: Sheet) -> None:
    sheet.answer("centred", "def centred(x):\n    x = x.cuda()\n    return (x - x.mean(dim=0)).cpu()")


@damage("There is no GPU at grading: what asks for one in cells 3, 9 and 13 ran on the CPU")
def everything_on_cuda(sheet: Sheet) -> None:
    sheet.code('device = torch.device("cuda:0")\ntorch.cuda.synchronize()', after="imports")
    sheet.answer(
        "centred",
        "def centred(x):\n    x = x.to(device)\n"
        "    ones = torch.ones(1, x.shape[0], device='cuda', dtype=x.dtype)\n"
        "    return (x - ones @ x / x.shape[0]).to('cpu')",
    )
    sheet.code(
        "net = torch.nn.Linear(3, 2).cuda()\nnet = net.to('cuda')\n"
        "out = net(torch.zeros(1, 3, device='cuda'))\n"
        "assert out.shape == (1, 2)"
    )


@damage()
def cuda_where_there_is_one(sheet: Sheet) -> None:
    sheet.above(
        "centred", "device = 'cuda' if torch.cuda.is_available() else 'cpu'\nbatch = torch.ones(2).to(device)"
    )


@damage("num_workers in cell 12 counted as 0")
def batches_from_helper_processes(sheet: Sheet) -> None:
    sheet.code(
        "from torch.utils.data import DataLoader, TensorDataset\n"
        "data = TensorDataset(torch.ones(8, 2))\n"
        "loader = DataLoader(data, batch_size=4, num_workers=2, prefetch_factor=2,\n"
        "                    persistent_workers=True)\nassert sum(len(x) for (x,) in loader) == 8"
    )


@damage("raised ModuleNotFoundError: No module named '(utils|helpers)'")
def modules_left_at_home(sheet: Sheet) -> None:
    sheet.code("from utils import *", before="imports")
    sheet.above("softmax", "import helpers")


@damage()
def asks_ipython(sheet: Sheet) -> None:
    sheet.above(
        "softmax",
        "from IPython import get_ipython\nfrom IPython.display import clear_output, display\n"
        "get_ipython().run_line_magic('matplotlib', 'inline')\nclear_output(wait=True)\ndisplay(np.ones(2))",
    )


@damage()
def sliders(sheet: Sheet) -> None:
    sheet.code("from ipywidgets import interact\ninteract(lambda k: softmax(np.ones((1, k))), k=(1, 10));")


# Code that does not end well


@damage()
def huge_prints(sheet: Sheet) -> None:
    sheet.code("for _ in range(200):\n    print('x' * 1_000_000)")
    sheet.answer(
        "centred",
        "def centred(x):\n    for _ in range(1000):\n        print(x, 'y' * 10_000)\n"
        "    return x - x.mean(dim=0)",
    )


LONG = "for epoch in range(10**9):\n    weights = np.ones(100) * epoch"


@damage("Cell 7 ran longer than .* and was left out")
def long_training_in_a_cell_of_its_own(sheet: Sheet) -> None:
    sheet.code(LONG, after="softmax")


@damage(r"Cell 6 \(softmax\) ran longer than .* only what it defines was read")
def long_training_under_an_answer(sheet: Sheet) -> None:
    sheet.answer("softmax", f"{sheet['softmax']['source']}\n\n{LONG}\n\nHIDDEN = 64")


@damage(r"Cell 6 \(softmax\) ran longer than .* only what it defines was read")
def long_training_above_an_answer(sheet: Sheet) -> None:
    sheet.above("softmax", LONG)


@damage("Cell 7, line 2, raised ZeroDivisionError")
def exception_in_a_cell_of_ones_own(sheet: Sheet) -> None:
    sheet.code("x = 1\nx / 0\nx = 2", after="softmax")


@damage(r"Cell 6 \(softmax\), line 1, raised AssertionError")
def exception_above_an_answer(sheet: Sheet) -> None:
    sheet.above("softmax", "assert torch.cuda.is_available()")


@damage(r"Cell 6 \(softmax\), line 2, raised SyntaxError.*It was not run", points=FULL - 3)
def answer_with_a_syntax_error(sheet: Sheet) -> None:
    sheet.answer("softmax", "def softmax(scores):\n    return np.exp(scores")


@damage("Cell 7, line 1, raised SystemExit", "Cell 8 ended the process it ran in")
def exits(sheet: Sheet) -> None:
    sheet.code("exit()", after="softmax")
    sheet.code("import os\nos._exit(0)", before="test_softmax")


@damage(points=0.0)
def nothing_answered(sheet: Sheet) -> None:
    for name, stub in sheet.stubs.items():
        sheet.answer(name, stub)
