"""The encoder-decoder: forward pass, loss, training, decoding, and two-digit arithmetic."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from autograder.checking import (
    CheckFailure,
    StudentError,
    assert_accuracy,
    assert_close,
    assert_learns,
    assert_unchanged,
    fail,
)

BLOCKS = [
    *("attention", "causal_mask", "padding_mask", "split_heads", "merge_heads", "multi_head_attention"),
    *("positional_encoding", "layer_norm", "feed_forward", "encoder_block", "decoder_block"),
]
# A positional encoding in float32 leaves errors of 1e-6 in results of order one.
SINGLE = {"rtol": 1e-4, "atol": 1e-5}
BOS, EOS = 1, 2


def draw(rng, *shape):
    """Random numbers in float64."""
    return torch.from_numpy(rng.normal(size=shape))


def transformer_params(rng, num_source, num_target, D, blocks):
    """Random parameters, none of them at its usual start."""
    names = ("wq", "bq", "wk", "bk", "wv", "bv", "wo", "bo")

    def norm():
        return {"gamma": draw(rng, D) + 2, "beta": draw(rng, D)}

    def block(*attentions):
        parts = {
            each: {n: draw(rng, *((D, D) if n[0] == "w" else (D,))) / D**0.5 for n in names}
            for each in attentions
        }
        parts["feed_forward"] = {
            "w1": draw(rng, D, 2 * D) / D**0.5,
            "b1": draw(rng, 2 * D),
            "w2": draw(rng, 2 * D, D) / D**0.5,
            "b2": draw(rng, D),
        }
        return parts | {f"norm{i + 1}": norm() for i in range(len(attentions) + 1)}

    return {
        "source": draw(rng, num_source, D),
        "target": draw(rng, num_target, D),
        "encoder": [block("attention") for _ in range(blocks)],
        "encoder_norm": norm(),
        "decoder": [block("self_attention", "cross_attention") for _ in range(blocks)],
        "decoder_norm": norm(),
        "w_out": draw(rng, D, num_target),
        "b_out": draw(rng, num_target),
    }


def draw_tokens(rng, num_tokens, *shape):
    """Tokens other than the padding token 0."""
    return torch.from_numpy(rng.integers(1, num_tokens, size=shape))


# (N, S, T, source and target vocabulary, D, heads, blocks)
CASES = [(2, 5, 4, 7, 6, 6, 2, 1), (1, 1, 3, 4, 8, 4, 4, 2), (3, 4, 1, 5, 5, 4, 1, 1)]


@pytest.mark.question("transformer_forward", weight=3, given=BLOCKS)
def test_transformer_forward_values(student, reference, rng):
    """The logits are right for several sizes and numbers of blocks."""
    for N, S, T, num_source, num_target, D, H, blocks in CASES:
        params = transformer_params(rng, num_source, num_target, D, blocks)
        source, target = draw_tokens(rng, num_source, N, S), draw_tokens(rng, num_target, N, T)
        expected = reference.transformer_forward(source, target, params, H)
        got = assert_unchanged(student.transformer_forward, source, target, params, H)
        hint = "Embeddings times the root of D plus positions; blocks; the last norm; the output layer."
        assert_close(got, expected, what="the logits", hint=hint, **SINGLE)


@pytest.mark.question("transformer_forward", weight=2, given=BLOCKS)
def test_transformer_forward_padding(student, reference, rng):
    """A padded source gives what it gives alone, unpadded, whatever the number of the padding token."""
    params = transformer_params(rng, 7, 6, 6, 2)
    for pad in (0, 3):
        short = draw_tokens(rng, 3, 1, 3)
        long = draw_tokens(rng, 3, 1, 5)
        padded = torch.cat([short, torch.full((1, 2), pad)], dim=1)
        target = draw_tokens(rng, 6, 1, 4)
        alone = reference.transformer_forward(short, target, params, 2, pad)
        batch = torch.cat([padded, long]), target.repeat(2, 1)
        got = student.transformer_forward(*batch, params, 2, pad)
        expected = reference.transformer_forward(*batch, params, 2, pad)
        hint = "Padded positions must be seen neither by the encoder nor by the decoder's cross-attention."
        assert_close(got, expected, what=f"the logits for pad = {pad}", hint=hint, **SINGLE)
        assert_close(got[:1], alone, what="the logits of the short one", hint=hint, **SINGLE)


@pytest.mark.question("transformer_forward", given=BLOCKS)
def test_transformer_forward_sees_no_future_at_all(student, reference, rng):
    """Later tokens of the target leave the earlier logits as they are, bit for bit."""
    params, source = transformer_params(rng, 7, 6, 6, 1), draw_tokens(rng, 7, 2, 4)
    target = draw_tokens(rng, 6, 2, 5)
    before = student.transformer_forward(source, target, params, 3)
    target[:, 3:] = target[:, 3:] % 5 + 1
    after = student.transformer_forward(source, target, params, 3)
    assert_close(after[:, :3], before[:, :3], rtol=0, atol=0, what="the logits of the first three")
    expected = reference.transformer_forward(source, target, params, 3)
    assert_close(after, expected, what="the logits", **SINGLE)


@pytest.mark.question("sequence_loss", weight=2)
def test_sequence_loss_values(student, rng):
    """The mean over all positions that are not padded, each counting the same."""
    for N, T, V, pad in ((3, 4, 6, 0), (1, 1, 3, 0), (2, 5, 4, 2), (2, 3, 4, -1)):
        logits = draw(rng, N, T, V) * 2
        targets = torch.from_numpy(rng.integers(0, V, size=(N, T)))
        targets[0, 0] = 1
        if T > 1:
            targets[0, 2:] = pad
        expected = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=pad)
        got = assert_unchanged(student.sequence_loss, logits, targets, pad)
        hint = "Sum over what is not padded, divided by how many these are; natural logarithms."
        assert_close(got, expected, what=f"the loss for pad = {pad}", hint=hint)


@pytest.mark.question("sequence_loss")
def test_sequence_loss_default(student, rng):
    """Without a further argument, 0 is the padding token."""
    logits, targets = draw(rng, 2, 3, 4), torch.tensor([[1, 2, 0], [3, 0, 0]])
    expected = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=0)
    assert_close(student.sequence_loss(logits, targets), expected, what="the loss")


@pytest.mark.question("sequence_loss")
def test_sequence_loss_large_scores(student, rng):
    """Large scores give a finite loss."""
    logits, targets = draw(rng, 2, 3, 4) * 2000, torch.tensor([[1, 2, 3], [3, 1, 2]])
    expected = F.cross_entropy(logits.flatten(0, 1), targets.flatten())
    hint = "log_softmax does not overflow; log(softmax(...)) does."
    assert_close(
        student.sequence_loss(logits, targets), expected, what="the loss for large scores", hint=hint
    )


# --- training, on the small model of the notebook
LOSS = ["sequence_loss"]
TELL = "The model reads bos and the answer without its last token; the loss counts no padding."


def trained(student, params, forward, source, target, num_steps, *arguments, **options):
    result = student.train(params, student.value(forward), source, target, num_steps, *arguments, **options)
    if not isinstance(result, tuple | list) or len(result) != 2:
        fail("train should return two values, params and losses.", value=result)
    params, losses = result
    numbers = isinstance(losses, list) and all(isinstance(loss, float | np.floating) for loss in losses)
    if not numbers or len(losses) != num_steps:
        fail(f"train should return a list of {num_steps} floats, one loss a step.", value=losses)
    return params, losses


def table_params(rng, V):
    """Parameters of look_up, nested, in float32."""
    return {name: draw(rng, V, V).float() for name in ("read", "source")}


def loss_of(reference, params, source, target, bos, pad):
    read = torch.cat([torch.full((len(target), 1), bos), target[:, :-1]], dim=1)
    logits = reference.look_up(source, read, params)
    keep = target != pad
    return float(F.cross_entropy(logits[keep], target[keep]))


@pytest.mark.question("train", weight=2, given=LOSS)
def test_train_losses_are_those_of_the_batches(student, reference, rng):
    """With a learning rate of nearly 0, each step's loss is that of its batch, and every example is drawn."""
    for bos, pad in ((1, 0), (4, 3)):
        params = table_params(rng, 8)
        source = torch.tensor([[1, 5], [2, 6], [5, 7], [6, 7]])
        target = torch.from_numpy(rng.integers(5, 8, size=(4, 3)))
        target[1, 1:], target[2, 2:] = pad, pad
        known = [loss_of(reference, params, source[i : i + 1], target[i : i + 1], bos, pad) for i in range(4)]
        _, losses = trained(student, params, "look_up", source, target, 80, 1, 1e-9, bos, pad, seed=3)
        nearest = np.abs(np.array(losses)[:, None] - np.array(known)).argmin(axis=1)
        wanted = [known[i] for i in nearest]
        assert_close(losses, wanted, what="the losses", hint=TELL, rtol=1e-4, atol=1e-4)
        if len(set(nearest.tolist())) < 4:
            fail("In 80 steps not all of the 4 examples were drawn.", value=losses)


