"""The encoder, its heads and losses, training, sentence vectors, published weights."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from autograder.checking import assert_close, assert_learns, assert_unchanged, fail

ENCODER = ["embed", "bert_layer", "bert_encode"]
HEADS = [*ENCODER, "mask_tokens", "mlm_logits", "mlm_loss", "pair_logits"]


def draw(rng, *shape):
    """Random numbers in float64."""
    return torch.from_numpy(rng.normal(size=shape))


def draw_norm(rng, D):
    return {"gamma": draw(rng, D) / 4 + 1, "beta": draw(rng, D) / 4}


def draw_layer(rng, D, M):
    names = ("wq", "bq", "wk", "bk", "wv", "bv", "wo", "bo")
    return {
        "attention": {n: draw(rng, *((D, D) if n[0] == "w" else (D,))) / D**0.5 for n in names},
        "feed_forward": {
            "w1": draw(rng, D, M) / D**0.5,
            "b1": draw(rng, M),
            "w2": draw(rng, M, D) / M**0.5,
            "b2": draw(rng, D),
        },
        "norm1": draw_norm(rng, D),
        "norm2": draw_norm(rng, D),
    }


def draw_params(rng, V, D, layers, positions=16, classes=3):
    """Random parameters of a BERT with all heads, none of them at its usual start."""
    return {
        "tokens": draw(rng, V, D),
        "positions": draw(rng, positions, D),
        "segments": draw(rng, 2, D),
        "norm": draw_norm(rng, D),
        "layers": [draw_layer(rng, D, 2 * D) for _ in range(layers)],
        "mlm": {"w": draw(rng, D, D), "b": draw(rng, D), "norm": draw_norm(rng, D), "bias": draw(rng, V)},
        "pooler": {"w": draw(rng, D, D), "b": draw(rng, D)},
        "nsp": {"w": draw(rng, D, 2), "b": draw(rng, 2)},
        "classifier": {"w": draw(rng, D, classes), "b": draw(rng, classes)},
    }


def draw_input(rng, V, N, T):
    """Tokens, with padding behind the first row, and segments."""
    tokens = torch.from_numpy(rng.integers(5, V, size=(N, T)))
    tokens[:, 0] = 2
    if T > 2:
        tokens[0, T - 2 :] = 0
    segments = torch.zeros_like(tokens)
    segments[:, T // 2 :] = 1
    return tokens, segments * (tokens != 0)


# (N, T, V, D, heads, layers)
CASES = [(2, 5, 9, 6, 2, 2), (1, 1, 7, 4, 4, 1), (3, 4, 8, 4, 1, 1)]


@pytest.mark.question("embed", weight=2)
def test_embed_values(student, reference, rng):
    """The sum of three embeddings, normalised."""
    for N, T, V, D, _, _ in CASES:
        params = draw_params(rng, V, D, 0)
        tokens, segments = draw_input(rng, V, N, T)
        total = params["tokens"][tokens] + params["segments"][segments]
        total += params["positions"][torch.arange(T)]
        expected = F.layer_norm(total, (D,), params["norm"]["gamma"], params["norm"]["beta"], 1e-12)
        got = assert_unchanged(student.embed, tokens, segments, params)
        assert_close(got, expected, what="the embeddings", hint="Token, position and segment, then the norm.")


@pytest.mark.question("embed")
def test_embed_small_numbers(student, rng):
    """Epsilon is 1e-12, so that small embeddings are normalised as well."""
    params = draw_params(rng, 7, 4, 0)
    for name in ("tokens", "positions", "segments"):
        params[name] *= 1e-4
    tokens, segments = draw_input(rng, 7, 2, 4)
    total = params["tokens"][tokens] + params["positions"][:4] + params["segments"][segments]
    expected = F.layer_norm(total, (4,), params["norm"]["gamma"], params["norm"]["beta"], 1e-12)
    assert_close(
        student.embed(tokens, segments, params), expected, what="the embeddings", rtol=1e-6, atol=1e-7
    )


# --- beside torch.nn.TransformerEncoder
def torchs_layer(params, num_heads):
    """nn.TransformerEncoderLayer with our parameters."""
    D, M = params["feed_forward"]["w1"].shape
    options = {"dropout": 0.0, "activation": "gelu", "batch_first": True, "norm_first": False}
    layer = nn.TransformerEncoderLayer(D, num_heads, M, layer_norm_eps=1e-12, dtype=torch.float64, **options)
    a, f = params["attention"], params["feed_forward"]
    layer.self_attn.in_proj_weight.data = torch.cat([a[f"w{n}"].T for n in "qkv"])
    layer.self_attn.in_proj_bias.data = torch.cat([a[f"b{n}"] for n in "qkv"])
    for linear, w, b in (
        (layer.self_attn.out_proj, a["wo"], a["bo"]),
        (layer.linear1, f["w1"], f["b1"]),
        (layer.linear2, f["w2"], f["b2"]),
    ):
        linear.weight.data, linear.bias.data = w.T.contiguous(), b.clone()
    for i in (1, 2):
        norm = getattr(layer, f"norm{i}")
        norm.weight.data, norm.bias.data = params[f"norm{i}"]["gamma"], params[f"norm{i}"]["beta"]
    return layer.train()  # not the fused path of evaluation


@pytest.mark.question("bert_layer", weight=2)
def test_bert_layer_values(student, rng):
    """Without a mask, the block equals PyTorch's own with the same weights."""
    for N, T, _, D, H, _ in CASES:
        params, x = draw_layer(rng, D, 5), draw(rng, N, T, D)
        with torch.no_grad():
            expected = torchs_layer(params, H)(x)
        got = assert_unchanged(student.bert_layer, x, params, H)
        hint = "Post-norm: the norm of the sum of x and what attention makes of x; then the same with GELU."
        assert_close(got, expected, what="out", hint=hint)


