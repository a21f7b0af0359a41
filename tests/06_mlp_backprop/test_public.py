"""What check("...") runs. Read it: it shows how each function is called. Grading uses further tests.

Numbers are small enough to follow with a pencil, or a few lines of arithmetic.
"""

import numpy as np
import pytest

from autograder.checking import assert_close

# While grading, these come from the solution in the tests that name them, so that no error costs twice.
LINEAR = ["linear_forward", "linear_backward"]
LAYERS = [*LINEAR, "relu_forward", "relu_backward"]
LOSS = ["softmax_cross_entropy_forward", "softmax_cross_entropy_backward"]
NETWORK = [*LAYERS, *LOSS, "mlp_forward", "mlp_backward", "sgd_step", "predict"]


def array(*rows):
    """Numbers as float64."""
    return np.array(rows, dtype=np.float64)


X, W, B = array([1, 2], [0, -1], [3, 1]), array([1, 0, 2], [-1, 4, 0]), array(10, 20, 30)


@pytest.mark.question("linear_forward")
def test_linear_forward(student):
    """Three examples, two inputs, three outputs."""
    out, _ = student.linear_forward.keeping(1)(X, W, B)
    hint = "9 = 1*1 + 2*(-1) + 10"
    assert_close(out, array([9, 28, 32], [11, 16, 30], [12, 24, 36]), what="out", hint=hint)


@pytest.mark.question("linear_backward")
def test_linear_backward(student):
    """The gradients of three examples are sums that you can check by hand."""
    _, cache = student.linear_forward.keeping(1)(X, W, B)
    gradients = student.linear_backward(array([1, 0, 2], [0, 1, 0], [-1, 1, 1]), cache)
    assert isinstance(gradients, list | tuple) and len(gradients) == 3, "linear_backward returns dx, dw, db."
    expected = {
        "dx": array([5, -1], [0, 4], [1, 5]),
        "dw": array([-2, 3, 5], [1, 0, 5]),
        "db": array(0, 2, 3),
    }
    hint = "Each gradient has the shape of its input, and sums over all outputs that the input takes part in."
    for gradient, (name, values) in zip(gradients, expected.items(), strict=True):
        assert_close(gradient, values, what=name, hint=hint)


@pytest.mark.question("relu_forward")
def test_relu_forward(student):
    """What is negative becomes 0, the rest remains."""
    out, _ = student.relu_forward.keeping(1)(array([-2, 0.5, 3], [0, -0.1, 7]))
    assert_close(out, array([0, 0.5, 3], [0, 0, 7]), what="out")


@pytest.mark.question("relu_backward")
def test_relu_backward(student):
    """The gradient passes where the input was positive, whatever its own sign."""
    _, cache = student.relu_forward.keeping(1)(array([-2, 0.5, 3], [1, -0.1, -7]))
    dx = student.relu_backward(array([5, -6, 7], [-8, -9, 4]), cache)
    assert_close(
        dx, array([0, -6, 7], [-8, 0, 0]), what="dx", hint="The sign of x decides, not that of dout."
    )


LOGS = np.log(array([1, 2, 1], [3, 1, 4]))  # scores whose softmax can be seen: 1/4 1/2 1/4 and 3/8 1/8 4/8


@pytest.mark.question("softmax_cross_entropy_forward")
def test_softmax_cross_entropy_forward(student):
    """Two examples with known probabilities; then scores of 1000."""
    loss, _ = student.softmax_cross_entropy_forward.keeping(1)(LOGS, np.array([1, 0]))
    expected = -(np.log(1 / 2) + np.log(3 / 8)) / 2
    assert_close(loss, expected, what="the loss", hint="The mean of -log of the right class's probability.")
    loss, _ = student.softmax_cross_entropy_forward.keeping(1)(array([1000, 1000]), np.array([0]))
    hint = "Subtract each row's largest score before exp."
    assert_close(loss, np.log(2), what="the loss for two scores of 1000", hint=hint)


@pytest.mark.question("softmax_cross_entropy_backward")
def test_softmax_cross_entropy_backward(student):
    """Probabilities minus 1 for the right class, times dout, divided by the number of examples."""
    _, cache = student.softmax_cross_entropy_forward.keeping(1)(LOGS, np.array([1, 0]))
    expected = array([1 / 4, -1 / 2, 1 / 4], [-5 / 8, 1 / 8, 1 / 2]) / 2
    for dout in (1.0, 3.0):
        dscores = student.softmax_cross_entropy_backward(dout, cache)
        assert_close(dscores, dout * expected, what=f"dscores for dout = {dout:g}")


@pytest.mark.question("initialize")
def test_initialize(student):
    """Names, shapes, zero biases, and weights whose spread fits the number of inputs."""
    params = student.initialize([200, 300, 4], seed=1)
    assert isinstance(params, dict), "initialize returns a dictionary."
    assert set(params) == {"W1", "b1", "W2", "b2"}, f"Its keys are W1, b1, W2, b2, not {sorted(params)}."
    for name, shape in {"W1": (200, 300), "W2": (300, 4)}.items():
        assert_close(list(np.shape(params[name])), list(shape), what=f"the shape of {name}")
    assert_close(params["b1"], np.zeros(300), what="b1")
    assert_close(np.std(params["W1"]), 0.1, rtol=0.05, what="the spread of W1", hint="sqrt(2 / 200) = 0.1")


