"""The fully connected network of any depth.

Scores, losses and gradients are compared at parameters that the grader sets, so that it does not matter in
which order a student draws random numbers. With dropout the masks are read off the student's own gradients,
and everything else must follow from them: it does not matter where the masks come from either.
"""

import numpy as np
import pytest

from autograder.checking import assert_accuracy, assert_close, disguise, fail

# An error in a layer is paid for in that layer's question.
GIVEN = [
    *("affine_forward", "affine_backward", "relu_forward", "relu_backward"),
    *("affine_relu_forward", "affine_relu_backward", "dropout_forward", "dropout_backward", "softmax_loss"),
]
BACKWARD_HINT = "Backward passes run in the opposite order, each with the cache of its own forward pass."

DEEP = {"hidden_dims": [5, 4, 6], "input_dim": 7, "num_classes": 3}
SIZES = [
    DEEP,
    {"hidden_dims": [6], "input_dim": 4, "num_classes": 10},
    {"hidden_dims": [3, 3], "input_dim": 5, "num_classes": 2},
    {"hidden_dims": [], "input_dim": 6, "num_classes": 4},
    {"hidden_dims": [4, 5, 3, 4, 5, 3], "input_dim": 3, "num_classes": 5},
]


def nets(student, reference, sizes, **more):
    """The student's network and the reference's."""
    return student.FullyConnectedNet(**sizes, **more), reference.FullyConnectedNet(**sizes, **more)


def draw_params(rng, net):
    """Random parameters in the shapes of the reference's network, biases included."""
    return {name: rng.normal(scale=0.6, size=value.shape) for name, value in net.params.items()}


def batch(rng, sizes, N=4):
    """Random examples and labels."""
    return rng.normal(size=(N, sizes["input_dim"])), rng.integers(sizes["num_classes"], size=N)


def copied(params):
    """Arrays that nobody else holds."""
    return {name: value.copy() for name, value in params.items()}


def check_spread(weights, expected, what):
    """Mean 0 and the expected standard deviation, within six standard errors."""
    error = 6 / np.sqrt(2 * weights.size)
    root = float(np.sqrt(np.mean(np.square(weights))))
    if not abs(root - expected) <= error * expected:
        fail(
            f"{what} should have the standard deviation {expected:.4g}.",
            expected=f"{expected:.4g}, give or take {error * expected:.2g}",
            got=f"{root:.4g}",
            hint="weight_scale times numbers from a standard normal distribution.",
        )
    if not abs(weights.mean()) <= 6 * expected / np.sqrt(weights.size):
        fail(f"{what} should have the mean 0.", expected="0", got=f"{weights.mean():.4g}")


@pytest.mark.question("fully_connected_net")
def test_net_parameters(student, reference):
    """The parameters have the right names and shapes at every depth, without hidden layers too."""
    for sizes in SIZES:
        ours, theirs = nets(student, reference, sizes)
        shapes = {name: list(np.shape(value)) for name, value in ours.params.items()}
        expected = {name: list(value.shape) for name, value in theirs.params.items()}
        hint = (
            "W1 to WL, where L is the number of hidden layers plus one; each starts where the last one ended."
        )
        assert_close(shapes, expected, what="the shapes of params", hint=hint)


@pytest.mark.question("fully_connected_net")
def test_net_start(student):
    """At the start weights have the given scale and biases are 0; both have the given dtype."""
    sizes = {"hidden_dims": [60, 50], "input_dim": 70, "num_classes": 40}
    for scale, dtype in ((0.04, "float32"), (0.5, "float64")):
        params = student.FullyConnectedNet(**sizes, weight_scale=scale, dtype=dtype).params
        assert_close(sorted(params), ["W1", "W2", "W3", "b1", "b2", "b3"], what="the names in params")
        for name, value in params.items():
            assert_close(str(value.dtype), dtype, what=f"the dtype of {name} in a network of {dtype}")
            if name.startswith("b"):
                assert_close(value, np.zeros(value.shape), what=f"{name} at the start")
            else:
                check_spread(value, scale, f"{name} at the start")


@pytest.mark.question("fully_connected_net")
def test_net_seed(student):
    """Equal seeds give equal networks, different seeds different ones, and no two layers are equal."""
    sizes = {"hidden_dims": [8, 8], "input_dim": 8, "num_classes": 8}
    first, again, other = (student.FullyConnectedNet(**sizes, seed=seed).params for seed in (5, 5, 6))
    hint = "Draw weights from rng, and only from it."
    assert_close(again, first, what="the parameters of the same seed", hint=hint)
    for name in ("W1", "W2", "W3"):
        if np.any(first[name] == other[name]):
            fail(f"Two seeds give the same {name}.", hint=hint)
    if np.any(first["W1"] == first["W2"]) or np.any(first["W2"] == first["W3"]):
        fail("Two layers start with the same weights.", hint=hint)


