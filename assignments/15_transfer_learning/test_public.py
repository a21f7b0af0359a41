"""What check("...") runs: small examples worked by hand, and properties that any right answer has.

Networks are made beside your functions: `student.value("torch")` is your torch.
"""

import math

import numpy as np
import pytest
import torch

from autograder.checking import StudentError, assert_close, assert_unchanged, fail


def state_of(student, model):
    """A model's parameters and buffers by name."""
    return {name: value.numpy() for name, value in student.builtin("dict", model.state_dict()).items()}


def little_network(student):
    """A body of a linear layer and batch normalisation, and a classifier with dropout."""
    there = student.value("torch").nn
    there_body = there.Sequential(there.Linear(4, 5), there.BatchNorm1d(5))
    there_head = there.Sequential(there.ReLU(), there.Dropout(0.5), there.Linear(5, 7))
    return there.Sequential(there_body, there_head)


@pytest.mark.question("replace_head")
def test_replace_head(student):
    """The last layer, two levels down, gets three outputs; everything else stays."""
    model = little_network(student)
    before = state_of(student, model)
    student.replace_head(model, "1.2", 3)
    after = state_of(student, model)
    assert_close(list(after["1.2.weight"].shape), [3, 5], what="the shape of the new weights")
    hint = "setattr(model.get_submodule(parent), last, new)"
    assert_close(list(model(torch.zeros(2, 4)).shape), [2, 3], what="the shape of the logits", hint=hint)
    assert_close(after["0.0.weight"], before["0.0.weight"], rtol=0, atol=0, what="the first layer")


@pytest.mark.question("set_trainable")
def test_set_trainable(student):
    """A module and a single parameter are named; the rest is frozen, and 1.2 is not inside of 1.20."""
    model = little_network(student)
    count = student.set_trainable(model, ["1", "0.0.bias"])
    assert_close(count, 5 * 7 + 7 + 5, what="how many numbers are trainable")
    parameters = student.builtin("list", model.named_parameters())
    got = [name for name, parameter in parameters if parameter.requires_grad]
    assert_close(sorted(got), ["0.0.bias", "1.2.bias", "1.2.weight"], what="the trainable parameters")


@pytest.mark.question("fit_head")
def test_fit_head(student):
    """One feature that is 1 or -1, and tells the two classes apart: the best weights are known."""
    f = torch.tensor([[1.0], [-1.0], [1.0], [-1.0]], dtype=torch.float64)
    y = torch.tensor([1, 0, 1, 0])
    head = assert_unchanged_handle(student, f, y)
    state = state_of(student, head)
    # By symmetry W = (-w, w) and b = 0; log(1 + exp(-2w)) + 0.1 w^2 is least where 0.2 w = 2 / (1 + exp(2w)).
    w = 0.5
    for _ in range(200):
        w -= 0.1 * (0.2 * w - 2 / (1 + math.exp(2 * w)))
    assert_close(
        state["weight"],
        np.array([[-w], [w]]),
        rtol=0,
        atol=0.05,
        what="the weights",
        hint="decay / 2 * sum of squares",
    )
    assert_close(
        float(state["bias"][1] - state["bias"][0]), 0.0, atol=0.05, what="the difference of the biases"
    )


def assert_unchanged_handle(student, f, y):
    """fit_head on f and y, which must stay as they are."""
    head, after = student.fit_head.after(f, y, 2, 0.1)
    if not torch.equal(after[0], f):
        fail("fit_head changed the features.")
    return head


@pytest.mark.question("training_mode")
def test_training_mode(student):
    """Dropout in training mode, batch normalisation in eval mode, whatever was before."""
    for mode in (True, False):
        model = little_network(student)
        model.train(mode)
        student.training_mode(model)
        modes = {name: int(model.get_submodule(name).training) for name in ("0.0", "0.1", "1.1", "1.2")}
        assert_close(modes, {"0.0": 1, "0.1": 0, "1.1": 1, "1.2": 1}, what="the modes (1: training)")
    before = state_of(student, model)["0.1.running_mean"]
    model(torch.ones(6, 4))
    after = state_of(student, model)["0.1.running_mean"]
    assert_close(after, before, rtol=0, atol=0, what="the running mean after a pass")


