"""What check("...") runs. Read it: it shows how each function is called. Grading uses further tests.

Numbers are small enough to follow with a pencil, or a few lines of arithmetic.
"""

import numpy as np
import pytest

from autograder.checking import assert_close, assert_gradients

# While grading, these come from the solution in the tests that name them, so that no error costs twice.
BATCHNORM = ["batchnorm_forward", "batchnorm_backward"]
LAYERS = [
    *("conv_forward", "conv_backward", "conv_forward_fast", "conv_backward_fast"),
    *("max_pool_forward", "max_pool_backward", "spatial_batchnorm_forward", "spatial_batchnorm_backward"),
    *BATCHNORM,
]


def array(*rows):
    """Numbers as float64."""
    return np.array(rows, dtype=np.float64)


def check_gradients(functions, arrays, constants, dout, expected, hint=""):
    """The gradients from a backward pass equal the expected ones, {"dx": ...}."""
    forward, backward = functions
    _, cache = forward.keeping(1)(*arrays, *constants)
    gradients = backward(dout, cache)
    if len(expected) == 1:
        gradients = (gradients,)
    assert len(gradients) == len(expected), f"The backward pass should return {', '.join(expected)}."
    for gradient, (name, values) in zip(gradients, expected.items(), strict=True):
        assert_close(gradient, values, atol=1e-8, what=name, hint=hint)


# --- convolution
IMAGE = array([[[1, 2, 0], [0, 1, 3], [2, 1, 1]]])
FILTER = array([[[1, 2], [0, -1]]])


def check_convolution(forward):
    """A 3x3 image and a 2x2 filter; two channels and two filters; the shape of a larger case."""
    out, _ = forward.keeping(1)(IMAGE, FILTER, array(10), {"stride": 1, "pad": 0})
    assert_close(out, array([[[14, 9], [11, 16]]]), what="out", hint="14 = 1*1 + 2*2 + 0*0 - 1*1 + 10")
    out, _ = forward.keeping(1)(IMAGE, FILTER, array(10), {"stride": 2, "pad": 1})
    assert_close(out, array([[[9, 10], [8, 16]]]), what="out for stride 2 and pad 1")

    two_channels = np.concatenate([IMAGE, 100 * IMAGE], axis=1)
    two_filters = np.tile(FILTER, (2, 2, 1, 1))
    out, _ = forward.keeping(1)(two_channels, two_filters, array(0, 1), {"stride": 1, "pad": 0})
    first = 101 * array([4, -1], [1, 6])
    assert_close(out, array([first, first + 1]), what="out of two channels and two filters")

    x, w = np.zeros((2, 3, 7, 10)), np.zeros((4, 3, 3, 2))
    out, _ = forward.keeping(1)(x, w, np.zeros(4), {"stride": 2, "pad": 1})
    hint = "H' = 1 + (H + 2 pad - HH) // stride"
    assert_close(list(np.shape(out)), [2, 4, 4, 6], what="the shape of out", hint=hint)


def check_convolution_gradients(forward, backward):
    """Two filters with padding and stride 1; then a stride of 2 that leaves the last row out."""
    hint = "Each output adds dout * w to its window of dx and dout * window to dw; db sums dout."
    filters = np.concatenate([FILTER, array([[[0, 1], [1, 3]]])])
    dout = (np.arange(1.0, 33) % 7 - 2).reshape(1, 2, 4, 4)
    expected = {
        "dx": array([[[14, 14, 7], [-7, 0, 14], [14, 7, 7]]]),
        "dw": array([[[6, 23], [4, 0]]], [[[0, 10], [19, 15]]]),
        "db": array(13, 17),
    }
    arrays, conv_param = (IMAGE, filters, array(1, -1)), {"stride": 1, "pad": 1}
    check_gradients((forward, backward), arrays, [conv_param], dout, expected, hint)

    x = array(
        [[[1, 2, 0, 4, -1], [0, 1, 3, 2, 5], [2, 1, 1, -2, 0], [3, 0, 1, 1, 2]]],
        [[[2, -1, 1, 0, 3], [1, 2, 0, 0, 1], [0, 3, -2, 1, 1], [4, 1, 2, 0, 1]]],
    )
    w = array([[[1, 2, -1], [0, -1, 3]]])
    dout = array([[[1, 2], [3, -1]]], [[[-2, 4], [5, 1]]])
    expected = {
        "dx": array(
            [[[1, 2, 1, 4, -2], [0, -1, 3, -2, 6], [3, 6, -4, -2, 1], [0, -3, 9, 1, -3]]],
            [[[-2, -4, 6, 8, -4], [0, 2, -6, -4, 12], [5, 10, -4, 2, -1], [0, -5, 15, -1, 3]]],
        ),
        "dw": array([[[4, 33, 2], [34, 5, 29]]]),
        "db": array(13),
    }
    check_gradients((forward, backward), (x, w, array(0)), [{"stride": 2, "pad": 0}], dout, expected, hint)


