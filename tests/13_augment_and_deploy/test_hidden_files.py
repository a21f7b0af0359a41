"""Model files: what is written, what is read, what is refused, and that nothing in a file is executed.

Models are of PyTorch's own layers where possible, so that an error in a network costs nothing here. The two
functions are tested apart: what save_model writes is read by torch.load, and what load_model reads was
written by torch.save.
"""

import io
import zipfile

import numpy as np
import pytest
import torch

from autograder.checking import StudentError, assert_close, fail


def network(nn):
    """A network with parameters, buffers and a dropout."""
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(0.5), nn.Linear(16, 3)
    )


def drawn(rng, state):
    """Random values for a state dict, of a kind that each may have."""
    filled = {}
    for name, tensor in state.items():
        values = rng.uniform(0.5, 2, size=tuple(tensor.shape)) * (
            1 if name.endswith("var") else rng.choice([-1, 1])
        )
        filled[name] = torch.tensor(values).to(tensor.dtype)
    return filled


def state_of(student, model):
    """A model's state as a plain dict."""
    return student.builtin("dict", model.state_dict())


def same_state(got, expected, what):
    """Two states hold the same names and the same numbers, bit for bit."""
    assert_close(sorted(got), sorted(expected), what=f"the names in {what}")
    for name, tensor in expected.items():
        if got[name].dtype != tensor.dtype:
            fail(f"{name} in {what} has another dtype.", expected=str(tensor.dtype), got=str(got[name].dtype))
        assert_close(got[name], tensor.numpy(), rtol=0, atol=0, what=f"{name} in {what}")


def reseed(student, rng):
    """What the student's code draws must not depend on what was drawn here, where torch may be the same."""
    student.value("torch").manual_seed(int(rng.integers(2**31)))


# --- save_model
def written(student, path):
    """What is in a file, read beside the student's code: a plain dict."""
    try:
        content = student.value("torch").load(path, weights_only=True)
    except StudentError as error:
        fail(
            "What save_model writes cannot be read by torch.load(path, weights_only=True).",
            got=error.text[:300],
            hint="A dict of plain values and tensors, by torch.save; not the model itself.",
        )  # fmt: skip
    if not isinstance(content, dict):
        fail("The file should hold a dict.", value=content)
    assert_close(sorted(map(str, content)), ["classes", "settings", "state"], what="the entries of the file")
    return content


@pytest.mark.question("save_model", weight=2)
@pytest.mark.parametrize("mode", [True, False])
def test_save_model_content(student, rng, mode):
    """The file holds settings, classes and all of the state, bit for bit; the model stays as it was."""
    folder = student.folder()
    model = network(student.value("torch").nn)
    state = drawn(rng, state_of(student, model))
    model.load_state_dict(state)
    model.train(mode)
    settings = {"num_classes": 3, "channels": (4, 5), "drop": 0.5, "name": "a b", "flag": None}
    path = f"{folder}/saved.pt"
    student.save_model(path, model, settings, ("x", "y", "z"))
    content = written(student, path)
    assert_close(content["settings"], settings, what='the entry "settings"')
    assert_close(content["classes"], ["x", "y", "z"], what='the entry "classes"')
    if not isinstance(content["classes"], list):
        fail('The entry "classes" should be a list.', value=content["classes"])
    same_state(student.builtin("dict", content["state"]), state, 'the entry "state"')
    assert_close(bool(model.training), mode, what="model.training afterwards")
    same_state(state_of(student, model), state, "the model afterwards")


@pytest.mark.question("save_model")
def test_save_model_dtypes(student, rng):
    """float64, float16 and integers are kept as they are; what a layer does not learn is, too."""
    folder = student.folder()
    there = student.value("torch")
    model = there.nn.Sequential(
        there.nn.Linear(3, 2).double(), there.nn.Linear(2, 2).half(), there.nn.BatchNorm1d(2)
    )
    model.get_submodule("0").register_buffer("count", torch.tensor([7, 2**40]))
    model.get_submodule("2").requires_grad_(False)
    path = f"{folder}/dtypes.pt"
    student.save_model(path, model, {}, ["a"])
    same_state(student.builtin("dict", written(student, path)["state"]), state_of(student, model), "the file")


