"""Attention over a grid, and the LSTM that looks before each step."""

import numpy as np
import pytest

from autograder.checking import LayerContract, assert_close, assert_stable

# N, H, P, Q: grids that are not square, and a single cell
GRIDS = [(3, 4, 2, 3), (2, 5, 4, 2), (4, 1, 3, 3), (2, 3, 1, 1)]
# N, T, D, H, P, Q
SEQUENCES = [(2, 3, 4, 5, 2, 3), (3, 2, 5, 2, 3, 1), (1, 4, 2, 3, 2, 2)]
ONE_STEP = [(2, 1, 3, 2, 3, 2)]
ATTENTION_GIVEN = [
    *("lstm_step_forward", "lstm_step_backward"),
    *("dot_product_attention_forward", "dot_product_attention_backward"),
]


def draw_grid(rng, case):
    """prev_h and A, large enough that the weights differ."""
    N, H, P, Q = case
    return 1.5 * rng.normal(size=(N, H)), 1.5 * rng.normal(size=(N, H, P, Q))


def draw_sequence(rng, case):
    """x, A, Wx, Wh, Wattn, b."""
    N, T, D, H, P, Q = case
    return (
        rng.normal(size=(N, T, D)),
        rng.normal(size=(N, H, P, Q)),
        rng.normal(size=(D, 4 * H)) / np.sqrt(D),
        rng.normal(size=(H, 4 * H)) / np.sqrt(H),
        rng.normal(size=(H, 4 * H)) / np.sqrt(H),
        rng.normal(scale=0.5, size=4 * H),
    )


ATTENTION = LayerContract(
    "dot_product_attention_forward",
    "dot_product_attention_backward",
    ("dprev_h", "dA"),
    draw_grid,
    outputs=("attn", "weights"),
    upstreams=1,
    batch=(0, 1),
    hints={
        "attn": "The sum over all cells of weight times vector.",
        "weights": "A softmax over all cells together of the scalar products, divided by the root of H.",
        "dprev_h": "Through the scores only: ds times the cells' vectors, divided by the root of H.",
        "dA": "Two uses, two terms: through the weighted mean and through the scores.",
    },
)
SEQUENCE = LayerContract(
    "attention_lstm_forward",
    "attention_lstm_backward",
    ("dx", "dA", "dWx", "dWh", "dWattn", "db"),
    draw_sequence,
    outputs=("h", "weights"),
    upstreams=1,
    batch=(0, 1),
    hints={
        "h": "h0 and c0 are the mean of the cells; attention is asked with the state before the step.",
        "weights": "The weights before each step, (N, T, P, Q), asked with the state before the step.",
        "dx": "The state before a step goes into the step and into the question: two gradients.",
        "dA": "The grid is used at each step, and twice more in the first state and the first cell.",
        "dWx": "The weights are the same at every step: sum over the steps.",
        "dWh": "The weights are the same at every step: sum over the steps.",
        "dWattn": "attn transposed times da, summed over the steps.",
        "db": "The biases are the same at every step: sum over the steps.",
    },
)


@pytest.mark.question("dot_product_attention_forward", weight=2)
def test_attention_values(student, reference, rng):
    """Weights and their mean are right, for grids of several shapes."""
    ATTENTION.check_values(student, reference, rng, GRIDS)


@pytest.mark.question("dot_product_attention_forward")
def test_attention_large(student):
    """Scores of thousands do not overflow: the best cell gets all the weight."""
    A = np.zeros((2, 2, 2, 2))
    A[0, 0, 1, 0], A[1, 1, 0, 1] = 3000, 2000
    prev_h = np.array([[5.0, 0.0], [0.0, 5.0]])
    attn, weights, _ = student.dot_product_attention_forward.keeping(2)(prev_h, A)
    hint = "Subtract the largest score before exp."
    assert_stable(weights, np.float64(A.max(axis=1) > 0), what="weights", hint=hint)
    assert_stable(attn, np.array([[3000.0, 0.0], [0.0, 2000.0]]), what="attn", hint=hint)


@pytest.mark.question("dot_product_attention_forward")
def test_attention_contract(student, reference, rng):
    """A batch of one and float32 are accepted, and the inputs are not modified."""
    ATTENTION.check_batch_of_one(student, reference, rng, GRIDS[:1])
    ATTENTION.check_float32(student, reference, rng, GRIDS[:1])
    ATTENTION.check_inputs_unchanged(student, reference, rng, GRIDS[:1])


@pytest.mark.question("dot_product_attention_backward", weight=2)
def test_attention_dprev_h(student, reference, rng):
    """dprev_h is right in every element, for grids of several shapes."""
    ATTENTION.check_gradients(student, reference, rng, GRIDS, ["dprev_h"])


