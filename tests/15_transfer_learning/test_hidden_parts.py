"""What is exchanged, frozen, grouped, and written to a file. Networks are of torch's own layers."""

import math

import numpy as np
import pytest
import torch

from autograder.checking import StudentError, assert_close, fail


def network(nn):
    """Names that begin alike (1, 10, 1.1), batch normalisation of all kinds, layers without parameters."""
    block = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.ReLU())
    inner = nn.Sequential(nn.Linear(4, 6), nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6)))
    rest = [
        nn.Linear(6, 6), nn.Identity(), nn.ReLU(), nn.LayerNorm(6), nn.Dropout(0.5), nn.Linear(6, 6),
        nn.ReLU(), nn.BatchNorm1d(6), nn.Linear(6, 5),
    ]  # fmt: skip
    return nn.Sequential(block, inner, *rest).double()


def drawn(rng, state):
    """Random values for a state dict, no two of them equal."""
    filled = {}
    for name, tensor in state.items():
        values = rng.uniform(0.5, 2, size=tuple(tensor.shape))
        filled[name] = torch.tensor(values) if tensor.is_floating_point() else tensor
    return filled


def state_of(student, model):
    """A model's parameters and buffers by name."""
    return {name: value.numpy() for name, value in student.builtin("dict", model.state_dict()).items()}


def made(student, rng):
    """A network beside the student's code, and its state."""
    model = network(student.value("torch").nn)
    model.load_state_dict(drawn(rng, student.builtin("dict", model.state_dict())))
    return model, state_of(student, model)


# --- replace_head
@pytest.mark.question("replace_head", weight=3)
@pytest.mark.parametrize("name", ["10", "1.1.0", "0.0", "7"])
def test_replace_head_layer(student, rng, name):
    """A layer at any depth is replaced: its inputs stay, its outputs are as many as asked for."""
    model, before = made(student, rng)
    inputs = before[f"{name}.weight"].shape[1]
    for classes in (3, 1, 9):
        student.replace_head(model, name, classes)
        after = state_of(student, model)
        assert_close(
            sorted(after),
            sorted(before),
            what="the names in the model",
            hint="The new layer takes the old one's name.",
        )
        assert_close(
            list(after[f"{name}.weight"].shape), [classes, inputs], what=f"the shape of {name}.weight"
        )
        assert_close(list(after[f"{name}.bias"].shape), [classes], what=f"the shape of {name}.bias")
        for other, value in before.items():
            if not other.startswith(f"{name}."):
                assert_close(after[other], value, rtol=0, atol=0, what=f"{other}, which is not in the head")


@pytest.mark.question("replace_head")
def test_replace_head_used(student, rng):
    """The model uses the layer that is returned, which is trainable; the rest stays as it was."""
    there = student.value("torch")
    model, before = made(student, rng)
    model.requires_grad_(False)
    model.get_submodule("0.0").requires_grad_(True)
    new = student.replace_head(model, "10", 3)
    state = state_of(student, new)
    assert_close(sorted(state), ["bias", "weight"], what="the names in the layer that is returned")
    assert_close(
        state_of(student, model)["10.weight"], state["weight"], rtol=0, atol=0, what="the model's new weights"
    )
    model.train(False)
    x, y = torch.tensor(rng.normal(size=(4, 4))), torch.tensor(rng.integers(0, 3, size=4))
    student.one_epoch(model, there.optim.SGD(model.parameters(), lr=0.5), [(x, y)])
    after = state_of(student, model)
    got = {name: int(each.requires_grad) for name, each in student.builtin("list", model.named_parameters())}
    expected = {name: int(name.startswith(("0.0.", "10."))) for name in got}
    hint = "A new nn.Linear; the rest stays as it was: here all but 0.0 is frozen."
    assert_close(got, expected, what="what is trainable (1) afterwards", hint=hint)
    for name, value in before.items():
        if not expected.get(name):
            what = f"{name}, which is frozen, after a step"
            assert_close(after[name], value, rtol=0, atol=0, what=what)
    if np.array_equal(after["10.bias"], state["bias"]):
        fail("The new layer should have moved in a training step.")
    assert_close(list(model(x).shape), [4, 3], what="the shape of the logits")
    new.load_state_dict(
        {"weight": torch.zeros(3, 6).double(), "bias": torch.tensor([1.0, 2.0, 3.0]).double()}
    )
    expected = np.tile([1.0, 2.0, 3.0], (4, 1))
    assert_close(
        model(x).detach(),
        expected,
        what="the logits with weights 0",
        hint="The model must use the new layer.",
    )


