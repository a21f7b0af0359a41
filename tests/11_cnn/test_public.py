"""What check("...") runs: small examples worked by hand, and properties that any right answer has.

Models, loaders and gradients are made beside your functions: `student.value("torch")` is your torch.
"""

import math

import numpy as np
import pytest
import torch

from autograder.checking import assert_close, assert_unchanged, fail


def array(*rows):
    """A float64 tensor from nested lists."""
    return torch.tensor(rows, dtype=torch.float64)


def gradients(student, function, inputs, upstream):
    """The gradients with respect to all inputs, given the upstream gradient, by the student's autograd."""
    _, found = student.value("torch").autograd.functional.vjp(function, tuple(inputs), upstream)
    return found


@pytest.mark.question("swish")
def test_swish(student):
    """At 0 the value is 0 and the slope 1/2; at log 3 they are 3/4 log 3 and 3/4 + 3/16 log 3."""
    x, log3 = array(0.0, math.log(3)), math.log(3)
    assert_close(student.swish(x), np.array([0.0, 0.75 * log3]), what="the values")
    (dx,) = gradients(student, student.value("swish"), [x], array(1.0, -2.0))
    expected = np.array([0.5, -2 * (0.75 + log3 * 3 / 16)])
    assert_close(dx, expected, what="dx", hint="s + x s (1 - s), times the upstream gradient.")


@pytest.mark.question("output_size")
def test_output_size(student):
    """Some sizes that one can count on paper."""
    for arguments, expected in (
        ((7, 3), 5),
        ((7, 3, 2), 3),
        ((7, 3, 2, 1), 4),
        ((7, 3, 1, 0, 2), 3),
        ((8, 3, 3), 2),
    ):
        assert_close(student.output_size(*arguments), expected, what=f"output_size{arguments}")


@pytest.mark.question("conv2d_unfold", given=["output_size"])
def test_conv2d_unfold(student):
    """An image of 3 x 3 under a filter of 2 x 2, and the same with a stride and padding."""
    x = array([[[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]]]])[0]
    w, b = array([[[[1.0, 0.0], [0.0, -1.0]]]])[0], array(10.0)
    out = assert_unchanged(student.conv2d_unfold, x, w, b)
    hint = "F.unfold(x, (kh, kw), ...) gives (N, C kh kw, L); w as a matrix has the shape (F, C kh kw)."
    assert_close(out, np.full((1, 1, 2, 2), 6.0), what="out", hint=hint)
    out = student.conv2d_unfold(x, w, b, stride=2, padding=1)
    assert_close(out, np.array([[[[9.0, 7.0], [3.0, 6.0]]]]), what="out with stride 2 and padding 1")


@pytest.mark.question("conv2d_unfold", given=["output_size"])
def test_conv2d_unfold_options(student):
    """Two groups see only their own channel; with a dilation of 2 every second pixel counts."""
    x = torch.arange(18, dtype=torch.float64).reshape(1, 2, 3, 3)
    w = array([[[1.0]], [[2.0]]])[0].reshape(2, 1, 1, 1)
    out = student.conv2d_unfold(x, w, array(0.0, 0.0), groups=2)
    assert_close(out, np.stack([x[:, 0], 2 * x[:, 1]], axis=1), what="out with two groups")
    w = array([[1.0, 2.0], [3.0, 4.0]]).reshape(1, 1, 2, 2)
    out = student.conv2d_unfold(x[:, :1], w, array(0.0), dilation=2)
    assert_close(out, np.full((1, 1, 1, 1), 0 + 2 * 2 + 3 * 6 + 4 * 8), what="out with a dilation of 2")


