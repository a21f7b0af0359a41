"""What goes wrong in a Transformer: small wrong versions of one function each, with explanations."""

import math

import torch
import torch.nn.functional as F

from autograder.checking import mistake

# The right versions, under names that a mistake does not replace.
right_attention = attention
right_causal_mask = causal_mask
right_multi_head_attention = multi_head_attention
right_positional_encoding = positional_encoding
right_layer_norm = layer_norm
right_feed_forward = feed_forward
right_encoder_block = encoder_block
right_decoder_block = decoder_block
right_transformer_forward = transformer_forward
right_sequence_loss = sequence_loss
right_train = train
right_greedy_decode = greedy_decode
right_gpt_forward = gpt_forward
right_gpt_step = gpt_step
right_token_probabilities = token_probabilities
right_generate = generate
right_split_heads = split_heads
right_merge_heads = merge_heads
right_padding_mask = padding_mask


# --- attention


@mistake("attention", "The scores are not divided by the root of d.")
def attention_without_scale(q, k, v, mask=None):
    return right_attention(q * math.sqrt(q.shape[-1]), k, v, mask)


@mistake("attention", "The scores are divided by d; the root of d is meant.")
def attention_divided_by_d(q, k, v, mask=None):
    return right_attention(q / math.sqrt(q.shape[-1]), k, v, mask)


@mistake("attention", "The root is taken of the number of keys; it is the width d of a query that counts.")
def attention_scaled_by_length(q, k, v, mask=None):
    return right_attention(q * math.sqrt(q.shape[-1] / k.shape[-2]), k, v, mask)


@mistake("attention", "The softmax runs over the queries. Each query's weights must add up to 1: dim=-1.")
def attention_over_queries(q, k, v, mask=None):
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    weights = torch.softmax(scores, dim=-2)
    return weights @ v, weights


@mistake("attention", "The mask is the wrong way round: True means that a key may be seen.")
def attention_mask_inverted(q, k, v, mask=None):
    return right_attention(q, k, v, None if mask is None else ~mask)


@mistake(
    "attention",
    "The weights are masked after the softmax, so that those of a query do not add up to 1 any more. Mask "
    "the scores.",
    family="scaled",
)
def attention_masked_after_softmax(q, k, v, mask=None):
    _, weights = right_attention(q, k, v)
    if mask is not None:
        weights = weights * mask
    return weights @ v, weights


@mistake(
    "attention",
    "Masked scores are set to 0, which is a score like any other: exp(0) = 1. They must be so negative that "
    "nothing is left.",
)
def attention_masked_with_zero(q, k, v, mask=None):
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    if mask is not None:
        scores = scores * mask
    weights = torch.softmax(scores, dim=-1)
    return weights @ v, weights


@mistake(
    "attention",
    "A query that may see nothing gives NaN: the softmax over nothing but -inf. Its weights and its output "
    "should be 0.",
    family="unstable",
)
def attention_nan(q, k, v, mask=None):
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf)
    weights = torch.softmax(scores, dim=-1)
    return weights @ v, weights


@mistake(
    "attention",
    "A query that may see nothing gets the mean of all values, since all of its scores are equally negative. "
    "Its output should be 0.",
)
def attention_uniform_where_masked(q, k, v, mask=None):
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(~mask, -1e9)
    weights = torch.softmax(scores, dim=-1)
    return weights @ v, weights


@mistake(
    "attention",
    "exp overflows for large scores: subtract the largest one first, or use torch.softmax.",
    family="unstable",
)
def attention_overflows(q, k, v, mask=None):
    e = torch.exp(q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1]))
    if mask is not None:
        e = e * mask
    total = e.sum(dim=-1, keepdim=True)
    weights = torch.where(total == 0, 0.0, e / total)
    return weights @ v, weights


@mistake("attention", "out and weights come in the other order.")
def attention_in_other_order(q, k, v, mask=None):
    out, weights = right_attention(q, k, v, mask)
    return weights, out


# --- masks


@mistake(
    "causal_mask", "The mask is the wrong way round: True means that a position may be seen.", family="sign"
)
def causal_inverted(T, S=None):
    return ~right_causal_mask(T, S)


@mistake("causal_mask", "A position may not see itself. It may: it predicts the token behind it.")
def causal_without_itself(T, S=None):
    S = S or T
    return torch.arange(S) < torch.arange(S - T, S)[:, None]


@mistake(
    "causal_mask",
    "With more keys than queries, the queries are taken for the first positions; they are the last.",
)
def causal_at_the_beginning(T, S=None):
    return torch.ones(T, S or T, dtype=torch.bool).tril()


@mistake("causal_mask", "Rows and columns are exchanged: each position sees what comes after it.")
def causal_upper(T, S=None):
    S = S or T
    return torch.arange(S) >= torch.arange(S - T, S)[:, None]


@mistake("causal_mask", "The mask holds numbers; booleans are needed, so that ~mask is its opposite.")
def causal_of_numbers(T, S=None):
    return right_causal_mask(T, S).float()


@mistake(
    "padding_mask", "The mask is the wrong way round: True means that a position may be seen.", family="sign"
)
def padding_inverted(tokens, pad=0):
    return (tokens == pad)[:, None, None, :]


@mistake("padding_mask", "The mask has the shape (N, S), which does not broadcast with (N, H, T, S).")
def padding_without_axes(tokens, pad=0):
    return tokens != pad


@mistake("padding_mask", "The argument pad is not used.")
def padding_always_zero(tokens, pad=0):
    return (tokens != 0)[:, None, None, :]


