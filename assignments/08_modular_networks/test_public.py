"""What check("...") runs: small examples worked by hand, and properties that any right answer has."""

import numpy as np
import pytest

from autograder.checking import (
    assert_close,
    assert_gradients,
    assert_stable,
    assert_unchanged,
    fail,
)

# At grading, a question that builds on these is tested with right ones where yours fail, so that an error is
# not paid for twice.
LAYERS = ["affine_forward", "affine_backward", "relu_forward", "relu_backward"]
STACK = [
    *LAYERS,
    *("affine_relu_forward", "affine_relu_backward", "dropout_forward", "dropout_backward", "softmax_loss"),
]
RULES = ["sgd", "sgd_momentum", "rmsprop", "adam"]


def array(*rows):
    """Floats from nested lists."""
    return np.array(rows, dtype=float)


def pair(result, name, what):
    """The two values that a function should return."""
    if not isinstance(result, tuple | list) or len(result) != 2:
        fail(f"{name} should return two values, {what}.", value=result)
    return result


def first_of(function, *args):
    """`out` of a forward pass; the cache stays where it is."""
    return pair(function.keeping(1)(*args), function.name, "out and cache")[0]


# --- layers
@pytest.mark.question("affine_forward")
def test_affine_forward(student):
    """Two examples with three features give the numbers one finds with a pencil."""
    x, w, b = array([1, 2, 3], [-1, 0, 2]), array([1, 0], [2, -1], [0, 3]), array(10, 20)
    result = assert_unchanged(student.affine_forward.keeping(1), x, w, b)
    out, _ = pair(result, "affine_forward", "out and cache")
    assert_close(out, array([15, 27], [9, 26]), what="out", hint="x w + b, with b added to each row.")


@pytest.mark.question("affine_forward")
def test_affine_forward_images(student):
    """An image is laid out as a row first."""
    x = np.arange(8.0).reshape(2, 2, 2)
    w = np.eye(4)[:, :3]
    out = first_of(student.affine_forward, x, w, np.zeros(3))
    hint = "x.reshape(x.shape[0], ...) makes a row of each example."
    assert_close(out, array([0, 1, 2], [4, 5, 6]), what="out", hint=hint)


def check_gradients(forward, backward, arguments, dout, expected):
    """dx, dw and db of a layer equal the numbers expected."""
    _, cache = pair(forward.keeping(1)(*arguments), forward.name, "out and cache")
    gradients = assert_unchanged(backward, dout, cache)
    if not isinstance(gradients, tuple | list) or len(gradients) != 3:
        fail(f"{backward.name} should return dx, dw, db.", value=gradients)
    for name, got, wanted in zip(("dx", "dw", "db"), gradients, expected, strict=True):
        hint = "Each gradient has the shape of its argument; sum over everything the argument took part in."
        assert_close(got, wanted, what=name, hint=hint)


@pytest.mark.question("affine_backward")
def test_affine_backward(student):
    """The gradients of two examples, as rows and as images, are the numbers one finds with a pencil."""
    w, b, dout = array([1, 0], [2, -1], [0, 3], [-2, 1]), array(10, 20), array([1, 2], [-3, 1])
    dx, dw, db = (
        array([1, 0, 6, 0], [-3, -7, 3, 7]),
        array([4, 1], [2, 4], [-3, 8], [-10, 1]),
        array(-2, 3),
    )
    functions = student.affine_forward, student.affine_backward
    x = array([1, 2, 3, -1], [-1, 0, 2, 3])
    check_gradients(*functions, (x, w, b), dout, (dx, dw, db))
    images = x.reshape(2, 2, 2), w, b
    check_gradients(*functions, images, dout, (dx.reshape(2, 2, 2), dw, db))


@pytest.mark.question("relu_forward")
def test_relu_forward(student):
    """Negative numbers become 0, the others stay, and x is not modified."""
    x = array([-2, 3, 0], [0.5, -0.1, 7])
    out, _ = pair(assert_unchanged(student.relu_forward.keeping(1), x), "relu_forward", "out and cache")
    assert_close(out, array([0, 3, 0], [0.5, 0, 7]), what="out")


