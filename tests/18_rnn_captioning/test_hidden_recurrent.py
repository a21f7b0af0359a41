"""The recurrent layer: one step, a sequence, and gradient clipping."""

import numpy as np
import pytest

from autograder.checking import LayerContract, assert_close, fail

# N, D, H
STEPS = [(3, 4, 5), (2, 5, 3), (4, 1, 2), (2, 3, 1)]
# N, T, D, H
SEQUENCES = [(2, 4, 3, 5), (3, 2, 5, 2), (1, 6, 2, 3), (2, 1, 4, 3), (2, 3, 1, 1)]
ONE_STEP = [(3, 1, 4, 2), (1, 1, 2, 3)]
STEP_GIVEN = ["rnn_step_forward", "rnn_step_backward"]


def weights(rng, D, H):
    """Wx, Wh and b, small enough that tanh is not flat everywhere."""
    return (
        rng.normal(size=(D, H)) / np.sqrt(D),
        rng.normal(size=(H, H)) / np.sqrt(H),
        rng.normal(scale=0.5, size=H),
    )


def draw_step(rng, case):
    """x, prev_h, Wx, Wh, b; the state before is no constant."""
    N, D, H = case
    return rng.normal(size=(N, D)), rng.normal(scale=0.7, size=(N, H)), *weights(rng, D, H)


def draw_sequence(rng, case):
    """x, h0, Wx, Wh, b."""
    N, T, D, H = case
    return rng.normal(size=(N, T, D)), rng.normal(scale=0.7, size=(N, H)), *weights(rng, D, H)


STEP = LayerContract(
    "rnn_step_forward",
    "rnn_step_backward",
    ("dx", "dprev_h", "dWx", "dWh", "db"),
    draw_step,
    outputs=("next_h",),
    batch=(0, 1),
    hints={
        "next_h": "tanh(x Wx + prev_h Wh + b).",
        "dx": "da times Wx transposed, where da = dnext_h * (1 - next_h**2).",
        "dprev_h": "da times Wh transposed, where da = dnext_h * (1 - next_h**2).",
        "dWx": "x transposed times da: it sums over the batch.",
        "dWh": "prev_h transposed times da: the state before, not the next one.",
        "db": "da summed over the batch.",
    },
)
SEQUENCE = LayerContract(
    "rnn_forward",
    "rnn_backward",
    ("dx", "dh0", "dWx", "dWh", "db"),
    draw_sequence,
    outputs=("h",),
    batch=(0, 1),
    hints={
        "h": "Each step takes the state that the step before returned; the first takes h0.",
        "dx": "Step t is differentiated at dh[:, t] plus the gradient that step t + 1 returned.",
        "dh0": "The gradient that the first step returns for its previous state.",
        "dWx": "The weights are the same at every step: sum over the steps.",
        "dWh": "The weights are the same at every step: sum over the steps.",
        "db": "The biases are the same at every step: sum over the steps.",
    },
)


@pytest.mark.question("rnn_step_forward", weight=2)
def test_step_values(student, reference, rng):
    """The next state is tanh(x Wx + prev_h Wh + b), for several shapes."""
    STEP.check_values(student, reference, rng, STEPS)


@pytest.mark.question("rnn_step_forward")
def test_step_large(student, rng):
    """Very large inputs give states of 1 and -1, not NaN."""
    x = np.array([[500.0, -2000.0], [-500.0, 2000.0]])
    next_h, _ = student.rnn_step_forward.keeping(1)(x, np.zeros((2, 2)), np.eye(2), np.eye(2), np.zeros(2))
    hint = "A tanh of your own out of exp overflows: use np.tanh."
    assert_close(next_h, np.sign(x), what="next_h", hint=hint)


@pytest.mark.question("rnn_step_forward")
def test_step_contract(student, reference, rng):
    """A batch of one and float32 are accepted, and the inputs are not modified."""
    STEP.check_batch_of_one(student, reference, rng, STEPS[:1])
    STEP.check_float32(student, reference, rng, STEPS[:1])
    STEP.check_inputs_unchanged(student, reference, rng, STEPS[:1])