@pytest.mark.question("bert_layer", weight=2)
def test_bert_layer_masks(student, rng):
    """Masked positions are not seen, in each sentence and in each head its own."""
    N, T, D, H = 2, 5, 6, 3
    params, x = draw_layer(rng, D, 7), draw(rng, N, T, D)
    padding = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0]]).bool()[:, None, None]
    any_mask = torch.from_numpy(rng.random((N, H, T, T)) < 0.6) | torch.eye(T, dtype=torch.bool)
    for mask in (padding, any_mask):
        with torch.no_grad():
            expected = torchs_layer(params, H)(x, src_mask=~mask.expand(N, H, T, T).reshape(N * H, T, T))
        got = student.bert_layer(x, params, H, mask)
        assert_close(got, expected, what="out with a mask", hint="True: may be seen.")


@pytest.mark.question("bert_encode", weight=3, given=["embed", "bert_layer"])
def test_bert_encode_values(student, reference, rng):
    """The whole encoder equals torch.nn's with the same weights, wherever there is no padding."""
    for N, T, V, D, H, layers in CASES:
        params = draw_params(rng, V, D, layers)
        tokens, segments = draw_input(rng, V, N, T)
        expected = reference.embed(tokens, segments, params)
        with torch.no_grad():
            for layer in params["layers"]:
                expected = torchs_layer(layer, H)(expected, src_key_padding_mask=tokens == 0)
        got = assert_unchanged(student.bert_encode, tokens, segments, params, H)
        if not isinstance(got, torch.Tensor) or got.shape != expected.shape:
            fail(f"A tensor of the shape {tuple(expected.shape)} was expected.", value=got)
        keep = tokens != 0
        assert_close(got[keep], expected[keep], what="the hidden vectors of the tokens")


@pytest.mark.question("bert_encode", given=["embed", "bert_layer"])
def test_bert_encode_padding(student, rng):
    """A padded text gives what it gives alone, whatever the number of the padding token."""
    params = draw_params(rng, 9, 6, 2)
    for pad in (0, 4):
        tokens = torch.from_numpy(rng.integers(5, 9, size=(2, 3)))
        padded = torch.cat([tokens, torch.full((2, 3), pad)], dim=1)
        alone = student.bert_encode(tokens, torch.zeros_like(tokens), params, 2, pad)
        got = student.bert_encode(padded, torch.zeros_like(padded), params, 2, pad)
        if not isinstance(got, torch.Tensor) or tuple(got.shape) != (2, 6, 6):
            fail("A tensor of the shape (2, 6, 6) was expected.", value=got)
        hint = "The mask of padding is handed to every block."
        assert_close(got[:, :3], alone, what=f"the hidden vectors for pad = {pad}", hint=hint)