@pytest.mark.question("relu_backward")
def test_relu_backward(student):
    """The gradient passes where x was positive."""
    _, cache = pair(
        student.relu_forward.keeping(1)(array([-2, 3], [0.5, -0.1])), "relu_forward", "out and cache"
    )
    dx = assert_unchanged(student.relu_backward, array([10, 20], [-30, 40]), cache)
    assert_close(
        dx, array([0, 20], [-30, 0]), what="dx", hint="What counts is the sign of x, not that of dout."
    )


@pytest.mark.question("affine_relu_forward", given=LAYERS)
def test_affine_relu_forward(student):
    """First affine, then ReLU."""
    x, w, b = array([1, 2], [-1, 0]), array([1, -2], [1, 0.5]), array(0.5, 0.25)
    out = first_of(student.affine_relu_forward, x, w, b)
    assert_close(out, array([3.5, 0], [0, 2.25]), what="out", hint="max(x w + b, 0)")


@pytest.mark.question("affine_relu_backward", given=LAYERS)
def test_affine_relu_backward(student):
    """The gradients of two examples are the numbers one finds with a pencil."""
    x, w, b = array([1, 2], [-1, 0]), array([1, -2], [1, 0.5]), array(0.5, 0.25)
    # x w + b is (3.5, -0.75) and (-0.5, 2.25): the second and the third gradient are cut off
    dout = array([2, 5], [7, -4])
    expected = array([2, 2], [8, -2]), array([2, 4], [4, 0]), array(2, -4)
    check_gradients(student.affine_relu_forward, student.affine_relu_backward, (x, w, b), dout, expected)


# --- losses
def check_loss_gradient(function, x, y):
    """dx agrees with finite differences of the loss."""
    _, dx = pair(function(x, y), function.name, "the loss and dx")

    def loss(x):
        return np.array(function(x, y)[0])

    assert_gradients({"x": dx}, loss, {"x": x}, hint="The mean over the batch: everything is divided by N.")


@pytest.mark.question("svm_loss")
def test_svm_loss(student):
    """Two examples give the loss that one finds with a pencil, a single number."""
    x, y = array([3, 2.5, 1], [0, 4, 1]), np.array([0, 2])
    loss, _ = pair(assert_unchanged(student.svm_loss, x, y), "svm_loss", "the loss and dx")
    # 2.5 - 3 + 1 = 0.5 and 1 - 3 + 1 < 0 in the first row; 0 - 1 + 1 = 0 and 4 - 1 + 1 = 4 in the second
    assert_close(loss, (0.5 + 4) / 2, what="the loss", hint="The right class itself does not count.")


@pytest.mark.question("svm_loss")
def test_svm_loss_gradient(student):
    """The gradient agrees with finite differences of your own loss."""
    x = array([3, 2.5, 1, 2.6], [0.1, 4, 1, 0.7], [-1, 1.5, 0.2, 0.9])
    check_loss_gradient(student.svm_loss, x, np.array([0, 2, 1]))


@pytest.mark.question("softmax_loss")
def test_softmax_loss(student):
    """Known probabilities give the known loss, a single number."""
    x, y = np.log(array([1, 2, 1], [5, 1, 4])), np.array([1, 2])  # p = 1/2 and 4/10
    loss, _ = pair(assert_unchanged(student.softmax_loss, x, y), "softmax_loss", "the loss and dx")
    expected = -(np.log(0.5) + np.log(0.4)) / 2
    assert_close(loss, float(expected), what="the loss", hint="The mean of -log p of the right classes.")


@pytest.mark.question("softmax_loss")
def test_softmax_loss_gradient(student):
    """The gradient agrees with finite differences of your own loss."""
    x = array([3, 2.5, 1, 2.6], [0.1, 4, 1, 0.7], [-1, 1.5, 0.2, 0.9])
    check_loss_gradient(student.softmax_loss, x, np.array([0, 2, 1]))


@pytest.mark.question("softmax_loss")
def test_softmax_loss_large(student):
    """Scores of 1000 do not overflow."""
    loss, dx = pair(
        student.softmax_loss(array([1000, 0], [0, 1000]), np.array([0, 0])), "softmax_loss", "loss, dx"
    )
    hint = "Subtract the largest score of each row before exp."
    assert_stable(loss, 500.0, what="the loss", hint=hint)
    assert_stable(dx, array([0, 0], [-0.5, 0.5]), what="dx", hint=hint)


