"""The LSTM: one step, and a sequence."""

import numpy as np
import pytest

from autograder.checking import LayerContract, assert_close

# N, D, H
STEPS = [(3, 4, 5), (2, 5, 3), (4, 1, 2), (2, 3, 1)]
# N, T, D, H
SEQUENCES = [(2, 4, 3, 5), (3, 2, 5, 2), (1, 5, 2, 3), (2, 3, 1, 1)]
ONE_STEP = [(3, 1, 4, 2)]
GIVEN = ["lstm_step_forward", "lstm_step_backward"]


def weights(rng, D, H):
    """Wx, Wh and b, small enough that no gate is always open or shut."""
    return (
        rng.normal(size=(D, 4 * H)) / np.sqrt(D),
        rng.normal(size=(H, 4 * H)) / np.sqrt(H),
        rng.normal(scale=0.5, size=4 * H),
    )


def draw_step(rng, case):
    """x, prev_h, prev_c, Wx, Wh, b; state and cell of the step before are no constants."""
    N, D, H = case
    prev_h, prev_c = rng.normal(scale=0.7, size=(2, N, H))
    return rng.normal(size=(N, D)), prev_h, prev_c, *weights(rng, D, H)


def draw_sequence(rng, case):
    """x, h0, Wx, Wh, b."""
    N, T, D, H = case
    return rng.normal(size=(N, T, D)), rng.normal(scale=0.7, size=(N, H)), *weights(rng, D, H)


STEP = LayerContract(
    "lstm_step_forward",
    "lstm_step_backward",
    ("dx", "dprev_h", "dprev_c", "dWx", "dWh", "db"),
    draw_step,
    outputs=("next_h", "next_c"),
    batch=(0, 1, 2),
    hints={
        "next_h": "o * tanh(next_c); the columns of a are i, f, o, g, in this order.",
        "next_c": "f * prev_c + i * g; the columns of a are i, f, o, g, in this order.",
        "dx": "da times Wx transposed; da holds the gradients of a_i, a_f, a_o, a_g side by side.",
        "dprev_h": "da times Wh transposed.",
        "dprev_c": "The cell's gradient times f; it comes from dnext_c and, through tanh, from dnext_h.",
        "dWx": "x transposed times da: it sums over the batch.",
        "dWh": "prev_h transposed times da: it sums over the batch.",
        "db": "da summed over the batch.",
    },
)
SEQUENCE = LayerContract(
    "lstm_forward",
    "lstm_backward",
    ("dx", "dh0", "dWx", "dWh", "db"),
    draw_sequence,
    outputs=("h",),
    batch=(0, 1),
    hints={
        "h": "Hand state and cell from step to step, from h0 and a cell of zeros.",
        "dx": "Two gradients go back through time: that of the state, added to dh, and that of the cell.",
        "dh0": "The gradient that the first step returns for its previous state.",
        "dWx": "The weights are the same at every step: sum over the steps.",
        "dWh": "The weights are the same at every step: sum over the steps.",
        "db": "The biases are the same at every step: sum over the steps.",
    },
)


@pytest.mark.question("lstm_step_forward", weight=2)
def test_step_values(student, reference, rng):
    """Next state and next cell are right, for several shapes."""
    STEP.check_values(student, reference, rng, STEPS)


@pytest.mark.question("lstm_step_forward")
def test_step_gates(student):
    """With its forget gate open and its input gate shut the cell keeps what it holds, and the output gate
    shows it.
    """
    x, prev_h, prev_c = np.zeros((1, 1)), np.zeros((1, 2)), np.array([[0.3, -2.0]])
    for shown in (0.0, 1.0):
        b = np.array([-900.0, -900, 900, 900, 1800 * shown - 900, 1800 * shown - 900, 5, 5])
        next_h, next_c, _ = student.lstm_step_forward.keeping(2)(
            x, prev_h, prev_c, np.zeros((1, 8)), np.zeros((2, 8)), b
        )
        hint = "The columns of a are i, f, o, g, in this order, H of each."
        assert_close(next_c, prev_c, what="next_c", hint=hint)
        assert_close(next_h, shown * np.tanh(prev_c), what="next_h", hint=hint)


@pytest.mark.question("lstm_step_forward")
def test_step_contract(student, reference, rng):
    """A batch of one and float32 are accepted, and the inputs are not modified."""
    STEP.check_batch_of_one(student, reference, rng, STEPS[:1])
    STEP.check_float32(student, reference, rng, STEPS[:1])
    STEP.check_inputs_unchanged(student, reference, rng, STEPS[:1])


@pytest.mark.question("lstm_step_backward", weight=2)
def test_step_dx_dprev_h(student, reference, rng):
    """dx and dprev_h are right in every element, for several shapes."""
    STEP.check_gradients(student, reference, rng, STEPS, ["dx", "dprev_h"])


@pytest.mark.question("lstm_step_backward", weight=2)
def test_step_dprev_c(student, reference, rng):
    """dprev_c is right in every element, for several shapes."""
    STEP.check_gradients(student, reference, rng, STEPS, ["dprev_c"])


@pytest.mark.question("lstm_step_backward", weight=2)
def test_step_weights(student, reference, rng):
    """dWx, dWh and db are right in every element, for several shapes."""
    STEP.check_gradients(student, reference, rng, STEPS, ["dWx", "dWh", "db"])


