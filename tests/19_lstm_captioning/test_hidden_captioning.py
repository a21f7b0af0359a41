"""The captioning networks: loss, gradients, begin and step, sampling, and what attention learns to look at.

Losses, gradients and captions are compared at parameters that the grader sets.
"""

import numpy as np
import pytest

from autograder.checking import assert_accuracy, assert_close, assert_learns, fail

# An error in a layer is paid for in that layer's question.
GIVEN = [
    *("lstm_step_forward", "lstm_step_backward", "lstm_forward", "lstm_backward"),
    *("dot_product_attention_forward", "dot_product_attention_backward"),
    *("attention_lstm_forward", "attention_lstm_backward"),
]
# The three tokens are not the first ones, and not in their usual order.
WORDS = {"a": 0, "<END>": 1, "red": 2, "<NULL>": 3, "ring": 4, "<START>": 5, "two": 6}
NULL, START, END = 3, 5, 1
CELLS = ("rnn", "lstm", "attention")
SIZES = {"input_dim": 4, "wordvec_dim": 3, "hidden_dim": 5}


def models(student, reference, cell_type, **more):
    """The student's network and the reference's."""
    options = {"dtype": "float64", "cell_type": cell_type, **SIZES, **more}
    return student.CaptioningRNN(WORDS, **options), reference.CaptioningRNN(WORDS, **options)


def draw_params(rng, model, scale=0.7):
    """Random parameters in the shapes of the reference's network, biases included."""
    return {name: rng.normal(scale=scale, size=value.shape) for name, value in model.params.items()}


def copied(params):
    """Arrays that nobody else holds."""
    return {name: value.copy() for name, value in params.items()}


def draw_features(rng, cell_type, N, F=4):
    """Features of N pictures, or of each cell of their grids."""
    return rng.normal(size=(N, F, 2, 3) if cell_type == "attention" else (N, F))


def draw_captions(rng, N=3, T=6):
    """Captions of several lengths, the last one full and the first one without a word."""
    captions = np.full((N, T), NULL)
    for n, length in enumerate(np.linspace(0, T - 2, N).astype(int)):
        captions[n, : length + 2] = [START, *rng.choice([0, 2, 4, 6], size=length), END]
    return captions


def loss_and_gradients(model, features, captions):
    """What `loss` returns, two values."""
    result = model.loss(features, captions)
    if type(result) not in (tuple, list) or len(result) != 2:
        fail("loss should return the loss and grads.", value=result)
    return result


def until_end(captions, end=END):
    """The rows of sampled captions up to their first <END>."""
    if not isinstance(captions, np.ndarray) or captions.ndim != 2:
        fail("sample should return an array (N, max_length).", value=captions)
    rows = []
    for row in captions:
        ends = np.flatnonzero(row == end)
        rows.append([int(word) for word in (row[: ends[0] + 1] if len(ends) else row)])
    return rows


@pytest.mark.question("captioning_rnn", weight=2, given=GIVEN)
def test_captioning_loss(student, reference, rng):
    """The loss is right for each of the three kinds of network, at given parameters."""
    hint = "The inputs are captions without their last column, the right words those without their first."
    for cell_type in CELLS:
        ours, theirs = models(student, reference, cell_type)
        ours.params = theirs.params = draw_params(rng, theirs)
        features, captions = draw_features(rng, cell_type, 3), draw_captions(rng)
        loss, _ = loss_and_gradients(ours, features, captions)
        expected, _ = theirs.loss(features, captions)
        assert_close(loss, expected, what=f"the loss with {cell_type!r}", hint=hint)


@pytest.mark.question("captioning_rnn", weight=3, given=GIVEN)
def test_captioning_gradients(student, reference, rng):
    """Every gradient is right for each of the three kinds of network, at given parameters."""
    hint = "Backward passes run in the opposite order, each with the cache of its own forward pass."
    for cell_type in CELLS:
        ours, theirs = models(student, reference, cell_type)
        params = draw_params(rng, theirs)
        ours.params, theirs.params = copied(params), copied(params)
        features, captions = draw_features(rng, cell_type, 3), draw_captions(rng)
        _, grads = loss_and_gradients(ours, features, captions)
        expected = theirs.loss(features, captions)[1]
        assert_close(grads, expected, what=f"grads with {cell_type!r}", hint=hint)