# --- dropout
@pytest.mark.question("dropout_forward")
def test_dropout_forward(student):
    """In training about a quarter is dropped for p = 0.25, and the rest is divided by 0.75."""
    x = np.linspace(1, 2, 4000).reshape(40, 100)
    out = first_of(student.dropout_forward, x, {"mode": "train", "p": 0.25, "seed": 1})
    assert_close(np.shape(out), x.shape, what="the shape of out")
    hint = "p is the probability of dropping; divide what is kept by 1 - p."
    assert_close(out, np.where(out == 0, 0, x / 0.75), what="out", hint=hint)
    dropped = float(np.mean(out == 0))
    if not 0.2 < dropped < 0.3:
        fail(
            f"{dropped:.1%} of the elements are dropped; about 25 % should be.",
            got=f"{dropped:.1%}",
            hint=hint,
        )


@pytest.mark.question("dropout_forward")
def test_dropout_forward_modes_and_seeds(student):
    """In test mode out is x; equal seeds give equal masks, and without a seed masks differ."""
    x = np.linspace(-1, 2, 200).reshape(10, 20)
    out = first_of(student.dropout_forward, x, {"mode": "test", "p": 0.25})
    assert_close(out, x, what="out in test mode", hint="Inverted dropout has nothing to do at test time.")
    first, again = (
        first_of(student.dropout_forward, x, {"mode": "train", "p": 0.5, "seed": 3}) for _ in "12"
    )
    assert_close(again, first, what="out for the same seed")
    first, other = (first_of(student.dropout_forward, x, {"mode": "train", "p": 0.5}) for _ in "12")
    if np.array_equal(first, other):
        fail("Two calls without a seed drop the same elements.", hint="Draw a new mask in each call.")


@pytest.mark.question("dropout_backward")
def test_dropout_backward(student):
    """The gradient passes the mask of the forward pass, and passes as it is in test mode."""
    x, dout = np.linspace(1, 2, 60).reshape(6, 10), np.linspace(-3, -1, 60).reshape(6, 10)
    for mode in ("train", "test"):
        result = student.dropout_forward.keeping(1)(x, {"mode": mode, "p": 0.3})
        out, cache = pair(result, "dropout_forward", "out and cache")
        dx = assert_unchanged(student.dropout_backward, dout, cache)
        factor = np.where(out == 0, 0, 1 / 0.7) if mode == "train" else np.ones(x.shape)
        # An error in the factor of the forward pass is one of dropout_forward only.
        if mode == "train" and isinstance(dx, np.ndarray) and np.allclose(dx, dout * out / x):
            factor = out / x
        hint = "The same mask as in the forward pass, with the same factor: keep it in the cache."
        assert_close(dx, dout * factor, what=f"dx in {mode} mode", hint=hint)


# --- the network
def waves(shape, start):
    """Fixed numbers between -0.8 and 0.8, in no obvious order."""
    return 0.8 * np.sin(start + 2.7 * np.arange(np.prod(shape))).reshape(shape)


@pytest.mark.question("fully_connected_net", given=STACK)
def test_net_start(student, rng):
    """The parameters have the right names and shapes, and with small weights the first loss is log K."""
    net = student.FullyConnectedNet([5, 4], input_dim=6, num_classes=3, weight_scale=1e-3)
    shapes = {name: np.shape(value) for name, value in net.params.items()}
    expected = {"W1": (6, 5), "b1": (5,), "W2": (5, 4), "b2": (4,), "W3": (4, 3), "b3": (3,)}
    assert_close(shapes, expected, what="the shapes of params")
    X, y = rng.normal(size=(4, 6)), np.array([0, 2, 1, 1])
    assert_close(np.shape(net.loss(X)), (4, 3), what="the shape of the scores")
    loss, _ = pair(net.loss(X, y), "loss", "the loss and the gradients")
    assert_close(loss, float(np.log(3)), rtol=1e-3, what="the first loss")


