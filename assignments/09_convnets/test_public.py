"""What check("...") runs. Read it: it shows how each function is called. Grading uses further tests."""

import numpy as np
import pytest

from autograder.checking import assert_close, assert_gradients


def check_gradients(forward, backward, arrays, constants, upstream, hint=""):
    """The gradients from `backward` agree with finite differences of your own `forward`."""
    _, cache = forward.keeping(1)(*arrays.values(), *constants)
    gradients = backward(upstream, cache)
    if len(arrays) == 1:
        gradients = (gradients,)
    assert len(gradients) == len(arrays), (
        f"The backward pass returns one gradient for each of {', '.join(arrays)}."
    )

    def of(**moved):
        return forward.keeping(1)(*moved.values(), *constants)[0]

    assert_gradients(dict(zip(arrays, gradients, strict=True)), of, arrays, upstream, hint=hint)


# --- convolution
TINY_IMAGE = np.array([[[[1.0, 2.0, 0.0], [0.0, 1.0, 3.0], [2.0, 1.0, 1.0]]]])
TINY_FILTER = np.array([[[[1.0, 2.0], [0.0, -1.0]]]])


def check_convolution(forward):
    """A 3x3 image and a 2x2 filter, small enough to follow with a pencil; then the shape of a larger case."""
    out, _ = forward.keeping(1)(TINY_IMAGE, TINY_FILTER, np.array([10.0]), {"stride": 1, "pad": 0})
    assert_close(
        out, np.array([[[[14.0, 9.0], [11.0, 16.0]]]]), what="out", hint="14 = 1*1 + 2*2 + 0*0 - 1*1 + 10"
    )
    out, _ = forward.keeping(1)(TINY_IMAGE, TINY_FILTER, np.array([10.0]), {"stride": 2, "pad": 1})
    assert_close(out, np.array([[[[9.0, 10.0], [8.0, 16.0]]]]), what="out for stride 2 and pad 1")
    two_channels = np.concatenate([TINY_IMAGE, 100 * TINY_IMAGE], axis=1)
    filters = np.concatenate([np.concatenate([TINY_FILTER, TINY_FILTER], axis=1)] * 2)
    out, _ = forward.keeping(1)(two_channels, filters, np.array([0.0, 1.0]), {"stride": 1, "pad": 0})
    expected = 101 * np.array([[4.0, -1.0], [1.0, 6.0]])
    assert_close(out, np.array([[expected, expected + 1]]), what="out of two channels and two filters")
    x, w = np.zeros((2, 3, 7, 10)), np.zeros((4, 3, 3, 2))
    out, _ = forward.keeping(1)(x, w, np.zeros(4), {"stride": 2, "pad": 1})
    assert_close(
        list(np.shape(out)), [2, 4, 4, 6], what="the shape of out", hint="H' = 1 + (H + 2 pad - HH) // stride"
    )


def check_convolution_gradients(forward, backward, rng, cases):
    """dx, dw and db against finite differences."""
    for x_shape, w_shape, conv_param, out_shape in cases:
        arrays = {
            "x": rng.normal(size=x_shape),
            "w": rng.normal(size=w_shape),
            "b": rng.normal(size=w_shape[0]),
        }
        hint = "Each output adds dout * w to its window of dx and dout * window to dw; db sums dout."
        check_gradients(forward, backward, arrays, [conv_param], rng.normal(size=out_shape), hint)


CONVOLUTIONS = [
    ((2, 1, 4, 3), (2, 1, 3, 3), {"stride": 1, "pad": 1}, (2, 2, 4, 3)),
    ((1, 2, 5, 4), (1, 2, 2, 2), {"stride": 2, "pad": 0}, (1, 1, 2, 2)),
]


@pytest.mark.question("conv_forward")
def test_conv_forward(student):
    """A tiny image gives the numbers one finds with a pencil."""
    check_convolution(student.conv_forward)


@pytest.mark.question("conv_backward")
def test_conv_backward(student, rng):
    """dx, dw and db agree with finite differences of your conv_forward."""
    check_convolution_gradients(student.conv_forward, student.conv_backward, rng, CONVOLUTIONS)


@pytest.mark.question("conv_forward_fast")
def test_conv_forward_fast(student):
    """A tiny image gives the numbers one finds with a pencil."""
    check_convolution(student.conv_forward_fast)


@pytest.mark.question("conv_forward_fast")
def test_conv_forward_fast_equals_loops(student, rng, budget):
    """The result equals that of your conv_forward, in a third of its time or less."""
    arguments = (
        rng.normal(size=(4, 3, 12, 12)),
        rng.normal(size=(4, 3, 3, 3)),
        rng.normal(size=4),
        {"stride": 1, "pad": 1},
    )
    expected, _ = student.conv_forward.keeping(1)(*arguments)
    out, _ = student.conv_forward_fast.keeping(1)(*arguments)
    assert_close(out, expected, what="out")
    slow = budget.seconds(student.conv_forward.keeping(1), *arguments, repeat=1)
    fast = budget.seconds(student.conv_forward_fast.keeping(1), *arguments)
    budget.assert_faster(
        fast, slow, 3, what="conv_forward_fast", hint="Handle all windows in one matrix product."
    )