@pytest.mark.question("conv2d_function")
def test_conv2d_function(student):
    """The gradients of one filter on one image are the numbers one finds with a pencil."""
    x = torch.arange(1, 10, dtype=torch.float64).reshape(1, 1, 3, 3)
    w, b = array([1.0, 2.0], [3.0, 4.0]).reshape(1, 1, 2, 2), array(0.5)
    dout = array([1.0, 0.0], [0.0, 10.0]).reshape(1, 1, 2, 2)
    dx, dw, db = gradients(student, student.value("conv2d"), [x, w, b], dout)
    expected = np.array([[1.0, 2.0, 0.0], [3.0, 4.0 + 10.0, 20.0], [0.0, 30.0, 40.0]])
    hint = "Each upstream number sends the filter, times itself, back to its window: F.fold adds them up."
    assert_close(dx, expected.reshape(1, 1, 3, 3), what="dx", hint=hint)
    expected = np.array([[1.0 + 50.0, 2.0 + 60.0], [4.0 + 80.0, 5.0 + 90.0]]).reshape(1, 1, 2, 2)
    assert_close(dw, expected, what="dw", hint="The sum of all windows, each times its upstream number.")
    assert_close(db, np.array([11.0]), what="db")


@pytest.mark.question("conv2d_function")
def test_conv2d_function_turned(student):
    """An upstream gradient that comes as a view, with its axes exchanged, passes as well."""
    function = student.turned(student.value("conv2d"))
    x, w, b = torch.ones(1, 1, 3, 3).double(), torch.ones(1, 1, 2, 2).double(), torch.zeros(1).double()
    upstream = array([1.0, 0.0], [2.0, 0.0]).reshape(1, 1, 2, 2)
    dx, _, db = gradients(student, function, [x, w, b], upstream)
    expected = np.array([[[[1.0, 3.0, 2.0], [1.0, 3.0, 2.0], [0.0, 0.0, 0.0]]]])
    assert_close(dx, expected, what="dx", hint="reshape copes where view fails.")
    assert_close(db, np.array([3.0]), what="db")


@pytest.mark.question("build_cnn")
def test_build_cnn(student):
    """It has the right number of parameters, takes images of several sizes, and pools in both ways."""
    for pool in ("mean", "max"):
        model = student.build_cnn((4, 6), 3, pool)
        count = sum(parameter.numel() for parameter in student.builtin("list", model.parameters()))
        hint = "Convolutions without bias, two numbers for each channel that is normalised, a linear layer."
        expected = 4 * 9 + 2 * 4 + 6 * 4 * 9 + 2 * 6 + 6 * 3 + 3
        assert_close(count, expected, what="the number of parameters", hint=hint)
        for size in ((8, 8), (5, 9)):
            out = model(torch.zeros(2, 1, *size))
            assert_close(list(out.shape), [2, 3], what=f"the shape of the logits of images {size}")


def little_problem(student):
    """A linear model whose weights begin at zero, and loaders of eight examples."""
    there = student.value("torch")
    data = there.utils.data
    model = there.nn.Sequential(there.nn.Flatten(), there.nn.Linear(4, 2)).double()
    model.load_state_dict({"1.weight": torch.zeros(2, 4).double(), "1.bias": torch.zeros(2).double()})
    x = torch.arange(32, dtype=torch.float64).reshape(8, 1, 2, 2) / 32
    y = torch.tensor([0, 0, 0, 1, 1, 1, 1, 1])
    return model, data.DataLoader(data.TensorDataset(x, y), batch_size=3)


@pytest.mark.question("train")
def test_train(student):
    """Three epochs: the loss falls, and the history has an entry for each."""
    model, loader = little_problem(student)
    history = student.train(model, loader, loader, [0.01, 0.02, 0.02])
    if not isinstance(history, dict) or set(history) < {"train_loss", "val_accuracy"}:
        fail("train should return a dict with train_loss and val_accuracy.", value=history)
    assert_close([len(values) for values in history.values()], [3, 3], what="the lengths of the two lists")
    if not history["train_loss"][2] < history["train_loss"][0]:
        fail("The loss does not fall.", got=str(history["train_loss"]))


@pytest.mark.question("train")
def test_train_augments_training_only(student):
    """Where augment makes every image black, the weights cannot move; the validation images are not black."""
    model, loader = little_problem(student)
    student.train(model, loader, loader, [0.1, 0.1], student.value("torch").zeros_like)
    state = student.builtin("dict", model.state_dict())
    hint = "images = augment(images) in the training loop, where augment is given."
    assert_close(state["1.weight"], np.zeros((2, 4)), what="the weights", hint=hint)
    if state["1.bias"][0] == 0:
        fail("The bias has not moved.")