# --- heads and losses
@pytest.mark.question("mlm_logits", weight=2)
def test_mlm_logits_values(student, rng):
    """Linear, GELU, norm, the transposed embedding, and a bias for each token."""
    for shape in ((2, 3, 4), (5, 6), (1, 1, 2)):
        params, hidden = draw_params(rng, 9, shape[-1], 0), draw(rng, *shape)
        head = params["mlm"]
        h = F.gelu(hidden @ head["w"] + head["b"])
        h = F.layer_norm(h, shape[-1:], head["norm"]["gamma"], head["norm"]["beta"], 1e-12)
        expected = F.linear(h, params["tokens"], head["bias"])
        got = assert_unchanged(student.mlm_logits, hidden, params)
        assert_close(got, expected, what="the logits")


@pytest.mark.question("mlm_loss", weight=2)
def test_mlm_loss_values(student, rng):
    """The mean over the chosen positions, of all texts together."""
    for N, T, V in ((3, 4, 6), (1, 2, 3), (2, 7, 4)):
        logits = draw(rng, N, T, V) * 2
        labels = torch.from_numpy(rng.integers(V, size=(N, T)))
        labels[torch.from_numpy(rng.random((N, T)) < 0.6)] = -100
        labels[0, 0], labels[0, 1] = V - 1, -100
        expected = F.cross_entropy(logits.flatten(0, 1), labels.flatten())
        got = assert_unchanged(student.mlm_loss, logits, labels)
        assert_close(
            got, expected, what="the loss", hint="Labels of -100 count neither in the sum nor in the number."
        )


@pytest.mark.question("mlm_loss")
def test_mlm_loss_without_labels(student, rng):
    """Where no token was chosen, the loss is 0 and not NaN."""
    got = student.mlm_loss(draw(rng, 2, 3, 4), torch.full((2, 3), -100))
    assert_close(got, 0.0, what="the loss", hint="0 / 0 is NaN.")
    labels = torch.tensor([[-100, 1, -100]])
    logits = draw(rng, 1, 3, 4)
    assert_close(
        student.mlm_loss(logits, labels), F.cross_entropy(logits[0, 1:2], labels[0, 1:2]), what="the loss"
    )


@pytest.mark.question("pair_logits", weight=2)
def test_pair_logits_values(student, rng):
    """The pooler at [CLS], then the head that is asked for."""
    for N, T, D, head in ((3, 4, 6, "nsp"), (1, 1, 2, "classifier"), (2, 3, 4, "classifier")):
        params, hidden = draw_params(rng, 5, D, 0), draw(rng, N, T, D)
        pooled = torch.tanh(F.linear(hidden[:, 0], params["pooler"]["w"].T, params["pooler"]["b"]))
        expected = pooled @ params[head]["w"] + params[head]["b"]
        got = assert_unchanged(student.pair_logits, hidden, params, head)
        assert_close(got, expected, what=f'the logits of "{head}"')
        if head == "nsp":
            assert_close(
                student.pair_logits(hidden, params), expected, what="the logits without a third argument"
            )


def two_losses(result):
    if not isinstance(result, tuple | list) or len(result) != 2:
        fail("pretraining_loss should return two values, mlm and nsp.", value=result)
    return result


