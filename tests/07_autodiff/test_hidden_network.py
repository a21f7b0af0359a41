"""The network and its training.

Networks are compared at parameters that the grader sets, so that it does not matter in which order a student
draws random numbers, and training runs on the whole set at once, where the order of the examples is nothing.
"""

from itertools import pairwise

import numpy as np
import pytest

from autograder.checking import StudentError, assert_accuracy, assert_close, assert_learns, disguise, fail

# Served where a test fails: an error in an op is paid for in its own question.
NAMES = ["add", "sub", "mul", "div", "matmul", "sum", "mean", "exp", "log", "relu", "sigmoid", "tanh"]
OPS = [f"{name}_{way}" for name in [*NAMES, "softmax_cross_entropy"] for way in ("forward", "backward")]
OPS += ["unbroadcast"]

ACTIVATIONS = {
    "relu": lambda a: np.maximum(a, 0),
    "sigmoid": lambda a: 1 / (1 + np.exp(-a)),
    "tanh": np.tanh,
}


def parameters_of(net, sizes):
    """The tensors in parameters(), of which there must be two for each layer."""
    parameters = net.parameters()
    count = 2 * (len(sizes) - 1)
    if not isinstance(parameters, list | tuple) or len(parameters) != count:
        what = f"parameters() of a network of sizes {sizes} should return a list of {count} tensors."
        fail(what, hint="W1, b1, W2, b2 and so on, in the order of the layers.", value=parameters)
    return parameters


def shapes_of(sizes):
    """(D, H), (H,), (H, K), (K,) for sizes (D, H, K)."""
    return [shape for D, M in pairwise(sizes) for shape in ((D, M), (M,))]


def draw(rng, sizes):
    """Values for all parameters, biases included."""
    return [rng.normal(scale=0.7, size=shape) for shape in shapes_of(sizes)]


def make(student, sizes, values, activation="relu"):
    """The student's network with the given parameters, and its parameters."""
    net = student.MLP(sizes, activation, seed=0)
    parameters = parameters_of(net, sizes)
    for parameter, value in zip(parameters, values, strict=True):
        assert_close(np.shape(parameter.data), np.shape(value), what="the shape of a parameter")
        parameter.data = value
    return net, parameters


def scores_of(values, x, activation):
    """The network's formula, in NumPy."""
    for layer in range(0, len(values), 2):
        x = x @ values[layer] + values[layer + 1]
        if layer + 2 < len(values):
            x = ACTIVATIONS[activation](x)
    return x


def gradients_of(reference, sizes, values, x, y, activation):
    """The loss, and its gradients for all parameters, by the solution."""
    net = reference.MLP(sizes, activation)
    for parameter, value in zip(net.parameters(), values, strict=True):
        parameter.data = value
    loss = reference.softmax_cross_entropy(net(x), y)
    loss.backward()
    return float(loss.data), [parameter.grad for parameter in net.parameters()]


# Every activation, and every depth; with sizes (3, 4) there is no activation at all.
NETS = [((3, 4), "relu"), ((3, 5, 2), "tanh"), ((2, 3, 3, 3, 3), "sigmoid")]
NETS += [((4, 3, 6, 5), activation) for activation in ACTIVATIONS]


# --- the network


@pytest.mark.question("mlp")
def test_parameters(student):
    """parameters() lists W1, b1, W2, b2 and so on: tensors of the right shapes that require a gradient."""
    for sizes in dict(NETS):
        parameters = parameters_of(student.MLP(sizes), sizes)
        for parameter, shape in zip(parameters, shapes_of(sizes), strict=True):
            what = f"the shape of a parameter of a network of sizes {sizes}"
            assert_close(np.shape(parameter.data), shape, what=what)
            assert_close(parameter.requires_grad, True, what="requires_grad of a parameter")