@pytest.mark.question("conv_forward")
def test_conv_forward(student):
    """A tiny image gives the numbers one finds with a pencil."""
    check_convolution(student.conv_forward)


@pytest.mark.question("conv_backward")
def test_conv_backward(student):
    """The gradients of a tiny image are the numbers one finds with a pencil."""
    check_convolution_gradients(student.conv_forward, student.conv_backward)


@pytest.mark.question("conv_forward_fast")
def test_conv_forward_fast(student):
    """A tiny image gives the numbers one finds with a pencil."""
    check_convolution(student.conv_forward_fast)


@pytest.mark.question("conv_forward_fast")
def test_conv_forward_fast_speed(student, budget):
    """It takes at most a third of the time of a loop over all outputs."""
    arguments = np.ones((4, 3, 16, 16)), np.ones((6, 3, 3, 3)), np.zeros(6), {"stride": 1, "pad": 0}
    out, _ = student.conv_forward_fast.keeping(1)(*arguments)
    assert_close(out, np.full((4, 6, 14, 14), 27.0), what="out where all pixels and weights are 1")

    def loop_over_outputs():
        for _ in range(out.size):
            np.sum(arguments[1][0] * arguments[1][1])

    hint = "Handle all windows in one matrix product."
    budget.assert_faster(
        lambda: student.conv_forward_fast.keeping(1)(*arguments),
        loop_over_outputs,
        3,
        what="conv_forward_fast",
        hint=hint,
    )


@pytest.mark.question("conv_backward_fast")
def test_conv_backward_fast(student):
    """The gradients of a tiny image are the numbers one finds with a pencil."""
    check_convolution_gradients(student.conv_forward_fast, student.conv_backward_fast)


# --- pooling
MAP = array([[[1, 5, 2, 0], [3, -4, -7, 9], [-1, -2, 6, 4], [-3, -8, 7, 8]]])
TWO_BY_TWO = {"pool_height": 2, "pool_width": 2, "stride": 2}
THREE_BY_TWO = {"pool_height": 3, "pool_width": 2, "stride": 1}


@pytest.mark.question("max_pool_forward")
def test_max_pool_forward(student):
    """A tiny image gives the numbers one sees."""
    out, _ = student.max_pool_forward.keeping(1)(MAP, TWO_BY_TWO)
    assert_close(out, array([[[5, 9], [-1, 8]]]), what="out")
    out, _ = student.max_pool_forward.keeping(1)(MAP, THREE_BY_TWO)
    assert_close(out, array([[[5, 6, 9], [3, 7, 9]]]), what="out for windows of 3x2 and stride 1")


@pytest.mark.question("max_pool_backward")
def test_max_pool_backward(student):
    """Each upstream gradient goes to the largest value of its window; where windows overlap they add up."""
    functions = student.max_pool_forward, student.max_pool_backward
    expected = {"dx": array([[[0, 1, 0, 0], [0, 0, 0, 2], [3, 0, 0, 0], [0, 0, 0, 4]]])}
    check_gradients(functions, [MAP], [TWO_BY_TWO], array([[[1, 2], [3, 4]]]), expected)
    expected = {"dx": array([[[0, 1, 0, 0], [4, 0, 0, 9], [0, 0, 2, 0], [0, 0, 5, 0]]])}
    hint = "The 9 wins in two windows: it gets 3 + 6."
    check_gradients(functions, [MAP], [THREE_BY_TWO], array([[[1, 2, 3], [4, 5, 6]]]), expected, hint)