@pytest.mark.question("replace_head")
def test_replace_head_dtype(student, rng):
    """float64 stays float64, float32 stays float32; the new weights are drawn, anew each time."""
    for dtype in ("float64", "float32"):
        model = student.value("torch").nn.Sequential(student.value("torch").nn.Linear(6, 4))
        model.double() if dtype == "float64" else model.float()
        drawn_ = [state_of(student, student.replace_head(model, "0", 4))["weight"] for _ in range(2)]
        if str(drawn_[0].dtype) != dtype:
            fail(
                "The new layer has another dtype than the old one.", expected=dtype, got=str(drawn_[0].dtype)
            )
        if np.array_equal(*drawn_) or not 0 < np.abs(drawn_[0]).max() <= 1 / math.sqrt(6) + 1e-6:
            fail(
                "The new weights should be drawn at random, as nn.Linear does it.",
                got=str(drawn_[0].round(3)),
            )


@pytest.mark.question("replace_head")
def test_replace_head_device(student):
    """The new layer is where the old one was; "meta" is a device that every machine has."""
    nn = student.value("torch").nn
    model = nn.Sequential(nn.Linear(6, 4, device="meta"))
    student.replace_head(model, "0", 3)
    assert_close(model.get_submodule("0").out_features, 3, what="the number of its outputs")
    for name in ("weight", "bias"):
        got = str(getattr(model.get_submodule("0"), name).device.type)
        assert_close(got, "meta", what=f"the device of the new {name}", hint="device=old.weight.device")


# --- set_trainable
CHOICES = [
    ["1"], ["10"], ["1.1", "9"], ["0.0.bias", "10.weight"], [""], [], ["0", "5"], ["1.1.0.weight", "1.0"],
    ["3", "4"],
]  # fmt: skip


def chosen(path, names):
    """Whether a parameter is named, or inside of a module that is."""
    parts = path.split(".")
    return any(name == "" or name.split(".") == parts[: len(name.split("."))] for name in names)


@pytest.mark.question("set_trainable", weight=3)
def test_set_trainable_names(student, rng):
    """Exactly what is named is trainable, in modules of any depth; 1 does not mean 10."""
    model, before = made(student, rng)
    for names in CHOICES:
        count = student.set_trainable(model, names)
        parameters = student.builtin("list", model.named_parameters())
        got = {name: int(each.requires_grad) for name, each in parameters}
        expected = {name: int(chosen(name, names)) for name in got}
        hint = 'A name is a path: compare it with the parameter\'s, or with its beginning up to a "."'
        assert_close(got, expected, what=f"what is trainable (1) with {names}", hint=hint)
        total = sum(before[name].size for name, one in expected.items() if one)
        assert_close(count, total, what=f"how many numbers are trainable with {names}")
    after = state_of(student, model)
    for name, value in before.items():
        assert_close(after[name], value, rtol=0, atol=0, what=f"{name}, which should only be frozen")