@pytest.mark.question("mlp")
def test_first_weights(student):
    """Weights start with mean 0 and standard deviation sqrt(2 / D_in), biases at 0."""
    sizes = (300, 200, 400, 100)
    parameters = parameters_of(student.MLP(sizes, "relu", seed=5), sizes)
    for layer, (D, M) in enumerate(pairwise(sizes)):
        W, b = parameters[2 * layer].data, parameters[2 * layer + 1].data
        assert_close(W.shape, (D, M), what=f"the shape of W{layer + 1}")
        what = f"the standard deviation of W{layer + 1}, {D} rows and {M} columns"
        # 20,000 numbers and more: 5 % is ten standard errors
        assert_close(float(W.std()), np.sqrt(2 / D), rtol=0.05, what=what, hint="D_in is the number of rows.")
        assert_close(float(W.mean()), 0.0, atol=6 * np.sqrt(2 / D / W.size), what=f"the mean of W{layer + 1}")
        assert_close(b, np.zeros(M), what=f"b{layer + 1}")


@pytest.mark.question("mlp")
def test_seeds(student):
    """Equal seeds give equal networks, different seeds different ones, and layers are not copies."""
    sizes = (4, 4, 4)
    first, again, other = ([p.data for p in student.MLP(sizes, "tanh", s).parameters()] for s in (3, 3, 4))
    assert_close(again, first, what="the parameters of the same seed", hint="np.random.default_rng(seed)")
    for a, b, what in ((first[0], other[0], "Two seeds give"), (first[0], first[2], "Two layers have")):
        if np.any(np.asarray(a) == np.asarray(b)):
            hint = "One generator, np.random.default_rng(seed), for all layers."
            fail(f"{what} the same weights.", hint=hint)


@pytest.mark.question("mlp", weight=3, given=OPS)
def test_scores(student, rng):
    """The scores are right for every activation, at every depth, also for a single example."""
    for sizes, activation in NETS:
        values = draw(rng, sizes)
        net, _ = make(student, sizes, values, activation)
        for x in (rng.normal(size=(5, sizes[0])), rng.normal(size=(1, sizes[0]))):
            hint = "The activation stands between layers, and not after the last one."
            what = f"the scores of a network of sizes {sizes} with {activation}"
            assert_close(net(x).data, scores_of(values, x, activation), what=what, hint=hint)


@pytest.mark.question("mlp", weight=2, given=OPS)
def test_gradients(student, reference, rng):
    """After backward from the loss, the gradient of every parameter is right."""
    for sizes, activation in NETS:
        values = draw(rng, sizes)
        net, parameters = make(student, sizes, values, activation)
        x, y = rng.normal(size=(6, sizes[0])), rng.integers(sizes[-1], size=6)
        student.softmax_cross_entropy(net(x), y).backward()
        _, expected = gradients_of(reference, sizes, values, x, y, activation)
        for number, (parameter, gradient) in enumerate(zip(parameters, expected, strict=True)):
            name = f"{'Wb'[number % 2]}{number // 2 + 1}"
            what = f"the gradient of {name} in a network of sizes {sizes} with {activation}"
            assert_close(parameter.grad, gradient, what=what)


@pytest.mark.question("mlp", given=OPS)
def test_relu_against_sigmoid(student, rng):
    """Eight hidden layers of ReLUs carry the gradient to the first weights, eight of sigmoids do not."""
    # The gradient of the first weights over that of the last: 0.07 to 3 with ReLU, 1e-5 to 4e-4 with sigmoid
    # (600 seeds).
    sizes = (16, *[32] * 8, 4)
    x, y = rng.normal(size=(50, 16)), rng.integers(4, size=50)
    carried = {}
    for activation in ("relu", "sigmoid"):
        net = student.MLP(sizes, activation, seed=int(rng.integers(1000)))
        parameters = parameters_of(net, sizes)
        student.softmax_cross_entropy(net(x), y).backward()
        first, last = parameters[0].grad, parameters[-2].grad
        assert_close(np.shape(first), (16, 32), what="the shape of the gradient of the first weights")
        assert_close(np.shape(last), (32, 4), what="the shape of the gradient of the last weights")
        carried[activation] = np.linalg.norm(first) / np.linalg.norm(last) * np.sqrt(32 * 4 / (16 * 32))
    got = ", ".join(f"{name} {share:.2g}" for name, share in carried.items())
    if not carried["relu"] > 0.02:
        hint = "Weights of standard deviation sqrt(2 / D_in) keep the gradient's size from layer to layer."
        fail("Too little of the gradient reaches the first weights through ReLUs.", got=got, hint=hint)
    if not carried["sigmoid"] < 0.002:
        hint = "A sigmoid lets at most a quarter through: is it there, between all layers?"
        fail("Too much of the gradient reaches the first weights through sigmoids.", got=got, hint=hint)