@pytest.mark.question("train", given=LOSS)
def test_train_batches(student, reference, rng):
    """A batch has batch_size examples: with equal ones its loss is theirs, and it may exceed their number."""
    params = table_params(rng, 7)
    source, target = draw_tokens(rng, 7, 1, 3).repeat(3, 1), draw_tokens(rng, 7, 1, 2).repeat(3, 1)
    known = loss_of(reference, params, source, target, BOS, 0)
    for batch_size in (1, 3, 8):
        _, losses = trained(student, copy.deepcopy(params), "look_up", source, target, 2, batch_size, 1e-9)
        what = f"the losses of batches of {batch_size}"
        assert_close(losses, [known, known], what=what, hint=TELL, rtol=1e-4, atol=1e-4)


@pytest.mark.question("train", given=LOSS)
def test_train_batch_size_is_respected(student, reference, rng):
    """The loss of a large batch is the mean over many different examples."""
    params, source = table_params(rng, 9), torch.from_numpy(rng.integers(1, 9, size=(400, 2)))
    target = torch.from_numpy(rng.integers(1, 9, size=(400, 1)))
    known = loss_of(reference, params, source, target, BOS, 0)
    each = torch.tensor(
        [loss_of(reference, params, source[i : i + 1], target[i : i + 1], BOS, 0) for i in range(400)]
    )
    _, losses = trained(student, params, "look_up", source, target, 10, 1000, 1e-9)
    # 8 standard deviations of a mean over 1,000 draws.
    bound = 8 * float(each.std()) / 1000**0.5
    if max(abs(loss - known) for loss in losses) > bound:
        fail("The losses of batches of 1,000 are not the mean over all examples.", value=losses)