@pytest.mark.question("conv_backward_fast")
def test_conv_backward_fast(student, rng):
    """dx, dw and db agree with finite differences of your conv_forward_fast."""
    check_convolution_gradients(student.conv_forward_fast, student.conv_backward_fast, rng, CONVOLUTIONS)


# --- pooling
@pytest.mark.question("max_pool_forward")
def test_max_pool_forward(student):
    """A tiny image gives the numbers one finds with a pencil."""
    x = np.array(
        [[[[1.0, 5.0, 2.0, 0.0], [3.0, -4.0, -7.0, 9.0], [-1.0, -2.0, 6.0, 4.0], [-3.0, -8.0, 7.0, 8.0]]]]
    )
    two_by_two = {"pool_height": 2, "pool_width": 2, "stride": 2}
    out, _ = student.max_pool_forward.keeping(1)(x, two_by_two)
    assert_close(out, np.array([[[[5.0, 9.0], [-1.0, 8.0]]]]), what="out")
    out, _ = student.max_pool_forward.keeping(1)(x, {"pool_height": 3, "pool_width": 2, "stride": 1})
    expected = np.array([[[[5.0, 6.0, 9.0], [3.0, 7.0, 9.0]]]])
    assert_close(out, expected, what="out for windows of 3x2 and stride 1")


@pytest.mark.question("max_pool_backward")
def test_max_pool_backward(student, rng):
    """dx agrees with finite differences of your max_pool_forward."""
    x = rng.permutation(2 * 30).reshape(1, 2, 6, 5) / 10  # no two values tie
    for pool_param, shape in (
        ({"pool_height": 2, "pool_width": 2, "stride": 2}, (1, 2, 3, 2)),
        ({"pool_height": 3, "pool_width": 2, "stride": 1}, (1, 2, 4, 4)),
    ):
        hint = "Each upstream gradient goes to the largest value of its window; add where windows overlap."
        functions = student.max_pool_forward, student.max_pool_backward
        check_gradients(*functions, {"x": x}, [pool_param], rng.normal(size=shape), hint)


# --- normalisation
def draw(rng, shape, per=None):
    """Random x, gamma and beta; `per` is the shape of gamma and beta."""
    per = (shape[1],) if per is None else per
    return {
        "x": rng.normal(1, 2, size=shape),
        "gamma": rng.uniform(0.5, 2, size=per),
        "beta": rng.normal(size=per),
    }


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
def test_batchnorm_forward_running(student, rng):
    """Train mode updates the running averages in bn_param; test mode uses them."""
    x, gamma, beta = draw(rng, (8, 2)).values()
    _, after = student.batchnorm_forward.keeping(1).after(x, gamma, beta, {"mode": "train", "momentum": 0.8})
    bn_param = after[3]
    for name, batch in (("running_mean", x.mean(axis=0)), ("running_var", x.var(axis=0))):
        assert name in bn_param, f'bn_param["{name}"] is not written back.'
        hint = "running = momentum * running + (1 - momentum) * batch, starting from zeros"
        assert_close(bn_param[name], 0.2 * batch, what=name, hint=hint)
    out, _ = student.batchnorm_forward.keeping(1)(x, gamma, beta, {**bn_param, "mode": "test"})
    expected = gamma * (x - 0.2 * x.mean(axis=0)) / np.sqrt(0.2 * x.var(axis=0) + 1e-5) + beta
    assert_close(out, expected, what="out in test mode")


@pytest.mark.question("batchnorm_backward")
def test_batchnorm_backward(student, rng):
    """dx, dgamma and dbeta agree with finite differences of your batchnorm_forward."""
    functions = student.batchnorm_forward, student.batchnorm_backward
    hint = "x reaches the output directly, through the mean and through the variance."
    check_gradients(*functions, draw(rng, (5, 3)), [{"mode": "train"}], rng.normal(size=(5, 3)), hint)


@pytest.mark.question("spatial_batchnorm_forward")
def test_spatial_batchnorm_forward(student, rng):
    """In train mode each channel has mean 0 and variance 1 over batch and positions, before gamma, beta."""
    x = rng.normal(3, 4, size=(3, 4, 5, 2))
    check_normal(student.spatial_batchnorm_forward, x, (4,), (0, 2, 3), {"mode": "train"})