@pytest.mark.question("pretraining_loss", weight=3, given=HEADS)
def test_pretraining_loss_values(student, reference, rng):
    """Both losses are right, for the tokens that your mask_tokens hides with the seed."""
    params = draw_params(rng, 12, 6, 2)
    for seed in (0, 4):
        tokens, segments = draw_input(rng, 12, 8, 10)
        follows = torch.from_numpy(rng.integers(2, size=8))
        hidden, labels = student.mask_tokens(tokens, 12, seed=seed)
        vectors = reference.bert_encode(hidden, segments, params, 2)
        mlm = reference.mlm_loss(reference.mlm_logits(vectors, params), labels)
        nsp = F.cross_entropy(reference.pair_logits(vectors, params), follows)
        got = two_losses(
            assert_unchanged(student.pretraining_loss, tokens, segments, follows, params, 2, seed)
        )
        assert_close(
            got[0],
            mlm,
            what=f"the loss of the masked tokens for seed {seed}",
            hint="The seed is that of mask_tokens.",
        )
        assert_close(got[1], nsp, what="the loss of the next sentences")


@pytest.mark.question("pretraining_loss", given=HEADS)
def test_pretraining_loss_lets_the_model_learn(student, reference, rng):
    """The notebook's pretrain, with your loss, learns to guess words and to recognise what follows."""
    torch.manual_seed(0)
    V, T, N = 10, 9, 128
    # A repeats one token, so that a masked one can be guessed; B says by its token whether it follows. Eight
    # pairs say nothing and are there twice, with both answers, so that the loss ends near the same height.
    first = torch.from_numpy(rng.integers(5, V, size=N))
    follows = torch.from_numpy(rng.integers(2, size=N))
    second = torch.where(follows == 1, 5, 6)
    first[8:16] = first[:8]
    second[:16], follows[:8], follows[8:16] = 7, 0, 1
    classes, separators = torch.full((N,), 2), torch.full((N,), 3)
    tokens = torch.stack([classes, *[first] * 3, separators, *[second] * 3, separators], dim=1)
    segments = torch.tensor([[0] * 5 + [1] * 4]).repeat(N, 1)
    params = reference.init_bert(V, T, D=32, num_layers=1, seed=int(rng.integers(1000)))
    result = student.pretrain(params, 2, tokens, segments, follows, 200, 32, 0.002)
    if not isinstance(result, tuple | list) or len(result) != 2:
        fail("pretrain of the notebook should have returned params and history.", value=result)
    mlm, nsp = (np.array([losses[part] for losses in result[1]]) for part in (0, 1))
    assert_learns(mlm, by_factor=1.5, what="the loss of the masked tokens")
    assert_learns(nsp, by_factor=1.5, what="the loss of the next sentences")


# --- fine-tuning
def tuned(student, params, *arguments, **options):
    result = student.fine_tune(params, *arguments, **options)
    if not isinstance(result, tuple | list) or len(result) != 2:
        fail("fine_tune should return two values, params and losses.", value=result)
    losses, steps = result[1], arguments[4]
    numbers = isinstance(losses, list) and all(isinstance(loss, float | np.floating) for loss in losses)
    if not numbers or len(losses) != steps:
        fail(f"fine_tune should return a list of {steps} floats, one loss a step.", value=losses)
    return result


def single(params):
    """The same parameters in float32."""
    if isinstance(params, dict):
        return {key: single(value) for key, value in params.items()}
    return [single(value) for value in params] if isinstance(params, list) else params.float()


def loss_of(reference, params, tokens, segments, labels):
    hidden = reference.bert_encode(tokens, segments, params, 2)
    return float(F.cross_entropy(reference.pair_logits(hidden, params, "classifier"), labels))


TUNED = [*ENCODER, "pair_logits"]


