"""The sigmoid, the loss, the start, forward and backward."""

import numpy as np
import pytest

from autograder.checking import assert_close, assert_stable, assert_unchanged, fail

SIGMOID = ["sigmoid"]  # an error in it has been paid for in its own question
# (examples, features, hidden units)
SIZES = [(6, 4, 5), (1, 3, 2), (4, 1, 1), (3, 5, 1), (7, 2, 8)]
NAMES = ("W1", "b1", "W2", "b2")
CACHE_HINT = "Everything the backward pass needs belongs in the cache, not in a global variable."


def draw(rng, size, scale=1.0):
    """Random features, labels of both kinds and parameters, biases included."""
    n, d, h = size
    params = {
        "W1": rng.normal(size=(d, h)) * scale,
        "b1": rng.normal(size=h),
        "W2": rng.normal(size=(h, 1)) * scale,
        "b2": rng.normal(size=1),
    }
    return rng.normal(size=(n, d)), rng.permutation(np.arange(n) % 2), params


def single(params):
    """The parameters in single precision."""
    return {name: value.astype(np.float32) for name, value in params.items()}


# --- sigmoid


@pytest.mark.question("sigmoid", weight=2)
@pytest.mark.parametrize("shape", [(7,), (3, 4), (2, 3, 2), (1, 1)])
def test_sigmoid_values(student, reference, rng, shape):
    """The sigmoid is right for positive and negative numbers, in arrays of any shape."""
    z = rng.uniform(-9, 9, size=shape)
    assert_close(student.sigmoid(z), reference.sigmoid(z), what="the sigmoid", hint="1 / (1 + exp(-z))")


@pytest.mark.question("sigmoid")
def test_sigmoid_of_single_numbers(student):
    """A single number, a whole number among them, gives a single number."""
    assert_close(student.sigmoid(-2.5), 1 / (1 + np.exp(2.5)), what="the sigmoid of -2.5")
    assert_close(student.sigmoid(1), 1 / (1 + np.exp(-1)), what="the sigmoid of 1")


@pytest.mark.question("sigmoid")
def test_sigmoid_of_whole_numbers_and_float32(student, reference):
    """Arrays of whole numbers and of single precision are accepted."""
    z = np.array([-3, 0, 1, 4])
    expected = reference.sigmoid(z.astype(float))
    assert_close(student.sigmoid(z), expected, what="the sigmoid of whole numbers")
    assert_close(student.sigmoid(z.astype(np.float32)), expected, rtol=1e-5, what="the sigmoid of float32")


@pytest.mark.question("sigmoid")
@pytest.mark.parametrize("large", [45.0, 400.0, 800.0, 1e6, 1e300])
def test_sigmoid_far_out(student, large):
    """However large the number, the result is 0 or 1 and not NaN."""
    p = student.sigmoid(np.array([large, -large, 0.0]))
    hint = "exp of a large number is inf, and inf / inf is NaN. exp(-abs(z)) cannot overflow."
    assert_stable(p, np.array([1.0, 0.0, 0.5]), what="the sigmoid", hint=hint)


@pytest.mark.question("sigmoid")
def test_sigmoid_leaves_its_input_alone(student, reference, rng):
    """sigmoid does not change its argument."""
    z = rng.normal(size=(4, 3)) * 3
    assert_close(assert_unchanged(student.sigmoid, z), reference.sigmoid(z), what="the sigmoid")


# --- bce_loss


@pytest.mark.question("bce_loss", weight=2)
@pytest.mark.parametrize("n", [1, 2, 9, 64])
def test_loss_values(student, reference, rng, n):
    """The loss is the mean of -ln of the probability that was given to the true label: one number."""
    # Away from the ends, so that a larger distance from 0 and 1 than 1e-12 makes no difference.
    p, y = rng.uniform(0.03, 0.97, size=n), rng.integers(0, 2, size=n)
    hint = "-ln p where y is 1, -ln(1 - p) where y is 0; natural logarithms; the mean over the examples."
    assert_close(student.bce_loss(p, y), reference.bce_loss(p, y), rtol=1e-5, what="the loss", hint=hint)