# --- normalisation
def check_normal(forward, x, per, axes, *constants):
    """With gamma 1 and beta 0 out has mean 0 and variance 1 over `axes`; others scale and shift it."""
    plain, _ = forward.keeping(1)(x, np.ones(per), np.zeros(per), *constants)
    assert_close(np.shape(plain), x.shape, what="the shape of out")
    assert_close(plain.mean(axis=axes), np.zeros_like(x.mean(axis=axes)), atol=1e-8, what="the mean of out")
    # var / (var + eps) is a little less than 1
    assert_close(plain.var(axis=axes), np.ones_like(x.mean(axis=axes)), rtol=1e-3, what="the variance of out")
    moved, _ = forward.keeping(1)(x, np.full(per, 3.0), np.full(per, 5.0), *constants)
    assert_close(moved, 3 * plain + 5, what="out for gamma 3 and beta 5")


@pytest.mark.question("batchnorm_forward")
def test_batchnorm_forward(student, rng):
    """In train mode each feature has mean 0 and variance 1 over the batch, before gamma and beta."""
    check_normal(student.batchnorm_forward, rng.normal(3, 4, size=(50, 3)), (3,), 0, {"mode": "train"})


@pytest.mark.question("batchnorm_forward")
def test_batchnorm_forward_running(student):
    """Train mode updates the running averages in bn_param; test mode uses them."""
    x, gamma, beta = array([1, 4], [3, -2], [0, 1], [2, 3]), array(2, -1), array(0.5, 1)
    _, after = student.batchnorm_forward.keeping(1).after(x, gamma, beta, {"mode": "train", "momentum": 0.8})
    bn_param = after[3]
    for name, batch in (("running_mean", array(1.5, 1.5)), ("running_var", array(1.25, 5.25))):
        assert name in bn_param, f'bn_param["{name}"] is not written back.'
        hint = "running = momentum * running + (1 - momentum) * batch, starting from zeros"
        assert_close(bn_param[name], 0.2 * batch, what=name, hint=hint)
    bn_param = {"mode": "test", "eps": 0.5, "running_mean": array(1, 2), "running_var": array(3.5, 8.5)}
    out, _ = student.batchnorm_forward.keeping(1)(x, gamma, beta, bn_param)
    expected = array([0.5, 1 - 2 / 3], [2.5, 1 + 4 / 3], [-0.5, 1 + 1 / 3], [1.5, 1 - 1 / 3])
    assert_close(out, expected, what="out in test mode")


@pytest.mark.question("batchnorm_backward")
def test_batchnorm_backward(student):
    """The gradients of four rows with two features are right."""
    x, gamma, beta = array([1, 4], [3, -2], [0, 1], [2, 3]), array(2, -1), array(0.5, 1)
    expected = {
        "dx": array(
            [0.323969548, 0.489555581],
            [0.539949247, -0.018131688],
            [0.971908645, 0.027197532],
            [-1.83582744, -0.498621425],
        ),
        "dgamma": array(-3.023715784, -6.046918008),
        "dbeta": array(2, 3),
    }
    functions = student.batchnorm_forward, student.batchnorm_backward
    dout = array([1, -2], [0, 3], [2, 1], [-1, 1])
    hint = "x reaches the output directly, through the mean and through the variance."
    check_gradients(functions, (x, gamma, beta), [{"mode": "train", "eps": 0.5}], dout, expected, hint)


@pytest.mark.question("spatial_batchnorm_forward", given=BATCHNORM)
def test_spatial_batchnorm_forward(student, rng):
    """In train mode each channel has mean 0 and variance 1 over batch and positions, before gamma, beta."""
    x = rng.normal(3, 4, size=(3, 4, 5, 2))
    check_normal(student.spatial_batchnorm_forward, x, (4,), (0, 2, 3), {"mode": "train"})