@pytest.mark.question("fine_tune", weight=2, given=TUNED)
def test_fine_tune_losses_are_those_of_the_batches(student, reference, rng):
    """With a learning rate of nearly 0, each step's loss is that of its batch, and every example is drawn."""
    known = np.zeros(4)
    while np.diff(np.sort(known)).min() < 0.02:  # a loss must tell which example was drawn
        params = single(draw_params(rng, 9, 4, 1))
        tokens, segments = draw_input(rng, 9, 4, 5)
        labels = torch.from_numpy(rng.integers(3, size=4))
        parts = zip(tokens.split(1), segments.split(1), labels.split(1), strict=True)
        known = np.array([loss_of(reference, params, *part) for part in parts])
    _, losses = tuned(student, copy.deepcopy(params), 2, tokens, segments, labels, 60, 1, 1e-9, seed=2)
    nearest = np.abs(np.array(losses)[:, None] - known).argmin(axis=1)
    hint = 'Mean cross-entropy of pair_logits(..., head="classifier") on tokens that are not masked.'
    assert_close(losses, known[nearest].tolist(), what="the losses", hint=hint, rtol=1e-3, atol=1e-3)
    if len(set(nearest.tolist())) < 4:
        fail("In 60 steps not all of the 4 examples were drawn.", value=losses)
    same = [part[:1].repeat(3, *[1] * (part.ndim - 1)) for part in (tokens, segments, labels)]
    for batch_size in (1, 5):
        _, losses = tuned(student, copy.deepcopy(params), 2, *same, 2, batch_size, 1e-9)
        what = f"the losses of batches of {batch_size}"
        assert_close(losses, [float(known[0])] * 2, what=what, hint=hint, rtol=1e-3, atol=1e-3)


@pytest.mark.question("fine_tune", weight=2, given=TUNED)
def test_fine_tune_learns(student, reference, rng):
    """The loss falls, and the returned parameters, the encoder's among them, are those that reached it."""
    start = reference.init_bert(9, 8, D=16, num_layers=1, seed=int(rng.integers(1000)))
    start["classifier"] = {"w": torch.zeros(16, 3), "b": torch.zeros(3)}
    word = torch.from_numpy(rng.integers(5, 9, size=24))
    fixed = torch.ones_like(word)
    tokens = torch.stack([2 * fixed, word, word, 3 * fixed, 0 * fixed], dim=1)
    segments, labels = torch.zeros_like(tokens), word % 3  # the word decides
    params, losses = tuned(student, copy.deepcopy(start), 2, tokens, segments, labels, 200, 20, 0.005)
    assert_learns(losses, by_factor=2)
    if not isinstance(params, dict) or params.keys() != start.keys():
        fail("fine_tune should return the parameters in the same structure.", value=params)
    if params["tokens"].requires_grad or params["classifier"]["w"].requires_grad:
        fail("The returned parameters still require gradients.")
    reached = loss_of(reference, params, tokens, segments, labels)
    assert_learns([losses[0], reached], by_factor=2, what="the loss with the returned parameters")
    for name in ("positions", "pooler", "classifier"):
        pair = (params[name], start[name]) if name == "positions" else (params[name]["w"], start[name]["w"])
        if torch.equal(*pair):
            fail(f"The parameters {name} were not trained.", value=params)
    if torch.equal(params["layers"][0]["feed_forward"]["w1"], start["layers"][0]["feed_forward"]["w1"]):
        fail("The encoder was not trained.", hint="All parameters are trained, not the head alone.")


@pytest.mark.question("fine_tune", given=TUNED)
def test_fine_tune_seeds(student, rng):
    """The same seed gives the same batches, another one others."""
    params = single(draw_params(rng, 9, 4, 1))
    tokens, segments = draw_input(rng, 9, 10, 4)
    labels = torch.from_numpy(rng.integers(3, size=10))
    runs = [
        tuned(student, copy.deepcopy(params), 2, tokens, segments, labels, 8, 2, 1e-9, seed=s)[1]
        for s in (1, 1, 2)
    ]
    assert_close(runs[1], runs[0], what="the losses for the same seed", rtol=1e-5, atol=1e-6)
    if np.allclose(runs[2], runs[0], rtol=1e-5):
        fail("Two seeds give the same batches.", value=runs[2])


# --- sentence vectors
@pytest.mark.question("mean_pool", weight=2)
def test_mean_pool_values(student, rng):
    """The mean over the tokens of each row; padding does not count, whatever stands there."""
    for pad in (0, 3):
        tokens = torch.from_numpy(rng.integers(4, 9, size=(3, 5)))
        tokens[1, 2:], tokens[2, 1:] = pad, pad
        hidden = draw(rng, 3, 5, 4)
        hidden[tokens == pad] *= 1000
        expected = torch.stack([hidden[n, : (5, 2, 1)[n]].mean(dim=0) for n in range(3)])
        got = assert_unchanged(student.mean_pool, hidden, tokens, pad)
        assert_close(
            got,
            expected,
            what=f"the means for pad = {pad}",
            hint="Divide by the number of tokens of each row.",
        )