@pytest.mark.question("fully_connected_net", given=GIVEN)
def test_net_first_loss(student, rng):
    """With small weights the first loss is log K: each of the K classes is equally probable."""
    for sizes in SIZES:
        loss, _ = student.FullyConnectedNet(**sizes, weight_scale=1e-5).loss(*batch(rng, sizes))
        hint = "The mean over the batch, as softmax_loss returns it."
        assert_close(loss, float(np.log(sizes["num_classes"])), rtol=1e-3, what="the first loss", hint=hint)


@pytest.mark.question("fully_connected_net", given=GIVEN)
def test_net_scores(student, reference, rng):
    """Without labels, loss returns the scores, for examples of any shape and at every depth."""
    for sizes in SIZES:
        ours, theirs = nets(student, reference, sizes)
        ours.params = theirs.params = draw_params(rng, theirs)
        X, _ = batch(rng, sizes)
        hint = "ReLU after each hidden layer; the last layer has none."
        assert_close(ours.loss(X), theirs.loss(X), what="the scores", hint=hint)
    sizes = {"hidden_dims": [4], "input_dim": 12, "num_classes": 3}
    ours, theirs = nets(student, reference, sizes)
    ours.params = theirs.params = draw_params(rng, theirs)
    X = rng.normal(size=(3, 2, 3, 2))
    assert_close(ours.loss(X), theirs.loss(X), what="the scores of images")


@pytest.mark.question("fully_connected_net", weight=3, given=GIVEN)
def test_net_gradients(student, reference, rng):
    """Without a penalty, the loss and every gradient are right, at every depth."""
    for sizes in SIZES:
        ours, theirs = nets(student, reference, sizes)
        params, (X, y) = draw_params(rng, theirs), batch(rng, sizes)
        ours.params, theirs.params = copied(params), copied(params)
        loss, grads = ours.loss(X, y)
        expected_loss, expected_grads = theirs.loss(X, y)
        assert_close(loss, expected_loss, what="the loss", hint="The mean cross-entropy of the scores.")
        assert_close(grads, expected_grads, what="grads", hint=BACKWARD_HINT)


@pytest.mark.question("fully_connected_net", given=GIVEN)
def test_net_penalty_loss(student, reference, rng):
    """The loss includes 1/2 * reg * (sum of squares of every W, the last one's too), and nothing else."""
    for sizes in SIZES[:2]:
        ours, theirs = nets(student, reference, sizes, reg=1.7)
        params, (X, y) = draw_params(rng, theirs), batch(rng, sizes)
        ours.params, theirs.params = copied(params), copied(params)
        hint = "1/2 * reg for W1 to WL, nothing for biases."
        assert_close(ours.loss(X, y)[0], theirs.loss(X, y)[0], what="the loss with a penalty", hint=hint)


@pytest.mark.question("fully_connected_net", weight=2, given=GIVEN)
def test_net_penalty_gradients(student, reference, rng):
    """The gradient of every W includes reg * W; biases have no penalty."""
    for sizes in SIZES[:2]:
        ours, theirs = nets(student, reference, sizes, reg=1.7)
        params, (X, y) = draw_params(rng, theirs), batch(rng, sizes)
        ours.params, theirs.params = copied(params), copied(params)
        hint = "d(1/2 reg W^2)/dW = reg W, for W1 to WL, and nothing for biases."
        assert_close(ours.loss(X, y)[1], theirs.loss(X, y)[1], what="grads", hint=hint)


@pytest.mark.question("fully_connected_net", given=GIVEN)
def test_net_keeps_parameters(student, reference, rng):
    """Computing a loss does not change the parameters, and a second call gives the same."""
    ours, theirs = nets(student, reference, DEEP, reg=0.5)
    params, (X, y) = draw_params(rng, theirs), batch(rng, DEEP)
    ours.params, theirs.params = copied(params), copied(params)
    expected = theirs.loss(X, y)
    for what in ("the first call", "the second call"):
        loss, grads = ours.loss(X, y)
        assert_close(loss, expected[0], what=f"the loss of {what}")
        assert_close(grads, expected[1], what=f"grads of {what}")
        hint = "Only the training loop changes parameters."
        assert_close(ours.params, params, rtol=0, atol=0, what=f"params after {what}", hint=hint)