@pytest.mark.question("dot_product_attention_backward", weight=2)
def test_attention_da(student, reference, rng):
    """dA is right in every element, for grids of several shapes."""
    ATTENTION.check_gradients(student, reference, rng, GRIDS, ["dA"])


@pytest.mark.question("dot_product_attention_backward")
def test_attention_caches(student, reference, rng):
    """Looks do not disturb each other: each backward pass uses its own cache."""
    ATTENTION.check_interleaved(student, reference, rng, GRIDS[:1])


@pytest.mark.question("dot_product_attention_backward")
def test_attention_backward_contract(student, reference, rng):
    """A batch of one and float32 are accepted, and the upstream gradient is not modified."""
    ATTENTION.check_gradients_batch_of_one(student, reference, rng, GRIDS[:1])
    ATTENTION.check_gradients_float32(student, reference, rng, GRIDS[:1])
    ATTENTION.check_upstream_unchanged(student, reference, rng, GRIDS[:1])


@pytest.mark.question("attention_lstm_forward", weight=2, given=ATTENTION_GIVEN)
def test_looking_values(student, reference, rng):
    """All states and weights are right, for several shapes and lengths, also for a single step."""
    SEQUENCE.check_values(student, reference, rng, SEQUENCES + ONE_STEP)


@pytest.mark.question("attention_lstm_forward", given=ATTENTION_GIVEN)
def test_looking_contract(student, reference, rng):
    """A batch of one and float32 are accepted, and the inputs are not modified."""
    SEQUENCE.check_batch_of_one(student, reference, rng, SEQUENCES[:1])
    SEQUENCE.check_float32(student, reference, rng, SEQUENCES[:1])
    SEQUENCE.check_inputs_unchanged(student, reference, rng, SEQUENCES[:1])


@pytest.mark.question("attention_lstm_backward", weight=2, given=ATTENTION_GIVEN)
def test_looking_dx(student, reference, rng):
    """dx is right at every step, for several shapes and lengths."""
    SEQUENCE.check_gradients(student, reference, rng, SEQUENCES + ONE_STEP, ["dx"])


@pytest.mark.question("attention_lstm_backward", weight=2, given=ATTENTION_GIVEN)
def test_looking_da(student, reference, rng):
    """dA is right in every element, for several shapes and lengths."""
    SEQUENCE.check_gradients(student, reference, rng, SEQUENCES + ONE_STEP, ["dA"])


@pytest.mark.question("attention_lstm_backward", weight=2, given=ATTENTION_GIVEN)
def test_looking_weights(student, reference, rng):
    """dWx, dWh, dWattn and db are right, for several shapes and lengths."""
    SEQUENCE.check_gradients(student, reference, rng, SEQUENCES, ["dWx", "dWh", "dWattn", "db"])


@pytest.mark.question("attention_lstm_backward", given=ATTENTION_GIVEN)
def test_looking_last_state(student, reference, rng):
    """The gradients are right where only the last state counts."""
    arguments = draw_sequence(rng, (2, 6, 3, 4, 2, 2))
    _, _, cache = student.attention_lstm_forward.keeping(2)(*arguments)
    _, _, expected_cache = reference.attention_lstm_forward(*arguments)
    dh = np.zeros((2, 6, 4))
    dh[:, -1] = rng.normal(size=(2, 4))
    got = student.attention_lstm_backward(dh, cache)
    assert type(got) in (tuple, list) and len(got) == 6, "attention_lstm_backward returns six gradients."
    for name, gradient, wanted in zip(
        SEQUENCE.gradients, got, reference.attention_lstm_backward(dh, expected_cache), strict=True
    ):
        assert_close(
            gradient, wanted, what=f"{name} where only the last state counts", hint=SEQUENCE.hints[name]
        )


@pytest.mark.question("attention_lstm_backward", given=ATTENTION_GIVEN)
def test_looking_caches(student, reference, rng):
    """Two networks do not disturb each other: each backward pass uses its own cache."""
    SEQUENCE.check_interleaved(student, reference, rng, SEQUENCES[:1])


@pytest.mark.question("attention_lstm_backward", given=ATTENTION_GIVEN)
def test_looking_backward_contract(student, reference, rng):
    """A batch of one and float32 are accepted, and the upstream gradient is not modified."""
    SEQUENCE.check_gradients_batch_of_one(student, reference, rng, SEQUENCES[:1])
    SEQUENCE.check_gradients_float32(student, reference, rng, SEQUENCES[:1])
    SEQUENCE.check_upstream_unchanged(student, reference, rng, SEQUENCES[:1])