@pytest.mark.question("set_trainable")
def test_set_trainable_moves(student, rng):
    """In a training step what is named moves, and all else stays bit for bit."""
    there = student.value("torch")
    model, before = made(student, rng)
    student.set_trainable(model, ["1.1", "10.bias"])
    model.train(False)
    x, y = torch.tensor(rng.normal(size=(6, 4))), torch.tensor(rng.integers(0, 5, size=6))
    student.one_epoch(model, there.optim.SGD(model.parameters(), lr=0.5), [(x, y)])
    after = state_of(student, model)
    for name, value in before.items():
        if chosen(name, ["1.1", "10.bias"]) and "running" not in name and "num_" not in name:
            if np.array_equal(after[name], value):
                fail(f"{name} should have moved in a training step.")
        else:
            assert_close(after[name], value, rtol=0, atol=0, what=f"{name}, which is frozen")


# --- training_mode
@pytest.mark.question("training_mode", weight=2)
def test_training_mode_modules(student):
    """Every batch normalisation, whatever its dimensions and depth, is in eval mode; all else trains."""
    nn = student.value("torch").nn
    deep = nn.Sequential(
        nn.BatchNorm2d(3), nn.Sequential(nn.BatchNorm3d(2), nn.Dropout(0.5), nn.LayerNorm(4))
    )
    model = nn.Sequential(nn.Conv2d(3, 3, 1), deep, nn.BatchNorm1d(5), nn.GroupNorm(1, 4), nn.Dropout2d(0.1))
    expected = [1, 1, 1, 0, 1, 0, 1, 1, 0, 1, 1]
    for how in ("train", "eval", "mixed"):
        model.train(how == "train")
        if how == "mixed":
            model.get_submodule("2").train(True)
            model.get_submodule("1").train(True)
        student.training_mode(model)
        got = [int(module.training) for module in student.builtin("list", model.modules())]
        assert_close(got, expected, what=f"the modes of the modules (1: training), which came {how}")


@pytest.mark.question("training_mode", weight=2)
def test_training_mode_statistics(student, rng):
    """After passes in this mode the running averages are what they were, bit for bit; dropout drops."""
    nn = student.value("torch").nn
    model = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Dropout(1.0)).double()
    model.load_state_dict(drawn(rng, student.builtin("dict", model.state_dict())))
    before = state_of(student, model)
    student.training_mode(model)
    for _ in range(3):
        got = model(torch.tensor(rng.normal(size=(6, 3)))).detach()
    assert_close(
        got,
        np.zeros((6, 8)),
        what="the output behind a dropout of everything",
        hint="Dropout in training mode.",
    )
    for name, value in before.items():
        hint = "In training mode batch normalisation updates its averages, whether it is frozen or not."
        assert_close(
            state_of(student, model)[name],
            value,
            rtol=0,
            atol=0,
            what=f"{name} after three passes",
            hint=hint,
        )


@pytest.mark.question("training_mode")
def test_training_mode_alone(student, rng):
    """A model that is itself a batch normalisation; what is trainable stays so, and moves in a step."""
    there = student.value("torch")
    alone = there.nn.BatchNorm2d(3)
    alone.train(True)
    student.training_mode(alone)
    model = there.nn.Sequential(there.nn.Linear(3, 4), there.nn.BatchNorm1d(4)).double()
    model.load_state_dict(drawn(rng, student.builtin("dict", model.state_dict())))
    student.training_mode(model)
    before = state_of(student, model)
    x, y = torch.tensor(rng.normal(size=(6, 3))), torch.tensor(rng.integers(0, 4, size=6))
    student.one_epoch(model, there.optim.SGD(model.parameters(), lr=0.5), [(x, y)])
    after = state_of(student, model)
    assert_close(int(alone.training), 0, what="the mode of a single batch normalisation (1: training)")
    parameters = student.builtin("list", model.named_parameters())
    flags = {name: int(each.requires_grad) for name, each in parameters}
    hint = "Modes only: nothing is to be frozen here."
    assert_close(flags, dict.fromkeys(flags, 1), what="what is trainable (1)", hint=hint)
    for name in flags:
        if np.array_equal(after[name], before[name]):
            fail(f"{name} should have moved in a training step.", hint=hint)


# --- parameter_groups
STAGES = [["0", "1.0"], ["1.1", "2"], ["5", "7", "9"], ["10"]]


