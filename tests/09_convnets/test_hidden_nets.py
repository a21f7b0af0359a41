"""Initialisation and the two networks.

Scores, losses and gradients are compared at parameters that the grader sets, so that it does not matter in
which order a student draws random numbers.
"""

import numpy as np
import pytest

from autograder.checking import assert_close, assert_learns, fail

# An error in a layer is paid for in that layer's question. kaiming_init is not served: it takes a Generator.
GIVEN = [
    *("conv_forward", "conv_backward", "conv_forward_fast", "conv_backward_fast"),
    *("max_pool_forward", "max_pool_backward", "batchnorm_forward", "batchnorm_backward"),
    *("spatial_batchnorm_forward", "spatial_batchnorm_backward"),
]


def spread(weights):
    """Root mean square of weights whose mean should be 0."""
    return float(np.sqrt(np.mean(np.square(weights))))


def check_spread(weights, expected, what, hint=""):
    """Mean 0 and the expected standard deviation, within six standard errors."""
    weights = np.asarray(weights)
    error = 6 / np.sqrt(2 * weights.size)
    if not abs(spread(weights) - expected) <= error * expected:
        fail(
            f"{what} should have the standard deviation {expected:.4g}.",
            expected=f"{expected:.4g}, give or take {error * expected:.2g}",
            got=f"{spread(weights):.4g}",
            hint=hint,
        )
    if not abs(weights.mean()) <= 6 * expected / np.sqrt(weights.size):
        fail(f"{what} should have the mean 0.", expected="0", got=f"{weights.mean():.4g}", hint=hint)


@pytest.mark.question("kaiming_init", weight=2)
def test_kaiming_filters(student):
    """Filters get the standard deviation sqrt(2 / fan_in), where fan_in is C * HH * WW."""
    for seed, shape in enumerate([(90, 20, 3, 5), (300, 4, 2, 2), (30, 64, 3, 3)]):
        weights = student.kaiming_init(shape, seed)
        assert_close(np.shape(weights), shape, what="the shape of the filters")
        hint = "One output of a convolution adds up C * HH * WW products."
        check_spread(weights, np.sqrt(2 / np.prod(shape[1:])), f"kaiming_init({shape}, {seed})", hint)


@pytest.mark.question("kaiming_init")
def test_kaiming_dense(student):
    """The weights of a fully connected layer get sqrt(2 / D_in)."""
    for seed, shape in enumerate([(400, 50), (40, 300)]):
        weights = student.kaiming_init(shape, seed)
        assert_close(np.shape(weights), shape, what="the shape of the weights")
        hint = "The shape is (D_in, D_out): fan_in comes first."
        check_spread(weights, np.sqrt(2 / shape[0]), f"kaiming_init({shape}, {seed})", hint)


@pytest.mark.question("kaiming_init")
def test_kaiming_seed(student):
    """Equal seeds give equal weights, different seeds different ones, and the weights of a layer differ."""
    first, again = student.kaiming_init((8, 5, 3, 3), 11), student.kaiming_init((8, 5, 3, 3), 11)
    other = student.kaiming_init((8, 5, 3, 3), 12)
    hint = "Draw from rng = np.random.default_rng(rng), and only from it."
    assert_close(again, first, what="the weights of the same seed", hint=hint)
    check_differ(first, other, "Two different seeds give the same weights.", hint)
    check_differ(first[0], first[1], "Two filters of one layer are equal.", hint)


def check_differ(first, second, headline, hint=""):
    """No two entries agree."""
    if np.any(np.asarray(first) == np.asarray(second)):
        fail(headline, hint=hint)


# --- ThreeLayerConvNet: a usual case, and one where C, H, W, F, M and K all differ.
USUAL = {"input_dim": (1, 4, 4), "num_filters": 2, "filter_size": 3, "hidden_dim": 5, "num_classes": 10}
OTHER = {"input_dim": (2, 4, 6), "num_filters": 3, "filter_size": 5, "hidden_dim": 4, "num_classes": 3}