@pytest.mark.question("captioning_rnn", given=GIVEN)
def test_captioning_padding(student, reference, rng):
    """More <NULL> behind the captions changes neither the loss nor the gradients."""
    hint = "Where the right word is <NULL> the step does not count."
    for cell_type in CELLS:
        ours, theirs = models(student, reference, cell_type)
        ours.params = draw_params(rng, theirs)
        features, captions = draw_features(rng, cell_type, 3), draw_captions(rng)
        loss, grads = loss_and_gradients(ours, features, captions)
        longer = np.concatenate([captions, np.full((3, 4), NULL)], axis=1)
        padded_loss, padded_grads = loss_and_gradients(ours, features, longer)
        assert_close(padded_loss, loss, what="the loss of longer rows", hint=hint)
        assert_close(padded_grads, grads, what="grads of longer rows", hint=hint)


@pytest.mark.question("captioning_rnn", given=GIVEN)
def test_captioning_float32(student, reference, rng):
    """Networks of float32 give the same loss and gradients, to single precision."""
    for cell_type in CELLS:
        ours, theirs = models(student, reference, cell_type, dtype="float32")
        params = draw_params(rng, theirs)
        ours.params = {name: value.astype(np.float32) for name, value in params.items()}
        theirs.params = params
        features, captions = draw_features(rng, cell_type, 3), draw_captions(rng)
        loss, grads = loss_and_gradients(ours, features, captions)
        expected, expected_grads = theirs.loss(features, captions)
        assert_close(loss, expected, rtol=1e-4, atol=1e-4, what="the loss for float32")
        assert_close(grads, expected_grads, rtol=1e-3, atol=1e-3, what="grads for float32")


@pytest.mark.question("captioning_rnn", weight=2, given=GIVEN)
def test_captioning_steps(student, reference, rng):
    """begin and step give the log-probabilities of the next words, step by step, for any choice of words."""
    hint = "The state after a word goes into the next step; log p is the softmax's logarithm."
    for cell_type in CELLS:
        ours, theirs = models(student, reference, cell_type)
        ours.params = theirs.params = draw_params(rng, theirs)
        features = draw_features(rng, cell_type, 3)
        state, expected_state = ours.begin(features), theirs.begin(features)
        for t in range(4):
            words = np.full(3, START) if t == 0 else rng.integers(len(WORDS), size=3)
            result = ours.step(state, words)
            if type(result) not in (tuple, list) or len(result) != 2:
                fail("step should return log_p and the state.", value=result)
            log_p, state = result
            expected, expected_state = theirs.step(expected_state, words)
            assert_close(log_p, expected, what=f"log_p at step {t + 1} with {cell_type!r}", hint=hint)


@pytest.mark.question("captioning_rnn", given=GIVEN)
def test_captioning_state_rows(student, reference, rng):
    """The state is a tuple of arrays with a row for each picture: rows can be chosen and reordered."""
    for cell_type in CELLS:
        ours, theirs = models(student, reference, cell_type)
        ours.params = theirs.params = draw_params(rng, theirs)
        features, words = draw_features(rng, cell_type, 3), rng.integers(len(WORDS), size=3)
        _, state = ours.step(ours.begin(features), words)
        if type(state) not in (tuple, list) or not all(isinstance(part, np.ndarray) for part in state):
            fail("The state should be a tuple of arrays.", value=state)
        rows, next_words = np.array([2, 0, 2, 1]), rng.integers(len(WORDS), size=4)
        log_p, _ = ours.step(tuple(part[rows] for part in state), next_words)
        _, expected_state = theirs.step(theirs.begin(features), words)
        expected, _ = theirs.step(tuple(part[rows] for part in expected_state), next_words)
        hint = "Row n of each array belongs to picture n, and to nothing else."
        assert_close(log_p, expected, what=f"log_p after a choice of rows with {cell_type!r}", hint=hint)


@pytest.mark.question("captioning_rnn", given=GIVEN)
def test_captioning_large_scores(student, reference, rng):
    """Scores of thousands give finite log-probabilities."""
    ours, theirs = models(student, reference, "rnn")
    params = draw_params(rng, theirs)
    params["W_vocab"] = 2000 * params["W_vocab"]
    ours.params = theirs.params = params
    features, words = draw_features(rng, "rnn", 2), np.array([START, 0])
    log_p, _ = ours.step(ours.begin(features), words)
    expected, _ = theirs.step(theirs.begin(features), words)
    assert_close(log_p, expected, what="log_p", hint="Subtract the largest score before exp.")


@pytest.mark.question("captioning_rnn", given=GIVEN)
def test_captioning_sample(student, reference, rng):
    """Sampling says the most probable word at each step and reads it at the next; 30 words unless told
    otherwise.
    """
    hint = "Start with <START>; the word that was said is the next input."
    for cell_type in CELLS:
        ours, theirs = models(student, reference, cell_type)
        ours.params = theirs.params = draw_params(rng, theirs, scale=1.5)
        features = draw_features(rng, cell_type, 8)
        for options, length in (({"max_length": 9}, 9), ({"max_length": 1}, 1), ({}, 30)):
            captions = ours.sample(features, **options)
            said, expected = until_end(captions), until_end(theirs.sample(features, **options))
            assert_close(np.shape(captions), (8, length), what="the shape of the captions")
            if captions.dtype.kind not in "iu":
                fail("The captions should be integers, the numbers of words.", got=str(captions.dtype))
            assert_close(said, expected, what=f"the captions up to <END> with {cell_type!r}", hint=hint)