@pytest.mark.question("fully_connected_net", given=STACK)
def test_net_gradients(student):
    """Every gradient agrees with finite differences of your own loss, with a penalty."""
    net = student.FullyConnectedNet([3, 2], input_dim=4, num_classes=3, reg=0.7, weight_scale=0.5)
    params = {name: waves(np.shape(value), sum(map(ord, name))) for name, value in net.params.items()}
    X, y = waves((3, 4), 1), np.array([0, 2, 1])
    net.params = params

    def loss(**moved):
        net.params = {**params, **moved}
        return np.array(net.loss(X, y)[0])

    _, gradients = pair(net.loss(X, y), "loss", "the loss and the gradients")
    assert_close(sorted(gradients), sorted(params), what="the names in grads")
    hint = "Backward passes run in the opposite order; each W has reg * W in its gradient, biases have not."
    assert_gradients(gradients, loss, params, rtol=1e-4, atol=1e-6, hint=hint)


@pytest.mark.question("fully_connected_net", given=STACK)
def test_net_dropout(student, rng):
    """With dropout two training calls differ, and without labels the scores do not."""
    sizes = {"hidden_dims": [30, 30], "input_dim": 6, "num_classes": 3, "weight_scale": 1.0}
    net = student.FullyConnectedNet(**sizes, dropout=0.5)
    X, y = rng.normal(size=(4, 6)), np.array([0, 2, 1, 1])
    losses = [float(pair(net.loss(X, y), "loss", "the loss and the gradients")[0]) for _ in range(3)]
    if len(set(losses)) == 1:
        fail("Three training calls give the same loss: nothing is dropped.", got=str(losses[0]))
    plain = student.FullyConnectedNet(**sizes)
    plain.params = net.params
    assert_close(net.loss(X), plain.loss(X), what="the scores", hint="Nothing is dropped without labels.")


# --- update rules
def steps(function, w, gradients, config):
    """The parameters after each step, each with the config that the step before returned."""
    path = []
    for dw in gradients:
        w, config = pair(function(w, dw, config), function.name, "next_w and config")
        path.append(w)
    return path


W = array([1, -2], [3, 0.5])
GRADIENTS = [array([4, 0], [-2, 8]), array([4, 2], [1, -8])]


@pytest.mark.question("sgd")
def test_sgd(student):
    """Two steps with a learning rate of 0.5 are right; without a config it is 0.01."""
    first, second = steps(student.sgd, W, GRADIENTS, {"learning_rate": 0.5})
    assert_close(first, array([-1, -2], [4, -3.5]), what="next_w after step 1")
    assert_close(second, array([-3, -3], [3.5, 0.5]), what="next_w after step 2")
    next_w, _ = pair(student.sgd(W, GRADIENTS[0]), "sgd", "next_w and config")
    assert_close(next_w, W - 0.01 * GRADIENTS[0], what="next_w without a config")


@pytest.mark.question("sgd_momentum")
def test_sgd_momentum(student):
    """Two steps are right: the second one goes on with half of the first one."""
    first, second = steps(student.sgd_momentum, W, GRADIENTS, {"learning_rate": 0.5, "momentum": 0.5})
    assert_close(first, array([-1, -2], [4, -3.5]), what="next_w after step 1")
    # the velocity is half of the first, (-1, 0, 0.5, -2), plus the second step, (-2, -1, -0.5, 4)
    hint = "velocity = momentum * velocity - learning_rate * dw, kept in config."
    assert_close(second, array([-4, -3], [4, -1.5]), what="next_w after step 2", hint=hint)


@pytest.mark.question("rmsprop")
def test_rmsprop(student):
    """Two steps are right, and a gradient of 0 gives no NaN."""
    config = {"learning_rate": 0.5, "decay_rate": 0.75}
    first, second = steps(student.rmsprop, W, GRADIENTS, config)
    hint = "cache = 0.75 * cache + 0.25 * dw**2; then learning_rate * dw / (sqrt(cache) + epsilon)."
    # cache after step 1: (4, 0, 1, 16); after step 2: (7, 1, 1, 28)
    assert_close(
        first, array([0, -2], [4, -0.5]), rtol=1e-6, atol=1e-6, what="next_w after step 1", hint=hint
    )
    expected = first - 0.5 * GRADIENTS[1] / np.sqrt(array([7, 1], [1, 28]))
    assert_close(second, expected, rtol=1e-6, atol=1e-6, what="next_w after step 2", hint=hint)