@pytest.mark.question("random_shift")
def test_random_shift(student):
    """A single dot is moved by at most two pixels along each axis, each image's in its own way."""
    images = torch.zeros(40, 1, 9, 9)
    images[:, :, 4, 4] = 1
    generator = student.value("torch").Generator().manual_seed(3)
    moved = assert_unchanged(student.random_shift, images, 2, generator)
    assert_close(list(moved.shape), [40, 1, 9, 9], what="the shape")
    places = np.argwhere(moved.numpy() == 1)
    assert_close(len(places), 40, what="the number of dots")
    if np.abs(places[:, 2:] - 4).max() > 2:
        fail("A dot has moved by more than two pixels.")
    if len(np.unique(places[:, 2:], axis=0)) < 10:
        fail("The images of a batch are shifted alike.", hint="Two random numbers for each image.")


@pytest.mark.question("affine_matrices")
def test_affine_matrices(student):
    """A quarter turn, twice the size, and a shift, each alone and all together."""
    quarter, zero = math.pi / 2, [0.0, 0.0]
    for angle, scale, shift, expected in (
        (0.0, 1.0, zero, [[1, 0, 0], [0, 1, 0]]),
        (quarter, 1.0, zero, [[0, -1, 0], [1, 0, 0]]),
        (0.0, 2.0, zero, [[0.5, 0, 0], [0, 0.5, 0]]),
        (0.0, 1.0, [0.25, -0.5], [[1, 0, -0.25], [0, 1, 0.5]]),
        (quarter, 2.0, [0.25, -0.5], [[0, -0.5, -0.25], [0.5, 0, -0.125]]),
    ):
        theta = student.affine_matrices(array(angle), array(scale), array(shift))
        what = f"theta for angle {angle:.3g}, scale {scale:g}, shift {shift}"
        assert_close(theta, np.array([expected], dtype=float), what=what, hint="(A | -A t)")


@pytest.mark.question("augment", given=["affine_matrices"])
def test_augment(student):
    """Shape and range stay, images and calls differ, the same seed gives the same."""
    images = torch.zeros(6, 1, 16, 16)
    images[:, :, 5:11, 4:9] = 1.0
    there = student.value("torch")
    generator = there.Generator().manual_seed(1)
    first, second = (assert_unchanged(student.augment, images, generator) for _ in range(2))
    again = student.augment(images, there.Generator().manual_seed(1))
    assert_close(list(first.shape), [6, 1, 16, 16], what="the shape")
    if first.min() < 0 or first.max() > 1 + 1e-6:
        fail("Values have left the range from 0 to 1.")
    if torch.equal(first[0], first[1]) or torch.equal(first, second):
        fail("Two images, or two calls, are transformed alike.", hint="New random numbers for each image.")
    assert_close(again, first.numpy(), what="the images for the same seed", hint="Draw from the generator.")


@pytest.mark.question("digit_cnn")
def test_digit_cnn(student, data):
    """It learns 200 digits of three classes, and its parameters are counted."""
    digits = data("mnist5000")
    some = np.flatnonzero(digits.y_train < 3)[:200]
    model = student.digit_cnn(digits.x_train[some], digits.y_train[some], 0)
    model.train(False)
    logits = model(torch.tensor(digits.x_train[some, None]))
    assert_close(list(logits.shape), [200, 3], what="the shape of the logits")
    accuracy = float(np.mean(logits.detach().numpy().argmax(axis=1) == digits.y_train[some]))
    if accuracy < 0.9:
        fail(f"Only {accuracy:.0%} of the digits it was trained on are right.", expected="at least 90%")
    count = sum(parameter.numel() for parameter in student.builtin("list", model.parameters()))
    if count > 100_000:
        fail(f"The model has {count:,} parameters.", expected="at most 100,000")