def groups_of(student, model, *arguments):
    """The groups, if they are dicts with params and lr."""
    groups = student.parameter_groups(model, *arguments)
    if not isinstance(groups, list) or not all(
        isinstance(group, dict) and set(group) >= {"params", "lr"} for group in groups
    ):
        fail("A list of dicts with params and lr was expected.", value=groups)
    return groups


def names_in(groups, state):
    """The names of the parameters in each group, found by their numbers."""
    found = []
    for group in groups:
        params = group["params"]
        if not isinstance(params, list | tuple):
            fail('"params" should be a list of parameters.', value=params)
        found.append(
            sorted(name for each in params for name, value in state.items()
                   if value.shape == tuple(each.shape) and np.array_equal(value, each.detach().numpy()))
        )  # fmt: skip
    return found


def stage_of(path, stages):
    """The place of the stage in which a parameter is."""
    return next(place for place, names in enumerate(stages) if chosen(path, names))


@pytest.mark.question("parameter_groups", weight=3)
def test_parameter_groups_values(student, rng):
    """Every parameter is in the group of its stage, once, with the stage's rate."""
    model, state = made(student, rng)
    paths = [name for name, _ in student.builtin("list", model.named_parameters())]
    rate, factor = float(rng.uniform(0.01, 1)), float(rng.uniform(0.1, 0.9))
    for stages in (STAGES, [[""]], [["0", "1"], ["2", "5", "7", "9", "10"]]):
        groups = groups_of(student, model, stages, rate, factor)
        expected = [sorted(path for path in paths if stage_of(path, stages) == n) for n in range(len(stages))]
        assert_close(
            names_in(groups, state), expected, what="the parameters in each group", hint="1 does not mean 10."
        )
        rates = [rate * factor ** (len(stages) - 1 - n) for n in range(len(stages))]
        assert_close(
            [group["lr"] for group in groups],
            rates,
            what="the rates",
            hint="The last stage has the full rate.",
        )


@pytest.mark.question("parameter_groups", weight=2)
def test_parameter_groups_frozen(student, rng):
    """What is frozen is left out; a stage that is frozen altogether has no group, and still counts."""
    model, state = made(student, rng)
    for name in ("1.1", "2", "7"):
        model.get_submodule(name).requires_grad_(False)
    groups = groups_of(student, model, STAGES, 0.5, 0.1)
    expected = [
        [f"{name}.{part}" for name in ("0.0", "0.1", "1.0") for part in ("bias", "weight")],
        [f"{name}.{part}" for name in ("5", "9") for part in ("bias", "weight")],
        ["10.bias", "10.weight"],
    ]
    hint = "requires_grad; and no empty groups."
    assert_close(names_in(groups, state), expected, what="the parameters in each group", hint=hint)
    hint = "The second of four stages is empty, and the first still has three behind it."
    assert_close([group["lr"] for group in groups], [0.5e-3, 0.05, 0.5], what="the rates", hint=hint)


@pytest.mark.question("parameter_groups")
def test_parameter_groups_forgotten(student, rng):
    """Something trainable in none of the stages is an error; something frozen is not."""
    model, _ = made(student, rng)
    for stages in ([["0", "1"], ["10"]], [["1", "2", "5", "7", "9", "10"]], []):
        try:
            student.parameter_groups(model, stages, 0.1, 0.5)
        except StudentError as error:
            assert_close(error.type, "ValueError", what="the error")
        else:
            fail("Something trainable is in none of the stages: ValueError should be raised.")
    model.requires_grad_(False)
    assert_close(
        student.parameter_groups(model, [["10"]], 0.1, 0.5), [], what="the groups where all is frozen"
    )