@pytest.mark.question("rnn_step_backward", weight=2)
def test_step_dx(student, reference, rng):
    """dx is right in every element, for several shapes."""
    STEP.check_gradients(student, reference, rng, STEPS, ["dx"])


@pytest.mark.question("rnn_step_backward", weight=2)
def test_step_dprev_h(student, reference, rng):
    """dprev_h is right in every element, for several shapes."""
    STEP.check_gradients(student, reference, rng, STEPS, ["dprev_h"])


@pytest.mark.question("rnn_step_backward", weight=2)
def test_step_dwx_dwh(student, reference, rng):
    """dWx and dWh are right in every element, for several shapes."""
    STEP.check_gradients(student, reference, rng, STEPS, ["dWx", "dWh"])


@pytest.mark.question("rnn_step_backward")
def test_step_db(student, reference, rng):
    """db is right, for several shapes."""
    STEP.check_gradients(student, reference, rng, STEPS, ["db"])


@pytest.mark.question("rnn_step_backward")
def test_step_caches(student, reference, rng):
    """Steps do not disturb each other: each backward pass uses its own cache."""
    STEP.check_interleaved(student, reference, rng, STEPS[:1])


@pytest.mark.question("rnn_step_backward")
def test_step_backward_contract(student, reference, rng):
    """A batch of one and float32 are accepted, and the upstream gradient is not modified."""
    STEP.check_gradients_batch_of_one(student, reference, rng, STEPS[:1])
    STEP.check_gradients_float32(student, reference, rng, STEPS[:1])
    STEP.check_upstream_unchanged(student, reference, rng, STEPS[:1])


@pytest.mark.question("rnn_forward", weight=2, given=STEP_GIVEN)
def test_sequence_values(student, reference, rng):
    """All states are right, for several shapes and lengths."""
    SEQUENCE.check_values(student, reference, rng, SEQUENCES)


@pytest.mark.question("rnn_forward", given=STEP_GIVEN)
def test_sequence_one_step(student, reference, rng):
    """A sequence of one step gives one state, and keeps its axis."""
    SEQUENCE.check_values(student, reference, rng, ONE_STEP)


@pytest.mark.question("rnn_forward", given=STEP_GIVEN)
def test_sequence_contract(student, reference, rng):
    """A batch of one and float32 are accepted, and the inputs are not modified."""
    SEQUENCE.check_batch_of_one(student, reference, rng, SEQUENCES[:1])
    SEQUENCE.check_float32(student, reference, rng, SEQUENCES[:1])
    SEQUENCE.check_inputs_unchanged(student, reference, rng, SEQUENCES[:1])


@pytest.mark.question("rnn_backward", weight=2, given=STEP_GIVEN)
def test_sequence_dx(student, reference, rng):
    """dx is right at every step, for several shapes and lengths."""
    SEQUENCE.check_gradients(student, reference, rng, SEQUENCES, ["dx"])


@pytest.mark.question("rnn_backward", weight=2, given=STEP_GIVEN)
def test_sequence_dh0(student, reference, rng):
    """dh0 is right, for several shapes and lengths."""
    SEQUENCE.check_gradients(student, reference, rng, SEQUENCES, ["dh0"])


@pytest.mark.question("rnn_backward", weight=2, given=STEP_GIVEN)
def test_sequence_weights(student, reference, rng):
    """dWx, dWh and db are right, for several shapes and lengths."""
    SEQUENCE.check_gradients(student, reference, rng, SEQUENCES, ["dWx", "dWh", "db"])


@pytest.mark.question("rnn_backward", given=STEP_GIVEN)
def test_sequence_gradients_one_step(student, reference, rng):
    """All gradients of a sequence of one step are right."""
    SEQUENCE.check_gradients(student, reference, rng, ONE_STEP)