@pytest.mark.question("fully_connected_net", given=GIVEN)
def test_net_float32(student, reference, rng):
    """A network of float32 computes in float32: loss and gradients are right to single precision."""
    ours = student.FullyConnectedNet(**DEEP, reg=0.5, dtype="float32")
    theirs = reference.FullyConnectedNet(**DEEP, reg=0.5)
    params, (X, y) = draw_params(rng, theirs), batch(rng, DEEP)
    ours.params = {name: value.astype(np.float32) for name, value in params.items()}
    theirs.params = params
    loss, grads = ours.loss(X, y)
    expected_loss, expected_grads = theirs.loss(X, y)
    assert_close(loss, expected_loss, rtol=1e-4, what="the loss in float32")
    assert_close(grads, expected_grads, rtol=1e-3, atol=1e-4, what="grads in float32")
    for name, gradient in grads.items():
        assert_close(str(gradient.dtype), "float32", what=f"the dtype of the gradient of {name}")


# --- dropout: a batch of one, so that the gradient of b is the gradient of the layer's output.
WIDE = {"hidden_dims": [20, 24, 20], "input_dim": 6, "num_classes": 4}


def draw_active(rng, net):
    """Parameters at which every hidden unit is active: whatever is 0 has been dropped."""
    params = {}
    for name, value in net.params.items():
        params[name] = rng.uniform(0.005, 0.03, size=value.shape) * rng.choice([-1, 1], size=value.shape)
        if name.startswith("b"):
            params[name] = params[name] + 3.0
    last = f"W{net.num_layers}"
    params[last] = rng.normal(size=params[last].shape)
    return params


def read_masks(params, grads, x):
    """The factor that each output of each hidden layer was multiplied by, from the gradients of one example.

    With one example dW = out^T db, where out is what the layer below has returned after its dropout.
    """
    depth = len(params) // 2
    out, masks = x.reshape(-1), []
    for layer in range(1, depth):
        hidden = np.maximum(out @ params[f"W{layer}"] + params[f"b{layer}"], 0)
        above = np.asarray(grads[f"b{layer + 1}"])
        unit = int(np.argmax(np.abs(above)))
        if not above[unit]:
            fail(f"The gradient of b{layer + 1} is 0.", hint=BACKWARD_HINT)
        out = np.asarray(grads[f"W{layer + 1}"])[:, unit] / above[unit]
        masks.append(out / hidden)
    return masks


def with_masks(params, masks, x, y):
    """Loss and gradients of one example, given the masks."""
    depth = len(params) // 2
    outs, hiddens = [x.reshape(-1)], []
    for layer, mask in enumerate(masks, start=1):
        hiddens.append(np.maximum(outs[-1] @ params[f"W{layer}"] + params[f"b{layer}"], 0))
        outs.append(hiddens[-1] * mask)
    scores = outs[-1] @ params[f"W{depth}"] + params[f"b{depth}"]
    p = np.exp(scores - scores.max())
    p /= p.sum()
    loss, d, grads = -np.log(p[y]), p - np.eye(len(p))[y], {}
    for layer in range(depth, 0, -1):
        grads[f"W{layer}"], grads[f"b{layer}"] = np.outer(outs[layer - 1], d), d
        if layer > 1:
            d = params[f"W{layer}"] @ d * masks[layer - 2] * (hiddens[layer - 2] > 0)
    return float(loss), grads


def check_grads(grads, params):
    """A dict of arrays with the names and shapes of params; the masks are read from it."""
    expected = {name: list(value.shape) for name, value in params.items()}
    got = {name: list(np.shape(value)) for name, value in grads.items()} if isinstance(grads, dict) else grads
    assert_close(got, expected, what="the shapes of grads")


def check_dropout(net, params, X, y, p):
    """One training call: each hidden output is dropped or scaled, and all else follows from these masks."""
    loss, grads = net.loss(X, y)
    check_grads(grads, params)
    masks = read_masks(params, grads, X[0])
    for layer, mask in enumerate(masks, start=1):
        expected = np.where(np.abs(mask) < 1e-9, 0.0, 1 / (1 - p))
        hint = "ReLU, then dropout, after each hidden layer, with the rate that was given."
        assert_close(mask, expected, what=f"the mask of hidden layer {layer}", hint=hint)
    if all(mask.all() for mask in masks):
        fail("Nothing is dropped in training.", hint="Call dropout_forward after each hidden layer.")
    expected_loss, expected_grads = with_masks(params, masks, X[0], int(y[0]))
    assert_close(loss, expected_loss, what="the loss with dropout", hint="No dropout after the last layer.")
    assert_close(grads, expected_grads, what="grads with dropout", hint=BACKWARD_HINT)