@pytest.mark.question("parameter_groups")
def test_parameter_groups_step(student, rng):
    """In a step of plain gradient descent each parameter moves by its own rate times its gradient."""
    there = student.value("torch")
    x, y = torch.tensor(rng.normal(size=(6, 4))), torch.tensor(rng.integers(0, 5, size=6))
    moved = []
    state = None
    for stages, factor in (([[""]], 1.0), (STAGES, 0.25)):
        model = network(there.nn)
        state = state or drawn(rng, student.builtin("dict", model.state_dict()))
        model.load_state_dict(state)
        model.train(False)
        optimizer = student.plain_descent(model, stages, 0.01, factor)
        student.one_epoch(model, optimizer, [(x, y)])
        moved.append({name: value - state[name].numpy() for name, value in state_of(student, model).items()})
    for name, change in moved[0].items():
        if "running" in name or "num_" in name:
            continue
        expected = change * 0.25 ** (3 - stage_of(name, STAGES))
        assert_close(moved[1][name], expected, rtol=1e-6, atol=1e-12, what=f"the step of {name}")


# --- plateau_rates
def rates_of(losses, rate, factor, patience, floor):
    """The definition: at each epoch the number of epochs since the last improvement or reduction."""
    rates, waited = [rate], 0
    for n, loss in enumerate(losses):
        earlier = [each for each in losses[:n] if each == each]
        better = loss < min(earlier, default=math.inf)
        waited = 0 if better else waited + 1
        if waited == patience:
            rate, waited = max(rate * factor, floor), 0
        rates.append(rate)
    return rates


@pytest.mark.question("plateau_rates", weight=3)
def test_plateau_rates_values(student, rng):
    """Losses that fall, stay and rise: the rates for several factors, patiences and floors."""
    for length, patience, factor, floor in (
        (12, 1, 0.5, 0.0),
        (20, 2, 0.1, 1e-4),
        (25, 3, 0.3, 0.0),
        (15, 4, 0.9, 0.05),
    ):
        losses = (np.exp(-0.1 * np.arange(length)) + rng.normal(scale=0.15, size=length)).tolist()
        rate = float(rng.uniform(0.1, 1))
        got = student.plateau_rates(losses, rate, factor, patience, floor)
        hint = "The lowest loss of all so far counts, and after a reduction the waiting begins anew."
        assert_close(got, rates_of(losses, rate, factor, patience, floor), what="the rates", hint=hint)


@pytest.mark.question("plateau_rates")
def test_plateau_rates_special(student):
    """Equal losses are no improvement, NaN neither; no losses at all; the defaults."""
    nan = math.nan
    for losses, patience in (
        ([1.0, 1.0, 1.0, 1.0, 0.9], 2),
        ([nan, nan, 2.0, nan, nan, 1.0], 2),
        ([], 1),
        ([3.0], 1),
        ([-1.0, -2.0, -1.5], 1),
    ):
        got = student.plateau_rates(losses, 1.0, 0.5, patience)
        assert_close(
            got,
            rates_of(losses, 1.0, 0.5, patience, 0.0),
            what=f"the rates for {losses}, patience {patience}",
        )
    got = student.plateau_rates([1.0, 2.0, 3.0, 4.0, 5.0], 1.0)
    assert_close(got, [1.0, 1.0, 1.0, 0.3, 0.3, 0.09], what="the rates with the defaults")


@pytest.mark.question("plateau_rates")
def test_plateau_rates_floor(student):
    """The rate stops at the floor, exactly, and stays there."""
    got = student.plateau_rates([1.0] * 6, 1.0, 0.1, 1, 0.02)
    assert_close(
        got, [1.0, 1.0, 0.1, 0.02, 0.02, 0.02, 0.02], what="the rates", hint="max(rate * factor, floor)"
    )


# --- checkpoints
def trainer(student, state, name, rates=(0.1, 0.02)):
    """A small network with batch normalisation in training mode, and an optimiser with two groups."""
    there = student.value("torch")
    model = there.nn.Sequential(
        there.nn.Linear(3, 4), there.nn.BatchNorm1d(4), there.nn.Linear(4, 3)
    ).double()
    if state is not None:
        model.load_state_dict(state)
    return model, student.two_rates(model, name, list(rates))