@pytest.mark.question("rnn_backward", given=STEP_GIVEN)
def test_sequence_long(student, reference, rng):
    """The gradients of thirty steps that grow on their way are right."""
    x, h0, _, _, b = draw_sequence(rng, (2, 30, 3, 4))
    turn, _ = np.linalg.qr(rng.normal(size=(4, 4)))
    arguments = 0.01 * x, 0.01 * h0, np.eye(3, 4), 1.2 * turn, 0 * b
    _, cache = student.rnn_forward.keeping(1)(*arguments)
    _, expected_cache = reference.rnn_forward(*arguments)
    dh = rng.normal(size=(2, 30, 4))
    dh[:, :-1] = 0
    expected = reference.rnn_backward(dh, expected_cache)
    got = student.rnn_backward(dh, cache)
    hint = "The gradient goes back through all steps: none is cut off."
    for name, wanted, gradient in zip(SEQUENCE.gradients, expected, unpacked(got, 5), strict=True):
        assert_close(gradient, wanted, what=f"{name} where only the last state counts", hint=hint)


@pytest.mark.question("rnn_backward", given=STEP_GIVEN)
def test_sequence_caches(student, reference, rng):
    """Two networks do not disturb each other: each backward pass uses its own cache."""
    SEQUENCE.check_interleaved(student, reference, rng, SEQUENCES[:1])


@pytest.mark.question("rnn_backward", given=STEP_GIVEN)
def test_sequence_backward_contract(student, reference, rng):
    """A batch of one and float32 are accepted, and the upstream gradient is not modified."""
    SEQUENCE.check_gradients_batch_of_one(student, reference, rng, SEQUENCES[:1])
    SEQUENCE.check_gradients_float32(student, reference, rng, SEQUENCES[:1])
    SEQUENCE.check_upstream_unchanged(student, reference, rng, SEQUENCES[:1])


def unpacked(result, count):
    """The returned values; fails when there are not `count`."""
    if type(result) not in (tuple, list) or len(result) != count:
        fail(f"{count} values should be returned.", value=result)
    return result


# --- clipping


def draw_gradients(rng):
    """Arrays of several shapes, a scalar's among them."""
    shapes = {"W": (4, 3), "b": (3,), "table": (2, 2, 2), "scale": (1,)}
    return {name: rng.normal(size=shape) for name, shape in shapes.items()}


def total(grads):
    """The norm of all numbers together."""
    return float(np.sqrt(sum(np.sum(np.square(g)) for g in grads.values())))


CLIP_HINT = "One norm over all arrays: the root of the sum of all squares."


@pytest.mark.question("clip_gradients", weight=2)
def test_clip_long(student, rng):
    """Gradients that are too long get the norm max_norm, and keep their direction."""
    for max_norm in (0.1, 1.0, 2.5):
        grads = draw_gradients(rng)
        grads = {name: g * 4 / total(grads) for name, g in grads.items()}
        clipped, _ = unpacked(student.clip_gradients(grads, max_norm), 2)
        expected = {name: g * max_norm / 4 for name, g in grads.items()}
        # Some courses divide by the norm plus 1e-6.
        assert_close(clipped, expected, rtol=1e-5, atol=1e-6, what="clipped", hint=CLIP_HINT)


@pytest.mark.question("clip_gradients")
def test_clip_short(student, rng):
    """Gradients that are short enough stay as they are."""
    for factor in (0.3, 0.9):
        grads = draw_gradients(rng)
        grads = {name: g * factor * 2 / total(grads) for name, g in grads.items()}
        clipped, _ = unpacked(student.clip_gradients(grads, 2.0), 2)
        assert_close(clipped, grads, what="clipped", hint="Nothing is made longer.")


@pytest.mark.question("clip_gradients")
def test_clip_norm(student, rng):
    """The norm before clipping is returned, whether anything was clipped or not."""
    for size in (0.5, 7.0):
        grads = draw_gradients(rng)
        grads = {name: g * size / total(grads) for name, g in grads.items()}
        _, norm = unpacked(student.clip_gradients(grads, 2.0), 2)
        assert_close(norm, size, what="norm", hint=CLIP_HINT)


@pytest.mark.question("clip_gradients")
def test_clip_zero(student):
    """Gradients that are zero stay zero, and have the norm 0."""
    grads = {"W": np.zeros((3, 2)), "b": np.zeros(2)}
    clipped, norm = unpacked(student.clip_gradients(grads, 1.0), 2)
    assert_close(norm, 0.0, what="norm")
    assert_close(clipped, grads, what="clipped", hint="0 / 0 is NaN.")