def three_layer_params(rng, sizes):
    """Random parameters of the right shapes, biases included, large enough that every unit matters."""
    (C, H, W), F, size = sizes["input_dim"], sizes["num_filters"], sizes["filter_size"]
    M, K = sizes["hidden_dim"], sizes["num_classes"]
    shapes = {
        "W1": (F, C, size, size),
        "b1": (F,),
        "W2": (F * (H // 2) * (W // 2), M),
        "b2": (M,),
        "W3": (M, K),
        "b3": (K,),
    }
    return {name: rng.normal(scale=0.5, size=shape) for name, shape in shapes.items()}


def batch(rng, sizes, N=3):
    """Random images and labels."""
    return rng.normal(size=(N, *sizes["input_dim"])), rng.integers(sizes["num_classes"], size=N)


def check_net(ours, theirs, params, X, y, what=("loss", "gradients"), hint=""):
    """Loss or gradients of a student's network equal the reference's at the given parameters."""
    ours.params = {name: value.copy() for name, value in params.items()}
    theirs.params = {name: value.copy() for name, value in params.items()}
    loss, grads = ours.loss(X, y)
    expected_loss, expected_grads = theirs.loss(X, y)
    if "loss" in what:
        assert_close(loss, expected_loss, what="the loss", hint=hint)
    if "gradients" in what:
        assert_close(grads, expected_grads, what="grads", hint=hint)


def check_scores(ours, theirs, params, X):
    """Scores of a student's network equal the reference's at the given parameters."""
    ours.params, theirs.params = params, params
    assert_close(ours.loss(X), theirs.loss(X), what="the scores")


@pytest.mark.question("three_layer_convnet")
def test_three_layer_parameters(student, reference):
    """The parameters have the right names and shapes; weights have the given scale, biases are 0."""
    for sizes in (USUAL, {**OTHER, "num_filters": 40, "hidden_dim": 30}):
        net = student.ThreeLayerConvNet(**sizes, weight_scale=0.03, seed=1, dtype="float32")
        expected = reference.ThreeLayerConvNet(**sizes).params
        params = net.params
        shapes = {name: list(np.shape(value)) for name, value in params.items()}
        assert_close(
            shapes, {name: list(value.shape) for name, value in expected.items()}, what="the shapes of params"
        )
        for name, value in params.items():
            assert_close(str(value.dtype), "float32", what=f"the dtype of {name} in a network of float32")
            if name.startswith("b"):
                assert_close(value, np.zeros(value.shape), what=f"{name} at the start")
            else:
                check_spread(value, 0.03, f"{name} at the start", "The standard deviation is weight_scale.")


@pytest.mark.question("three_layer_convnet")
def test_three_layer_seed(student):
    """Equal seeds give equal networks, different seeds different ones."""
    nets = [student.ThreeLayerConvNet(**OTHER, seed=seed).params for seed in (5, 5, 6)]
    assert_close(
        nets[1],
        nets[0],
        what="the parameters of the same seed",
        hint="Draw weights from rng, and only from it.",
    )
    for name in ("W1", "W2", "W3"):
        check_differ(nets[0][name], nets[2][name], f"Two seeds give the same {name}.")


@pytest.mark.question("three_layer_convnet", given=GIVEN)
def test_three_layer_first_loss(student, rng):
    """With small weights the first loss is log K: each of the K classes is equally probable."""
    for sizes in (USUAL, OTHER):
        X, y = batch(rng, sizes, N=4)
        loss, _ = student.ThreeLayerConvNet(**sizes, weight_scale=1e-4).loss(X, y)
        assert_close(
            loss, np.log(sizes["num_classes"]), rtol=1e-3, what="the first loss", hint="Mean over the batch."
        )


@pytest.mark.question("three_layer_convnet", given=GIVEN)
def test_three_layer_scores(student, reference, rng):
    """Without labels, loss returns the scores of each image."""
    for sizes in (USUAL, OTHER):
        nets = student.ThreeLayerConvNet(**sizes), reference.ThreeLayerConvNet(**sizes)
        check_scores(*nets, three_layer_params(rng, sizes), batch(rng, sizes)[0])


@pytest.mark.question("three_layer_convnet", weight=2, given=GIVEN)
def test_three_layer_gradients(student, reference, rng):
    """Without a penalty, loss and all six gradients are right."""
    for sizes in (USUAL, OTHER):
        nets = student.ThreeLayerConvNet(**sizes), reference.ThreeLayerConvNet(**sizes)
        hint = "Backward passes run in the opposite order, each with the cache of its own forward pass."
        check_net(*nets, three_layer_params(rng, sizes), *batch(rng, sizes), hint=hint)


@pytest.mark.question("three_layer_convnet", given=GIVEN)
def test_three_layer_penalty_loss(student, reference, rng):
    """The loss includes 1/2 * reg * (sum of squares of the three W)."""
    nets = student.ThreeLayerConvNet(**OTHER, reg=1.7), reference.ThreeLayerConvNet(**OTHER, reg=1.7)
    hint = "1/2 * reg for W1, W2 and W3, nothing for biases."
    check_net(*nets, three_layer_params(rng, OTHER), *batch(rng, OTHER), ["loss"], hint)


@pytest.mark.question("three_layer_convnet", given=GIVEN)
def test_three_layer_penalty_gradients(student, reference, rng):
    """The gradient of each W includes reg * W; biases have no penalty."""
    nets = student.ThreeLayerConvNet(**OTHER, reg=1.7), reference.ThreeLayerConvNet(**OTHER, reg=1.7)
    hint = "d(1/2 reg W^2)/dW = reg W, for W1, W2 and W3, and nothing for biases."
    check_net(*nets, three_layer_params(rng, OTHER), *batch(rng, OTHER), ["gradients"], hint)


@pytest.mark.question("three_layer_convnet", given=GIVEN)
def test_three_layer_keeps_parameters(student, rng):
    """Computing a loss changes neither the parameters nor the images, and float32 images are accepted."""
    net = student.ThreeLayerConvNet(**OTHER, reg=0.5)
    params = three_layer_params(rng, OTHER)
    X, y = batch(rng, OTHER)
    net.params = params
    (loss, _), after = net.loss(X, y), net.params
    assert_close(
        after, params, rtol=0, atol=0, what="params after loss", hint="Only the training loop changes params."
    )
    single, _ = net.loss(X.astype(np.float32), y)
    assert_close(single, loss, rtol=1e-4, what="the loss for float32 images")


@pytest.mark.question("three_layer_convnet", given=GIVEN)
def test_three_layer_learns(student, rng):
    """Gradient descent on six images takes the loss to a fraction."""
    X, y = rng.normal(size=(6, *OTHER["input_dim"])), np.array([0, 1, 2, 0, 1, 2])
    net = student.ThreeLayerConvNet(**{**OTHER, "num_filters": 6, "hidden_dim": 12}, weight_scale=0.3)
    assert_learns(descend(net, X, y, steps=30, learning_rate=0.15), by_factor=3)


def descend(net, X, y, steps, learning_rate):
    """The losses of plain gradient descent, done by the grader."""
    losses, params = [], net.params
    for _ in range(steps):
        loss, grads = net.loss(X, y)
        losses.append(loss)
        params = {name: value - learning_rate * grads[name] for name, value in params.items()}
        net.params = params
    return losses


# --- DeepConvNet
PLAIN = {
    "input_dim": (2, 4, 6),
    "num_filters": (3, 2),
    "pools": (2,),
    "batchnorm": False,
    "num_classes": 4,
    "weight_scale": 0.3,
}
NORMALISED = {**PLAIN, "batchnorm": True, "num_filters": (3, 2, 4), "pools": (1,)}
SHAPES = [
    PLAIN,
    NORMALISED,
    {**PLAIN, "num_filters": (3,), "pools": (), "filter_size": 1},
    {**PLAIN, "num_filters": (2, 2, 3, 2), "pools": (1, 4), "num_classes": 2, "input_dim": (1, 4, 8)},
    {**NORMALISED, "num_filters": (2, 3), "pools": (1, 2), "filter_size": 5, "num_classes": 10},
]


def deep_nets(student, reference, sizes, **more):
    """The student's network and the reference's."""
    return student.DeepConvNet(**sizes, **more), reference.DeepConvNet(**sizes, **more)


def deep_params(rng, net):
    """Random parameters in the shapes of the reference's network, gamma around 1."""
    return {
        name: rng.normal(scale=0.5, size=value.shape) + name.startswith("gamma")
        for name, value in net.params.items()
    }


@pytest.mark.question("deep_convnet")
def test_deep_parameters(student, reference):
    """The parameters have the right names and shapes at every depth, with and without batch normalisation."""
    for sizes in SHAPES:
        ours, theirs = deep_nets(student, reference, sizes)
        shapes = {name: list(np.shape(value)) for name, value in ours.params.items()}
        expected = {name: list(value.shape) for name, value in theirs.params.items()}
        hint = "The last layer sees channels * height * width of what the last block returns."
        assert_close(shapes, expected, what="the shapes of params", hint=hint)


@pytest.mark.question("deep_convnet")
def test_deep_start(student):
    """At the start weights have the given scale, gamma is 1, beta and biases are 0."""
    wide = {**NORMALISED, "num_filters": (20, 24, 22)}
    params = student.DeepConvNet(**{**wide, "weight_scale": 0.04}, dtype="float32").params
    for name, value in params.items():
        assert_close(str(value.dtype), "float32", what=f"the dtype of {name} in a network of float32")
        if name.startswith("W"):
            check_spread(value, 0.04, f"{name} at the start", "The standard deviation is weight_scale.")
        else:
            start = np.ones(value.shape) if name.startswith("gamma") else np.zeros(value.shape)
            assert_close(value, start, what=f"{name} at the start")


@pytest.mark.question("deep_convnet")
def test_deep_seed(student):
    """Equal seeds give equal networks, different seeds different ones; without a weight_scale too."""
    for scale in (0.1, None):
        sizes = {**PLAIN, "weight_scale": scale}
        nets = [student.DeepConvNet(**sizes, seed=seed).params for seed in (5, 5, 6)]
        assert_close(nets[1], nets[0], what="the parameters of the same seed", hint="Draw weights from rng.")
        for name in ("W1", "W2", "W3"):
            check_differ(nets[0][name], nets[2][name], f"Two seeds give the same {name}.")
        check_differ(nets[0]["W1"][0], nets[0]["W1"][1], "Two filters of one layer are equal.")


@pytest.mark.question("deep_convnet", given=GIVEN)
def test_deep_scores(student, reference, rng):
    """Without labels, loss returns the scores of each image, at every depth."""
    for sizes in (PLAIN, *SHAPES[2:4]):
        nets = deep_nets(student, reference, sizes)
        check_scores(*nets, deep_params(rng, nets[1]), batch(rng, sizes)[0])


@pytest.mark.question("deep_convnet", weight=2, given=GIVEN)
def test_deep_gradients_plain(student, reference, rng):
    """Without batch normalisation, loss and all gradients are right, at every depth."""
    for sizes in (PLAIN, *SHAPES[2:4]):
        nets = deep_nets(student, reference, sizes)
        check_net(*nets, deep_params(rng, nets[1]), *batch(rng, sizes))


@pytest.mark.question("deep_convnet", weight=2, given=GIVEN)
def test_deep_gradients_normalised(student, reference, rng):
    """With batch normalisation between convolution and ReLU, loss and all gradients are right."""
    for sizes in (NORMALISED, SHAPES[4]):
        nets = deep_nets(student, reference, sizes)
        check_net(*nets, deep_params(rng, nets[1]), *batch(rng, sizes))


@pytest.mark.question("deep_convnet", given=GIVEN)
def test_deep_penalty_loss(student, reference, rng):
    """The loss includes 1/2 * reg * (sum of squares of every W, the last layer's too) and nothing else."""
    nets = deep_nets(student, reference, NORMALISED, reg=1.3)
    hint = "1/2 * reg for every W; nothing for biases, gamma and beta."
    check_net(*nets, deep_params(rng, nets[1]), *batch(rng, NORMALISED), ["loss"], hint)


@pytest.mark.question("deep_convnet", given=GIVEN)
def test_deep_penalty_gradients(student, reference, rng):
    """The gradient of every W includes reg * W; biases, gamma and beta have no penalty."""
    nets = deep_nets(student, reference, NORMALISED, reg=1.3)
    hint = "d(1/2 reg W^2)/dW = reg W for every W; nothing for biases, gamma and beta."
    check_net(*nets, deep_params(rng, nets[1]), *batch(rng, NORMALISED), ["gradients"], hint)


@pytest.mark.question("deep_convnet", weight=2, given=GIVEN)
def test_deep_test_mode(student, reference, rng):
    """Each block learns running averages of its own, and without labels it normalises with these."""
    sizes = {**NORMALISED, "num_filters": (3, 3, 3)}  # as wide as each other: mixed up averages would fit
    ours, theirs = deep_nets(student, reference, sizes)
    params = deep_params(rng, theirs)
    ours.params, theirs.params = params, params
    for _ in range(2):
        X, y = batch(rng, sizes, N=4)
        ours.loss(X, y)
        theirs.loss(X, y)
    hint = "self.bn_params[l - 1] belongs to block l and is updated at every step."
    for block, (got, expected) in enumerate(zip(ours.bn_params, theirs.bn_params, strict=True), start=1):
        for name in ("running_mean", "running_var"):
            assert name in got, f"Block {block} has no {name} in self.bn_params after two training steps."
            assert_close(got[name], expected[name], what=f"{name} of block {block}", hint=hint)
    scores = theirs.loss(X)
    hint = (
        "Block l passes self.bn_params[l - 1], the same dictionary at every step, to its batch normalisation."
    )
    assert_close(ours.loss(X), scores, what="the scores after two training steps", hint=hint)
    assert_close(ours.loss(X[:1]), scores[:1], what="the scores of the first image alone", hint=hint)


@pytest.mark.question("deep_convnet", given=GIVEN)
def test_deep_learns(student, rng):
    """Gradient descent on six images takes the loss to a fraction."""
    X, y = rng.normal(size=(6, *NORMALISED["input_dim"])), np.array([0, 1, 2, 3, 0, 1])
    net = student.DeepConvNet(**NORMALISED)
    assert_learns(descend(net, X, y, steps=25, learning_rate=0.2), by_factor=2)