# --- training


def losses_of(result):
    """The returned losses as an array, or a failure that says what came instead."""
    numbers = float | np.generic | np.ndarray
    listed = isinstance(result, list | tuple) and all(isinstance(loss, numbers) for loss in result)
    if not listed and not isinstance(result, np.ndarray):
        hint = "float(loss.data), not the tensor: a list of tensors keeps every graph in memory."
        fail("train should return a list of numbers, one loss for each step.", hint=hint, value=result)
    return np.array(result, dtype=float)


def groups(rng, count, sizes):
    """`count` examples in as many groups as there are classes, and their labels in random order."""
    y = rng.permutation(np.arange(count) % sizes[-1])
    return rng.normal(scale=2, size=(sizes[-1], sizes[0]))[y] + rng.normal(size=(count, sizes[0])), y


def linear(student, values):
    """The notebook's linear classifier with the given W and b: an error in MLP costs nothing here."""
    net = student.LinearClassifier(*values[0].shape)
    for parameter, value in zip(net.parameters(), values, strict=True):
        parameter.data = value
    return net


def loss_and_gradients(values, x, y):
    """Mean cross-entropy of a linear classifier, and its gradients."""
    scores = x @ values[0] + values[1]
    p = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    error = (p - np.eye(p.shape[1])[y]) / len(y)
    return -np.log(p[np.arange(len(y)), y]).mean(), [x.T @ error, error.sum(axis=0)]


@pytest.mark.question("train", weight=2, given=OPS)
def test_steps(student, rng):
    """Steps on the whole set: each loss, and the parameters at the end, are those of gradient descent."""
    x, y = groups(rng, 12, (3, 4))
    values = draw(rng, (3, 4))

    for epochs, learning_rate, batch_size in ((1, 0.1, 12), (4, 0.2, 12), (3, 0.05, 100)):
        net = linear(student, values)
        got = losses_of(student.train(net, x, y, epochs, batch_size, learning_rate))
        expected, moved = [], values
        for _ in range(epochs):
            loss, gradients = loss_and_gradients(moved, x, y)
            expected.append(loss)
            moved = [w - learning_rate * g for w, g in zip(moved, gradients, strict=True)]
        hint = "The gradient of the step before must be gone; the loss is the one before the step."
        assert_close(got, np.array(expected), what=f"the losses of {epochs} steps", hint=hint)
        hint = "data - learning_rate * grad, for the tensors that the network holds."
        for parameter, value in zip(net.parameters(), moved, strict=True):
            assert_close(parameter.data, value, what=f"a parameter after {epochs} steps", hint=hint)


def standing_losses(student, x, y, values, **settings):
    """The losses with a learning rate of 0: of each mini-batch, for one and the same network."""
    return losses_of(student.train(linear(student, values), x, y, learning_rate=0.0, **settings))