@mistake("padding_mask", "The new axes stand at the end: padded queries are masked, where keys are meant.")
def padding_of_queries(tokens, pad=0):
    return (tokens != pad)[:, None, :, None]


# --- heads


@mistake(
    "split_heads",
    "x is reshaped to (N, H, T, d) at once, which mixes positions and heads. Reshape to (N, T, H, d) and "
    "exchange the axes.",
    family="transposed",
)
def heads_by_reshape_alone(x, num_heads):
    N, T, D = x.shape
    return x.reshape(N, num_heads, T, D // num_heads)


@mistake(
    "split_heads",
    "The axes of heads and positions are not exchanged: the shape is (N, T, H, d).",
    family="transposed",
)
def heads_not_exchanged(x, num_heads):
    return x.unflatten(-1, (num_heads, -1))


@mistake(
    "split_heads",
    "A head takes every H-th number. Head h holds neighbours: the numbers h * d to (h + 1) * d - 1.",
    family="transposed",
)
def heads_interleaved(x, num_heads):
    return x.unflatten(-1, (-1, num_heads)).permute(0, 3, 1, 2)


@mistake(
    "split_heads",
    "merge_heads reshapes without exchanging heads and positions first: the numbers of different positions "
    "are mixed.",
    replaces="merge_heads",
)
def merged_by_reshape_alone(x):
    N, H, T, d = x.shape
    return x.reshape(N, T, H * d)


@mistake(
    "split_heads",
    "merge_heads interleaves the heads: each of them belongs in one piece.",
    replaces="merge_heads",
)
def merged_interleaved(x):
    return x.permute(0, 2, 3, 1).flatten(2)


@mistake(
    "multi_head_attention", "Keys and values are made of x; in cross-attention they come from the memory."
)
def mha_without_memory(x, memory, params, num_heads, mask=None):
    return right_multi_head_attention(x, x, params, num_heads, mask if x.shape == memory.shape else None)


@mistake("multi_head_attention", "Queries are made of the memory and keys of x: it is x that asks.")
def mha_exchanged(x, memory, params, num_heads, mask=None):
    return right_multi_head_attention(memory, x, params, num_heads, mask if x.shape == memory.shape else None)


@mistake("multi_head_attention", "The last linear layer, wo and bo, is missing.")
def mha_without_output_layer(x, memory, params, num_heads, mask=None):
    D = x.shape[-1]
    identity = {"wo": torch.eye(D, dtype=x.dtype), "bo": torch.zeros(D, dtype=x.dtype)}
    return right_multi_head_attention(x, memory, params | identity, num_heads, mask)


@mistake("multi_head_attention", "The mask is not handed on to the attention.")
def mha_without_mask(x, memory, params, num_heads, mask=None):
    return right_multi_head_attention(x, memory, params, num_heads)


@mistake("multi_head_attention", "There is one head only: d is D, and the scale and the weights are others.")
def mha_one_head(x, memory, params, num_heads, mask=None):
    if mask is not None and mask.ndim == 4:
        mask = mask[:, :1]
    return right_multi_head_attention(x, memory, params, 1, mask)


@mistake("multi_head_attention", "The biases of queries, keys and values are missing.")
def mha_without_biases(x, memory, params, num_heads, mask=None):
    none = {f"b{n}": torch.zeros_like(params[f"b{n}"]) for n in "qkv"}
    return right_multi_head_attention(x, memory, params | none, num_heads, mask)


@mistake("multi_head_attention", "The weights are transposed: a linear layer is x @ w + b here.")
def mha_transposed(x, memory, params, num_heads, mask=None):
    other = {name: tensor.T if name[0] == "w" else tensor for name, tensor in params.items()}
    return right_multi_head_attention(x, memory, other, num_heads, mask)


@mistake("multi_head_attention", "Keys and values are exchanged: the weights of the keys make the values.")
def mha_keys_for_values(x, memory, params, num_heads, mask=None):
    other = params | {"wk": params["wv"], "bk": params["bv"], "wv": params["wk"], "bv": params["bk"]}
    return right_multi_head_attention(x, memory, other, num_heads, mask)


# --- positions


@mistake("positional_encoding", "Sines fill the first half and cosines the second; they should alternate.")
def positions_in_halves(T, D):
    pe = right_positional_encoding(T, D)
    return torch.cat([pe[:, 0::2], pe[:, 1::2]], dim=1)


@mistake("positional_encoding", "Sine and cosine are exchanged: sines stand in the even columns.")
def positions_exchanged(T, D):
    return right_positional_encoding(T, D).unflatten(1, (-1, 2)).flip(2).flatten(1)


@mistake("positional_encoding", "Positions are counted from 1; the first one is 0.", family="offset")
def positions_from_one(T, D):
    return right_positional_encoding(T + 1, D)[1:]


@mistake("positional_encoding", "The exponent is i/D; it is 2i/D, so that the wavelengths reach 10000.")
def positions_half_exponent(T, D):
    angles = torch.arange(T)[:, None] * 10000.0 ** (-torch.arange(D // 2) / D)
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)


@mistake(
    "positional_encoding",
    "Each column has a frequency of its own. Sine and cosine come in pairs with the same one: 2i/D for both.",
)
def positions_without_pairs(T, D):
    angles = torch.arange(T)[:, None] * 10000.0 ** (-torch.arange(D) / D)
    return torch.where(torch.arange(D) % 2 == 0, angles.sin(), angles.cos())


@mistake("positional_encoding", "The positions are multiplied with 10000^(2i/D); they are divided by it.")
def positions_multiplied(T, D):
    angles = torch.arange(T)[:, None] * 10000.0 ** (torch.arange(0, D, 2) / D)
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)


# --- layer norm


@mistake("layer_norm", "The variance divides by D - 1; layer normalisation divides by D (unbiased=False).")
def norm_unbiased(x, gamma, beta, eps=1e-5):
    variance = x.var(dim=-1, keepdim=True).nan_to_num()
    return gamma * (x - x.mean(dim=-1, keepdim=True)) / torch.sqrt(variance + eps) + beta


@mistake("layer_norm", "Epsilon is added to the standard deviation; it belongs under the root.")
def norm_epsilon_outside(x, gamma, beta, eps=1e-5):
    centred = x - x.mean(dim=-1, keepdim=True)
    return gamma * centred / (x.var(dim=-1, keepdim=True, unbiased=False).sqrt() + eps) + beta


@mistake("layer_norm", "The root of the variance is missing.")
def norm_without_root(x, gamma, beta, eps=1e-5):
    centred = x - x.mean(dim=-1, keepdim=True)
    return gamma * centred / (x.var(dim=-1, keepdim=True, unbiased=False) + eps) + beta


@mistake("layer_norm", "Mean and variance run over all positions; each position has its own.")
def norm_over_all_positions(x, gamma, beta, eps=1e-5):
    return gamma * (x - x.mean()) / torch.sqrt(x.var(unbiased=False) + eps) + beta


@mistake("layer_norm", "The mean is not subtracted.")
def norm_not_centred(x, gamma, beta, eps=1e-5):
    return gamma * x / torch.sqrt(x.var(dim=-1, keepdim=True, unbiased=False) + eps) + beta


@mistake("layer_norm", "Scale and shift are missing: gamma times the normalised x, plus beta.")
def norm_without_scale_and_shift(x, gamma, beta, eps=1e-5):
    return right_layer_norm(x, torch.ones_like(gamma), torch.zeros_like(beta), eps)


@mistake("layer_norm", "The argument eps is not used.")
def norm_with_fixed_epsilon(x, gamma, beta, eps=1e-5):
    return right_layer_norm(x, gamma, beta)


# --- feed-forward


@mistake("feed_forward", "The hidden layer has ReLU; GELU is asked for.")
def feed_forward_relu(x, params):
    return F.relu(x @ params["w1"] + params["b1"]) @ params["w2"] + params["b2"]


@mistake("feed_forward", "GELU is approximated with tanh; the default of F.gelu is the exact form.")
def feed_forward_tanh_form(x, params):
    return F.gelu(x @ params["w1"] + params["b1"], approximate="tanh") @ params["w2"] + params["b2"]


@mistake("feed_forward", "There is a second GELU behind the second layer.")
def feed_forward_two_gelus(x, params):
    return F.gelu(right_feed_forward(x, params))


@mistake("feed_forward", "The second bias, b2, is missing.", family="shifted")
def feed_forward_without_b2(x, params):
    return right_feed_forward(x, params) - params["b2"]


@mistake("feed_forward", "The first bias, b1, is missing.")
def feed_forward_without_b1(x, params):
    return right_feed_forward(x, params | {"b1": torch.zeros_like(params["b1"])})


@mistake("feed_forward", "The residual is added here; it belongs to the block.", family="term")
def feed_forward_residual(x, params):
    return x + right_feed_forward(x, params)


# --- blocks


def any_block(x, parts, params, place):
    """A block with `place(x, part, norm)` for each of its parts."""
    for name, part in parts:
        x = place(x, part, lambda h, name=name: layer_norm(h, **params[name]))
    return x


def encoder_parts(params, num_heads, mask):
    return [
        ("norm1", lambda h: multi_head_attention(h, h, params["attention"], num_heads, mask)),
        ("norm2", lambda h: feed_forward(h, params["feed_forward"])),
    ]


@mistake("encoder_block", "The residual connections are missing: each part is added to its input.")
def encoder_without_residual(x, params, num_heads, mask=None, norm_first=True):
    return any_block(
        x,
        encoder_parts(params, num_heads, mask),
        params,
        lambda x, part, norm: part(norm(x)) if norm_first else norm(part(x)),
    )


@mistake("encoder_block", "Pre-norm and post-norm are exchanged.")
def encoder_norms_exchanged(x, params, num_heads, mask=None, norm_first=True):
    return right_encoder_block(x, params, num_heads, mask, not norm_first)


@mistake("encoder_block", "It is pre-norm, whatever norm_first says.")
def encoder_always_pre_norm(x, params, num_heads, mask=None, norm_first=True):
    return right_encoder_block(x, params, num_heads, mask)


@mistake("encoder_block", "The mask is not handed on.")
def encoder_without_mask(x, params, num_heads, mask=None, norm_first=True):
    return right_encoder_block(x, params, num_heads, None, norm_first)


@mistake(
    "encoder_block",
    "In pre-norm the residual starts from the normalised x. It starts from x as it was: x + part(norm(x)).",
)
def encoder_residual_of_norm(x, params, num_heads, mask=None, norm_first=True):
    def place(x, part, norm):
        return norm(x) + part(norm(x)) if norm_first else norm(x + part(x))

    return any_block(x, encoder_parts(params, num_heads, mask), params, place)


@mistake(
    "encoder_block", "In pre-norm only the queries are normalised; keys and values come of the same norm(x)."
)
def encoder_norm_for_queries_only(x, params, num_heads, mask=None, norm_first=True):
    if not norm_first:
        return right_encoder_block(x, params, num_heads, mask, False)
    h = layer_norm(x, **params["norm1"])
    x = x + multi_head_attention(h, x, params["attention"], num_heads, mask)
    return x + feed_forward(layer_norm(x, **params["norm2"]), params["feed_forward"])


@mistake("encoder_block", "norm1 serves twice: the feed-forward layer has norm2.")
def encoder_one_norm(x, params, num_heads, mask=None, norm_first=True):
    return right_encoder_block(x, params | {"norm2": params["norm1"]}, num_heads, mask, norm_first)


@mistake("encoder_block", "Attention and feed-forward are exchanged: attention comes first.")
def encoder_in_other_order(x, params, num_heads, mask=None, norm_first=True):
    def place(x, part, norm):
        return x + part(norm(x)) if norm_first else norm(x + part(x))

    return any_block(x, encoder_parts(params, num_heads, mask)[::-1], params, place)


@mistake("decoder_block", "The self-attention has no causal mask: each position sees what comes after it.")
def decoder_sees_the_future(x, memory, params, num_heads, memory_mask=None, norm_first=True):
    own, cross = params["self_attention"], params["cross_attention"]
    parts = [
        ("norm1", lambda h: multi_head_attention(h, h, own, num_heads)),
        ("norm2", lambda h: multi_head_attention(h, memory, cross, num_heads, memory_mask)),
        ("norm3", lambda h: feed_forward(h, params["feed_forward"])),
    ]

    def place(x, part, norm):
        return x + part(norm(x)) if norm_first else norm(x + part(x))

    return any_block(x, parts, params, place)


@mistake("decoder_block", "The mask of the memory is not handed on to the cross-attention.")
def decoder_without_memory_mask(x, memory, params, num_heads, memory_mask=None, norm_first=True):
    return right_decoder_block(x, memory, params, num_heads, None, norm_first)


@mistake("decoder_block", "It is pre-norm, whatever norm_first says.")
def decoder_always_pre_norm(x, memory, params, num_heads, memory_mask=None, norm_first=True):
    return right_decoder_block(x, memory, params, num_heads, memory_mask)


@mistake("decoder_block", "The memory is normalised as well; it is taken as it is.")
def decoder_normalises_memory(x, memory, params, num_heads, memory_mask=None, norm_first=True):
    memory = layer_norm(memory, **params["norm2"])
    return right_decoder_block(x, memory, params, num_heads, memory_mask, norm_first)


@mistake("decoder_block", "Self-attention and cross-attention have each other's weights.")
def decoder_attentions_exchanged(x, memory, params, num_heads, memory_mask=None, norm_first=True):
    other = params | {
        "self_attention": params["cross_attention"],
        "cross_attention": params["self_attention"],
    }
    return right_decoder_block(x, memory, other, num_heads, memory_mask, norm_first)


@mistake("decoder_block", "The cross-attention has no residual connection.")
def decoder_cross_without_residual(x, memory, params, num_heads, memory_mask=None, norm_first=True):
    own, cross = params["self_attention"], params["cross_attention"]
    parts = [
        ("norm1", lambda h: multi_head_attention(h, h, own, num_heads, causal_mask(h.shape[1]))),
        ("norm2", lambda h: multi_head_attention(h, memory, cross, num_heads, memory_mask) - h * 0),
        ("norm3", lambda h: feed_forward(h, params["feed_forward"])),
    ]
    for name, part in parts:
        keep = 0.0 if name == "norm2" else 1.0
        if norm_first:
            x = keep * x + part(layer_norm(x, **params[name]))
        else:
            x = layer_norm(keep * x + part(x), **params[name])
    return x


# --- encoder-decoder


@mistake("transformer_forward", "The embeddings are not multiplied with the root of D.")
def transformer_without_scale(source, target, params, num_heads, pad=0):
    D = params["source"].shape[1]
    other = params | {name: params[name] / math.sqrt(D) for name in ("source", "target")}
    return right_transformer_forward(source, target, other, num_heads, pad)


@mistake("transformer_forward", "Padded positions of the source are seen: the padding mask is missing.")
def transformer_without_padding_mask(source, target, params, num_heads, pad=0):
    return right_transformer_forward(source, target, params, num_heads, pad=-1)


@mistake("transformer_forward", "The last normalisation of the decoder, decoder_norm, is missing.")
def transformer_without_last_norm(source, target, params, num_heads, pad=0):
    def embed(table, tokens):
        D = table.shape[1]
        return table[tokens] * math.sqrt(D) + positional_encoding(tokens.shape[1], D)

    mask = padding_mask(source, pad)
    memory = embed(params["source"], source)
    for block in params["encoder"]:
        memory = encoder_block(memory, block, num_heads, mask)
    memory = layer_norm(memory, **params["encoder_norm"])
    x = embed(params["target"], target)
    for block in params["decoder"]:
        x = decoder_block(x, memory, block, num_heads, mask)
    return x @ params["w_out"] + params["b_out"]


@mistake("transformer_forward", "The last normalisation of the encoder, encoder_norm, is missing.")
def transformer_without_memory_norm(source, target, params, num_heads, pad=0):
    def embed(table, tokens):
        D = table.shape[1]
        return table[tokens] * math.sqrt(D) + positional_encoding(tokens.shape[1], D)

    mask = padding_mask(source, pad)
    memory = embed(params["source"], source)
    for block in params["encoder"]:
        memory = encoder_block(memory, block, num_heads, mask)
    x = embed(params["target"], target)
    for block in params["decoder"]:
        x = decoder_block(x, memory, block, num_heads, mask)
    return layer_norm(x, **params["decoder_norm"]) @ params["w_out"] + params["b_out"]


@mistake("transformer_forward", "The target is embedded with the table of the source.")
def transformer_one_table(source, target, params, num_heads, pad=0):
    table = params["source"]
    missing = params["target"].shape[0] - table.shape[0]
    if missing > 0:
        table = torch.cat([table, table[:1].expand(missing, -1)])
    return right_transformer_forward(source, target, params | {"target": table}, num_heads, pad)


@mistake("transformer_forward", "No positions are added: the model sees a bag of tokens.")
def transformer_without_positions(source, target, params, num_heads, pad=0):
    mask = padding_mask(source, pad)
    D = params["source"].shape[1]
    memory = params["source"][source] * math.sqrt(D)
    for block in params["encoder"]:
        memory = encoder_block(memory, block, num_heads, mask)
    memory = layer_norm(memory, **params["encoder_norm"])
    x = params["target"][target] * math.sqrt(D)
    for block in params["decoder"]:
        x = decoder_block(x, memory, block, num_heads, mask)
    return layer_norm(x, **params["decoder_norm"]) @ params["w_out"] + params["b_out"]


@mistake(
    "transformer_forward", "Probabilities are returned: the loss takes logits and applies softmax itself."
)
def transformer_with_softmax(source, target, params, num_heads, pad=0):
    return torch.softmax(right_transformer_forward(source, target, params, num_heads, pad), dim=-1)


@mistake(
    "transformer_forward", "The decoder looks at the embedded source; the encoder's blocks are left out."
)
def transformer_without_encoder(source, target, params, num_heads, pad=0):
    return right_transformer_forward(source, target, params | {"encoder": []}, num_heads, pad)


@mistake("sequence_loss", "Padded positions count as well, in sum and number.")
def loss_over_all(logits, targets, pad=0):
    return F.cross_entropy(logits.flatten(0, 1), targets.clamp(min=0).flatten())


@mistake(
    "sequence_loss", "The sum leaves padded positions out, but it is divided by the number of all positions."
)
def loss_divided_by_all(logits, targets, pad=0):
    return right_sequence_loss(logits, targets, pad) * (targets != pad).double().mean().to(logits.dtype)


@mistake("sequence_loss", "The loss is the sum over all positions; the mean is asked for.", family="scaled")
def loss_summed(logits, targets, pad=0):
    return right_sequence_loss(logits, targets, pad) * (targets != pad).sum()


@mistake("sequence_loss", "The mean of each sentence is taken first; each position should count the same.")
def loss_mean_of_sentences(logits, targets, pad=0):
    keep = (targets != pad).to(logits.dtype)
    log_p = torch.log_softmax(logits, dim=-1).gather(-1, targets.clamp(min=0)[..., None])[..., 0]
    return -((log_p * keep).sum(1) / keep.sum(1).clamp(min=1)).mean()


@mistake("sequence_loss", "The sign is missing: the loss is minus the mean of log p.", family="sign")
def loss_without_sign(logits, targets, pad=0):
    return -right_sequence_loss(logits, targets, pad)


@mistake("sequence_loss", "The loss is in bits; nats are asked for, the natural logarithm.", family="scaled")
def loss_in_bits(logits, targets, pad=0):
    return right_sequence_loss(logits, targets, pad) / math.log(2)


@mistake("sequence_loss", "The argument pad is not used.")
def loss_pad_always_zero(logits, targets, pad=0):
    return right_sequence_loss(logits, targets.clamp(min=0), 0)


# --- training and decoding


def any_training(
    params, forward, source, target, num_steps, batch_size, learning_rate, pad, read_of, rows, step=True
):
    weights = [tensor.requires_grad_() for tensor in leaves(params)]
    optimizer = torch.optim.Adam(weights, lr=learning_rate)
    losses = []
    for _ in range(num_steps):
        batch = rows(len(source))
        answers = target[batch]
        logits = forward(source[batch], read_of(answers), params)
        loss = sequence_loss(logits, answers, pad)
        optimizer.zero_grad()
        loss.backward()
        if step:
            optimizer.step()
        losses.append(loss.item())
    for tensor in weights:
        tensor.requires_grad_(False)
    return params, losses


def shifted(answers, bos):
    return torch.cat([torch.full((len(answers), 1), bos), answers[:, :-1]], dim=1)


@mistake(
    "train",
    "The decoder reads the answer unshifted: at each position it reads the very token that it should say.",
)
def train_without_shift(
    params, forward, source, target, num_steps, batch_size=128, learning_rate=3e-3, bos=1, pad=0, seed=0
):
    g = torch.Generator().manual_seed(seed)
    return any_training(
        params, forward, source, target, num_steps, batch_size, learning_rate, pad,
        lambda answers: answers, lambda n: torch.randint(n, (batch_size,), generator=g),
    )  # fmt: skip


@mistake("train", "Only the first batch_size examples are ever used: draw a new batch at each step.")
def train_on_the_first_batch(
    params, forward, source, target, num_steps, batch_size=128, learning_rate=3e-3, bos=1, pad=0, seed=0
):
    return any_training(
        params, forward, source, target, num_steps, batch_size, learning_rate, pad,
        lambda answers: shifted(answers, bos), lambda n: torch.arange(batch_size) % min(n, batch_size),
    )  # fmt: skip


@mistake("train", "The seed of the batches is not used.")
def train_without_seed(
    params, forward, source, target, num_steps, batch_size=128, learning_rate=3e-3, bos=1, pad=0, seed=0
):
    return any_training(
        params, forward, source, target, num_steps, batch_size, learning_rate, pad,
        lambda answers: shifted(answers, bos), lambda n: torch.randint(n, (batch_size,)),
    )  # fmt: skip


@mistake("train", "The optimiser makes no step: the parameters stay as they were.")
def train_without_step(
    params, forward, source, target, num_steps, batch_size=128, learning_rate=3e-3, bos=1, pad=0, seed=0
):
    g = torch.Generator().manual_seed(seed)
    return any_training(
        params, forward, source, target, num_steps, batch_size, learning_rate, pad,
        lambda answers: shifted(answers, bos), lambda n: torch.randint(n, (batch_size,), generator=g), False,
    )  # fmt: skip


@mistake("train", "The begin of sequence is the number 1, whatever bos says.")
def train_bos_always_one(
    params, forward, source, target, num_steps, batch_size=128, learning_rate=3e-3, bos=1, pad=0, seed=0
):
    return right_train(params, forward, source, target, num_steps, batch_size, learning_rate, 1, pad, seed)


@mistake("train", "The losses are tensors that hold on to their graphs; floats are asked for.")
def train_returns_tensors(
    params, forward, source, target, num_steps, batch_size=128, learning_rate=3e-3, bos=1, pad=0, seed=0
):
    params, losses = right_train(
        params, forward, source, target, num_steps, batch_size, learning_rate, bos, pad, seed
    )
    return params, [torch.tensor(loss) for loss in losses]


@mistake("train", "The returned parameters still require gradients.")
def train_leaves_gradients_on(
    params, forward, source, target, num_steps, batch_size=128, learning_rate=3e-3, bos=1, pad=0, seed=0
):
    params, losses = right_train(
        params, forward, source, target, num_steps, batch_size, learning_rate, bos, pad, seed
    )
    for tensor in leaves(params):
        tensor.requires_grad_()
    return params, losses


@mistake("greedy_decode", "The answers begin with bos; they are asked for without it.")
def decode_with_bos(source, params, num_heads, num_tokens, bos=1, eos=2, pad=0):
    answers = right_greedy_decode(source, params, num_heads, num_tokens, bos, eos, pad)
    return torch.cat([torch.full((len(source), 1), bos), answers[:, :-1]], dim=1)


@mistake("greedy_decode", "Behind an eos the answers go on; there should be nothing but pad.")
def decode_beyond_the_end(source, params, num_heads, num_tokens, bos=1, eos=2, pad=0):
    return right_greedy_decode(source, params, num_heads, num_tokens, bos, -1, pad)


@mistake("greedy_decode", "The eos itself is replaced by pad: it belongs to the answer.")
def decode_without_eos(source, params, num_heads, num_tokens, bos=1, eos=2, pad=0):
    answers = right_greedy_decode(source, params, num_heads, num_tokens, bos, eos, pad)
    return answers.masked_fill(answers == eos, pad)


@mistake(
    "greedy_decode", "The scores of the first position are used at each step; the last one says what follows."
)
def decode_from_the_first_position(source, params, num_heads, num_tokens, bos=1, eos=2, pad=0):
    first = right_greedy_decode(source, params, num_heads, 1, bos, eos, pad).expand(-1, num_tokens).clone()
    first[:, 1:][first[:, :-1] == eos] = pad
    return first


@mistake("greedy_decode", "The decoder is not shown what it has said so far, only bos again and again.")
def decode_forgets(source, params, num_heads, num_tokens, bos=1, eos=2, pad=0):
    said = []
    ended = torch.zeros(len(source), dtype=torch.bool)
    for t in range(num_tokens):
        read = torch.full((len(source), t + 1), bos)
        token = transformer_forward(source, read, params, num_heads, pad)[:, -1].argmax(-1)
        said.append(token.masked_fill(ended, pad))
        ended = ended | (said[-1] == eos)
    return torch.stack(said, dim=1)


@mistake("greedy_decode", "All answers end as soon as one of them does.")
def decode_ends_together(source, params, num_heads, num_tokens, bos=1, eos=2, pad=0):
    answers = right_greedy_decode(source, params, num_heads, num_tokens, bos, eos, pad)
    ends = [int(row.argmax()) for row in (answers == eos).int() if row.any()]
    if ends:
        answers[:, min(ends) + 1 :] = pad
    return answers


# --- GPT


@mistake("gpt_forward", "There is no causal mask: each position sees the token that it is to predict.")
def gpt_sees_the_future(tokens, params, num_heads):
    x = params["tokens"][tokens] + params["positions"][: tokens.shape[1]]
    for block in params["blocks"]:
        x = encoder_block(x, block, num_heads)
    return layer_norm(x, **params["norm"]) @ params["tokens"].T


@mistake("gpt_forward", "The positions are not added.")
def gpt_without_positions(tokens, params, num_heads):
    return right_gpt_forward(tokens, params | {"positions": 0 * params["positions"]}, num_heads)


@mistake("gpt_forward", "The embeddings are multiplied with the root of D; GPT adds them as they are.")
def gpt_scaled(tokens, params, num_heads):
    T = tokens.shape[1]
    x = params["tokens"][tokens] * math.sqrt(params["tokens"].shape[1]) + params["positions"][:T]
    for block in params["blocks"]:
        x = encoder_block(x, block, num_heads, causal_mask(T))
    return layer_norm(x, **params["norm"]) @ params["tokens"].T


@mistake("gpt_forward", "The last normalisation is missing.")
def gpt_without_last_norm(tokens, params, num_heads):
    T = tokens.shape[1]
    x = params["tokens"][tokens] + params["positions"][:T]
    for block in params["blocks"]:
        x = encoder_block(x, block, num_heads, causal_mask(T))
    return x @ params["tokens"].T


@mistake("gpt_forward", "The blocks are post-norm; GPT's are pre-norm.")
def gpt_post_norm(tokens, params, num_heads):
    T = tokens.shape[1]
    x = params["tokens"][tokens] + params["positions"][:T]
    for block in params["blocks"]:
        x = encoder_block(x, block, num_heads, causal_mask(T), False)
    return layer_norm(x, **params["norm"]) @ params["tokens"].T


@mistake("gpt_forward", "Only the first block is used.")
def gpt_one_block(tokens, params, num_heads):
    repeated = [params["blocks"][0]] * len(params["blocks"])
    return right_gpt_forward(tokens, params | {"blocks": repeated}, num_heads)


def gpt_step_with(tokens, cache, params, num_heads, *, mask=None, start=None, grow=None):
    """gpt_step, with some of its decisions taken otherwise."""
    past = 0 if cache is None else cache[0][0].shape[2]
    T = tokens.shape[1]
    total = past + T
    start = past if start is None else start(past)
    x = params["tokens"][tokens] + params["positions"][start : start + T]
    grown = []
    for number, block in enumerate(params["blocks"]):
        layer, h = block["attention"], layer_norm(x, **block["norm1"])
        q, k, v = (split_heads(h @ layer[f"w{n}"] + layer[f"b{n}"], num_heads) for n in "qkv")
        if cache is not None:
            k, v = (torch.cat(pair, dim=2) for pair in zip(cache[number], (k, v), strict=True))
        grown.append((k, v))
        out, _ = attention(q, k, v, mask(T, total) if mask else causal_mask(T, total))
        x = x + merge_heads(out) @ layer["wo"] + layer["bo"]
        x = x + feed_forward(layer_norm(x, **block["norm2"]), block["feed_forward"])
    return layer_norm(x, **params["norm"]) @ params["tokens"].T, grown


@mistake(
    "gpt_step",
    "New tokens always get the first positions. They stand behind those in the cache: count on from there.",
)
def step_at_the_first_positions(tokens, cache, params, num_heads):
    return gpt_step_with(tokens, cache, params, num_heads, start=lambda past: 0)


@mistake("gpt_step", "Several new tokens see each other's future: they must be causal among themselves.")
def step_not_causal(tokens, cache, params, num_heads):
    return gpt_step_with(
        tokens, cache, params, num_heads, mask=lambda T, S: torch.ones(T, S, dtype=torch.bool)
    )


@mistake(
    "gpt_step", "The mask is that of the first positions: new tokens do not see all that is in the cache."
)
def step_with_mask_of_the_beginning(tokens, cache, params, num_heads):
    return gpt_step_with(
        tokens, cache, params, num_heads, mask=lambda T, S: torch.ones(T, S, dtype=torch.bool).tril()
    )


@mistake("gpt_step", "The cache is not used: a new token sees itself only.")
def step_without_cache(tokens, cache, params, num_heads):
    past = 0 if cache is None else cache
    logits, _ = gpt_step_with(tokens, None, params | {"positions": params["positions"][past:]}, num_heads)
    return logits, past + tokens.shape[1]


@mistake("gpt_step", "The cache holds the keys and values of the first block, and all blocks use them.")
def step_one_cache_for_all_blocks(tokens, cache, params, num_heads):
    logits, grown = gpt_step_with(tokens, cache, params, num_heads)
    return logits, [grown[0]] * len(grown)


@mistake("gpt_step", "The old cache is changed in place, so that one cannot go on from it a second time.")
def step_changes_the_cache(tokens, cache, params, num_heads):
    logits, grown = gpt_step_with(tokens, cache, params, num_heads)
    if cache is not None:
        cache[:] = grown
    return logits, grown


@mistake("gpt_step", "Everything is computed anew at each step: right, but as slow as without a cache.")
def step_computes_everything(tokens, cache, params, num_heads):
    tokens = tokens if cache is None else torch.cat([cache, tokens], dim=1)
    past = 0 if cache is None else cache.shape[1]
    x = params["tokens"][tokens] + params["positions"][: tokens.shape[1]]
    for block in params["blocks"]:
        x = encoder_block(x, block, num_heads, causal_mask(tokens.shape[1]))
    return (layer_norm(x, **params["norm"]) @ params["tokens"].T)[:, past:], tokens


# --- sampling


@mistake("token_probabilities", "The logits are multiplied by the temperature; they are divided by it.")
def probabilities_multiplied(logits, temperature=1.0, top_k=None, top_p=None):
    return right_token_probabilities(logits, 1 / temperature if temperature else 0, top_k, top_p)


@mistake("token_probabilities", "The probabilities are divided by the temperature, which changes nothing.")
def probabilities_divided(logits, temperature=1.0, top_k=None, top_p=None):
    return right_token_probabilities(logits, 1.0 if temperature else 0, top_k, top_p)


@mistake("token_probabilities", "At temperature 0 the logits are divided by 0.", family="unstable")
def probabilities_divided_by_zero(logits, temperature=1.0, top_k=None, top_p=None):
    if temperature == 0:
        return torch.softmax(logits / 0.0, dim=-1)
    return right_token_probabilities(logits, temperature, top_k, top_p)


@mistake("token_probabilities", "What top-k leaves over is not normalised: its sum is below 1.")
def probabilities_top_k_not_normalised(logits, temperature=1.0, top_k=None, top_p=None):
    p = right_token_probabilities(logits, temperature)
    kept = right_token_probabilities(logits, temperature, top_k, top_p)
    return kept if top_p is not None or temperature == 0 else p * (kept > 0)


@mistake("token_probabilities", "Top-k sets the logits of the others to 0, which is a score like any other.")
def probabilities_logits_of_zero(logits, temperature=1.0, top_k=None, top_p=None):
    if top_k is not None and temperature != 0:
        least = logits.topk(min(top_k, logits.shape[-1]), dim=-1).values[:, -1:]
        logits = logits * (logits >= least)
    return right_token_probabilities(logits, temperature, None, top_p)


@mistake("token_probabilities", "top_k may exceed the number of tokens: then all stay.")
def probabilities_k_too_large(logits, temperature=1.0, top_k=None, top_p=None):
    if top_k is not None:
        logits.topk(top_k, dim=-1)
    return right_token_probabilities(logits, temperature, top_k, top_p)


@mistake(
    "token_probabilities",
    "The token that crosses top_p is cut off as well. It belongs to those that stay: together they reach p.",
)
def probabilities_nucleus_too_small(logits, temperature=1.0, top_k=None, top_p=None):
    if top_p is None or temperature == 0:
        return right_token_probabilities(logits, temperature, top_k, top_p)
    ordered, order = right_token_probabilities(logits, temperature, top_k).sort(dim=-1, descending=True)
    ordered[:, 1:][ordered.cumsum(dim=-1)[:, 1:] > top_p] = 0
    return torch.zeros_like(ordered).scatter(-1, order, ordered / ordered.sum(dim=-1, keepdim=True))


@mistake(
    "token_probabilities", "The nucleus is put back in sorted order: each probability belongs to its token."
)
def probabilities_stay_sorted(logits, temperature=1.0, top_k=None, top_p=None):
    p = right_token_probabilities(logits, temperature, top_k, top_p)
    return p if top_p is None or temperature == 0 else p.sort(dim=-1, descending=True).values


@mistake("token_probabilities", "Top-p is applied before the temperature: it should see the sharpened ones.")
def probabilities_nucleus_first(logits, temperature=1.0, top_k=None, top_p=None):
    if top_p is None or temperature == 0:
        return right_token_probabilities(logits, temperature, top_k, top_p)
    kept = right_token_probabilities(logits, 1.0, None, top_p) > 0
    return right_token_probabilities(logits.masked_fill(~kept, -math.inf), temperature, top_k)


@mistake("token_probabilities", "Top-p keeps every token whose own probability is at least 1 - p.")
def probabilities_min_p(logits, temperature=1.0, top_k=None, top_p=None):
    p = right_token_probabilities(logits, temperature, top_k)
    if top_p is None or temperature == 0:
        return p
    kept = p * ((p >= 1 - top_p) | (p == p.max(dim=-1, keepdim=True).values))
    return kept / kept.sum(dim=-1, keepdim=True)


def generate_with(prompt, num_tokens, params, num_heads, seed, options, *, pick=None, place=-1):
    generator = torch.Generator().manual_seed(seed)
    written, new, cache = prompt, prompt, None
    for _ in range(num_tokens):
        logits, cache = gpt_step(new, cache, params, num_heads)
        p = token_probabilities(logits[:, place], **options)
        new = pick(p) if pick else torch.multinomial(p, 1, generator=generator)
        written = torch.cat([written, new], dim=1)
    return written


@mistake("generate", "The most likely token is always taken: draw from the probabilities.")
def generate_takes_the_best(
    prompt, num_tokens, params, num_heads, seed=0, temperature=1.0, top_k=None, top_p=None
):
    return generate_with(
        prompt, num_tokens, params, num_heads, seed, {}, pick=lambda p: p.argmax(-1, keepdim=True)
    )


@mistake("generate", "temperature, top_k and top_p are not handed on.")
def generate_without_options(
    prompt, num_tokens, params, num_heads, seed=0, temperature=1.0, top_k=None, top_p=None
):
    return generate_with(prompt, num_tokens, params, num_heads, seed, {})


@mistake("generate", "top_p is not handed on.")
def generate_without_top_p(
    prompt, num_tokens, params, num_heads, seed=0, temperature=1.0, top_k=None, top_p=None
):
    return right_generate(prompt, num_tokens, params, num_heads, seed, temperature, top_k)


@mistake("generate", "Only the new tokens are returned; the prompt belongs in front of them.")
def generate_without_prompt(
    prompt, num_tokens, params, num_heads, seed=0, temperature=1.0, top_k=None, top_p=None
):
    return right_generate(prompt, num_tokens, params, num_heads, seed, temperature, top_k, top_p)[
        :, prompt.shape[1] :
    ]


@mistake("generate", "The seed is not used: each call gives another text.")
def generate_without_seed(
    prompt, num_tokens, params, num_heads, seed=0, temperature=1.0, top_k=None, top_p=None
):
    seed = int(torch.randint(2**31, ()))
    return right_generate(prompt, num_tokens, params, num_heads, seed, temperature, top_k, top_p)


@mistake(
    "generate", "The next token is drawn from the scores of the prompt's first position; the last one counts."
)
def generate_from_the_first_position(
    prompt, num_tokens, params, num_heads, seed=0, temperature=1.0, top_k=None, top_p=None
):
    options = {"temperature": temperature, "top_k": top_k, "top_p": top_p}
    return generate_with(prompt, num_tokens, params, num_heads, seed, options, place=0)


@mistake("generate", "All texts of a batch get the same draw.")
def generate_one_draw_for_all(
    prompt, num_tokens, params, num_heads, seed=0, temperature=1.0, top_k=None, top_p=None
):
    options = {"temperature": temperature, "top_k": top_k, "top_p": top_p}
    generator = torch.Generator().manual_seed(seed)

    def pick(p):
        place = torch.rand((), generator=generator)
        return (p.cumsum(dim=-1) < place).sum(dim=-1, keepdim=True).clamp(max=p.shape[1] - 1)

    return generate_with(prompt, num_tokens, params, num_heads, seed, options, pick=pick)