@pytest.mark.question("mean_pool")
def test_mean_pool_default(student, rng):
    """Without a further argument, 0 is the padding token."""
    hidden, tokens = draw(rng, 1, 3, 2), torch.tensor([[2, 5, 0]])
    assert_close(student.mean_pool(hidden, tokens), hidden[:, :2].mean(dim=1), what="the mean")


@pytest.mark.question("nearest", weight=2)
def test_nearest_values(student, rng):
    """Indices and cosines of the most similar vectors, the best first; lengths do not matter."""
    for M, N, D, k in ((3, 8, 4, 3), (1, 5, 2, 1), (4, 4, 6, 4)):
        queries, vectors = draw(rng, M, D), draw(rng, N, D)
        vectors *= torch.from_numpy(rng.uniform(0.1, 10, size=(N, 1)))
        table = torch.stack([F.cosine_similarity(q[None], vectors) for q in queries])
        order = table.argsort(dim=1, descending=True)[:, :k]
        result = assert_unchanged(student.nearest, queries, vectors, k)
        if not isinstance(result, tuple | list) or len(result) != 2:
            fail("nearest should return two values, indices and cosines.", value=result)
        assert_close(
            result[0], order, what="the indices", hint="The cosine is the scalar product over both lengths."
        )
        assert_close(result[1], table.gather(1, order), what="the cosines")


# --- published weights
def published(rng, V, D, M, layers, prefix):
    """A dictionary of weights under the published names, and some that are none of ours."""
    linear = {"attention.self.query": (D, D), "attention.self.key": (D, D), "attention.self.value": (D, D)}
    linear |= {"attention.output.dense": (D, D), "intermediate.dense": (M, D), "output.dense": (D, M)}
    state = {
        f"{prefix}embeddings.word_embeddings.weight": draw(rng, V, D),
        f"{prefix}embeddings.position_embeddings.weight": draw(rng, 12, D),
        f"{prefix}embeddings.token_type_embeddings.weight": draw(rng, 2, D),
        f"{prefix}embeddings.position_ids": torch.arange(12),
        f"{prefix}pooler.dense.weight": draw(rng, D, D),
        "cls.predictions.bias": draw(rng, V),
    }
    norms = ["embeddings.LayerNorm"]
    for i in reversed(range(layers)):
        for name, shape in linear.items():
            state[f"{prefix}encoder.layer.{i}.{name}.weight"] = draw(rng, *shape)
            state[f"{prefix}encoder.layer.{i}.{name}.bias"] = draw(rng, shape[0])
        norms += [f"encoder.layer.{i}.attention.output.LayerNorm", f"encoder.layer.{i}.output.LayerNorm"]
    for name in norms:
        state[f"{prefix}{name}.weight"], state[f"{prefix}{name}.bias"] = draw(rng, D), draw(rng, D)
    return state


@pytest.mark.question("load_weights", weight=3)
def test_load_weights_values(student, reference, rng):
    """Every tensor is in its place, transposed where it is a linear layer's."""
    for layers, prefix in ((2, ""), (1, "bert."), (11, "model.encoder.")):
        state = published(rng, 7, 4, 6, layers, prefix)
        expected = reference.load_weights(state, prefix)
        got = assert_unchanged(student.load_weights, state, prefix)
        hint = (
            "A published weight is (outputs, inputs); ours is (inputs, outputs). Tables are not transposed."
        )
        assert_close(got, expected, what="the parameters", hint=hint)


@pytest.mark.question("load_weights", given=["bert_encode", "bert_layer", "embed"])
def test_load_weights_fit_the_encoder(student, reference, rng):
    """The loaded parameters run in the encoder, without a prefix by default."""
    state = published(rng, 7, 4, 6, 1, "")
    params = student.load_weights(state)
    expected = reference.load_weights(state)
    assert_close(params, expected, what="the parameters")
    tokens, segments = draw_input(rng, 7, 2, 4)
    reference.bert_encode(tokens, segments, params, 2)
