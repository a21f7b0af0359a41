"""What check("...") runs: small examples worked by hand, and properties that any right answer has."""

import numpy as np
import pytest

from autograder.checking import assert_close, assert_learns, assert_unchanged, fail

# At grading, a question that builds on these is tested with right ones, so that an error is not paid for
# twice.
NETWORK = ["sigmoid", "bce_loss", "forward", "backward", "mini_batches"]

# Two features, three hidden units.
PARAMS = {
    "W1": np.array([[0.5, -1.0, 0.0], [1.0, 0.5, -0.5]]),
    "b1": np.array([0.0, 0.5, -1.0]),
    "W2": np.array([[1.0], [-2.0], [0.5]]),
    "b2": np.array([0.25]),
}
X = np.array([[1.0, -0.5], [0.0, 0.0], [-2.0, 1.0], [0.5, 2.0]])
Y = np.array([1, 0, 0, 1])


# --- sigmoid


@pytest.mark.question("sigmoid")
def test_sigmoid_by_hand(student):
    """The sigmoid of 0 is one half, of ln 3 three quarters, of -ln 3 one quarter."""
    z = np.array([[0.0, np.log(3), -np.log(3)]])
    p = assert_unchanged(student.sigmoid, z)
    assert_close(p, np.array([[0.5, 0.75, 0.25]]), what="the sigmoid", hint="1 / (1 + exp(-z))")
    assert_close(student.sigmoid(np.log(3)), 0.75, what="the sigmoid of a single number")


@pytest.mark.question("sigmoid")
def test_sigmoid_far_out(student):
    """A thousand gives 1 and minus a thousand gives 0, not NaN."""
    p = student.sigmoid(np.array([-1000.0, 1000.0]))
    assert_close(
        p,
        np.array([0.0, 1.0]),
        what="the sigmoid of -1000 and 1000",
        hint="inf / inf is NaN: avoid exp(1000).",
    )


# --- bce_loss


@pytest.mark.question("bce_loss")
def test_loss_by_hand(student):
    """Two examples to which the network gave 1/2 and 1/4 have a mean loss of ln 8 / 2."""
    p, y = np.array([0.5, 0.75]), np.array([1, 0])
    loss = assert_unchanged(student.bce_loss, p, y)
    hint = "The first has y = 1 and counts ln p, the second y = 0 and counts ln(1 - p)."
    assert_close(loss, np.log(8) / 2, what="the loss", hint=hint)


@pytest.mark.question("bce_loss")
def test_loss_is_finite(student):
    """A sure and wrong answer costs a lot, but not infinitely much; a sure and right one costs nothing."""
    wrong = student.bce_loss(np.array([0.0, 1.0]), np.array([1, 0]))
    assert_close(
        np.isfinite(wrong), True, what="whether the loss is finite", hint="Clip p before the logarithm."
    )
    if wrong < 10:
        fail(f"Two sure mistakes cost {wrong:.3g}; they should cost more than 10.", value=wrong)
    right = student.bce_loss(np.array([1.0, 0.0]), np.array([1, 0]))
    assert_close(right, 0.0, atol=1e-6, what="the loss of two sure and right answers", hint="0 * inf is NaN.")


# --- initialize


@pytest.mark.question("initialize")
def test_start(student):
    """Shapes are right, biases are zero, and the spread of the weights fits the number of inputs."""
    params = student.initialize(400, 100, 7)
    shapes = {name: list(np.shape(value)) for name, value in params.items()}
    expected = {"W1": [400, 100], "b1": [100], "W2": [100, 1], "b2": [1]}
    assert_close(shapes, expected, what="the shapes of the parameters")
    assert_close(params["b1"], np.zeros(100), what="b1")
    assert_close(params["b2"], np.zeros(1), what="b2")
    hint = "Normal numbers divided by the root of the number of inputs, here 20."
    assert_close(np.std(params["W1"]), 0.05, rtol=0.1, what="the standard deviation of W1", hint=hint)
    assert_close(student.initialize(400, 100, 7)["W1"], params["W1"], what="W1 of the same seed")


# --- forward


@pytest.mark.question("forward", given=["sigmoid"])
def test_forward_by_hand(student):
    """With two hidden units and weights that one can follow, the probabilities are right."""
    # The hidden sums are 0 and ln 2, so h = 0 and 3/5; z = 5 * 3/5 - 3 + ln 3 = ln 3, and p = 3/4.
    params = {
        "W1": np.array([[1.0, np.log(2)], [1.0, 0.0]]),
        "b1": np.array([0.0, 0.0]),
        "W2": np.array([[7.0], [5.0]]),
        "b2": np.array([np.log(3) - 3]),
    }
    p, _ = student.forward.keeping(1)(np.array([[1.0, -1.0], [0.0, 0.0]]), params)
    nothing = 1 / (1 + np.exp(3) / 3)
    assert_close(
        np.shape(p), (2,), what="the shape of p", hint="One number for each example: take the column."
    )
    assert_close(p, np.array([0.75, nothing]), what="p", hint="tanh in the middle, the sigmoid at the end.")


