"""The network: its start, forward, backward and prediction; one step, and the learning rates."""

from itertools import pairwise

import numpy as np
import pytest

from autograder.checking import assert_close, assert_unchanged, fail

LAYERS = ["linear_forward", "linear_backward", "relu_forward", "relu_backward"]
FORWARD = ["linear_forward", "relu_forward", "mlp_forward"]

# The sizes of networks, [D, ..., K], and the number of examples.
NETWORKS = [([4, 6, 3], 5), ([3, 5, 7, 2], 4), ([5, 4, 4, 6, 3], 6), ([3, 4, 2, 5, 4, 3, 2], 3)]
LINEAR_ONLY = ([4, 3], 5)


def draw_network(rng, sizes, num_examples):
    """Random parameters, with biases that are not zero, and examples."""
    params = {}
    for layer, (fan_in, fan_out) in enumerate(pairwise(sizes), start=1):
        params[f"W{layer}"] = rng.normal(size=(fan_in, fan_out)) * np.sqrt(2 / fan_in)
        params[f"b{layer}"] = rng.normal(size=fan_out)
    return params, rng.normal(size=(num_examples, sizes[0]))


def need_dictionary(value, keys, function):
    """Fails unless `value` is a dictionary with these keys."""
    if not isinstance(value, dict) or set(value) != set(keys):
        got = f"keys {sorted(map(str, value))}" if isinstance(value, dict) else f"a {type(value).__name__}"
        fail(f"{function} should return a dictionary with the keys {', '.join(keys)}.", got=got, value=value)
    return value


# --- initialize


@pytest.mark.question("initialize")
def test_initialize_shapes(student, rng):
    """W1, b1, W2, b2, ... have the right shapes, for any number of layers, and biases are zero."""
    for sizes in ([5, 3], [4, 6, 3], [7, 2, 9, 3, 4]):
        count = len(sizes) - 1
        keys = [f"{letter}{layer}" for layer in range(1, count + 1) for letter in "Wb"]
        params = need_dictionary(student.initialize(sizes, seed=2), keys, "initialize")
        for layer in range(1, count + 1):
            shape = [sizes[layer - 1], sizes[layer]]
            assert_close(list(np.shape(params[f"W{layer}"])), shape, what=f"the shape of W{layer}")
            assert_close(params[f"b{layer}"], np.zeros(sizes[layer]), what=f"b{layer}")


@pytest.mark.question("initialize", weight=2)
def test_initialize_spread(student, rng):
    """The weights of each layer have mean 0 and the standard deviation sqrt(2 / number of its inputs)."""
    sizes = [60, 250, 400, 90]
    keys = ["W1", "b1", "W2", "b2", "W3", "b3"]
    params = need_dictionary(student.initialize(sizes, seed=int(rng.integers(1000))), keys, "initialize")
    for layer, fan_in in enumerate(sizes[:-1], start=1):
        # At least 15,000 draws: the standard deviation is known to 0.6 %, so 4 % are seven times that.
        W, sigma = np.asarray(params[f"W{layer}"]), np.sqrt(2 / fan_in)
        hint = "sqrt(2 / D), with the number of inputs D of that very layer."
        what = f"the standard deviation of W{layer}"
        assert_close(float(W.std()), sigma, rtol=0.04, what=what, hint=hint)
        assert_close(float(W.mean()) / sigma, 0.0, atol=0.06, what=f"the mean of W{layer} / sqrt(2 / D)")


@pytest.mark.question("initialize")
def test_initialize_symmetry(student):
    """No two units begin with the same weights, and no two layers either."""
    params = need_dictionary(student.initialize([8, 8, 8], seed=3), ["W1", "b1", "W2", "b2"], "initialize")
    columns = np.concatenate([params["W1"], params["W2"]], axis=1)
    gaps = np.abs(columns[:, :, np.newaxis] - columns[:, np.newaxis]).max(axis=0) + np.eye(16)
    hint = "Draw each layer afresh from one generator; units that begin equal stay equal."
    if gaps.min() < 1e-9:
        fail(
            "Two units begin with the same weights.", expected="weights that differ", got="a copy", hint=hint
        )


