"""The captioning network: loss, gradients, sampling, and what it learns.

Losses, gradients and captions are compared at parameters that the grader sets.
"""

from itertools import pairwise

import numpy as np
import pytest

from autograder.checking import assert_accuracy, assert_close, assert_learns, fail
from autograder.datasets.captions import decode
from autograder.datasets.scenes import COLOURS, SHAPES, VOCABULARY, draw_scenes, grid_features

# An error in a layer is paid for in that layer's question.
GIVEN = [
    *("rnn_step_forward", "rnn_step_backward", "rnn_forward", "rnn_backward"),
    *("word_embedding_forward", "word_embedding_backward"),
    *("temporal_affine_forward", "temporal_affine_backward", "temporal_softmax_loss", "clip_gradients"),
]
# The three tokens are not the first ones, and not in their usual order.
WORDS = {"a": 0, "<END>": 1, "red": 2, "<NULL>": 3, "ring": 4, "<START>": 5, "two": 6}
NULL, START, END = 3, 5, 1
SIZES = [
    {"input_dim": 4, "wordvec_dim": 3, "hidden_dim": 5},
    {"input_dim": 2, "wordvec_dim": 6, "hidden_dim": 3},
]


def models(student, reference, sizes, **more):
    """The student's network and the reference's."""
    options = {"dtype": "float64", **sizes, **more}
    return student.CaptioningRNN(WORDS, **options), reference.CaptioningRNN(WORDS, **options)


def draw_params(rng, model, scale=0.7):
    """Random parameters in the shapes of the reference's network, biases included."""
    return {name: rng.normal(scale=scale, size=value.shape) for name, value in model.params.items()}


def copied(params):
    """Arrays that nobody else holds."""
    return {name: value.copy() for name, value in params.items()}


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
    """The loss is right for captions of several lengths, at given parameters."""
    hint = "The inputs are captions without their last column, the right words those without their first."
    for sizes in SIZES:
        ours, theirs = models(student, reference, sizes)
        ours.params = theirs.params = draw_params(rng, theirs)
        features, captions = rng.normal(size=(3, sizes["input_dim"])), draw_captions(rng)
        loss, _ = loss_and_gradients(ours, features, captions)
        assert_close(loss, theirs.loss(features, captions)[0], what="the loss", hint=hint)


@pytest.mark.question("captioning_rnn", weight=3, given=GIVEN)
def test_captioning_gradients(student, reference, rng):
    """Every gradient is right for captions of several lengths, at given parameters."""
    hint = "Backward passes run in the opposite order, each with the cache of its own forward pass."
    for sizes in SIZES:
        ours, theirs = models(student, reference, sizes)
        params = draw_params(rng, theirs)
        ours.params, theirs.params = copied(params), copied(params)
        features, captions = rng.normal(size=(3, sizes["input_dim"])), draw_captions(rng)
        _, grads = loss_and_gradients(ours, features, captions)
        assert_close(grads, theirs.loss(features, captions)[1], what="grads", hint=hint)


@pytest.mark.question("captioning_rnn", given=GIVEN)
def test_captioning_shortest(student, reference, rng):
    """Captions without a word, <START> and <END> only, have a loss and gradients."""
    ours, theirs = models(student, reference, SIZES[0])
    params = draw_params(rng, theirs)
    ours.params, theirs.params = copied(params), copied(params)
    features, captions = rng.normal(size=(2, 4)), np.array([[START, END]] * 2)
    loss, grads = loss_and_gradients(ours, features, captions)
    expected, expected_grads = theirs.loss(features, captions)
    assert_close(loss, expected, what="the loss")
    assert_close(grads, expected_grads, what="grads")


@pytest.mark.question("captioning_rnn", given=GIVEN)
def test_captioning_padding(student, reference, rng):
    """More <NULL> behind the captions changes neither the loss nor the gradients."""
    ours, theirs = models(student, reference, SIZES[0])
    ours.params = draw_params(rng, theirs)
    features, captions = rng.normal(size=(3, 4)), draw_captions(rng)
    loss, grads = loss_and_gradients(ours, features, captions)
    longer = np.concatenate([captions, np.full((3, 4), NULL)], axis=1)
    hint = "Where the right word is <NULL> the step does not count."
    padded_loss, padded_grads = loss_and_gradients(ours, features, longer)
    assert_close(padded_loss, loss, what="the loss of longer rows", hint=hint)
    assert_close(padded_grads, grads, what="grads of longer rows", hint=hint)


@pytest.mark.question("captioning_rnn", given=GIVEN)
def test_captioning_float32(student, reference, rng):
    """A network of float32 gives the same loss and gradients, to single precision."""
    ours, theirs = models(student, reference, SIZES[0], dtype="float32")
    params = draw_params(rng, theirs)
    ours.params = {name: value.astype(np.float32) for name, value in params.items()}
    theirs.params = params
    features, captions = rng.normal(size=(3, 4)), draw_captions(rng)
    loss, grads = loss_and_gradients(ours, features, captions)
    expected, expected_grads = theirs.loss(features, captions)
    assert_close(loss, expected, rtol=1e-4, atol=1e-4, what="the loss for float32")
    assert_close(grads, expected_grads, rtol=1e-3, atol=1e-3, what="grads for float32")