@pytest.mark.question("adam")
def test_adam(student):
    """Two steps are right: the first one has the length of the learning rate in every coordinate."""
    config = {"learning_rate": 0.5, "beta1": 0.5, "beta2": 0.75}
    first, second = steps(student.adam, W, GRADIENTS, config)
    hint = "After the first step m / (1 - beta1) is dw and v / (1 - beta2) is dw**2: t is 1 there."
    assert_close(
        first, array([0.5, -2], [3.5, 0]), rtol=1e-6, atol=1e-6, what="next_w after step 1", hint=hint
    )
    # m = (3, 1, 0, -2) / 0.75 and v = (7, 1, 1, 28) / 0.4375 after step 2
    m, v = array([3, 1], [0, -2]) / 0.75, array([7, 1], [1, 28]) / 0.4375
    expected = first - 0.5 * m / np.sqrt(v)
    assert_close(second, expected, rtol=1e-6, atol=1e-6, what="next_w after step 2", hint=hint)


# --- the Solver
LINE = {"X_train": np.tile([[1.0, -1.0]], (6, 1)), "y_train": np.full(6, 1)}
LINE |= {"X_val": array([1, -1], [-1, 1], [2, 0]), "y_val": np.array([1, 1, 1])}


@pytest.mark.question("solver", given=[*LAYERS, "softmax_loss", *RULES])
def test_solver_steps(student):
    """Six equal examples in batches of two: every step is known, whatever the order."""
    model = student.LinearClassifier(2, 2)
    options = {"optim_config": {"learning_rate": 0.5}, "batch_size": 2, "num_epochs": 2}
    solver = student.Solver(model, LINE, **options)
    solver.train()
    margin, losses = 0.0, []  # the score of class 1 minus that of class 0
    for _ in range(6):
        losses.append(float(np.log1p(np.exp(-margin))))
        margin += 2 * 0.5 * 3 / (1 + np.exp(margin))
    hint = "3 steps per epoch, each with model.loss of a batch and one call of the update rule per parameter."
    assert_close(np.array(solver.loss_history, dtype=float), np.array(losses), what="loss_history", hint=hint)


@pytest.mark.question("solver", given=[*LAYERS, "softmax_loss", *RULES])
def test_solver_accuracy(student):
    """check_accuracy counts every example, also in a last batch that is smaller."""
    model = student.LinearClassifier(2, 3)
    model.params = {"W1": array([1, 0, 0], [0, 1, 0]), "b1": array(0, 0, 0.5)}
    solver = student.Solver(model, LINE)
    X, y = array([2, 0], [0, 2], [0, 0], [3, 1], [1, 3]), np.array([0, 1, 2, 1, 0])
    hint = "The last batch of two holds one example, and it counts as much as the others."
    assert_close(solver.check_accuracy(X, y, batch_size=2), 0.6, what="the accuracy", hint=hint)


@pytest.mark.question("solver", given=[*LAYERS, "softmax_loss", *RULES])
def test_solver_learns(student, rng):
    """Two clouds of points are told apart by Adam, and the best parameters are in the model at the end."""
    X = rng.normal(size=(60, 2)) + np.repeat([[-2.0, -1.0], [2.0, 1.0]], 30, axis=0)
    y = np.repeat([0, 1], 30)
    model = student.LinearClassifier(2, 2)
    data = {"X_train": X[::2], "y_train": y[::2], "X_val": X[1::2], "y_val": y[1::2]}
    config = {"learning_rate": 0.1}
    solver = student.Solver(model, data, update_rule="adam", optim_config=config, batch_size=10, num_epochs=5)
    solver.train()
    assert_close(len(solver.loss_history), 15, what="the number of losses")
    accuracy = float(np.mean(np.argmax(model.loss(X[1::2]), axis=1) == y[1::2]))
    if accuracy < 0.9:
        fail(f"Only {accuracy:.0%} of the validation points are right.", expected="at least 90%")
    assert_close(solver.best_val_acc, accuracy, what="best_val_acc", hint="The highest validation accuracy.")
