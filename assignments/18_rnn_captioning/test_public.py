"""What check("...") runs: small examples worked by hand, and properties that any right answer has."""

import numpy as np
import pytest

from autograder.checking import assert_close, assert_gradients, assert_stable, assert_unchanged, fail

# At grading, a question that builds on these is tested with right ones where yours fail, so that an error is
# not paid for twice.
STEP = ["rnn_step_forward", "rnn_step_backward"]
LAYERS = [
    *STEP,
    *("rnn_forward", "rnn_backward", "word_embedding_forward", "word_embedding_backward"),
    *("temporal_affine_forward", "temporal_affine_backward", "temporal_softmax_loss"),
]


def array(*rows):
    """Floats from nested lists."""
    return np.array(rows, dtype=float)


def waves(*shape, start=0.0):
    """Fixed numbers between -0.8 and 0.8, in no obvious order."""
    return 0.8 * np.sin(start + 2.7 * np.arange(np.prod(shape))).reshape(shape)


def values(result, count, name, what):
    """The values that a function should return."""
    if type(result) not in (tuple, list) or len(result) != count:
        fail(f"{name} should return {what}.", value=result)
    return result


def check_layer(forward, backward, arguments, dout, fixed=()):
    """The gradients agree with finite differences of the student's own forward pass.

    `arguments` by name; those in `fixed` have no gradient.
    """
    names = [name for name in arguments if name not in fixed]
    _, cache = values(forward.keeping(1)(*arguments.values()), 2, forward.name, "out and cache")
    result = assert_unchanged(backward, dout, cache)
    if len(names) == 1:
        result = [result]
    what = ", ".join(f"d{name}" for name in names)
    gradients = dict(zip(names, values(result, len(names), backward.name, what), strict=True))

    def out(**moved):
        return forward.keeping(1)(*{**arguments, **moved}.values())[0]

    at = {name: arguments[name] for name in names}
    for name, gradient in gradients.items():
        assert_close(np.shape(gradient), np.shape(at[name]), what=f"the shape of d{name}")
    assert_gradients(gradients, out, at, dout)


# --- the recurrent layer
WX, WH, B = array([1, 0.5], [0, -1], [0.5, 0]), array([0.5, 1], [-1, 0]), array(0.25, -0.5)


@pytest.mark.question("rnn_step_forward")
def test_rnn_step_forward(student):
    """Two examples give the numbers that a pocket calculator gives."""
    x, prev_h = array([1, 2, 0], [0, 1, -1]), array([0.5, -0.5], [0, 1])
    result = assert_unchanged(student.rnn_step_forward.keeping(1), x, prev_h, WX, WH, B)
    next_h, _ = values(result, 2, "rnn_step_forward", "next_h and cache")
    # x Wx is (1, -1.5) and (-0.5, -1); prev_h Wh is (0.75, 0.5) and (-1, 0)
    expected = np.tanh(array([1 + 0.75 + 0.25, -1.5 + 0.5 - 0.5], [-0.5 - 1 + 0.25, -1 - 0.5]))
    assert_close(next_h, expected, what="next_h", hint="tanh(x Wx + prev_h Wh + b).")


@pytest.mark.question("rnn_step_backward", given=["rnn_step_forward"])
def test_rnn_step_backward(student):
    """The gradients agree with finite differences of your own step."""
    arguments = {"x": waves(2, 3), "prev_h": waves(2, 2, start=1), "Wx": WX, "Wh": WH, "b": B}
    check_layer(student.rnn_step_forward, student.rnn_step_backward, arguments, waves(2, 2, start=2) + 1)


@pytest.mark.question("rnn_forward", given=STEP)
def test_rnn_forward(student):
    """Three steps are three times one step, each from the state of the step before."""
    x, h0 = waves(2, 3, 3), waves(2, 2, start=1)
    result = assert_unchanged(student.rnn_forward.keeping(1), x, h0, WX, WH, B)
    h, _ = values(result, 2, "rnn_forward", "h and cache")
    assert_close(np.shape(h), (2, 3, 2), what="the shape of h")
    state = h0
    for t in range(3):
        state = np.tanh(x[:, t] @ WX + state @ WH + B)
        assert_close(h[:, t], state, what=f"the state after step {t + 1}")


@pytest.mark.question("rnn_backward", given=[*STEP, "rnn_forward"])
def test_rnn_backward(student):
    """The gradients of three steps, and of one, agree with finite differences of your own forward pass."""
    for T in (3, 1):
        arguments = {"x": waves(2, T, 3), "h0": waves(2, 2, start=1), "Wx": WX, "Wh": WH, "b": B}
        check_layer(student.rnn_forward, student.rnn_backward, arguments, waves(2, T, 2, start=2) + 1)