@pytest.mark.question("captioning_rnn", weight=2, given=GIVEN)
def test_captioning_sample(student, reference, rng):
    """Sampling says the word with the highest score at each step and reads it at the next."""
    hint = "Start from the picture's state and <START>; the word that was said is the next input."
    for sizes in SIZES:
        ours, theirs = models(student, reference, sizes)
        ours.params = theirs.params = draw_params(rng, theirs, scale=1.5)
        features = rng.normal(size=(8, sizes["input_dim"]))
        for max_length in (9, 1):
            said = until_end(ours.sample(features, max_length=max_length))
            expected = until_end(theirs.sample(features, max_length=max_length))
            assert_close(said, expected, what="the captions up to <END>", hint=hint)


@pytest.mark.question("captioning_rnn", given=GIVEN)
def test_captioning_sample_shape(student, reference, rng):
    """Sampling gives a row of max_length numbers for each picture: 30 unless told otherwise."""
    ours, theirs = models(student, reference, SIZES[0])
    ours.params = draw_params(rng, theirs)
    for N, options, length in ((1, {}, 30), (4, {"max_length": 5}, 5)):
        captions = ours.sample(rng.normal(size=(N, 4)), **options)
        until_end(captions)
        assert_close(np.shape(captions), (N, length), what="the shape of the captions")
        if captions.dtype.kind not in "iu":
            fail("The captions should be integers, the numbers of words.", got=str(captions.dtype))


def trained(student, model, features, captions, **settings):
    """The losses of the notebook's own training loop, which runs beside the model."""
    history = student.train(model, features, captions, **settings)
    if not isinstance(history, dict) or "loss" not in history:
        fail("train should return its history, as it was given.", value=history)
    return history["loss"]


@pytest.mark.question("captioning_rnn", given=GIVEN)
def test_captioning_by_heart(student, rng):
    """It learns four captions by heart and gives them back word by word."""
    captions = np.full((4, 6), NULL)
    for n, sentence in enumerate(([0, 2, 4], [6, 4], [6, 2, 6, 2], [4])):
        captions[n, : len(sentence) + 2] = [START, *sentence, END]
    model = student.CaptioningRNN(
        WORDS, input_dim=5, wordvec_dim=8, hidden_dim=16, dtype="float64", seed=int(rng.integers(1000))
    )
    # Orthogonal, so that no two pictures are hard to tell apart.
    features = 2 * np.linalg.qr(rng.normal(size=(5, 5)))[0][:4]
    losses = trained(student, model, features, captions[:, None], steps=150, learning_rate=0.03)
    assert_learns(losses, to_below=0.4, what="the loss of four captions")
    said = [row + [NULL] * (5 - len(row)) for row in until_end(model.sample(features, max_length=5))]
    assert_accuracy(np.array(said), captions[:, 1:], 1.0, what="share of words given back")


def first_pair(words):
    """The number of the first colour and shape that a caption names; 0 where it names none."""
    for before, word in pairwise(words):
        if before in COLOURS and word.startswith(SHAPES):
            shape = next(number for number, name in enumerate(SHAPES) if word.startswith(name))
            return 1 + len(SHAPES) * list(COLOURS).index(before) + shape
    return 0


@pytest.mark.question("captioning_rnn", given=GIVEN)
def test_captioning_scenes(student, rng):
    """After a short training it names colour and shape in most scenes that it has not seen."""
    seen, new, length = 200, 60, 6
    drawn = draw_scenes(seen + new, (int(rng.integers(2**31)),), size=36, groups=1)
    # Of each filter the strongest answer anywhere: there is one group, and its place is not to be told.
    features = 3.0 * grid_features(drawn.images, cells=3).max(axis=(2, 3)).astype(float)
    shortest = (drawn.captions != 0).sum(axis=2).argmin(axis=1)
    captions = drawn.captions[np.arange(seen + new), shortest, :length]
    model = student.CaptioningRNN(
        {word: number for number, word in enumerate(VOCABULARY)},
        input_dim=16, wordvec_dim=16, hidden_dim=64, dtype="float64", seed=int(rng.integers(1000)),
    )  # fmt: skip

    settings = {"steps": 150, "batch_size": 32, "learning_rate": 0.02}
    trained(student, model, features[:seen], captions[:seen, None], **settings)
    said = model.sample(features[seen:], max_length=length - 1)
    until_end(said)
    named = [first_pair(decode(row, VOCABULARY)) for row in np.clip(said, 0, len(VOCABULARY) - 1)]
    truth = [first_pair(scene.captions[0]) for scene in drawn.scenes[seen:]]
    hint = "Always the same caption is right in one scene of twenty-five."
    # The reference reaches 0.79 with a standard deviation of 0.06.
    assert_accuracy(
        np.array(named), np.array(truth), 0.45, what="share of colours and shapes named", hint=hint
    )
