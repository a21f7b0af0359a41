"""What check("...") runs: small examples worked by hand, and properties that any right answer has."""

import numpy as np
import pytest

from autograder.checking import assert_close, assert_gradients, assert_stable, assert_unchanged, fail

# At grading, a question that builds on these is tested with right ones where yours fail, so that an error is
# not paid for twice.
STEP = ["lstm_step_forward", "lstm_step_backward"]
LOOK = ["dot_product_attention_forward", "dot_product_attention_backward"]
LAYERS = [
    *(*STEP, *LOOK, "lstm_forward", "lstm_backward"),
    *("attention_lstm_forward", "attention_lstm_backward"),
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


def check_layer(forward, backward, arguments, douts, outputs=1):
    """The gradients agree with finite differences of the student's own forward pass.

    `arguments` by name; `douts` are the upstream gradients of the first of its outputs.
    """
    result = values(forward.keeping(outputs)(*arguments.values()), outputs + 1, forward.name, "out and cache")
    gradients = assert_unchanged(backward, *douts, result[-1])
    what = ", ".join(f"d{name}" for name in arguments)
    gradients = dict(zip(arguments, values(gradients, len(arguments), backward.name, what), strict=True))

    def out(**moved):
        found = forward.keeping(outputs)(*{**arguments, **moved}.values())
        return np.concatenate([np.ravel(one) for one in found[: len(douts)]])

    for name, gradient in gradients.items():
        assert_close(np.shape(gradient), np.shape(arguments[name]), what=f"the shape of d{name}")
    assert_gradients(gradients, out, arguments, np.concatenate([np.ravel(dout) for dout in douts]))


# --- the LSTM
@pytest.mark.question("lstm_step_forward")
def test_lstm_step_forward(student):
    """A single unit gives the numbers that a pocket calculator gives."""
    x, prev_h, prev_c = array([2]), array([0.5]), array([-1])
    Wx, Wh, b = array([0.5, -1, 0.25, 1]), array([1, 2, -1, 0]), array(-1, 1, 0.5, -1)
    result = assert_unchanged(student.lstm_step_forward.keeping(2), x, prev_h, prev_c, Wx, Wh, b)
    next_h, next_c, _ = values(result, 3, "lstm_step_forward", "next_h, next_c and cache")
    # a is (1 + 0.5 - 1, -2 + 1 + 1, 0.5 - 0.5 + 0.5, 2 - 1) = (0.5, 0, 0.5, 1)
    i, f, o = 1 / (1 + np.exp(-array(0.5, 0, 0.5)))
    c = f * -1 + i * np.tanh(1)
    hint = "The columns of a are i, f, o, g, in this order; next_c = f * prev_c + i * g."
    assert_close(next_c, array([c]), what="next_c", hint=hint)
    assert_close(next_h, array([o * np.tanh(c)]), what="next_h", hint="next_h = o * tanh(next_c).")


@pytest.mark.question("lstm_step_backward", given=["lstm_step_forward"])
def test_lstm_step_backward(student):
    """The gradients agree with finite differences of your own step, for both outputs together."""
    arguments = {"x": waves(2, 3), "prev_h": waves(2, 2, start=1), "prev_c": waves(2, 2, start=2)}
    arguments |= {"Wx": waves(3, 8, start=3), "Wh": waves(2, 8, start=4), "b": waves(8, start=5)}
    douts = [waves(2, 2, start=6) + 1, waves(2, 2, start=7) - 1]
    check_layer(student.lstm_step_forward, student.lstm_step_backward, arguments, douts, outputs=2)


def sequence():
    """x, h0, Wx, Wh, b by name, for three steps."""
    arguments = {"x": waves(2, 3, 1), "h0": waves(2, 2, start=1)}
    return arguments | {"Wx": waves(1, 8, start=3), "Wh": waves(2, 8, start=4), "b": waves(8, start=5)}


@pytest.mark.question("lstm_forward", given=STEP)
def test_lstm_forward(student):
    """Three steps are three times your own step, from a cell of zeros."""
    x, h0, Wx, Wh, b = sequence().values()
    result = assert_unchanged(student.lstm_forward.keeping(1), x, h0, Wx, Wh, b)
    h, _ = values(result, 2, "lstm_forward", "h and cache")
    assert_close(np.shape(h), (2, 3, 2), what="the shape of h")
    state, cell = h0, np.zeros((2, 2))
    for t in range(3):
        state, cell, _ = student.lstm_step_forward.keeping(2)(x[:, t], state, cell, Wx, Wh, b)
        assert_close(h[:, t], state, what=f"the state after step {t + 1}")


@pytest.mark.question("lstm_backward", given=[*STEP, "lstm_forward"])
def test_lstm_backward(student):
    """The gradients of three steps agree with finite differences of your own forward pass."""
    check_layer(student.lstm_forward, student.lstm_backward, sequence(), [waves(2, 3, 2, start=2) + 1])


# --- attention
@pytest.mark.question("dot_product_attention_forward")
def test_dot_product_attention_forward(student):
    """Three cells with scores of log 1, log 2 and log 5 get 1/8, 2/8 and 5/8 of the weight."""
    A = np.zeros((1, 4, 1, 3))
    A[0, 0, 0] = 2 * np.log([1, 2, 5])  # divided by the root of 4
    A[0, 1, 0] = [8, 16, 24]
    result = assert_unchanged(student.dot_product_attention_forward.keeping(2), array([1, 0, 0, 0]), A)
    attn, weights, _ = values(result, 3, "dot_product_attention_forward", "attn, weights and cache")
    hint = "The softmax of the scalar products divided by the root of H = 4, over all cells together."
    assert_close(weights, array([[1, 2, 5]]) / 8, what="weights", hint=hint)
    expected = array([2 * (2 * np.log(2) + 5 * np.log(5)) / 8, (8 + 32 + 120) / 8, 0, 0])
    assert_close(attn, expected, what="attn", hint="The sum of weight times vector.")


@pytest.mark.question("dot_product_attention_forward")
def test_dot_product_attention_large(student):
    """Large scores do not overflow."""
    A = np.array([[[[1000.0, 0.0]]]])
    attn, weights, _ = student.dot_product_attention_forward.keeping(2)(array([10]), A)
    hint = "Subtract the largest score before exp."
    assert_stable(weights, np.array([[[1.0, 0.0]]]), what="weights", hint=hint)
    assert_stable(attn, array([1000]), what="attn", hint=hint)


@pytest.mark.question("dot_product_attention_backward", given=["dot_product_attention_forward"])
def test_dot_product_attention_backward(student):
    """The gradients agree with finite differences of your own forward pass."""
    arguments = {"prev_h": 2 * waves(2, 3), "A": 2 * waves(2, 3, 2, 2, start=1)}
    functions = student.dot_product_attention_forward, student.dot_product_attention_backward
    check_layer(*functions, arguments, [waves(2, 3, start=2) + 1], outputs=2)


def looking_sequence():
    """x, A, Wx, Wh, Wattn, b by name, for three steps."""
    arguments = {"x": waves(2, 3, 1), "A": waves(2, 2, 1, 2, start=1), "Wx": waves(1, 8, start=3)}
    return arguments | {"Wh": waves(2, 8, start=4), "Wattn": waves(2, 8, start=6), "b": waves(8, start=5)}


@pytest.mark.question("attention_lstm_forward", given=[*STEP, *LOOK])
def test_attention_lstm_forward(student):
    """Three steps are three times your own look and your own step, from the mean of the cells."""
    x, A, Wx, Wh, Wattn, b = looking_sequence().values()
    result = assert_unchanged(student.attention_lstm_forward.keeping(2), x, A, Wx, Wh, Wattn, b)
    h, weights, _ = values(result, 3, "attention_lstm_forward", "h, weights and cache")
    assert_close(np.shape(h), (2, 3, 2), what="the shape of h")
    assert_close(np.shape(weights), (2, 3, 1, 2), what="the shape of weights")
    state = cell = A.reshape(2, 2, 2).mean(axis=2)
    for t in range(3):
        attn, looked, _ = student.dot_product_attention_forward.keeping(2)(state, A)
        # What attention brings goes in beside x: a constant like the bias, another one for each example.
        rows = [
            student.lstm_step_forward.keeping(2)(
                x[n : n + 1, t], state[n : n + 1], cell[n : n + 1], Wx, Wh, b + attn[n] @ Wattn
            )
            for n in range(2)
        ]
        state, cell = (np.concatenate([row[part] for row in rows]) for part in range(2))
        assert_close(weights[:, t], looked, what=f"the weights before step {t + 1}")
        assert_close(h[:, t], state, what=f"the state after step {t + 1}")


@pytest.mark.question("attention_lstm_backward", given=[*STEP, *LOOK, "attention_lstm_forward"])
def test_attention_lstm_backward(student):
    """The gradients of three steps agree with finite differences of your own forward pass."""
    functions = student.attention_lstm_forward, student.attention_lstm_backward
    check_layer(*functions, looking_sequence(), [waves(2, 3, 2, start=2) + 1], outputs=2)


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


# --- the networks
WORDS = {"<NULL>": 0, "<START>": 1, "<END>": 2, "a": 3, "ring": 4}


def network(student, cell_type):
    """A small network with fixed parameters, and features for it."""
    model = student.CaptioningRNN(
        WORDS, input_dim=3, wordvec_dim=2, hidden_dim=2, cell_type=cell_type, dtype="float64"
    )
    params = {
        name: waves(*np.shape(value), start=sum(map(ord, name))) for name, value in model.params.items()
    }
    model.params = params
    return model, params, waves(2, 3, 1, 2) if cell_type == "attention" else waves(2, 3)


@pytest.mark.question("captioning_rnn", given=LAYERS)
def test_captioning_gradients(student):
    """Every gradient agrees with finite differences of your own loss, for each kind of network."""
    captions = np.array([[1, 3, 4, 2], [1, 4, 2, 0]])
    hint = "Backward passes run in the opposite order, each with the cache of its own forward pass."
    for cell_type in ("rnn", "lstm", "attention"):
        model, params, features = network(student, cell_type)

        def loss(**moved):
            model.params = {**params, **moved}  # noqa: B023
            return np.array(model.loss(features, captions)[0])  # noqa: B023

        _, grads = values(model.loss(features, captions), 2, "loss", "the loss and grads")
        assert_loss_gradients(grads, loss, params, hint)


@pytest.mark.question("captioning_rnn", given=LAYERS)
def test_captioning_steps(student):
    """The loss of a caption is minus the sum of what step says of its words."""
    caption = np.array([[1, 3, 4, 2]] * 2)
    for cell_type in ("rnn", "lstm", "attention"):
        model, _, features = network(student, cell_type)
        state, total = model.begin(features), 0.0
        for t in range(3):
            log_p, state = values(model.step(state, caption[:, t]), 2, "step", "log_p and the state")
            assert_close(np.exp(log_p).sum(axis=1), np.ones(2), what="the sum of all probabilities")
            total -= float(log_p[np.arange(2), caption[:, t + 1]].mean())
        loss, _ = values(model.loss(features, caption), 2, "loss", "the loss and grads")
        assert_close(loss, total, what=f"the loss with {cell_type!r}")


@pytest.mark.question("captioning_rnn", given=LAYERS)
def test_captioning_sample(student):
    """A network that says "ring" after <START>, "a" after "ring" and <END> after "a" does so."""
    model, params, features = network(student, "rnn")
    model.params = {
        **{name: np.zeros_like(value) for name, value in params.items()},
        "W_embed": array([0, 0], [0, 1], [0, 0], [-1, -1], [1, 0]),
        "Wx": 3 * np.eye(2),
        "W_vocab": array([0, 0, -1, 1, 0], [0, 0, -1, 0, 1]),
    }
    captions = model.sample(features, max_length=4)
    assert_close(np.shape(captions), (2, 4), what="the shape of the captions")
    hint = "The first input is <START>; then each word that was said is the next input."
    assert_close(captions[:, :3], np.array([[4, 3, 2]] * 2), what="the first three words", hint=hint)


# --- beam search
def table():
    """Words 0 <START>, 1 <END>, 2, 3: the greedy caption is 2, 2, <END> and the best one 3, <END>."""
    p = np.full((4, 4, 4), 1e-6)
    p[0, 0, 2:] = 0.6, 0.4
    p[0, 2, 1:] = 0.3, 0.4, 0.3
    p[0, 3, 1:] = 0.9, 0.05, 0.05
    p[2, 2, 1:] = 0.5, 0.25, 0.25
    p[2, 3, 1:] = 0.5, 0.25, 0.25
    return np.log(p)


@pytest.mark.question("beam_search")
def test_beam_search(student):
    """A beam of width 1 is greedy; one of width 2 finds the more probable caption."""
    model = student.WordTable(table(), 0, 1)
    for width, expected, p in ((1, [2, 2, 1], 0.6 * 0.4 * 0.5), (2, [3, 1], 0.4 * 0.9)):
        result = student.beam_search(model, np.zeros((1, 1)), width, 5)
        caption, log_p = values(result, 2, "beam_search", "the caption and its log-probability")
        assert_close(log_p, float(np.log(p)), what=f"log_p with a beam of {width}")
        assert_close([int(word) for word in caption], expected, what=f"the caption with a beam of {width}")
