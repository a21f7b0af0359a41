"""What check("...") runs. Read it: it shows how your engine is used. Grading uses further tests.

`evaluate` stands in the notebook: it carries out a list of steps with your tensors. Numbers are small enough
to follow with a pencil.
"""

import numpy as np
import pytest

from autograder.checking import assert_close, assert_learns, fail

# At grading, a test that builds on ops and fails is run once more with right ones, so that an error in an op
# is not paid for twice.
NAMES = ["add", "sub", "mul", "div", "matmul", "sum", "mean", "exp", "log", "relu", "sigmoid", "tanh"]
OPS = [f"{name}_{way}" for name in [*NAMES, "softmax_cross_entropy"] for way in ("forward", "backward")]
OPS += ["unbroadcast"]


def array(*rows):
    """Numbers as float64."""
    return np.array(rows, dtype=np.float64)


def run(student, steps, inputs, dout=None, constants=()):
    """All results of the steps, and the gradient "d" + name of each input, after one backward pass."""
    asked = [(f"d{name}", "grad", name) for name in inputs]
    results = student.evaluate([*steps, ("", "backward", steps[-1][0], dout), *asked], inputs, constants)
    if not isinstance(results, dict):
        fail("evaluate should return a dict: it stands in the notebook as it should be.", value=results)
    return results


def check_op(student, step, inputs, out, dout, gradients, hint=""):
    """Value and gradients of a single op."""
    results = run(student, [("out", *step)], inputs, dout)
    assert_close(results["out"], out, what=f"{step[0]}: the result", hint=hint)
    for name, gradient in gradients.items():
        what = f"{step[0]}: the gradient of {name}"
        assert_close(results[f"d{name}"], gradient, what=what, hint=hint)


# --- the engine


@pytest.mark.question("unbroadcast")
def test_unbroadcast(student):
    """A gradient of shape (2, 3) is summed down to a row, a column, a number, and left alone."""
    gradient = array([1, 2, 3], [10, 20, 30])
    expected = {
        (3,): array(11, 22, 33),
        (1, 3): array([11, 22, 33]),
        (2, 1): array([6], [60]),
        (1, 1): array([66]),
        (): 66.0,
        (2, 3): gradient,
    }
    for shape, value in expected.items():
        assert_close(student.unbroadcast(gradient, shape), value, what=f"the gradient for shape {shape}")


@pytest.mark.question("tensor")
def test_tensor_add(student):
    """Tensors are added, to each other and to plain numbers."""
    steps = [("z", "add", "x", "y"), ("left", "add", 10, "x"), ("right", "add", "x", 0.5)]
    results = student.evaluate(steps, {"x": [1, 2], "y": array(0.5, 4)})
    assert_close(results["z"], array(1.5, 6), what="x + y")
    assert_close(results["left"], array(11, 12), what="10 + x")
    hint = "apply makes tensors of operands that are none."
    assert_close(results["right"], array(1.5, 2.5), what="x + 0.5", hint=hint)


@pytest.mark.question("tensor")
def test_tensor_requires_grad(student):
    """A result requires a gradient if one of its operands does, and only then."""
    steps = [("xc", "add", "x", "c"), ("cx", "add", "c", "x"), ("cc", "add", "c", "c")]
    asked = [(f"{name}?", "requires_grad", name) for name in ("xc", "cx", "cc")]
    results = student.evaluate([*steps, *asked], {"x": array(1), "c": array(3)}, constants=["c"])
    for name, expected in (("xc", True), ("cx", True), ("cc", False)):
        assert_close(results[name], array(6 if name == "cc" else 4), what=name)
        assert_close(results[f"{name}?"], expected, what=f"requires_grad of {name[0]} + {name[1]}")