@pytest.mark.question("checkpoint", weight=3)
@pytest.mark.parametrize("name", ["Adam", "SGD"])
def test_checkpoint_goes_on(student, rng, name):
    """Training that was interrupted ends with the same numbers, bit for bit."""
    there = student.value("torch").nn
    empty = there.Sequential(there.Linear(3, 4), there.BatchNorm1d(4), there.Linear(4, 3)).double()
    state = drawn(rng, student.builtin("dict", empty.state_dict()))
    batches = [
        (torch.tensor(rng.normal(size=(5, 3))), torch.tensor(rng.integers(0, 3, size=5))) for _ in range(6)
    ]
    straight, optimizer = trainer(student, state, name)
    student.one_epoch(straight, optimizer, batches)

    model, optimizer = trainer(student, state, name)
    student.one_epoch(model, optimizer, batches[:4])
    path = f"{student.folder()}/half.pt"
    student.save_checkpoint(path, model, optimizer, {"epoch": 4})
    student.one_epoch(model, optimizer, batches[2:])  # what comes later must not be in the file
    model, optimizer = trainer(student, drawn(rng, state), name, (3.0, 4.0))
    student.load_checkpoint(path, model, optimizer)
    hint = "The state dicts of the model and of the optimiser, learning rates included."
    rates = [group["lr"] for group in optimizer.param_groups]
    assert_close(rates, [0.1, 0.02], what="the rates of the two groups", hint=hint)
    student.one_epoch(model, optimizer, batches[4:])
    got = state_of(student, model)
    for key, value in state_of(student, straight).items():
        assert_close(got[key], value, rtol=0, atol=0, what=f"{key} after six steps with {name}", hint=hint)


@pytest.mark.question("checkpoint")
def test_checkpoint_history(student, rng):
    """The history comes back as it was; two files do not get in each other's way."""
    model, optimizer = trainer(student, None, "Adam")
    folder = student.folder()
    histories = [
        {"val_loss": rng.random(4).tolist(), "best": {"epoch": 2}, "name": "a"},
        {"val_loss": [], "best": None},
    ]
    for n, history in enumerate(histories):
        student.save_checkpoint(f"{folder}/{n}.pt", model, optimizer, history)
    for n in (1, 0):
        got = student.load_checkpoint(f"{folder}/{n}.pt", model, optimizer)
        assert_close(got, histories[n], what=f"the history of file {n}")


@pytest.mark.question("checkpoint")
def test_checkpoint_changes_nothing(student, rng):
    """Saving changes neither the model nor the optimiser, and training goes on with the same numbers;
    each file holds the model of its time.
    """
    there = student.value("torch").nn
    empty = there.Sequential(there.Linear(3, 4), there.BatchNorm1d(4), there.Linear(4, 3)).double()
    state = drawn(rng, student.builtin("dict", empty.state_dict()))
    batches = [
        (torch.tensor(rng.normal(size=(5, 3))), torch.tensor(rng.integers(0, 3, size=5))) for _ in range(3)
    ]
    ends, between, folder = [], [], student.folder()
    for save in (False, True):
        model, optimizer = trainer(student, state, "Adam")
        for n, batch in enumerate(batches):
            student.one_epoch(model, optimizer, [batch])
            if save:
                student.save_checkpoint(f"{folder}/{n}.pt", model, optimizer, {"epoch": n})
            else:
                between.append(state_of(student, model))
        ends.append(state_of(student, model))
    for name, value in ends[0].items():
        assert_close(
            ends[1][name], value, rtol=0, atol=0, what=f"{name} where a file was written after each step"
        )
    for n, expected in enumerate(between):
        other, its = trainer(student, drawn(rng, state), "Adam")
        history = student.load_checkpoint(f"{folder}/{n}.pt", other, its)
        assert_close(history, {"epoch": n}, what=f"the history of the file after step {n}")
        got = state_of(student, other)
        for name, value in expected.items():
            assert_close(got[name], value, rtol=0, atol=0, what=f"{name} in the file after step {n}")