@pytest.mark.question("bce_loss", weight=2)
@pytest.mark.parametrize("label", [0, 1])
def test_loss_of_one_kind(student, reference, rng, label):
    """Examples of a single class are judged right: each of the two terms does its part."""
    p, y = rng.uniform(0.03, 0.97, size=5), np.full(5, label)
    assert_close(student.bce_loss(p, y), reference.bce_loss(p, y), rtol=1e-5, what="the loss")


@pytest.mark.question("bce_loss")
def test_loss_of_small_probabilities(student):
    """An answer that is nearly, but not quite, surely wrong costs what it should."""
    # A distance of 1e-5 or more from the ends would show here, one of 1e-7 or less does not.
    for p, y in ((1e-3, 1), (1 - 1e-3, 0)):
        loss = student.bce_loss(np.array([p, p]), np.array([y, y]))
        hint = "Keep p only a tiny bit away from 0 and 1, 1e-12 say."
        assert_close(loss, np.log(1000), rtol=1e-4, what=f"the loss of p = {p} for the label {y}", hint=hint)


@pytest.mark.question("bce_loss", weight=2)
@pytest.mark.parametrize(("p", "y"), [(0.0, 1), (1.0, 0)])
def test_loss_of_sure_mistakes(student, p, y):
    """A probability of exactly 0 or 1 that is wrong costs much, and not infinitely much."""
    loss = student.bce_loss(np.array([p, 0.5]), np.array([y, 1]))
    assert_stable(loss, what="the loss", hint="ln 0 is minus infinity: clip p away from 0 and 1 first.")
    # Half of -ln eps. For eps = 1e-12 it is 14; 1e-7 gives 8.4, the smallest float 354, torch's limit 50.
    if not 5 < loss < 400:
        fail(
            f"One sure mistake and one undecided answer cost {float(loss):.3g} on average.",
            expected="about 14",
            got=f"{float(loss):.3g}",
            hint="Keep p 1e-12 away from 0 and 1.",
            value=loss,
        )


@pytest.mark.question("bce_loss")
@pytest.mark.parametrize("labels", [(1, 0), (1, 1), (0, 0)])
def test_loss_of_sure_and_right_answers(student, labels):
    """Probabilities of exactly 0 and 1 that are right cost nothing: no NaN comes from 0 times infinity."""
    y = np.array(labels)
    loss = student.bce_loss(y.astype(float), y)
    assert_stable(loss, 0.0, what="the loss", hint="0 * ln 0 is NaN: clip p first.", atol=1e-6)


@pytest.mark.question("bce_loss")
def test_loss_of_other_types(student, reference, rng):
    """Labels may be floats, probabilities single precision."""
    p, y = rng.uniform(0.1, 0.9, size=8), np.arange(8) % 2
    expected = reference.bce_loss(p, y)
    assert_close(student.bce_loss(p, y.astype(float)), expected, rtol=1e-5, what="the loss for float labels")
    assert_close(student.bce_loss(p.astype(np.float32), y), expected, rtol=1e-4, what="the loss for float32")


@pytest.mark.question("bce_loss")
def test_loss_leaves_its_inputs_alone(student, reference, rng):
    """bce_loss does not clip the caller's probabilities."""
    p, y = np.append(rng.uniform(0.1, 0.9, size=5), [0.0, 1.0]), np.array([0, 1, 1, 0, 1, 0, 1])
    loss = assert_unchanged(student.bce_loss, p, y)
    assert_close(loss, reference.bce_loss(p, y), rtol=1e-5, what="the loss")


# --- initialize


@pytest.mark.question("initialize")
@pytest.mark.parametrize(("d", "h"), [(3, 5), (1, 1), (64, 10), (2, 40)])
def test_start_shapes(student, d, h):
    """The four parameters have the right names and shapes, and both biases are zero."""
    params = student.initialize(d, h, 0)
    shapes = {name: np.shape(value) for name, value in params.items()}
    expected = {"W1": (d, h), "b1": (h,), "W2": (h, 1), "b2": (1,)}
    assert_close(shapes, expected, what="the shapes of the parameters")
    assert_close(params["b1"], np.zeros(h), what="b1")
    assert_close(params["b2"], np.zeros(1), what="b2")