@pytest.mark.question("spatial_batchnorm_backward", given=BATCHNORM)
def test_spatial_batchnorm_backward(student):
    """The gradients of two images with two channels of three pixels are right."""
    x = array([[[1, 4, 2]], [[3, -2, 0]]], [[[0, 1, 5]], [[2, 3, -1]]])
    dout = array([[[1, -2, 0]], [[0, 3, 1]]], [[[2, 1, -1]], [[-1, 1, 2]]])
    expected = {
        "dx": array(
            [[[0.136057731, -1.112472036, -0.280118858]], [[-0.003109236, -0.329579028, 0.186554167]]],
            [[[0.55223432, 0.136057731, 0.568241112]], [[0.702687361, -0.485040833, -0.071512431]]],
        ),
        "dgamma": array(-6.902262048, -5.783179168),
        "dbeta": array(1, 6),
    }
    functions = student.spatial_batchnorm_forward, student.spatial_batchnorm_backward
    arrays, bn_param = (x, array(2, -1), array(0.5, 1)), {"mode": "train", "eps": 0.5}
    check_gradients(functions, arrays, [bn_param], dout, expected)


@pytest.mark.question("layernorm_forward")
def test_layernorm_forward(student, rng):
    """Each row has mean 0 and variance 1 over its features, before gamma and beta."""
    check_normal(student.layernorm_forward, rng.normal(3, 4, size=(3, 50)), (50,), 1, {})


@pytest.mark.question("layernorm_backward")
def test_layernorm_backward(student):
    """The gradients of two rows with three features are right."""
    expected = {
        "dx": array([0.565529053, 0.339317432, -0.904846485], [0.094742734, -0.284228202, 0.189485468]),
        "dgamma": array(1.524306854, -5.546205728, -0.153392998),
        "dbeta": array(3, 1, 1),
    }
    functions = student.layernorm_forward, student.layernorm_backward
    arrays = array([1, 4, 2], [3, -2, 0]), array(2, -1, 0.5), array(0.5, 1, 0)
    hint = "The statistics run over axis 1; dgamma and dbeta sum over axis 0."
    check_gradients(functions, arrays, [{"eps": 0.5}], array([1, -2, 0], [2, 3, 1]), expected, hint)


@pytest.mark.question("groupnorm_forward")
def test_groupnorm_forward(student, rng):
    """Each group of neighbouring channels has mean 0 and variance 1, before gamma and beta."""
    x = rng.normal(3, 4, size=(2, 6, 4, 3)) + np.arange(6)[:, None, None]
    out, _ = student.groupnorm_forward.keeping(1)(x, np.ones((1, 6, 1, 1)), np.zeros((1, 6, 1, 1)), 3, {})
    assert_close(np.shape(out), x.shape, what="the shape of out")
    groups = out.reshape(2, 3, 24)
    assert_close(groups.mean(axis=2), np.zeros((2, 3)), atol=1e-8, what="the mean of each group")
    assert_close(groups.var(axis=2), np.ones((2, 3)), rtol=1e-3, what="the variance of each group")


@pytest.mark.question("groupnorm_backward")
def test_groupnorm_backward(student):
    """The gradients of one image with two groups of two channels are right."""
    x, dout = (
        array([[[1, 4]], [[2, 0]], [[3, -2]], [[0, 1]]]),
        array([[[1, -2]], [[0, 3]], [[2, 1]], [[-1, 1]]]),
    )
    gamma = array(2, -1, 0.5, 1).reshape(1, 4, 1, 1)
    expected = {
        "dx": array(
            [
                [[1.759053276, -1.00719986]],
                [[0.836968898, -1.588822314]],
                [[0.129099445, 0.25819889]],
                [[-0.671317113, 0.284018779]],
            ]
        ),
        "dgamma": array(-3.202469977, -3.202469977, 1.290994449, 0.516397779).reshape(1, 4, 1, 1),
        "dbeta": array(-1, 3, 3, 0).reshape(1, 4, 1, 1),
    }
    functions = student.groupnorm_forward, student.groupnorm_backward
    hint = "dgamma and dbeta keep the shape (1, C, 1, 1)."
    check_gradients(functions, (x, gamma, 0 * gamma), [2, {"eps": 0.5}], dout, expected, hint)