@pytest.mark.question("save_model")
def test_save_model_again(student):
    """A file that is there is replaced, and the next one has nothing of the last."""
    folder = student.folder()
    path = f"{folder}/again.pt"
    for width in (3, 2):
        model = student.value("torch").nn.Linear(2, width)
        settings, classes = {"width": width, "first": width == 3}, [f"class {k}" for k in range(width)]
        student.save_model(path, model, settings, classes)
        content = written(student, path)
        assert_close(content["classes"], classes, what='the entry "classes"')
        assert_close(content["settings"], settings, what='the entry "settings"')
        state = student.builtin("dict", content["state"])
        assert_close(list(state["weight"].shape), [width, 2], what='the shape of the weight in "state"')


@pytest.mark.question("save_model", weight=2)
def test_save_model_fresh_process(student, rng):
    """In a process that knows only the file, a network with this state gives the same logits, bit for bit."""
    folder = student.folder()
    there = student.value("torch")
    model = network(there.nn)
    model.load_state_dict(drawn(rng, state_of(student, model)))
    pictures = torch.tensor(rng.normal(size=(5, 3, 4, 4))).float()
    model.train(True)
    model(pictures)  # moves the running averages
    model.eval()
    before = model(pictures).detach().numpy()
    student.save_model(f"{folder}/model.pt", model, {"num_classes": 3}, ["a", "b", "c"])
    content = student.value("Path")(f"{folder}/model.pt").read_bytes()

    student.restart()
    there = student.value("torch")
    later = student.folder()
    student.value("Path")(f"{later}/copy.pt").write_bytes(content)
    model = network(there.nn)
    model.load_state_dict(written(student, f"{later}/copy.pt")["state"])
    model.eval()
    assert_close(model(pictures), before, rtol=0, atol=0, what="the logits after a restart")


# --- load_model
def stored(content):
    """The bytes of a file with this content."""
    stream = io.BytesIO()
    torch.save(content, stream)
    return stream.getvalue()


def lay_down(student, path, content):
    """Write bytes beside the student's code."""
    student.value("Path")(path).write_bytes(content)


def loaded(student, path, *build):
    """(model, classes) as load_model returns them."""
    result = student.load_model(path, *build)
    if not isinstance(result, tuple | list) or len(result) != 2:
        fail("load_model should return (model, classes).", value=result)
    return result


@pytest.mark.question("load_model", weight=3)
def test_load_model_values(student, rng):
    """The model is what `build` makes of the settings, with the saved state; the classes are a list."""
    folder = student.folder()
    nn = student.value("torch").nn
    cases = (
        (nn.Linear, torch.nn.Linear, {"in_features": 5, "out_features": 3, "bias": False}, (2, 5)),
        (
            nn.Conv2d,
            torch.nn.Conv2d,
            {"in_channels": 2, "out_channels": 3, "kernel_size": (1, 2)},
            (2, 2, 3, 3),
        ),
        (nn.BatchNorm1d, torch.nn.BatchNorm1d, {"num_features": 4, "eps": 0.1}, (6, 4)),
    )
    for k, (build, same, settings, shape) in enumerate(cases):
        ours = same(**settings)
        ours.load_state_dict(drawn(rng, ours.state_dict()))
        ours.eval()
        path = f"{folder}/case {k}.pt"
        content = {"settings": settings, "classes": [f"{k}", "b", "ä"], "state": ours.state_dict()}
        lay_down(student, path, stored(content))
        reseed(student, rng)
        model, classes = loaded(student, path, build)
        assert_close(classes, [f"{k}", "b", "ä"], what="the classes")
        if not isinstance(classes, list):
            fail("The classes should be a list.", value=classes)
        same_state(state_of(student, model), ours.state_dict(), "the model")
        x = torch.tensor(rng.normal(size=shape)).float()
        hint = "model.eval() before it is returned."
        what = "the model's answers"
        assert_close(model(x), ours(x).detach().numpy(), rtol=1e-5, atol=1e-6, what=what, hint=hint)
        assert_close(bool(model.training), False, what="model.training", hint=hint)


@pytest.mark.question("load_model")
def test_load_model_two_files(student, rng):
    """What was read before, from whatever file, does not matter; nor do random numbers."""
    folder = student.folder()
    build = student.value("torch").nn.Linear
    reseed(student, rng)
    settings = {"in_features": 2, "out_features": 2}
    contents = []
    for k in range(2):
        state = {"weight": torch.tensor(rng.normal(size=(2, 2))).float(), "bias": torch.zeros(2)}
        contents.append({"settings": settings, "classes": ["a", str(k)], "state": state})
    for k, content in ((0, contents[0]), (1, contents[1]), (0, contents[1]), (1, contents[0])):
        path = f"{folder}/{k}.pt"
        lay_down(student, path, stored(content))
        model, classes = loaded(student, path, build)
        same_state(state_of(student, model), content["state"], "the model")
        assert_close(classes, content["classes"], what="the classes")