@pytest.mark.question("backpropagate")
def test_backpropagate_square(student):
    """A square, with a gradient given and without."""
    steps = [("out", "square", "x")]
    assert_close(run(student, steps, {"x": array(3, -1)})["dx"], array(6, -2), what="the gradient of x")
    results = run(student, steps, {"x": array(3, -1)}, array(10, 100))
    assert_close(results["dx"], array(60, -200), what="the gradient of x for the upstream gradient [10, 100]")


@pytest.mark.question("backpropagate", given=OPS)
def test_backpropagate_fan_out(student):
    """A tensor used in several places gets the sum of what comes back: (x + y)**2 + x**2."""
    steps = [("a", "add", "x", "y"), ("b", "square", "a"), ("c", "square", "x"), ("out", "add", "b", "c")]

    results = run(student, steps, {"x": array(1), "y": array(2)})
    hint = "2 (x + y) comes through the first square, 2 x through the second."
    assert_close(results["dx"], array(8), what="the gradient of x", hint=hint)
    assert_close(results["dy"], array(6), what="the gradient of y")


@pytest.mark.question("backpropagate")
def test_backpropagate_twice(student):
    """A second backward doubles the gradients; after zero_grad they start afresh."""
    steps = [("a", "square", "x"), ("out", "square", "a"), ("", "backward", "out"), ("first", "grad", "x")]
    steps += [("", "backward", "out"), ("second", "grad", "x")]
    steps += [("", "zero_grad", "x"), ("", "backward", "out"), ("third", "grad", "x")]
    results = student.evaluate(steps, {"x": array(2)})
    assert_close(results["first"], array(32), what="the gradient of x**4 at 2", hint="4 x**3")
    hint = "What the first pass left in the middle of the graph must not be sent back again."
    assert_close(results["second"], array(64), what="the gradient after a second backward", hint=hint)
    assert_close(results["third"], array(32), what="the gradient after zero_grad and backward")


@pytest.mark.question("backpropagate")
def test_backpropagate_deep(student):
    """Two thousand additions in a row."""
    steps = [(2000, [("x", "add", "x", "step")]), ("", "backward", "x"), ("d", "grad", "step")]
    results = student.evaluate(steps, {"x": array(0, 0), "step": array(1, 2)})
    hint = "Keep a stack in a list: nested calls end at about 1,000."
    assert_close(
        results["d"], array(2000, 2000), what="the gradient of what was added 2,000 times", hint=hint
    )


# --- the ops

COLUMN, ROW, DOUT = array([6], [2]), array(1, 2, 4), array([1, 0, 2], [10, 20, 0])


@pytest.mark.question("arithmetic", given=["unbroadcast", "add_forward", "add_backward"])
def test_arithmetic(student):
    """A column and a row, worked by hand: values and gradients of +, -, * and /."""
    cases = {
        "add": ([[7, 8, 10], [3, 4, 6]], [[3], [30]], [11, 20, 2]),
        "sub": ([[5, 4, 2], [1, 0, -2]], [[3], [30]], [-11, -20, -2]),
        "mul": ([[6, 12, 24], [2, 4, 8]], [[9], [50]], [26, 40, 12]),
        "div": ([[6, 3, 1.5], [2, 1, 0.5]], [[1.5], [20]], [-26, -10, -0.75]),
    }

    for name, (out, da, db) in cases.items():
        gradients = {"a": np.array(da, dtype=float), "b": np.array(db, dtype=float)}
        hint = "Multiply with the upstream gradient first, then unbroadcast."
        inputs = {"a": COLUMN, "b": ROW}
        check_op(student, (name, "a", "b"), inputs, np.array(out, dtype=float), DOUT, gradients, hint)


@pytest.mark.question("matmul")
def test_matmul(student):
    """A matrix of shape (1, 2) times one of shape (2, 3)."""
    inputs = {"a": array([1, 2]), "b": array([1, 0, 3], [2, 1, -1])}
    gradients = {"a": array([3, 9]), "b": array([0, 10, 1], [0, 20, 2])}  # 3 = 0 * 1 + 10 * 0 + 1 * 3
    check_op(student, ("matmul", "a", "b"), inputs, array([5, 2, 1]), array([0, 10, 1]), gradients)