@pytest.mark.question("forward", given=["sigmoid"])
def test_forward_row_by_row(student):
    """Each example is judged by itself, and neither the examples nor the parameters are changed."""
    p, _ = assert_unchanged(student.forward.keeping(1), X, PARAMS)
    for i in range(4):
        alone, _ = student.forward.keeping(1)(X[i : i + 1], PARAMS)
        assert_close(alone, p[i : i + 1], what=f"p of example {i} alone")


# --- backward


@pytest.mark.question("backward", given=["sigmoid"])
def test_backward(student):
    """The gradients of four examples with three hidden units are right."""
    expected = {
        "W1": np.array([[-0.111674556, 0.141821723, -0.024786966], [0.039087962, 0.252765485, -0.001219254]]),
        "b1": np.array([0.024475471, 0.110709797, -0.007449947]),
        "W2": np.array([[-0.16750437], [-0.038943284], [0.129891607]]),
        "b2": np.array([-0.139348177]),
    }
    _, cache = student.forward.keeping(1)(X, PARAMS)
    gradients = assert_unchanged(student.backward, Y, cache)
    hint = "Start with (p - y) / N and walk back: W2, b2, the hidden units, tanh, W1, b1."
    assert_close(gradients, expected, rtol=1e-6, atol=1e-8, what="the gradients", hint=hint)


# --- mini_batches


@pytest.mark.question("mini_batches")
def test_every_example_once(student):
    """Ten examples in batches of four: 4, 4 and 2, each example once and with its label."""
    x, y = np.arange(20.0).reshape(10, 2), np.arange(10) % 2
    batches = assert_unchanged(student.mini_batches, x, y, 4, 1)
    assert_close([len(batch[1]) for batch in batches], [4, 4, 2], what="the sizes of the batches")
    rows = np.concatenate([batch[0] for batch in batches])
    labels = np.concatenate([batch[1] for batch in batches])
    assert_close(
        rows[np.argsort(rows[:, 0])], x, what="all rows, sorted", hint="No row twice, none left out."
    )
    hint = "Shuffle x and y with the same permutation."
    assert_close(labels, (rows[:, 0] / 2).astype(int) % 2, what="the labels beside the rows", hint=hint)


@pytest.mark.question("mini_batches")
def test_the_seed_decides(student):
    """One seed always gives the same order, another seed another one."""
    x, y = np.arange(30.0).reshape(30, 1), np.zeros(30, dtype=int)
    orders = [
        np.concatenate([batch[0][:, 0] for batch in student.mini_batches(x, y, 7, seed)])
        for seed in (3, 3, 4)
    ]
    assert_close(orders[1], orders[0], what="the order for the same seed")
    if np.array_equal(orders[0], x[:, 0]) or np.array_equal(orders[0], orders[2]):
        fail("The order does not depend on the seed.", hint="Shuffle by a generator made from the seed.")


# --- train


@pytest.mark.question("train", given=NETWORK)
def test_one_step(student):
    """One epoch with one batch of everything is one step against the gradient."""
    _, cache = student.forward.keeping(1)(X, PARAMS)
    gradients = student.backward(Y, cache)
    params, losses = assert_unchanged(student.train, PARAMS, X, Y, 0.5, 1, 4, 0)
    for name, value in PARAMS.items():
        hint = "Subtract learning_rate times the gradient."
        assert_close(params[name], value - 0.5 * gradients[name], what=f"{name} after one step", hint=hint)
    assert_close(len(losses), 1, what="the number of losses")


@pytest.mark.question("train", given=NETWORK)
def test_learns_a_corner(student):
    """Four corners of a square, of which opposite ones belong together, are told apart."""
    x, y = np.array([[1.0, 1.0], [-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0]]), np.array([1, 1, 0, 0])
    start = {
        "W1": np.array([[1.0, 0.8, -0.6, 0.3], [0.9, -0.7, 0.4, -0.2]]),
        "b1": np.array([0.1, -0.2, 0.3, 0.0]),
        "W2": np.array([[0.3], [-0.4], [0.2], [0.1]]),
        "b2": np.zeros(1),
    }
    params, losses = student.train(start, x, y, 0.5, 100, 2, 0)
    assert_close(len(losses), 200, what="the number of losses", hint="One for each mini-batch.")
    assert_learns(losses, to_below=0.1)
    p, _ = student.forward.keeping(1)(x, params)
    assert_close((p > 0.5).astype(int), y, what="the labels after training")