def trained(student, model, features, captions, **settings):
    """The losses of the notebook's own training loop, which runs beside the model."""
    history = student.train(model, features, captions, **settings)
    if not isinstance(history, dict) or "loss" not in history:
        fail("train should return its history, as it was given.", value=history)
    return history["loss"]


@pytest.mark.question("captioning_rnn", given=GIVEN)
def test_captioning_by_heart(student, rng):
    """Each of the three kinds learns four captions by heart and gives them back word by word."""
    captions = np.full((4, 6), NULL)
    for n, sentence in enumerate(([0, 2, 4], [6, 4], [6, 2, 6, 2], [4])):
        captions[n, : len(sentence) + 2] = [START, *sentence, END]
    for cell_type in CELLS:
        model = student.CaptioningRNN(
            WORDS, input_dim=5, wordvec_dim=8, hidden_dim=16, cell_type=cell_type, dtype="float64",
            seed=int(rng.integers(1000)),
        )  # fmt: skip
        features = 2 * draw_features(rng, cell_type, 4, F=5)
        losses = trained(student, model, features, captions[:, None], steps=150, learning_rate=0.03)
        assert_learns(losses, to_below=2.0, what=f"the loss of four captions with {cell_type!r}")
        said = [row + [NULL] * (5 - len(row)) for row in until_end(model.sample(features, max_length=5))]
        what = f"share of words given back with {cell_type!r}"
        assert_accuracy(np.array(said), captions[:, 1:], 0.9, what=what)


# --- what attention learns to look at. A row of five cells, two of which hold a colour; the caption names
# the left one first. Features of a cell: which of four colours it holds, and its place.
COLOURS = {"<NULL>": 0, "<START>": 1, "<END>": 2, "red": 3, "green": 4, "blue": 5, "black": 6}
CELLS_IN_ROW = 5


def draw_rows(rng, N):
    """Features (N, 9, 1, 5), captions (N, 4), and the places of the two colours, (N, 2)."""
    features, captions = np.zeros((N, 4 + CELLS_IN_ROW, 1, CELLS_IN_ROW)), np.ones((N, 4), dtype=int)
    places = np.sort(rng.permuted(np.tile(np.arange(CELLS_IN_ROW), (N, 1)), axis=1)[:, :2], axis=1)
    colours = rng.integers(4, size=(N, 2))
    features[:, 4:, 0] = np.eye(CELLS_IN_ROW)
    for which in range(2):
        features[np.arange(N), colours[:, which], 0, places[:, which]] = 3
    captions[:, 1:3], captions[:, 3] = colours + 3, COLOURS["<END>"]
    return features, captions, places


@pytest.mark.question("captioning_rnn", given=GIVEN)
def test_captioning_attention_finds(student, reference, rng):
    """Trained on rows of cells, the network with attention names two colours from left to right, and looks
    at the cells that hold them.
    """
    model = student.CaptioningRNN(
        COLOURS, input_dim=9, wordvec_dim=8, hidden_dim=24, cell_type="attention", dtype="float64",
        seed=int(rng.integers(1000)),
    )  # fmt: skip
    features, captions, _ = draw_rows(rng, 500)
    trained(student, model, features, captions[:, None], steps=150, batch_size=48, learning_rate=0.02)
    features, captions, places = draw_rows(rng, 100)
    said = model.sample(features, max_length=3)
    until_end(said, COLOURS["<END>"])
    # The reference names all of them, and looks there in all pictures; four fifths of its attention do.
    assert_accuracy(said[:, :2], captions[:, 1:3], 0.8, what="share of colours named in order")
    p = model.params
    A = np.einsum("nfpq,fh->nhpq", features, p["W_proj"]) + p["b_proj"][:, None, None]
    x = p["W_embed"][captions[:, :2]]
    weights = reference.attention_lstm_forward(x, A, p["Wx"], p["Wh"], p["Wattn"], p["b"])[1]
    mass = weights[:, :, 0][np.arange(100)[:, None], :, places].sum(axis=(1, 2)) / 2
    looked = (mass > 0.5).astype(int)
    what = "share of pictures in which most of the attention lies on the two colours"
    assert_accuracy(looked, np.ones(100, dtype=int), 0.6, what=what)