@pytest.mark.question("clip_gradients")
def test_clip_gradients(student):
    """A gradient of norm 13 is shortened to 6.5, and one of norm 5 stays as it is."""
    long = {"W": array([3, 0], [0, 4]), "b": array(12)}
    clipped, norm = values(student.clip_gradients(long, 6.5), 2, "clip_gradients", "clipped and norm")
    hint = "sqrt(9 + 16 + 144) = 13: one norm for all arrays together."
    assert_close(norm, 13.0, what="norm", hint=hint)
    expected = {"W": array([1.5, 0], [0, 2]), "b": array(6)}
    assert_close(clipped, expected, rtol=1e-5, atol=1e-6, what="clipped", hint=hint)
    short = {"W": array([3, 0], [0, 4]), "b": array(0)}
    clipped, norm = values(student.clip_gradients(short, 6.5), 2, "clip_gradients", "clipped and norm")
    assert_close(norm, 5.0, what="norm")
    assert_close(clipped, {"W": array([3, 0], [0, 4]), "b": array(0)}, what="clipped")


# --- words
@pytest.mark.question("word_embedding_forward")
def test_word_embedding_forward(student):
    """Each word gives its row."""
    x, W = np.array([[2, 0, 2], [1, 1, 3]]), array([0, 1], [10, 11], [20, 21], [30, 31])
    result = assert_unchanged(student.word_embedding_forward.keeping(1), x, W)
    out, _ = values(result, 2, "word_embedding_forward", "out and cache")
    expected = array([[20, 21], [0, 1], [20, 21]], [[10, 11], [10, 11], [30, 31]])
    assert_close(out, expected, what="out")


@pytest.mark.question("word_embedding_backward")
def test_word_embedding_backward(student):
    """The gradients of a word that stands twice add up; a word that does not occur has zeros."""
    x, W = np.array([[2, 0, 2], [1, 1, 2]]), np.zeros((4, 2))
    _, cache = values(
        student.word_embedding_forward.keeping(1)(x, W), 2, "word_embedding_forward", "out, cache"
    )
    dout = array([[1, 2], [3, 4], [5, 6]], [[7, 8], [9, 10], [11, 12]])
    dW = assert_unchanged(student.word_embedding_backward, dout, cache)
    hint = "dW[x] += dout adds once to a row that is named three times; np.add.at adds every time."
    assert_close(dW, array([3, 4], [16, 18], [17, 20], [0, 0]), what="dW", hint=hint)


@pytest.mark.question("temporal_affine_forward")
def test_temporal_affine_forward(student):
    """Every step of every example goes through the same layer."""
    x, w, b = waves(2, 3, 4), waves(4, 2, start=1), array(10, 20)
    result = assert_unchanged(student.temporal_affine_forward.keeping(1), x, w, b)
    out, _ = values(result, 2, "temporal_affine_forward", "out and cache")
    assert_close(np.shape(out), (2, 3, 2), what="the shape of out")
    for n, t in np.ndindex(2, 3):
        assert_close(out[n, t], x[n, t] @ w + b, what=f"out[{n}, {t}]")


@pytest.mark.question("temporal_affine_backward", given=["temporal_affine_forward"])
def test_temporal_affine_backward(student):
    """The gradients agree with finite differences of your own forward pass."""
    arguments = {"x": waves(2, 3, 4), "w": waves(4, 2, start=1), "b": array(10, 20)}
    check_layer(
        student.temporal_affine_forward,
        student.temporal_affine_backward,
        arguments,
        waves(2, 3, 2, start=2) + 1,
    )


# --- loss
@pytest.mark.question("temporal_softmax_loss")
def test_temporal_softmax_loss(student):
    """Known probabilities give the known loss: summed over the steps that count, averaged over examples."""
    x = np.log(array([[1, 2, 1], [1, 1, 2], [3, 1, 1]], [[1, 1, 8], [1, 1, 1], [2, 2, 1]]))
    y, mask = np.array([[1, 2, 0], [2, 0, 1]]), np.array([[True, True, False], [True, False, False]])
    loss, _ = values(
        assert_unchanged(student.temporal_softmax_loss, x, y, mask), 2, "temporal_softmax_loss", "loss and dx"
    )
    expected = -(np.log(0.5) + np.log(0.5) + np.log(0.8)) / 2
    assert_close(loss, float(expected), what="the loss", hint="Divide by the 2 examples, not by the 3 words.")