PARAMS = {"W1": array([1, -1], [0, 2]), "b1": array(0, 1), "W2": array([1, 2], [3, -1]), "b2": array(0, -5)}


@pytest.mark.question("mlp_forward", given=LAYERS)
def test_mlp_forward(student):
    """A network of two layers, and one of a single layer, which has no ReLU."""
    scores, _ = student.mlp_forward.keeping(1)(PARAMS, array([1, 3], [-2, 1], [4, 0]))
    hint = "The first example: hidden (1, 6), scores (1*1 + 6*3, 1*2 - 6*1 - 5)."
    assert_close(scores, array([19, -9], [15, -10], [4, 3]), what="scores", hint=hint)
    single = {"W1": array([1, -1]), "b1": array(0, 0)}
    scores, _ = student.mlp_forward.keeping(1)(single, array([2], [-3]))
    assert_close(
        scores, array([2, -2], [-3, 3]), what="scores of a single layer", hint="Scores may be negative."
    )


DEEPER = PARAMS | {"W3": array([1, 0, -2], [2, 1, 1]), "b3": array(1, 2, 3)}


@pytest.mark.question("mlp_backward", given=LAYERS)
def test_mlp_backward(student):
    """Every gradient of a network of three layers, in numbers that you can follow with a pencil."""
    # Before the ReLUs stand (1, 6), (-2, 5), (4, -3) and (19, -9), (15, -10), (4, 3).
    _, caches = student.mlp_forward.keeping(1)(DEEPER, array([1, 3], [-2, 1], [4, 0]))
    grads = student.mlp_backward(array([1, -2, 0], [0, 1, 2], [-1, 3, 1]), caches)
    expected = {
        "W3": array([15, -11, 34], [-3, 9, 3]),
        "b3": array(0, 2, 3),
        "W2": array([-11, 8], [-14, 0]),
        "b2": array(-6, 2),
        "W1": array([5, 27], [3, -3]),
        "b1": array(2, -9),
    }
    assert isinstance(grads, dict), "mlp_backward returns a dictionary."
    assert set(grads) == set(expected), f"Its keys are {', '.join(expected)}, not {sorted(grads)}."
    hint = "b3: the columns of dscores. W3: what the ReLU let through, transposed, times dscores."
    assert_close({name: grads[name] for name in expected}, expected, what="the gradients", hint=hint)


@pytest.mark.question("sgd_step")
def test_sgd_step(student):
    """Every parameter goes against its gradient, by the learning rate times as much."""
    params, grads = {"W1": array([1, 2]), "b1": array(3)}, {"W1": array([10, -20]), "b1": array(5)}
    stepped = student.sgd_step(params, grads, 0.1)
    assert_close(stepped, {"W1": array([0, 4]), "b1": array(2.5)}, what="the parameters")


@pytest.mark.question("step_decay")
def test_step_decay(student):
    """Halved every three steps."""
    rates = [student.step_decay(t, 0.8, 0.5, 3) for t in range(7)]
    assert_close(rates, [0.8, 0.8, 0.8, 0.4, 0.4, 0.4, 0.2], what="the learning rates of steps 0 to 6")


@pytest.mark.question("warmup_cosine")
def test_warmup_cosine(student):
    """Two steps of warm-up, then four down a cosine."""
    rates = [student.warmup_cosine(t, 6, 0.2, 2) for t in range(6)]
    half = 0.1 * (1 + np.sqrt(0.5)), 0.1 * (1 - np.sqrt(0.5))
    assert_close(rates, [0.1, 0.2, 0.2, half[0], 0.1, half[1]], what="the learning rates of steps 0 to 5")


@pytest.mark.question("predict", given=["linear_forward", "relu_forward", "mlp_forward"])
def test_predict(student):
    """The class with the highest score, for three examples."""
    labels = student.predict(PARAMS, array([1, 3], [-2, 1], [-10, -20]))
    assert_close(labels, np.array([0, 0, 0]), what="the labels")
    single = {"W1": array([1, -1, 0]), "b1": array(0, 0, 0.5)}
    labels = student.predict(single, array([2], [-3], [0.1]))
    assert_close(labels, np.array([0, 1, 2]), what="the labels of a single layer")


@pytest.mark.question("train", given=NETWORK)
def test_train(student):
    """Two separate groups of points are learned; the history has a loss for each batch."""
    corner = array([1, 0], [0, 1])
    x, y = np.tile(corner, (5, 1)), np.tile([0, 1], 5)
    params = {"W1": np.zeros((2, 2)), "b1": np.zeros(2)}
    params, history = student.train(params, x, y, corner, np.array([0, 1]), [0.5] * 60, 20, 4)
    assert set(history) == {"loss", "val_accuracy"}, 'history has the keys "loss" and "val_accuracy".'
    assert_close(
        len(history["loss"]), 60, what="the number of losses", hint="Batches of 4, 4 and 2, 20 times."
    )
    assert_close(float(history["loss"][0]), np.log(2), what="the first loss", hint="Before the first step.")
    assert_close(list(history["val_accuracy"])[-1], 1.0, what="the last validation accuracy")
    assert float(history["loss"][-1]) < 0.3, f"The loss is still {history['loss'][-1]:.3f} after 60 steps."