@pytest.mark.question("fully_connected_net", weight=2, given=GIVEN)
def test_net_dropout(student, reference, rng):
    """In training every hidden layer drops outputs after its ReLU, and the gradients pass the same masks."""
    for seed, (p, sizes) in enumerate([(0.25, WIDE), (0.6, {**WIDE, "hidden_dims": [30]})]):
        ours, theirs = nets(student, reference, sizes, dropout=p)
        params, (X, y) = draw_active(rng, theirs), batch(rng, sizes, N=1)
        ours.params = copied(params)
        ours.dropout_param = {**ours.dropout_param, "seed": seed}
        check_dropout(ours, params, X, y, p)


@pytest.mark.question("fully_connected_net", given=GIVEN)
def test_net_dropout_masks_apart(student, reference, rng):
    """Each hidden layer has a mask of its own, and its gradient passes that one."""
    sizes = {**WIDE, "hidden_dims": [25, 25, 25]}
    ours, theirs = nets(student, reference, sizes, dropout=0.4)
    params, (X, y) = draw_active(rng, theirs), batch(rng, sizes, N=1)
    ours.params = copied(params)
    check_dropout(ours, params, X, y, 0.4)
    masks = read_masks(params, ours.loss(X, y)[1], X[0])
    if len(np.unique(np.array(masks) == 0, axis=0)) < 3:
        fail("Two hidden layers have the same mask.", hint="Call dropout_forward for each hidden layer.")


@pytest.mark.question("fully_connected_net", given=GIVEN)
def test_net_dropout_rate(student, reference, rng):
    """Each training call drops other outputs, and as many as asked for; dropout=0 drops none."""
    for p in (0.3, 0.0):
        sizes = {**WIDE, "hidden_dims": [40, 40]}
        ours, theirs = nets(student, reference, sizes, dropout=p)
        params = draw_active(rng, theirs)
        X, y = batch(rng, sizes, N=1)
        ours.params = copied(params)
        dropped = []
        for _ in range(25 if p else 1):
            _, grads = ours.loss(X, y)
            check_grads(grads, params)
            dropped.append(np.concatenate(read_masks(params, grads, X[0])) == 0)
        share, bound = float(np.mean(dropped)), 6 * np.sqrt(p * (1 - p) / np.size(dropped))
        if not abs(share - p) <= bound:
            fail(
                f"With dropout={p} the network drops {share:.1%} of its hidden outputs.",
                expected=f"{p:.0%}, give or take {bound:.1%}",
                got=f"{share:.1%} of {np.size(dropped)}",
                hint="dropout is the probability of dropping.",
            )
        if p and len(np.unique(dropped, axis=0)) < len(dropped):
            fail("Two training calls drop the same outputs.", hint="Each call needs new masks.")


@pytest.mark.question("fully_connected_net", given=GIVEN)
def test_net_dropout_test_mode(student, reference, rng):
    """Without labels nothing is dropped, also after a training call."""
    ours, theirs = nets(student, reference, DEEP, dropout=0.5)
    ours.params = theirs.params = draw_params(rng, theirs)
    ours.dropout_param = {**ours.dropout_param, "seed": 4}
    X, y = batch(rng, DEEP)
    hint = "Without labels the network is used, not trained: test mode."
    assert_close(ours.loss(X), theirs.loss(X), what="the scores", hint=hint)
    ours.loss(X, y)
    assert_close(ours.loss(X), theirs.loss(X), what="the scores after a training call", hint=hint)


@pytest.mark.question("fully_connected_net", weight=2, given=GIVEN)
def test_net_overfits_fifty(student, reference, rng, data):
    """Trained by the grader's Adam, the network learns fifty digits by heart."""
    digits = data("digits")
    some = rng.permutation(len(digits.x_train))[:50]
    images, labels, _ = disguise(digits.x_train[some], digits.y_train[some], rng, noise=0.1)
    X = (images - images.mean(axis=0)).reshape(50, -1)
    net = student.FullyConnectedNet([40, 30], 64, 10, weight_scale=0.15, seed=int(rng.integers(1000)))
    params, configs = dict(net.params), {}
    for _ in range(60):
        _, grads = net.loss(X, labels)
        for name in params:
            config = configs.get(name, {"learning_rate": 1e-2})
            params[name], configs[name] = reference.adam(params[name], grads[name], config)
        net.params = params
    # The reference has them all after 25 steps at the latest, over 20 seeds.
    assert_accuracy(np.argmax(net.loss(X), axis=1), labels, 1.0, what="accuracy on the fifty digits")