@pytest.mark.question("load_model", weight=2)
def test_load_model_fresh_process(student, rng):
    """By default it builds with build_cnn; in a fresh process the logits are the same, bit for bit."""
    settings = {"num_classes": 4, "channels": (3, 5), "drop": 0.5, "size": 8}
    model = student.build_cnn(**settings)
    model.load_state_dict(drawn(rng, state_of(student, model)))
    model.eval()
    pictures = torch.tensor(rng.random(size=(5, 3, 8, 8))).float()
    before = model(pictures).detach().numpy()
    content = stored({"settings": settings, "classes": list("abcd"), "state": state_of(student, model)})

    student.restart()
    later = student.folder()
    lay_down(student, f"{later}/model.pt", content)
    reseed(student, rng)
    model, _ = loaded(student, f"{later}/model.pt")
    for _ in range(2):
        what = "the logits after a restart"
        assert_close(
            model(pictures), before, rtol=0, atol=0, what=what, hint="Eval mode, and all of the state."
        )


def from_a_gpu(content):
    """The bytes of a file as a machine with a GPU writes it: its tensors say that they lay on cuda:0."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(stored(content))) as before, zipfile.ZipFile(stream, "w") as after:
        for name in before.namelist():
            data = before.read(name)
            if name.endswith("data.pkl"):  # a string is X, its length in four bytes, and its letters
                data = data.replace(b"X\x03\0\0\0cpu", b"X\x06\0\0\0cuda:0")
            after.writestr(name, data)
    return stream.getvalue()


@pytest.mark.question("load_model")
def test_load_model_from_a_gpu(student):
    """A model that was saved on a GPU is read on the CPU."""
    folder = student.folder()
    path = f"{folder}/gpu.pt"
    content = from_a_gpu({**GOOD, "state": STATE})
    assert b"cuda:0" in content
    lay_down(student, path, content)
    model, _ = loaded(student, path, student.value("torch").nn.Linear)
    same_state(state_of(student, model), STATE, "the model")


GOOD = {"settings": {"in_features": 3, "out_features": 2}, "classes": ["no", "yes"]}
STATE = {"weight": torch.arange(6.0).reshape(2, 3), "bias": torch.tensor([0.5, -1.0])}
WHOLE = stored({**GOOD, "state": STATE})


def without(entry):
    """A good file's content but for one entry."""
    return {name: value for name, value in {**GOOD, "state": STATE}.items() if name != entry}