@pytest.mark.question("spatial_batchnorm_backward")
def test_spatial_batchnorm_backward(student, rng):
    """dx, dgamma and dbeta agree with finite differences of your spatial_batchnorm_forward."""
    functions = student.spatial_batchnorm_forward, student.spatial_batchnorm_backward
    check_gradients(*functions, draw(rng, (2, 3, 2, 3)), [{"mode": "train"}], rng.normal(size=(2, 3, 2, 3)))


@pytest.mark.question("layernorm_forward")
def test_layernorm_forward(student, rng):
    """Each row has mean 0 and variance 1 over its features, before gamma and beta."""
    check_normal(student.layernorm_forward, rng.normal(3, 4, size=(3, 50)), (50,), 1, {})


@pytest.mark.question("layernorm_backward")
def test_layernorm_backward(student, rng):
    """dx, dgamma and dbeta agree with finite differences of your layernorm_forward."""
    functions = student.layernorm_forward, student.layernorm_backward
    hint = "The statistics run over axis 1; dgamma and dbeta sum over axis 0."
    check_gradients(*functions, draw(rng, (4, 5)), [{}], rng.normal(size=(4, 5)), hint)


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
def test_groupnorm_backward(student, rng):
    """dx, dgamma and dbeta agree with finite differences of your groupnorm_forward."""
    functions = student.groupnorm_forward, student.groupnorm_backward
    arrays, upstream = draw(rng, (2, 4, 2, 2), per=(1, 4, 1, 1)), rng.normal(size=(2, 4, 2, 2))
    check_gradients(*functions, arrays, [2, {}], upstream, "dgamma and dbeta keep the shape (1, C, 1, 1).")


# --- initialisation and networks
@pytest.mark.question("kaiming_init")
def test_kaiming_init(student):
    """Weights have the right shape and the standard deviation sqrt(2 / fan_in), and follow the seed."""
    for shape, fan_in in (((60, 40, 3, 3), 360), ((200, 100), 200)):
        weights = student.kaiming_init(shape, 0)
        assert_close(np.shape(weights), shape, what="the shape of the weights")
        hint = "fan_in is C * HH * WW for filters, D_in for a fully connected layer."
        assert_close(
            float(np.std(weights)), np.sqrt(2 / fan_in), rtol=0.05, what=f"the spread for {shape}", hint=hint
        )
        assert_close(student.kaiming_init(shape, 0), weights, what="the weights of the same seed")


def check_network(net, X, y, hint=""):
    """Every gradient of a network agrees with finite differences of its own loss."""
    params = net.params

    def loss(**moved):
        net.params = {**params, **moved}
        return np.array([net.loss(X, y)[0]])

    gradients = net.loss(X, y)[1]
    assert_close(sorted(gradients), sorted(params), what="the names in grads")
    assert_gradients(gradients, loss, params, np.ones(1), rtol=1e-4, atol=1e-6, hint=hint)


@pytest.mark.question("three_layer_convnet")
def test_three_layer_convnet_start(student, rng):
    """Without labels there is one score per class; with small weights the first loss is log K."""
    X, y = rng.normal(size=(3, 2, 4, 6)), np.array([0, 3, 4])
    net = student.ThreeLayerConvNet(
        input_dim=(2, 4, 6), num_filters=2, filter_size=3, hidden_dim=4, num_classes=5
    )
    assert_close(np.shape(net.loss(X)), (3, 5), what="the shape of the scores")
    assert_close(net.loss(X, y)[0], np.log(5), rtol=1e-3, what="the first loss")


@pytest.mark.question("three_layer_convnet")
def test_three_layer_convnet_gradients(student, rng):
    """Every gradient agrees with finite differences of your own loss, with a penalty."""
    sizes = {"input_dim": (1, 4, 4), "num_filters": 2, "filter_size": 3, "hidden_dim": 3, "num_classes": 3}
    net = student.ThreeLayerConvNet(**sizes, weight_scale=0.5, reg=0.7)
    hint = "Backward passes run in the opposite order; each W has reg * W in its gradient, biases have not."
    check_network(net, rng.normal(size=(2, 1, 4, 4)), np.array([0, 2]), hint)


@pytest.mark.question("deep_convnet")
def test_deep_convnet_shapes(student, rng):
    """The parameters of two blocks have the right names and shapes, and there is one score per class."""
    sizes = {"input_dim": (3, 4, 8), "num_filters": (5, 6), "pools": (2,), "num_classes": 7}
    net = student.DeepConvNet(**sizes)
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


@pytest.mark.question("deep_convnet")
def test_deep_convnet_gradients(student, rng):
    """Every gradient agrees with finite differences of your own loss, with and without batch norm."""
    for batchnorm in (False, True):
        sizes = {"input_dim": (1, 4, 4), "num_filters": (2, 2), "pools": (1,), "num_classes": 3}
        net = student.DeepConvNet(**sizes, batchnorm=batchnorm, reg=0.7)
        check_network(net, rng.normal(size=(3, 1, 4, 4)), np.array([0, 2, 1]))