@pytest.mark.question("lstm_step_backward")
def test_step_one_upstream(student, reference, rng):
    """Both upstream gradients are used: with one of them zero, the gradients follow from the other."""
    arguments = draw_step(rng, (3, 4, 2))
    _, _, cache = student.lstm_step_forward.keeping(2)(*arguments)
    _, _, expected_cache = reference.lstm_step_forward(*arguments)
    dnext = rng.normal(size=(3, 2)) + 0.5
    for name, douts in (("dnext_c", (dnext, 0 * dnext)), ("dnext_h", (0 * dnext, dnext))):
        got = student.lstm_step_backward(*douts, cache)
        assert type(got) in (tuple, list) and len(got) == 6, "A backward step returns six gradients."
        expected = reference.lstm_step_backward(*douts, expected_cache)
        for gradient, wanted, which in zip(got, expected, STEP.gradients, strict=True):
            assert_close(gradient, wanted, what=f"{which} where {name} is zero", hint=STEP.hints["dprev_c"])


@pytest.mark.question("lstm_step_backward")
def test_step_caches(student, reference, rng):
    """Steps do not disturb each other: each backward pass uses its own cache."""
    STEP.check_interleaved(student, reference, rng, STEPS[:1])


@pytest.mark.question("lstm_step_backward")
def test_step_backward_contract(student, reference, rng):
    """A batch of one and float32 are accepted, and the upstream gradients are not modified."""
    STEP.check_gradients_batch_of_one(student, reference, rng, STEPS[:1])
    STEP.check_gradients_float32(student, reference, rng, STEPS[:1])
    STEP.check_upstream_unchanged(student, reference, rng, STEPS[:1])


@pytest.mark.question("lstm_forward", weight=2, given=GIVEN)
def test_sequence_values(student, reference, rng):
    """All states are right, for several shapes and lengths, also for a single step."""
    SEQUENCE.check_values(student, reference, rng, SEQUENCES + ONE_STEP)


@pytest.mark.question("lstm_forward", given=GIVEN)
def test_sequence_contract(student, reference, rng):
    """A batch of one and float32 are accepted, and the inputs are not modified."""
    SEQUENCE.check_batch_of_one(student, reference, rng, SEQUENCES[:1])
    SEQUENCE.check_float32(student, reference, rng, SEQUENCES[:1])
    SEQUENCE.check_inputs_unchanged(student, reference, rng, SEQUENCES[:1])


@pytest.mark.question("lstm_backward", weight=2, given=GIVEN)
def test_sequence_dx_dh0(student, reference, rng):
    """dx and dh0 are right, for several shapes and lengths."""
    SEQUENCE.check_gradients(student, reference, rng, SEQUENCES, ["dx", "dh0"])


@pytest.mark.question("lstm_backward", weight=2, given=GIVEN)
def test_sequence_weights(student, reference, rng):
    """dWx, dWh and db are right, for several shapes and lengths."""
    SEQUENCE.check_gradients(student, reference, rng, SEQUENCES, ["dWx", "dWh", "db"])


@pytest.mark.question("lstm_backward", given=GIVEN)
def test_sequence_gradients_one_step(student, reference, rng):
    """All gradients of a sequence of one step are right."""
    SEQUENCE.check_gradients(student, reference, rng, ONE_STEP)


@pytest.mark.question("lstm_backward", given=GIVEN)
def test_sequence_long(student, reference, rng):
    """The gradients of thirty steps are right where only the last state counts and little is forgotten."""
    x, h0, Wx, Wh, b = draw_sequence(rng, (2, 30, 3, 4))
    b[4:8] = 4
    _, cache = student.lstm_forward.keeping(1)(x, h0, Wx, 0.3 * Wh, b)
    _, expected_cache = reference.lstm_forward(x, h0, Wx, 0.3 * Wh, b)
    dh = np.zeros((2, 30, 4))
    dh[:, -1] = rng.normal(size=(2, 4))
    got, expected = student.lstm_backward(dh, cache), reference.lstm_backward(dh, expected_cache)
    assert type(got) in (tuple, list) and len(got) == 5, "lstm_backward returns five gradients."
    for name, gradient, wanted in zip(SEQUENCE.gradients, got, expected, strict=True):
        assert_close(
            gradient, wanted, what=f"{name} where only the last state counts", hint=SEQUENCE.hints["dx"]
        )


@pytest.mark.question("lstm_backward", given=GIVEN)
def test_sequence_caches(student, reference, rng):
    """Two networks do not disturb each other: each backward pass uses its own cache."""
    SEQUENCE.check_interleaved(student, reference, rng, SEQUENCES[:1])


@pytest.mark.question("lstm_backward", given=GIVEN)
def test_sequence_backward_contract(student, reference, rng):
    """A batch of one and float32 are accepted, and the upstream gradient is not modified."""
    SEQUENCE.check_gradients_batch_of_one(student, reference, rng, SEQUENCES[:1])
    SEQUENCE.check_gradients_float32(student, reference, rng, SEQUENCES[:1])
    SEQUENCE.check_upstream_unchanged(student, reference, rng, SEQUENCES[:1])