@pytest.mark.question("initialize", weight=2)
@pytest.mark.parametrize(
    ("name", "d", "h"), [("W1", 16, 3000), ("W1", 900, 50), ("W2", 3, 4000), ("W2", 90, 2500)]
)
def test_start_spread(student, rng, name, d, h):
    """The weights have mean 0 and the standard deviation 1 / sqrt(number of inputs)."""
    weights = student.initialize(d, h, int(rng.integers(1000)))[name]
    inputs = d if name == "W1" else h
    # 2,500 numbers or more: their deviation is off by 1.4 % on average, their mean by a fiftieth of it.
    what = f"the standard deviation of {name} for {inputs} inputs"
    hint = "Divide by the root of the number of inputs: rows of the matrix."
    assert_close(np.std(weights), 1 / np.sqrt(inputs), rtol=0.1, what=what, hint=hint)
    assert_close(
        np.mean(weights) * np.sqrt(inputs), 0.0, atol=0.15, what=f"the mean of {name}, in deviations"
    )


@pytest.mark.question("initialize")
def test_start_seed(student, rng):
    """The same seed gives the same weights, another seed others, whatever was drawn before."""
    seed = int(rng.integers(1000))
    first, other, again = (student.initialize(30, 20, s) for s in (seed, seed + 1, seed))
    for name in ("W1", "W2"):
        assert_close(
            again[name], first[name], what=f"{name} of the same seed", hint="Seed the generator in the call."
        )
        if np.allclose(first[name], other[name]):
            fail(f"Two seeds give the same {name}.", hint="Draw from a generator made from the seed.")


@pytest.mark.question("initialize")
def test_start_breaks_the_symmetry(student, rng):
    """No two hidden units start alike, and the two matrices are drawn one after the other."""
    params = student.initialize(1, 1500, int(rng.integers(1000)))
    w1, w2 = params["W1"].ravel(), params["W2"].ravel()
    for name, weights in (("W1", w1), ("W2", w2)):
        if len(np.unique(weights)) < 1400:
            fail(
                f"Hidden units have equal weights in {name}.",
                hint="Draw each weight at random.",
                value=params,
            )
    # 1,500 pairs of independent numbers: the correlation has mean 0 and deviation 0.026.
    if abs(np.corrcoef(w1, w2)[0, 1]) > 0.3:
        hint = "Make the generator once and draw both matrices from it, one after the other."
        fail("W1 and W2 are made of the same random numbers.", hint=hint, value=params)


# --- forward


@pytest.mark.question("forward", weight=3, given=SIGMOID)
@pytest.mark.parametrize("size", SIZES)
def test_forward_values(student, reference, rng, size):
    """The probabilities are right, one for each example, for several sizes."""
    x, _, params = draw(rng, size)
    p, _ = student.forward.keeping(1)(x, params)
    hint = "h = tanh(x W1 + b1), then p = sigmoid(h W2 + b2), and p has the shape (N,)."
    assert_close(p, reference.forward(x, params)[0], what="p", hint=hint)


@pytest.mark.question("forward", given=SIGMOID)
@pytest.mark.parametrize("bias", ["b1", "b2"])
def test_forward_biases(student, reference, rng, bias):
    """Both biases count."""
    x, _, params = draw(rng, (5, 3, 4))
    params[bias] = params[bias] + 2
    p, _ = student.forward.keeping(1)(x, params)
    assert_close(p, reference.forward(x, params)[0], what="p", hint=f"Is {bias} added?")


@pytest.mark.question("forward", given=SIGMOID)
def test_forward_far_out(student, reference, rng):
    """Very large features and weights give probabilities, not NaN."""
    x, _, params = draw(rng, (6, 3, 4), scale=100.0)
    p, _ = student.forward.keeping(1)(1e3 * x, params)
    assert_stable(p, reference.forward(1e3 * x, params)[0], what="p")


@pytest.mark.question("forward", given=SIGMOID)
def test_forward_leaves_its_inputs_alone(student, reference, rng):
    """forward changes neither the features nor the parameters, and single precision is accepted."""
    x, _, params = draw(rng, (4, 3, 5))
    p, _ = assert_unchanged(student.forward.keeping(1), x, params)
    assert_close(p, reference.forward(x, params)[0], what="p")
    p, _ = student.forward.keeping(1)(x.astype(np.float32), single(params))
    assert_close(p, reference.forward(x, params)[0], rtol=1e-4, atol=1e-5, what="p in single precision")


# --- backward


def four(gradients):
    """The student's gradients; fails unless they are a dict with the names of the parameters."""
    if not isinstance(gradients, dict) or sorted(gradients) != sorted(NAMES):
        fail("backward should return a dict with the keys W1, b1, W2 and b2.", value=gradients)
    return gradients