@pytest.mark.question("sum_mean")
def test_sum_mean(student):
    """A matrix of shape (2, 3), summed and averaged over rows, columns and everything."""
    a = {"a": array([1, 2, 3], [4, 5, 9])}
    cases = [
        ("sum", {}, 24.0, np.array(10.0), [[10, 10, 10], [10, 10, 10]]),
        ("sum", {"axis": 0}, array(5, 7, 12), array(1, 2, 3), [[1, 2, 3], [1, 2, 3]]),
        ("sum", {"axis": -1}, array(6, 18), array(1, 2), [[1, 1, 1], [2, 2, 2]]),
        ("sum", {"axis": 1, "keepdims": True}, array([6], [18]), array([1], [2]), [[1, 1, 1], [2, 2, 2]]),
        ("mean", {}, 4.0, np.array(6.0), [[1, 1, 1], [1, 1, 1]]),
        ("mean", {"axis": 0}, array(2.5, 3.5, 6), array(2, 4, 6), [[1, 2, 3], [1, 2, 3]]),
        ("mean", {"axis": 1}, array(2, 6), array(3, 6), [[1, 1, 1], [2, 2, 2]]),
    ]
    for name, settings, out, dout, da in cases:
        hint = "Each element gets the gradient of the sum or mean that it went into."
        check_op(student, (name, "a", settings), a, out, dout, {"a": np.array(da, dtype=float)}, hint)


@pytest.mark.question("exp_log")
def test_exp_log(student):
    """exp and log at points where their values are well known."""
    logs, dout = np.log(array(1, 2, 10)), array(1, 10, -1)
    check_op(student, ("exp", "a"), {"a": logs}, array(1, 2, 10), dout, {"a": array(1, 20, -10)})
    check_op(student, ("log", "a"), {"a": array(1, 2, 10)}, logs, dout, {"a": array(1, 5, -0.1)})


@pytest.mark.question("activations")
def test_activations(student):
    """relu, sigmoid and tanh at points where their values are known."""
    third = np.log(3.0)  # sigmoid: 1 / (1 + 1/3) = 3/4; tanh: (3 - 1/3) / (3 + 1/3) = 4/5
    dout = array(1, 10, 100)
    out, slope = array(0, 0, 2), array(0, 0, 100)
    check_op(student, ("relu", "a"), {"a": array(-3, -0.5, 2)}, out, dout, {"a": slope})
    out, slope = array(0.25, 0.5, 0.75), array(3, 40, 300) / 16
    check_op(student, ("sigmoid", "a"), {"a": array(-third, 0, third)}, out, dout, {"a": slope})
    out, slope = array(-0.8, 0, 0.8), array(0.36, 10, 36)
    check_op(student, ("tanh", "a"), {"a": array(-third, 0, third)}, out, dout, {"a": slope})


@pytest.mark.question("activations")
def test_activations_saturated(student):
    """sigmoid and tanh of 1000 and -1000."""
    for name, out in (("sigmoid", array(0, 1)), ("tanh", array(-1, 1))):
        hint = "exp of a large number overflows: arrange it so that the exponent is never positive."
        a = {"a": array(-1000, 1000)}
        check_op(student, (name, "a"), a, out, array(5, 5), {"a": array(0, 0)}, hint)


@pytest.mark.question("softmax_cross_entropy")
def test_softmax_cross_entropy(student):
    """Two rows whose probabilities are simple fractions."""
    scores = np.log(array([1, 1, 2], [3, 1, 4]))  # probabilities 1/4, 1/4, 1/2 and 3/8, 1/8, 1/2
    step = ("softmax_cross_entropy", "scores", np.array([2, 0]))
    loss = (np.log(2) + np.log(8 / 3)) / 2
    gradient = array([0.25, 0.25, -0.5], [-0.625, 0.125, 0.5])
    check_op(student, step, {"scores": scores}, loss, None, {"scores": gradient / 2})
    check_op(student, step, {"scores": scores}, loss, np.array(10.0), {"scores": 5 * gradient})