@pytest.mark.question("train", given=LOSS)
def test_train_seeds(student, rng):
    """The same seed gives the same batches, another one others."""
    params, source = table_params(rng, 9), torch.from_numpy(rng.integers(1, 9, size=(30, 2)))
    target = torch.from_numpy(rng.integers(1, 9, size=(30, 2)))
    runs = [
        trained(student, copy.deepcopy(params), "look_up", source, target, 8, 2, 1e-9, seed=seed)[1]
        for seed in (1, 1, 2)
    ]
    assert_close(runs[1], runs[0], what="the losses for the same seed", rtol=1e-5, atol=1e-6)
    if np.allclose(runs[2], runs[0], rtol=1e-5):
        fail("Two seeds give the same batches.", value=runs[2])


@pytest.mark.question("train", weight=2, given=LOSS)
def test_train_learns(student, reference, rng):
    """The loss falls, and the returned parameters, all of them moved, are those that reached it."""
    check_learning(student, reference, rng)


def check_learning(student, reference, rng):
    """`train` teaches look_up to name another token for each."""
    start = table_params(rng, 7)
    source = draw_tokens(rng, 7, 60, 1)
    target = source % 6 + 1
    params, losses = trained(student, copy.deepcopy(start), "look_up", source, target, 80, 30, 0.1)
    assert_learns(losses, by_factor=2)
    if not isinstance(params, dict) or params.keys() != start.keys():
        fail("train should return the parameters in the same structure.", value=params)
    if any(tensor.requires_grad for tensor in params.values()):
        fail("The returned parameters still require gradients.", hint="requires_grad_(False) ends it.")
    reached = loss_of(reference, params, source, target, BOS, 0)
    assert_learns([losses[0], reached], by_factor=2, what="the loss with the returned parameters")
    for name, tensor in params.items():
        if torch.equal(tensor, start[name]):
            fail(f'The parameters "{name}" were not trained.', value=params)