# --- initialisation and networks
@pytest.mark.question("kaiming_init")
def test_kaiming_init(student):
    """Weights have the right shape and the standard deviation sqrt(2 / fan_in), and follow the seed."""
    for shape, fan_in in (((60, 40, 3, 3), 360), ((200, 100), 200)):
        weights = student.kaiming_init(shape, 0)
        assert_close(np.shape(weights), shape, what="the shape of the weights")
        hint = "fan_in is C * HH * WW for filters, D_in for a fully connected layer."
        what = f"the standard deviation for {shape}"
        assert_close(float(np.std(weights)), np.sqrt(2 / fan_in), rtol=0.05, what=what, hint=hint)
        assert_close(student.kaiming_init(shape, 0), weights, what="the weights of the same seed")


def waves(shape, start):
    """Fixed numbers between -0.8 and 0.8, in no obvious order."""
    return 0.8 * np.sin(start + 2.7 * np.arange(np.prod(shape))).reshape(shape)


def check_network(net, X, y, hint=""):
    """Every gradient of a network agrees with finite differences of its own loss.

    Parameters are fixed, so that no ReLU happens to sit at its kink.
    """
    params = {name: waves(np.shape(value), sum(map(ord, name))) for name, value in net.params.items()}
    net.params = params

    def loss(**moved):
        net.params = {**params, **moved}
        return np.array([net.loss(X, y)[0]])

    gradients = net.loss(X, y)[1]
    assert_close(sorted(gradients), sorted(params), what="the names in grads")
    assert_gradients(gradients, loss, params, np.ones(1), rtol=1e-4, atol=1e-6, hint=hint)


@pytest.mark.question("three_layer_convnet", given=LAYERS)
def test_three_layer_convnet_start(student, rng):
    """Without labels there is one score per class; with small weights the first loss is log K."""
    X, y = rng.normal(size=(3, 2, 4, 6)), np.array([0, 3, 4])
    net = student.ThreeLayerConvNet(
        input_dim=(2, 4, 6), num_filters=2, filter_size=3, hidden_dim=4, num_classes=5
    )
    assert_close(np.shape(net.loss(X)), (3, 5), what="the shape of the scores")
    assert_close(net.loss(X, y)[0], np.log(5), rtol=1e-3, what="the first loss")


@pytest.mark.question("three_layer_convnet", given=LAYERS)
def test_three_layer_convnet_gradients(student):
    """Every gradient agrees with finite differences of your own loss, with a penalty."""
    sizes = {"input_dim": (1, 4, 2), "num_filters": 1, "filter_size": 3, "hidden_dim": 2, "num_classes": 3}
    net = student.ThreeLayerConvNet(**sizes, weight_scale=0.5, reg=0.7)
    hint = "Backward passes run in the opposite order; each W has reg * W in its gradient, biases have not."
    check_network(net, waves((2, 1, 4, 2), 1), np.array([0, 2]), hint)


@pytest.mark.question("deep_convnet", given=LAYERS)
def test_deep_convnet_shapes(student, rng):
    """The parameters of two blocks have the right names and shapes, and there is one score per class."""
    sizes = {"input_dim": (3, 4, 8), "num_filters": (5, 6), "pools": (2,), "num_classes": 7}
    net = student.DeepConvNet(**sizes, weight_scale=0.1)
    shapes = {"W1": (5, 3, 3, 3), "b1": (5,), "gamma1": (5,), "beta1": (5,)}
    shapes |= {
        "W2": (6, 5, 3, 3),
        "b2": (6,),
        "gamma2": (6,),
        "beta2": (6,),
        "W3": (6 * 2 * 4, 7),
        "b3": (7,),
    }
    got = {name: np.shape(value) for name, value in net.params.items()}
    assert_close(
        got, shapes, what="the shapes of params", hint="The pool after block 2 halves height and width."
    )
    assert_close(np.shape(net.loss(rng.normal(size=(2, 3, 4, 8)))), (2, 7), what="the shape of the scores")


@pytest.mark.question("deep_convnet", given=LAYERS)
def test_deep_convnet_gradients(student):
    """Every gradient agrees with finite differences of your own loss, with and without batch norm."""
    for batchnorm, num_filters in ((False, (2, 1)), (True, (2,))):
        sizes = {"input_dim": (1, 2, 2), "num_filters": num_filters, "pools": (1,), "num_classes": 2}
        net = student.DeepConvNet(**sizes, batchnorm=batchnorm, weight_scale=0.5, reg=0.7)
        check_network(net, waves((3, 1, 2, 2), 1), np.array([0, 1, 1]))