@pytest.mark.question("softmax_cross_entropy")
def test_softmax_cross_entropy_large(student):
    """Scores of 1000 and -1000."""
    scores = {"scores": array([1000, 0, -1000], [0, -1000, -1000])}
    step = ("softmax_cross_entropy", "scores", np.array([0, 1]))
    hint = "Subtract the largest score of each row; do not take the logarithm of a probability."
    gradient = array([0, 0, 0], [0.5, -0.5, 0])
    check_op(student, step, scores, 500.0, None, {"scores": gradient}, hint)


# --- network and training


def set_parameters(net, *values):
    """Put arrays into the parameters of a network, [W1, b1, W2, b2, ...]."""
    parameters = net.parameters()
    if not isinstance(parameters, list | tuple) or len(parameters) != len(values):
        fail(
            f"parameters() should return a list of {len(values)} tensors: W1, b1, W2, b2 and so on.",
            value=parameters,
        )
    for parameter, value in zip(parameters, values, strict=True):
        assert_close(list(parameter.data.shape), list(value.shape), what="the shape of a parameter")
        parameter.data = value
    return parameters


@pytest.mark.question("mlp", given=OPS)
def test_mlp_by_hand(student):
    """Two inputs, two hidden ReLUs and two classes, worked by hand."""

    net = student.MLP((2, 2, 2), "relu", seed=1)
    W1, b1 = array([1, -1], [2, 1]), array(0, -1)
    set_parameters(net, W1, b1, array([1, 0], [3, -1]), array(0.5, 0))
    hint = "Hidden units: [5, 0] and [0, 4]. No activation after the last layer."
    scores = net(array([1, 2], [-5, 0])).data
    assert_close(scores, array([5.5, 0], [12.5, -4]), what="the scores", hint=hint)


@pytest.mark.question("mlp", given=OPS)
def test_mlp_gradients(student):
    """After backward every parameter has a gradient of its own shape; equal seeds give equal networks."""

    net, again = student.MLP((3, 5, 4, 2), "tanh", seed=7), student.MLP((3, 5, 4, 2), "tanh", seed=7)
    student.softmax_cross_entropy(net(np.ones((6, 3))), np.array([0, 1, 0, 1, 1, 1])).backward()
    shapes = [(3, 5), (5,), (5, 4), (4,), (4, 2), (2,)]
    pairs = zip(net.parameters(), again.parameters(), shapes, strict=True)
    for parameter, other, shape in pairs:
        assert_close(np.shape(parameter.grad), shape, what="the shape of a gradient")
        assert_close(other.data, parameter.data, what="a parameter of the network with the same seed")


def assert_number(value, hint):
    """A loss as a float."""
    if not isinstance(value, float | np.generic | np.ndarray) or np.ndim(value):
        fail("Each loss should be a number.", hint=hint, value=value)
    return float(value)


@pytest.mark.question("train", given=OPS)
def test_train_learns(student, rng):
    """A linear classifier learns three groups of points: its loss falls to a tenth."""
    y = np.arange(60) % 3
    x = array([0, 2], [2, -1], [-2, -1])[y] + rng.normal(scale=0.3, size=(60, 2))

    net = student.LinearClassifier(2, 3)
    losses = student.train(net, x, y, epochs=25, batch_size=16, learning_rate=0.3)
    if not isinstance(losses, list | tuple | np.ndarray):
        fail("train should return a list of losses.", value=losses)
    hint = "25 epochs of four steps: 16, 16, 16 and the last 12 examples."
    assert_close(len(losses), 100, what="the number of losses", hint=hint)
    hint = "Append float(loss.data), not the tensor."
    assert_learns([assert_number(loss, hint) for loss in losses], by_factor=10)