@pytest.mark.question("train", weight=2, given=LOSS)
def test_train_two_digit_arithmetic(student, reference, rng):
    """Two-digit arithmetic: 70 steps bring a half-trained model from 64 % exact answers to above 73.83 %."""
    source, target = reference.draw_exercises(15500)  # of these the first 15,000 are what it learned from
    params = halfway(reference)
    if not calculates(student, reference, params, source[:4], target[:4]):
        # Errors of the model are paid for in the questions of its parts; here `train` is asked for.
        check_learning(student, reference, rng)
        return
    seed = int(rng.integers(2**31))
    data = source[:15000], target[:15000]
    params, _ = trained(student, params, "calculate", *data, 70, 128, 8e-3, seed=seed)
    answers = reference.greedy_decode(source[15000:], params, 4, 5)
    right = (answers == target[15000:]).all(dim=1)
    hint = "Does each step see a new batch, and does the learning rate fall towards the end?"
    truth = np.ones(len(right), dtype=bool)
    assert_accuracy(right, truth, 0.7383, what="share of exact answers", hint=hint)


def calculates(student, reference, params, source, target):
    """Whether the student's encoder-decoder gives the right scores."""
    try:
        got = student.transformer_forward(source, target, params, 4)
        assert_close(got, reference.transformer_forward(source, target, params, 4), rtol=1e-3, atol=1e-3)
    except (StudentError, CheckFailure):
        return False
    return True


def halfway(reference):
    """The parameters in halfway.npz, see make_halfway.py: more than every second answer is exact."""
    params = reference.init_transformer(15, 15, D=32, num_blocks=1)
    with np.load(Path(__file__).with_name("halfway.npz"), allow_pickle=False) as stored:
        for number, tensor in enumerate(reference.leaves(params)):
            tensor.copy_(torch.from_numpy(stored[f"arr_{number}"].astype(np.float32)))
    return params


# --- decoding
def decoded(reference, source, params, num_heads, num_tokens, bos, eos, pad):
    """Each answer by itself, token by token."""
    rows = []
    for i in range(len(source)):
        said = []
        while len(said) < num_tokens:
            if eos in said:
                said.append(pad)
                continue
            read = torch.tensor([[bos, *said]])
            said.append(
                int(
                    reference.transformer_forward(source[i : i + 1], read, params, num_heads, pad)[
                        0, -1
                    ].argmax()
                )
            )
        rows.append(said)
    return torch.tensor(rows)


@pytest.mark.question("greedy_decode", weight=2, given=[*BLOCKS, "transformer_forward"])
def test_greedy_decode_values(student, reference, rng):
    """Each token is the most likely one behind the earlier ones."""
    for N, S, T, num_source, num_target, D, H, blocks in CASES:
        params = transformer_params(rng, num_source, num_target, D, blocks)
        params["b_out"][2] -= 100.0  # no end
        source = draw_tokens(rng, num_source, N, S)
        expected = decoded(reference, source, params, H, T + 2, BOS, EOS, 0)
        got = assert_unchanged(student.greedy_decode, source, params, H, T + 2)
        assert_close(got, expected, what="the answers", hint="Read what has been said so far, behind bos.")


@pytest.mark.question("greedy_decode", weight=2, given=[*BLOCKS, "transformer_forward"])
def test_greedy_decode_ends(student, reference, rng):
    """Behind its eos an answer is padded, while the others of the batch go on."""
    for bos, eos, pad in ((1, 2, 0), (3, 0, 5)):
        while True:  # answers of which some end early and some do not
            params = transformer_params(rng, 7, 6, 4, 1)
            params["w_out"] *= 3
            source = torch.from_numpy(rng.integers(1, 5, size=(6, 3)))
            expected = decoded(reference, source, params, 2, 6, bos, eos, pad)
            ends = (expected == eos).any(dim=1)
            if (expected[:, :3] == eos).any() and not ends.all():
                break
        got = student.greedy_decode(source, params, 2, 6, bos, eos, pad)
        what = f"the answers for bos = {bos}, eos = {eos}, pad = {pad}"
        assert_close(got, expected, what=what, hint="The eos itself stays; everything behind it is pad.")