@pytest.mark.question("initialize")
def test_initialize_seed(student):
    """Equal seeds give equal parameters, different seeds different ones."""
    keys = ["W1", "b1", "W2", "b2"]
    first = need_dictionary(student.initialize([4, 5, 3], seed=11), keys, "initialize")
    assert_close(student.initialize([4, 5, 3], seed=11), first, what="the parameters of a second call")
    other = need_dictionary(student.initialize([4, 5, 3], seed=12), keys, "initialize")
    if all(np.array_equal(first[name], other[name]) for name in ("W1", "W2")):
        fail("Seeds 11 and 12 give the same weights.", hint="Draw from the generator that the seed made.")


# --- mlp_forward


def check_scores(student, reference, params, x, what="scores", **tolerance):
    scores, _ = student.mlp_forward.keeping(1)(params, x)
    expected, _ = reference.mlp_forward(params, x)
    hint = "Linear and ReLU in turn, and no ReLU after the last layer."
    assert_close(scores, expected, what=what, hint=hint, **tolerance)


@pytest.mark.question("mlp_forward", weight=2, given=LAYERS)
def test_mlp_scores(student, reference, rng):
    """The scores are right, for networks of two to six layers."""
    for sizes, num_examples in NETWORKS:
        check_scores(student, reference, *draw_network(rng, sizes, num_examples))


@pytest.mark.question("mlp_forward", given=LAYERS)
def test_mlp_single_layer(student, reference, rng):
    """A network of a single layer is linear; a batch of one is handled."""
    check_scores(student, reference, *draw_network(rng, *LINEAR_ONLY))
    for sizes in ([4, 3], [4, 5, 3]):
        check_scores(student, reference, *draw_network(rng, sizes, 1), what="scores for a batch of one")


@pytest.mark.question("mlp_forward", given=LAYERS)
def test_mlp_many_layers(student, reference, rng):
    """With eleven layers, W10 comes after W9 and not after W1."""
    check_scores(student, reference, *draw_network(rng, [3] * 12, 4))


@pytest.mark.question("mlp_forward", given=LAYERS)
def test_mlp_key_order(student, reference, rng):
    """The names say which layer is which, in whatever order the dictionary holds them."""
    params, x = draw_network(rng, [4, 4, 4, 4], 3)
    check_scores(student, reference, dict(reversed(params.items())), x)


@pytest.mark.question("mlp_forward", given=LAYERS)
def test_mlp_inputs(student, reference, rng):
    """Parameters and examples are not modified, and float32 is accepted."""
    params, x = draw_network(rng, *NETWORKS[1])
    result, (params_after, x_after) = student.mlp_forward.keeping(1).after(params, x)
    assert_close(result[0], reference.mlp_forward(params, x)[0], what="scores")
    assert_close(x_after, x, rtol=0, atol=0, what="x after mlp_forward", hint="Work on a copy.")
    assert_close(
        params_after, params, rtol=0, atol=0, what="params after mlp_forward", hint="Work on a copy."
    )
    single = {name: value.astype(np.float32) for name, value in params.items()}
    check_scores(student, reference, single, x.astype(np.float32), "scores for float32", rtol=1e-4, atol=1e-5)


# --- mlp_backward


def check_network_gradients(student, reference, params, x, dscores, what="", **tolerance):
    """Every gradient equals the reference's."""
    _, caches = student.mlp_forward.keeping(1)(params, x)
    grads = need_dictionary(student.mlp_backward(dscores, caches), list(params), "mlp_backward")
    expected = reference.mlp_backward(dscores, reference.mlp_forward(params, x)[1])
    hint = "From the last layer to the first; each ReLU stops the gradient before its linear layer sees it."
    for name, gradient in expected.items():
        assert_close(grads[name], gradient, what=f"the gradient of {name}{what}", hint=hint, **tolerance)


def draw_upstream(rng, sizes, num_examples):
    """An upstream gradient of the scores that is not uniform and does not sum to zero."""
    return rng.normal(size=(num_examples, sizes[-1])) + 0.5


@pytest.mark.question("mlp_backward", weight=3, given=LAYERS)
def test_mlp_gradients(student, reference, rng):
    """Every gradient is right, for networks of two to six layers."""
    for sizes, count in NETWORKS:
        params, x = draw_network(rng, sizes, count)
        check_network_gradients(student, reference, params, x, draw_upstream(rng, sizes, count))