@pytest.mark.question("parameter_groups")
def test_parameter_groups(student):
    """Three stages, of which the first is frozen: the rates 0.01 and 0.1."""
    model = little_network(student)
    model.get_submodule("0.0").requires_grad_(False)
    groups = student.parameter_groups(model, [["0.0"], ["0.1"], ["1"]], 0.1, 0.1)
    assert_close(
        [group["lr"] for group in groups],
        [0.01, 0.1],
        what="the rates",
        hint="The last stage has the full rate.",
    )
    shapes = [sorted(tuple(each.shape) for each in group["params"]) for group in groups]
    assert_close(shapes, [[(5,), (5,)], [(7,), (7, 5)]], what="the shapes of the parameters in each group")
    try:
        student.parameter_groups(model, [["0.0"], ["1"]], 0.1, 0.1)
    except StudentError as error:
        assert_close(error.type, "ValueError", what="the error where 0.1 is in no stage")
    else:
        fail("0.1 is trainable and in none of the stages: ValueError should be raised.")


@pytest.mark.question("plateau_rates")
def test_plateau_rates(student):
    """The second and the third loss are no better than the first, so the fourth epoch gets half the rate."""
    got = student.plateau_rates([1.0, 1.5, 1.0, 0.5, 0.7, 0.6, 0.8], 8.0, 0.5, 2, 3.0)
    hint = "After 1.5 and 1.0, after 0.7 and 0.6; never below the floor."
    assert_close(got, [8.0, 8.0, 8.0, 4.0, 4.0, 4.0, 3.0, 3.0], what="the rates", hint=hint)
    assert_close(student.plateau_rates([], 0.1), [0.1], what="the rate of the first epoch")


@pytest.mark.question("checkpoint")
def test_checkpoint(student):
    """Three epochs, and one epoch, a file, two epochs: the same numbers."""
    there = student.value("torch")
    x, y = torch.arange(24.0).reshape(6, 4) / 24, torch.tensor([0, 1, 2, 0, 1, 2])

    def fresh():
        model = there.nn.Linear(4, 3)
        model.load_state_dict({"weight": torch.arange(12.0).reshape(3, 4) / 12, "bias": torch.zeros(3)})
        return model, there.optim.Adam(model.parameters(), lr=0.1)

    straight, optimizer = fresh()
    for _ in range(3):
        student.one_epoch(straight, optimizer, [(x, y)])
    model, optimizer = fresh()
    student.one_epoch(model, optimizer, [(x, y)])
    path = f"{student.folder()}/checkpoint.pt"
    student.save_checkpoint(path, model, optimizer, {"val_loss": [0.5]})
    model, optimizer = fresh()
    history = student.load_checkpoint(path, model, optimizer)
    assert_close(history, {"val_loss": [0.5]}, what="the history")
    for _ in range(2):
        student.one_epoch(model, optimizer, [(x, y)])
    hint = "Adam's averages belong into the file: optimizer.state_dict()."
    for name, value in state_of(student, straight).items():
        assert_close(
            state_of(student, model)[name],
            value,
            rtol=0,
            atol=0,
            what=f"{name} after three epochs",
            hint=hint,
        )