@pytest.mark.question("train", given=OPS)
def test_every_example_once(student, rng):
    """An epoch uses each example once with its own label; the last step takes those that are left."""
    x, y = groups(rng, 23, (3, 4))
    values = draw(rng, (3, 4))
    loss, _ = loss_and_gradients(values, x, y)

    for batch_size, lengths in ((5, [5, 5, 5, 5, 3]), (22, [22, 1]), (23, [23])):
        losses = standing_losses(student, x, y, values, epochs=3, batch_size=batch_size)
        steps = len(lengths)
        hint = f"23 examples in steps of {batch_size}: {' + '.join(map(str, lengths))} in each epoch."
        assert_close(losses.shape, (3 * steps,), what="the number of losses of three epochs", hint=hint)
        for epoch in losses.reshape(3, steps):
            what = "the mean loss over an epoch, without learning"
            hint = "Permute x and y alike, and leave no example out."
            assert_close(float(np.dot(epoch, lengths)) / 23, loss, what=what, hint=hint)


@pytest.mark.question("train", given=OPS)
def test_shuffled(student, rng):
    """Every epoch goes through the examples in a new random order."""
    x, y = groups(rng, 40, (3, 4))
    values = draw(rng, (3, 4))
    loss, _ = loss_and_gradients(values, x, y)
    batches = [slice(start, start + 4) for start in range(0, 40, 4)]
    in_order = [loss_and_gradients(values, x[batch], y[batch])[0] for batch in batches]

    epochs = standing_losses(student, x, y, values, epochs=3, batch_size=4).reshape(3, 10)
    assert_close(epochs.mean(axis=1), np.full(3, loss), what="the mean loss of each epoch")
    orders = [np.array(in_order), *epochs]
    for i in range(4):
        for j in range(i):
            if np.allclose(np.sort(orders[i]), np.sort(orders[j])):
                which = "the order given" if j == 0 else f"epoch {j}"
                hint = "Draw a new permutation at the beginning of each epoch."
                fail(f"Epoch {i} has the same mini-batches as {which}.", hint=hint)


@pytest.mark.question("train", given=OPS)
def test_training_is_deterministic(student, rng):
    """Equal seeds give equal runs, other seeds others; x and y are not modified."""
    x, y = groups(rng, 30, (3, 4))
    values = draw(rng, (3, 4))

    runs = []
    for seed in (1, 1, 2):
        result, after = student.train.after(linear(student, values), x, y, 2, 7, 0.1, seed)
        runs.append(losses_of(result))
        assert_close(after[1], x, rtol=0, atol=0, what="x after training", hint="Work on a copy.")
        assert_close(after[2], y, rtol=0, atol=0, what="y after training", hint="Work on a copy.")
    assert_close(runs[0].shape, (10,), what="the number of losses")
    assert_close(runs[1], runs[0], what="the losses of a second run", hint="np.random.default_rng(seed)")
    if np.allclose(runs[2], runs[0]):
        fail("Two seeds give the same run.", hint="rng = np.random.default_rng(seed)")


@pytest.mark.question("train", weight=2, given=OPS)
def test_digits_are_learned(student, data, rng):
    """A network trained on handwritten digits recognises at least 85 % of those it has not seen."""
    digits = data("digits")
    x, y, permutation = disguise(digits.x_train, digits.y_train, rng, noise=0.1)
    x_test, y_test, _ = disguise(digits.x_test, digits.y_test, rng, noise=0.1, permutation=permutation)
    x, x_test = x.reshape(len(x), -1), x_test.reshape(len(x_test), -1)

    def check(net):
        losses = losses_of(student.train(net, x, y, epochs=8, batch_size=64, learning_rate=0.3, seed=1))
        assert_learns(losses, by_factor=3)
        # 93.7 % with a standard deviation of 1.8 % over ten seeds, the linear classifier 92 % and more; after
        # one epoch instead of eight at most 73 %, with steps divided by the batch size at most 28 %.
        assert_accuracy(np.argmax(net(x_test).data, axis=1), y_test, 0.85, what="accuracy on unseen digits")

    try:
        check(student.MLP((64, 32, 10), "relu", seed=0))
    except (AssertionError, StudentError):
        # An MLP that does not learn has cost its points: training must work with another network then.
        check(student.LinearClassifier(64, 10))