@pytest.mark.question("mlp_backward", given=LAYERS)
def test_mlp_gradients_single_layer(student, reference, rng):
    """A network of a single layer has no ReLU; a batch of one is handled."""
    for sizes, count in (LINEAR_ONLY, ([4, 3], 1), ([4, 5, 3], 1)):
        params, x = draw_network(rng, sizes, count)
        check_network_gradients(student, reference, params, x, draw_upstream(rng, sizes, count))


@pytest.mark.question("mlp_backward", given=LAYERS)
def test_mlp_gradients_twice(student, reference, rng):
    """Two forward passes and then two backward passes, twice: each uses the caches that it is given."""
    sizes, count = NETWORKS[0]
    passes = [draw_network(rng, sizes, count) for _ in range(2)]
    kept = [student.mlp_forward.keeping(1)(*arguments)[1] for arguments in passes]
    dscores = draw_upstream(rng, sizes, count)
    for _ in range(2):
        for (params, x), caches in zip(passes, kept, strict=True):
            grads = need_dictionary(student.mlp_backward(dscores, caches), list(params), "mlp_backward")
            expected = reference.mlp_backward(dscores, reference.mlp_forward(params, x)[1])
            hint = "Take what you need from caches, and leave them as they are."
            assert_close(grads, expected, what="the gradients", hint=hint)


@pytest.mark.question("mlp_backward", given=LAYERS)
def test_mlp_upstream(student, reference, rng):
    """The upstream gradient is not modified, and float32 is accepted."""
    sizes, count = NETWORKS[1]
    params, x = draw_network(rng, sizes, count)
    dscores = draw_upstream(rng, sizes, count)
    _, caches = student.mlp_forward.keeping(1)(params, x)
    grads = need_dictionary(
        assert_unchanged(student.mlp_backward, dscores, caches), list(params), "mlp_backward"
    )
    expected = reference.mlp_backward(dscores, reference.mlp_forward(params, x)[1])
    assert_close(grads, expected, what="the gradients")
    single = {name: value.astype(np.float32) for name, value in params.items()}
    arguments = single, x.astype(np.float32), dscores.astype(np.float32)
    check_network_gradients(student, reference, *arguments, " for float32", rtol=1e-3, atol=1e-4)


# --- sgd_step


@pytest.mark.question("sgd_step", weight=2)
def test_sgd_values(student, reference, rng):
    """Every parameter moves against its gradient, for arrays of any shape and learning rates of any size."""
    for sizes, rate in (([4, 6, 3], 0.3), ([3, 2], 2.5), ([2, 3, 4, 2], 1e-2)):
        params, _ = draw_network(rng, sizes, 1)
        grads = {name: rng.normal(size=value.shape) for name, value in reversed(params.items())}
        stepped = student.sgd_step(params, grads, rate)
        hint = "parameter - learning_rate * gradient, matched by name."
        assert_close(stepped, reference.sgd_step(params, grads, rate), what="the parameters", hint=hint)


@pytest.mark.question("sgd_step")
def test_sgd_inputs(student, reference, rng):
    """The parameters given, the dictionary and its arrays, are not modified; nor are the gradients."""
    params, _ = draw_network(rng, [3, 4, 2], 1)
    grads = {name: rng.normal(size=value.shape) for name, value in params.items()}
    stepped = assert_unchanged(student.sgd_step, params, grads, 0.2)
    assert_close(stepped, reference.sgd_step(params, grads, 0.2), what="the parameters")


# --- learning rates


@pytest.mark.question("step_decay", weight=2)
def test_step_decay_values(student, reference):
    """The rate is multiplied by the factor every so many steps, beginning with none."""
    for rate, factor, every in ((0.1, 0.5, 4), (3.0, 0.1, 1), (0.7, 0.9, 7)):
        for step in range(30):
            what = f"the learning rate of step {step}, for a factor of {factor} every {every}"
            expected = reference.step_decay(step, rate, factor, every)
            hint = "The exponent is step // every: 0 in the first `every` steps."
            assert_close(student.step_decay(step, rate, factor, every), expected, what=what, hint=hint)