HINTS = {
    "W1": "x.T times the gradient of the hidden sums: (p - y) / N, times W2, times 1 - h**2.",
    "b1": "The gradient of the hidden sums, summed over the examples.",
    "W2": "h.T times (p - y) / N.",
    "b2": "(p - y) / N, summed over the examples.",
}


@pytest.mark.question("backward", weight=2, given=SIGMOID)
@pytest.mark.parametrize("name", NAMES)
def test_gradients(student, reference, rng, name):
    """Each gradient is right in every coordinate, for several sizes."""
    for size in SIZES:
        x, y, params = draw(rng, size)
        _, cache = student.forward.keeping(1)(x, params)
        expected = reference.backward(y, reference.forward(x, params)[1])
        assert_close(four(student.backward(y, cache))[name], expected[name], what=name, hint=HINTS[name])


@pytest.mark.question("backward", given=SIGMOID)
def test_gradients_of_sure_answers(student, reference, rng):
    """Where p is exactly 0 or 1 the gradients are finite and right: a sure mistake is pushed hardest."""
    x, _, params = draw(rng, (8, 3, 4))
    params["W2"] = params["W2"] * 1e4
    _, cache = student.forward.keeping(1)(x, params)
    p, expected_cache = reference.forward(x, params)
    y = (p < 0.5).astype(int)
    y[0] = 1 - y[0]  # all of them are wrong but one
    gradients, expected = four(student.backward(y, cache)), reference.backward(y, expected_cache)
    for name in NAMES:
        hint = "Dividing by p (1 - p) and multiplying by it again gives 0 / 0: let them cancel on paper."
        assert_stable(gradients[name], expected[name], what=name, hint=hint)


@pytest.mark.question("backward", given=SIGMOID)
def test_gradients_of_saturated_units(student, reference, rng):
    """A hidden unit that is stuck at 1 or -1 passes nothing back."""
    x, y, params = draw(rng, (5, 3, 4))
    params["b1"] = np.array([60.0, -60.0, 0.0, 0.5])
    _, cache = student.forward.keeping(1)(x, params)
    gradients, expected = (
        four(student.backward(y, cache)),
        reference.backward(y, reference.forward(x, params)[1]),
    )
    for name in NAMES:
        assert_stable(gradients[name], expected[name], what=name, hint="The slope of tanh is 1 - h**2.")


@pytest.mark.question("backward", given=SIGMOID)
def test_gradients_of_one_kind_and_of_float_labels(student, reference, rng):
    """A batch of one class only is handled, and labels may be floats."""
    x, _, params = draw(rng, (4, 3, 5))
    for y in (np.zeros(4, dtype=int), np.ones(4)):
        _, cache = student.forward.keeping(1)(x, params)
        expected = reference.backward(y, reference.forward(x, params)[1])
        assert_close(four(student.backward(y, cache)), expected, what="the gradients")


@pytest.mark.question("backward", given=SIGMOID)
def test_two_caches(student, reference, rng):
    """Two forward passes, then their backward passes: each uses its own cache, as often as it is asked."""
    inputs = [draw(rng, (4, 3, 5)) for _ in range(2)]
    caches = [student.forward.keeping(1)(x, params)[1] for x, _, params in inputs]
    for which in (0, 1, 0):
        x, y, params = inputs[which]
        expected = reference.backward(y, reference.forward(x, params)[1])
        gradients = four(student.backward(y, caches[which]))
        assert_close(gradients, expected, what="the gradients", hint=CACHE_HINT)


@pytest.mark.question("backward", given=SIGMOID)
def test_backward_leaves_its_inputs_alone(student, reference, rng):
    """The labels are not changed, and single precision is accepted."""
    x, y, params = draw(rng, (4, 3, 5))
    expected = reference.backward(y, reference.forward(x, params)[1])
    _, cache = student.forward.keeping(1)(x, params)
    assert_close(four(assert_unchanged(student.backward, y, cache)), expected, what="the gradients")
    _, cache = student.forward.keeping(1)(x.astype(np.float32), single(params))
    for name, value in four(student.backward(y, cache)).items():
        assert_close(value, expected[name], rtol=1e-3, atol=1e-5, what=f"{name} in single precision")