@pytest.mark.question("temporal_softmax_loss")
def test_temporal_softmax_loss_gradient(student):
    """dx agrees with finite differences of your own loss, and scores of 1000 do not overflow."""
    x, y = waves(2, 3, 4), np.array([[1, 3, 0], [2, 2, 1]])
    mask = np.array([[True, True, True], [True, False, False]])

    def loss(x):
        return np.array(student.temporal_softmax_loss(x, y, mask)[0])

    _, dx = values(student.temporal_softmax_loss(x, y, mask), 2, "temporal_softmax_loss", "loss and dx")
    assert_gradients({"x": dx}, loss, {"x": x}, hint="The mask and 1 / N belong to the gradient too.")
    large = array([[1000, 0]], [[0, 1000]])
    found, dx = student.temporal_softmax_loss(large, np.array([[0], [0]]), np.ones((2, 1), dtype=bool))
    assert_stable(found, 500.0, what="the loss", hint="Subtract the largest score before exp.")
    assert_stable(dx, array([[0, 0]], [[-0.5, 0.5]]), what="dx")


def assert_loss_gradients(grads, loss, params, hint):
    """Each gradient agrees with central differences of the student's own loss along a fixed direction.

    One direction that is not uniform tells as much as every coordinate does whether the gradient of a
    parameter is right, and asks for the loss twice instead of twice for each number.
    """
    assert_close(sorted(grads), sorted(params), what="the names in grads")
    for name, value in params.items():
        assert_close(np.shape(grads[name]), np.shape(value), what=f"the shape of the gradient of {name}")
        direction = waves(*np.shape(value), start=0.5) + 0.3
        along = [float(loss(**{name: value + h * direction})) for h in (1e-5, -1e-5)]
        what = f"the slope of the loss along a direction of {name}, from its gradient"
        slope = float(np.sum(grads[name] * direction))
        assert_close(slope, (along[0] - along[1]) / 2e-5, rtol=1e-4, atol=1e-6, what=what, hint=hint)


# --- the network
WORDS = {"<NULL>": 0, "<START>": 1, "<END>": 2, "a": 3, "ring": 4}


def network(student):
    """A small network with fixed parameters."""
    model = student.CaptioningRNN(WORDS, input_dim=3, wordvec_dim=2, hidden_dim=2, dtype="float64")
    params = {
        name: waves(*np.shape(value), start=sum(map(ord, name))) for name, value in model.params.items()
    }
    model.params = params
    return model, params


@pytest.mark.question("captioning_rnn", given=LAYERS)
def test_captioning_loss(student):
    """With scores of zero every word is equally probable: log 5 for each word that counts."""
    model, params = network(student)
    model.params = {**params, "W_vocab": np.zeros((2, 5)), "b_vocab": np.zeros(5)}
    captions = np.array([[1, 3, 4, 2, 0], [1, 4, 2, 0, 0]])
    loss, grads = values(model.loss(waves(2, 3), captions), 2, "loss", "the loss and grads")
    hint = "5 words count: a, ring, <END> and ring, <END>; <NULL> does not. Divided by 2 captions."
    assert_close(loss, float(5 * np.log(5) / 2), what="the loss", hint=hint)
    assert_close(sorted(grads), sorted(params), what="the names in grads")


@pytest.mark.question("captioning_rnn", given=LAYERS)
def test_captioning_gradients(student):
    """Every gradient agrees with finite differences of your own loss."""
    model, params = network(student)
    features, captions = waves(2, 3), np.array([[1, 3, 4, 2], [1, 4, 2, 0]])

    def loss(**moved):
        model.params = {**params, **moved}
        return np.array(model.loss(features, captions)[0])

    _, grads = values(model.loss(features, captions), 2, "loss", "the loss and grads")
    hint = "Backward passes run in the opposite order, each with the cache of its own forward pass."
    assert_loss_gradients(grads, loss, params, hint)


@pytest.mark.question("captioning_rnn", given=LAYERS)
def test_captioning_sample(student):
    """A network that says "ring" after <START>, "a" after "ring" and <END> after "a" does so."""
    model, params = network(student)
    model.params = {
        **{name: np.zeros_like(value) for name, value in params.items()},
        "W_embed": array([0, 0], [0, 1], [0, 0], [-1, -1], [1, 0]),
        "Wx": 3 * np.eye(2),
        "W_vocab": array([0, 0, -1, 1, 0], [0, 0, -1, 0, 1]),
    }
    captions = model.sample(np.zeros((2, 3)), max_length=4)
    assert_close(np.shape(captions), (2, 4), what="the shape of the captions")
    hint = "The first input is <START>; then each word that was said is the next input."
    assert_close(captions[:, :3], np.array([[4, 3, 2]] * 2), what="the first three words", hint=hint)