@pytest.mark.question("fine_tune", given=["plateau_rates"])
def test_fine_tune(student):
    """Four epochs with a large rate: an entry for each, the frozen layer stays, the best is kept."""
    there = student.value("torch")
    data = there.utils.data
    x, y = torch.arange(24.0).reshape(6, 4) / 24, torch.tensor([0, 1, 2, 0, 1, 2])
    loader = data.DataLoader(data.TensorDataset(x, y), batch_size=4)
    model = little_network(student)
    model.get_submodule("0").requires_grad_(False)
    before = state_of(student, model)
    optimizer = there.optim.SGD(model.get_submodule("1").parameters(), lr=5.0)
    history = student.fine_tune(model, optimizer, loader, loader, 4, 9, there.nn.Module.eval)
    if not isinstance(history, dict) or not {"train_loss", "val_loss", "best_epoch"} <= set(history):
        fail("fine_tune should return a dict with train_loss, val_loss and best_epoch.", value=history)
    assert_close(
        [len(history[name]) for name in ("train_loss", "val_loss")],
        [4, 4],
        what="the lengths of the two lists",
    )
    assert_close(history["best_epoch"], int(np.argmin(history["val_loss"])), what="the best epoch")
    after = state_of(student, model)
    for name in ("0.0.weight", "0.1.running_mean"):
        assert_close(after[name], before[name], rtol=0, atol=0, what=f"{name}, which is frozen")
    model.train(mode=False)
    logits = model(x).detach()
    loss = float(torch.nn.functional.cross_entropy(logits, y))
    hint = "Copy the state when the loss is the lowest so far, and load the copy in the end."
    assert_close(
        loss,
        min(history["val_loss"]),
        rtol=1e-4,
        what="the validation loss of the model in the end",
        hint=hint,
    )


@pytest.mark.question("confusion_matrix")
def test_confusion_matrix(student):
    """Five examples of three classes; a class that does not occur has a row of zeros."""
    got = student.confusion_matrix(torch.tensor([0, 0, 1, 1, 1]), torch.tensor([0, 2, 1, 1, 0]), 3)
    assert_close(
        got, np.array([[1, 0, 1], [1, 2, 0], [0, 0, 0]]), what="the matrix", hint="Rows: true classes."
    )


@pytest.mark.question("grad_cam")
def test_grad_cam(student):
    """A 1 x 1 convolution and the mean: the map is the picture, weighted with the class's weights."""
    there = student.value("torch").nn
    model = there.Sequential(
        there.Conv2d(1, 2, 1), there.AdaptiveAvgPool2d(1), there.Flatten(), there.Linear(2, 2)
    )
    model.load_state_dict(
        {
            "0.weight": torch.tensor([1.0, -1.0]).reshape(2, 1, 1, 1), "0.bias": torch.zeros(2),
            "3.weight": torch.tensor([[2.0, 1.0], [0.0, 1.0]]), "3.bias": torch.zeros(2),
        }
    )  # fmt: skip
    picture = torch.tensor([[[1.0, -2.0], [4.0, 0.0]]])
    got = assert_unchanged(student.grad_cam, model, "0", picture, 0)
    hint = "The mean gradient over the places weights the channels; then max(0, .), over its maximum."
    assert_close(got, np.array([[0.25, 0.0], [1.0, 0.0]]), rtol=1e-5, what="the map of class 0", hint=hint)
    got = student.grad_cam(model, "0", picture, 1)
    assert_close(got, np.array([[0.0, 1.0], [0.0, 0.0]]), rtol=1e-5, what="the map of class 1", hint=hint)


@pytest.mark.question("transfer")
def test_transfer(student, data):
    """From five pictures each of six kinds of fruit it makes a model of bytes, which knows these again."""
    fruit = data("fruit", size=64, num_train=30, num_test=0)
    x, y = torch.tensor(fruit.x_train), torch.tensor(fruit.y_train)
    model = student.transfer(x, y, 0)
    model.train(mode=False)
    logits = model(x)
    assert_close(list(logits.shape), [30, 6], what="the shape of the logits")
    share = float((logits.detach().argmax(dim=1) == y).double().mean())
    if share < 0.8:
        fail(f"Only {share:.0%} of the pictures that it learned from are right.", expected="at least 80%")