@pytest.mark.question("step_decay")
def test_step_decay_far(student):
    """After very many steps the rate is still right, and as small as it should be."""
    got = student.step_decay(1_000_000, 1.0, 0.5, 100_000)
    assert_close(got, 0.5**10, rtol=1e-9, what="the learning rate of step 1,000,000")
    got = student.step_decay(99_999, 0.3, 0.5, 100_000)
    assert_close(got, 0.3, rtol=1e-9, what="the learning rate of step 99,999")


def check_rates(student, reference, num_steps, rate, warmup):
    for step in range(num_steps):
        what = f"the learning rate of step {step} of {num_steps}, with {warmup} of warm-up"
        expected = reference.warmup_cosine(step, num_steps, rate, warmup)
        got = student.warmup_cosine(step, num_steps, rate, warmup)
        assert_close(got, float(expected), what=what, atol=1e-12)


@pytest.mark.question("warmup_cosine")
def test_warmup(student):
    """The rate rises evenly, and the last step of the warm-up has all of it."""
    for step, expected in enumerate([0.1, 0.2, 0.3, 0.4, 0.5, 0.5]):
        got = student.warmup_cosine(step, 20, 0.5, 5)
        assert_close(got, expected, what=f"the learning rate of step {step}", hint="rate * (t + 1) / T_w")


@pytest.mark.question("warmup_cosine", weight=2)
def test_warmup_cosine_values(student, reference):
    """Each step has its rate, for several numbers of steps and of warm-up."""
    for num_steps, rate, warmup in ((12, 0.1, 3), (9, 2.0, 1), (7, 0.4, 6)):
        check_rates(student, reference, num_steps, rate, warmup)


@pytest.mark.question("warmup_cosine")
def test_cosine_alone(student, reference):
    """Without a warm-up the first step has the full rate, also where warmup_steps is left out."""
    check_rates(student, reference, 8, 0.3, 0)
    got = [student.warmup_cosine(step, 4, 0.2) for step in range(4)]
    expected = [0.2, 0.1 * (1 + np.sqrt(0.5)), 0.1, 0.1 * (1 - np.sqrt(0.5))]
    assert_close(got, expected, what="the learning rates without warmup_steps")


@pytest.mark.question("warmup_cosine")
def test_warmup_alone(student):
    """A warm-up that takes all steps is only a warm-up."""
    got = [student.warmup_cosine(step, 4, 0.8, 4) for step in range(4)]
    assert_close(got, [0.2, 0.4, 0.6, 0.8], what="the learning rates")


# --- predict


@pytest.mark.question("predict", weight=2, given=FORWARD)
def test_predict_labels(student, reference, rng):
    """The class with the highest score is chosen, for networks of any depth and any number of classes."""
    for sizes, num_examples in [([4, 8, 3], 12), ([3, 6, 6, 11], 15), ([4, 3], 9)]:
        params, x = draw_network(rng, sizes, num_examples)
        hint = "The position of the largest score in each row."
        assert_close(student.predict(params, x), reference.predict(params, x), what="the labels", hint=hint)


@pytest.mark.question("predict", given=FORWARD)
def test_predict_one(student, reference, rng):
    """A batch of one gets an array with one label; negative scores have a largest one too."""
    params, x = draw_network(rng, [4, 5, 3], 1)
    assert_close(student.predict(params, x), reference.predict(params, x), what="the label")
    single = {"W1": np.zeros((2, 3)), "b1": np.array([-3.0, -1.0, -2.0])}
    assert_close(student.predict(single, np.ones((2, 2))), np.array([1, 1]), what="the labels")


@pytest.mark.question("predict", given=FORWARD)
def test_predict_inputs(student, reference, rng):
    """Parameters and examples are not modified; scores of 1000 are no trouble."""
    params, x = draw_network(rng, [4, 5, 3], 6)
    labels = assert_unchanged(student.predict, params, x)
    assert_close(labels, reference.predict(params, x), what="the labels")
    large = params | {"W2": 1e4 * params["W2"], "b2": 1e4 * params["b2"]}
    hint = "Softmax does not change the order: take the largest score."
    assert_close(student.predict(large, x), reference.predict(large, x), what="the labels", hint=hint)