FILES = {
    "that is empty": (b"", ""),
    "that is a text": (b"<html>404 Not Found</html>\n" * 20, ""),
    "of random bytes": (bytes(np.random.default_rng(5).integers(0, 256, size=900, dtype=np.uint8)), ""),
    "that begins like an archive": (b"PK\x03\x04" + bytes(200), ""),
    "cut off in the middle": (WHOLE[: len(WHOLE) // 2], ""),
    "cut off at the end": (WHOLE[:-20], ""),
    "that holds a list": (stored([1, 2, 3]), ""),
    "that holds a tensor": (stored(torch.ones(3)), ""),
    "that holds None": (stored(None), ""),
    "that holds the state alone": (stored(STATE), ""),
    "without settings": (stored(without("settings")), "settings"),
    "without classes": (stored(without("classes")), "classes"),
    "without a state": (stored(without("state")), "state"),
}
STATES = {
    "that lacks the bias": ({**GOOD, "state": {"weight": STATE["weight"]}}, "bias"),
    "that is empty": ({**GOOD, "state": {}}, "weight"),
    "with an entry too much": ({**GOOD, "state": {**STATE, "scale": torch.ones(2)}}, "scale"),
    "with a weight of another shape": ({**GOOD, "state": {**STATE, "weight": torch.ones(2, 4)}}, "weight"),
    "in which the bias is no tensor": ({**GOOD, "state": {**STATE, "bias": "half"}}, ""),
    "that is no dict": ({**GOOD, "state": [1.0]}, ""),
}
SETTINGS = {
    "with a name that `build` does not know": {"in_features": 3, "out_features": 2, "layers": 2},
    "that lack one": {"in_features": 3},
    "of another kind": {"in_features": "three", "out_features": 2},
    "that are no dict": 3,
}


def check_refused(student, path, build, kind, word=""):
    """load_model raises ModelFileError, and its text holds the path and the word."""
    try:
        result = student.load_model(path, build)
    except StudentError as error:
        if error.type == "NotImplementedError" or error.kind != "raised":
            raise
        if error.type != "ModelFileError":
            fail(
                f"A file {kind} raises {error.type}, not ModelFileError.", expected="ModelFileError",
                got=f"{error.type}: {error.text[:200]}",
                hint="except Exception as error: raise ModelFileError(...) from error",
            )  # fmt: skip
        if path not in error.text:
            fail(f"The error for a file {kind} does not name the file.", expected=path, got=error.text[:300])
        if word not in error.text:
            fail(
                f"The error for a file {kind} does not say what it lacks.",
                expected=word,
                got=error.text[:300],
            )
    else:
        fail(f"A file {kind} is read without an error.", expected="ModelFileError", value=result)


@pytest.mark.question("load_model", weight=2)
@pytest.mark.parametrize("kind", FILES)
def test_load_model_other_files(student, kind):
    """A file of another kind, or one that is cut off, is a ModelFileError that names it."""
    folder = student.folder()
    content, word = FILES[kind]
    path = f"{folder}/other.pt"
    lay_down(student, path, content)
    check_refused(student, path, student.value("torch").nn.Linear, kind, word)


@pytest.mark.question("load_model", weight=2)
@pytest.mark.parametrize("kind", STATES)
def test_load_model_wrong_state(student, kind):
    """A state that does not fit the model is a ModelFileError that says where."""
    folder = student.folder()
    content, word = STATES[kind]
    path = f"{folder}/state.pt"
    lay_down(student, path, stored(content))
    check_refused(student, path, student.value("torch").nn.Linear, f"with a state {kind}", word)


@pytest.mark.question("load_model")
@pytest.mark.parametrize("kind", SETTINGS)
def test_load_model_wrong_settings(student, kind):
    """Settings that `build` does not take are a ModelFileError."""
    folder = student.folder()
    path = f"{folder}/settings.pt"
    lay_down(student, path, stored({**GOOD, "state": STATE, "settings": SETTINGS[kind]}))
    check_refused(student, path, student.value("torch").nn.Linear, f"with settings {kind}")


@pytest.mark.question("load_model")
def test_load_model_no_file(student):
    """Where there is no file, it says so: FileNotFoundError."""
    folder = student.folder()
    try:
        result = student.load_model(f"{folder}/nothing.pt", student.value("torch").nn.Linear)
    except StudentError as error:
        if error.type != "FileNotFoundError":
            raise
    else:
        fail("A file that is not there is read without an error.", value=result)


class Call:
    """Pickled, it becomes a call that makes a folder: harmless, and it can be seen afterwards."""

    def __init__(self, place):
        self.place = place

    def __reduce__(self):
        import os

        return os.mkdir, (self.place,)


def poison(place, kind):
    """Files that make a folder when they are unpickled."""
    if kind == "pickle":  # opcodes of protocol 0: call os.mkdir with the path
        return b"cposix\nmkdir\n(V" + place.encode("raw_unicode_escape") + b"\ntR."
    content = {**GOOD, "state": dict(STATE)}
    part = {"settings": "settings", "state": "state"}.get(kind)
    if part:
        content[part] = {**content[part], "in_features" if part == "settings" else "bias": Call(place)}
    else:
        content["more"] = Call(place)
    return stored(content)


@pytest.mark.question("load_model", weight=3)
@pytest.mark.parametrize("kind", ["pickle", "settings", "state", "beside"])
def test_load_model_executes_nothing(student, kind):
    """A file that calls a function when it is unpickled is refused, and the function is not called."""
    folder = student.folder()
    path, place = f"{folder}/free.pt", f"{folder}/was-here".ljust(80, "-")  # as long in every folder
    lay_down(student, path, poison(place, kind))
    try:
        student.load_model(path, student.value("torch").nn.Linear)
    except StudentError as error:
        if error.kind != "raised":
            raise
    if student.value("Path")(place).exists():
        fail(
            "Code that stood in the file was executed.", expected="ModelFileError, and nothing else happens",
            got="a folder that the file made", hint="torch.load(path, weights_only=True)",
        )  # fmt: skip
    check_refused(student, path, student.value("torch").nn.Linear, "with a call in it")


@pytest.mark.question("load_model")
def test_load_model_leaves_the_file(student):
    """The file is only read."""
    folder = student.folder()
    path = f"{folder}/kept.pt"
    lay_down(student, path, WHOLE)
    loaded(student, path, student.value("torch").nn.Linear)
    if student.value("Path")(path).read_bytes() != WHOLE:
        fail("The file is another one after load_model.")
