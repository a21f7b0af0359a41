"""What goes wrong in recurrent networks: small wrong versions of one function each, with explanations.

A wrong forward pass still returns the right cache, so that it costs its own question only.
"""

import numpy as np

from autograder.checking import mistake

# The right versions, under names that a mistake does not replace.
right_step_forward = rnn_step_forward
right_step_backward = rnn_step_backward
right_forward = rnn_forward
right_backward = rnn_backward
right_clip = clip_gradients
right_embedding_forward = word_embedding_forward
right_embedding_backward = word_embedding_backward
right_affine_forward = temporal_affine_forward
right_affine_backward = temporal_affine_backward
right_softmax_loss = temporal_softmax_loss
right_caption_loss = CaptioningRNN.loss
right_sample = CaptioningRNN.sample


# --- one step


@mistake("rnn_step_forward", "The bias is missing: add b before tanh.")
def step_without_bias(x, prev_h, Wx, Wh, b):
    _, cache = right_step_forward(x, prev_h, Wx, Wh, b)
    return np.tanh(x @ Wx + prev_h @ Wh), cache


@mistake("rnn_step_forward", "The state before is missing: the next state depends on prev_h @ Wh as well.")
def step_without_memory(x, prev_h, Wx, Wh, b):
    _, cache = right_step_forward(x, prev_h, Wx, Wh, b)
    return np.tanh(x @ Wx + b), cache


@mistake("rnn_step_forward", "The result is the sum before tanh: the squashing function is missing.")
def step_without_tanh(x, prev_h, Wx, Wh, b):
    _, cache = right_step_forward(x, prev_h, Wx, Wh, b)
    return x @ Wx + prev_h @ Wh + b, cache


@mistake("rnn_step_forward", "The state is squashed by the sigmoid, to 0 ... 1. This network uses tanh.")
def step_with_sigmoid(x, prev_h, Wx, Wh, b):
    _, cache = right_step_forward(x, prev_h, Wx, Wh, b)
    return 0.5 * (1 + np.tanh(0.5 * (x @ Wx + prev_h @ Wh + b))), cache


@mistake("rnn_step_forward", "Wh is transposed: the state is a row, so the product is prev_h @ Wh.")
def step_with_transposed_wh(x, prev_h, Wx, Wh, b):
    _, cache = right_step_forward(x, prev_h, Wx, Wh, b)
    return np.tanh(x @ Wx + prev_h @ Wh.T + b), cache


@mistake("rnn_step_forward", "tanh is applied to the part of the input only; it is applied to the whole sum.")
def step_tanh_of_input_only(x, prev_h, Wx, Wh, b):
    _, cache = right_step_forward(x, prev_h, Wx, Wh, b)
    return np.tanh(x @ Wx + b) + prev_h @ Wh, cache


@mistake(
    "rnn_step_forward",
    "tanh is written with exp of both signs, which overflows to inf / inf: use np.tanh.",
    family="unstable",
)
def step_with_exp(x, prev_h, Wx, Wh, b):
    _, cache = right_step_forward(x, prev_h, Wx, Wh, b)
    a = x @ Wx + prev_h @ Wh + b
    with np.errstate(all="ignore"):
        return (np.exp(a) - np.exp(-a)) / (np.exp(a) + np.exp(-a)), cache


@mistake("rnn_step_forward", "The new state is written into prev_h: the caller still needs the old one.")
def step_overwrites_state(x, prev_h, Wx, Wh, b):
    next_h, cache = right_step_forward(x, prev_h.copy(), Wx, Wh, b)
    prev_h[...] = next_h
    return next_h, cache


def step_gradients(da, cache):
    """The gradients of a step from that of the sum before tanh."""
    x, prev_h, Wx, Wh, _ = cache
    return da @ Wx.T, da @ Wh.T, x.T @ da, prev_h.T @ da, da.sum(axis=0)


@mistake("rnn_step_backward", "The derivative of tanh is missing: multiply dnext_h with 1 - next_h**2 first.")
def step_gradient_without_tanh(dnext_h, cache):
    return step_gradients(dnext_h, cache)


@mistake("rnn_step_backward", "The derivative of tanh is 1 - tanh**2; here it is 1 - tanh.")
def step_gradient_not_squared(dnext_h, cache):
    return step_gradients(dnext_h * (1 - cache[4]), cache)


@mistake(
    "rnn_step_backward",
    "That is the derivative of the sigmoid, next_h * (1 - next_h). That of tanh is 1 - next_h**2.",
)
def step_gradient_of_sigmoid(dnext_h, cache):
    return step_gradients(dnext_h * cache[4] * (1 - cache[4]), cache)


@mistake(
    "rnn_step_backward",
    "next_h is already tanh(a); 1 - tanh(next_h)**2 applies tanh twice. The derivative is 1 - next_h**2.",
)
def step_gradient_tanh_twice(dnext_h, cache):
    return step_gradients(dnext_h * (1 - np.tanh(cache[4]) ** 2), cache)


@mistake(
    "rnn_step_backward",
    "dWh multiplies with the next state; Wh has been multiplied with the state before, prev_h.",
)
def step_dwh_from_next_state(dnext_h, cache):
    dx, dprev_h, dWx, _, db = right_step_backward(dnext_h, cache)
    return dx, dprev_h, dWx, cache[4].T @ (dnext_h * (1 - cache[4] ** 2)), db


@mistake("rnn_step_backward", "dprev_h multiplies with Wh; going back it is Wh transposed.")
def step_dprev_without_transpose(dnext_h, cache):
    dx, _, dWx, dWh, db = right_step_backward(dnext_h, cache)
    return dx, dnext_h * (1 - cache[4] ** 2) @ cache[3], dWx, dWh, db


@mistake(
    "rnn_step_backward",
    "dprev_h is the upstream gradient passed on as it is; it has to pass tanh and Wh.",
)
def step_dprev_passed_on(dnext_h, cache):
    dx, _, dWx, dWh, db = right_step_backward(dnext_h, cache)
    return dx, dnext_h * 1.0, dWx, dWh, db


@mistake("rnn_step_backward", "db averages over the batch; the gradient is the sum.", family="scaled")
def step_db_averaged(dnext_h, cache):
    *others, db = right_step_backward(dnext_h, cache)
    return *others, db / len(dnext_h)


@mistake("rnn_step_backward", "db is not summed over the batch: one row for each example.", family="reduced")
def step_db_not_summed(dnext_h, cache):
    *others, _ = right_step_backward(dnext_h, cache)
    return *others, dnext_h * (1 - cache[4] ** 2)


@mistake("rnn_step_backward", "dWx is transposed: it has the shape of Wx, (D, H).", family="transposed")
def step_dwx_transposed(dnext_h, cache):
    dx, dprev_h, dWx, dWh, db = right_step_backward(dnext_h, cache)
    return dx, dprev_h, dWx.T, dWh, db


# --- a sequence


@mistake("rnn_forward", "Every step starts from h0: hand each step the state that the step before returned.")
def sequence_always_from_h0(x, h0, Wx, Wh, b):
    _, cache = right_forward(x, h0, Wx, Wh, b)
    return np.stack([right_step_forward(x[:, t], h0, Wx, Wh, b)[0] for t in range(x.shape[1])], axis=1), cache


@mistake("rnn_forward", "The first step starts from zeros instead of h0.")
def sequence_from_zeros(x, h0, Wx, Wh, b):
    _, cache = right_forward(x, h0, Wx, Wh, b)
    return right_forward(x, np.zeros_like(h0), Wx, Wh, b)[0], cache


@mistake(
    "rnn_forward",
    "The states are stacked along the first axis, (T, N, H); they belong on axis 1, (N, T, H).",
    family="transposed, reshaped",
)
def sequence_time_first(x, h0, Wx, Wh, b):
    h, cache = right_forward(x, h0, Wx, Wh, b)
    return h.transpose(1, 0, 2), cache


@mistake(
    "rnn_forward",
    "The list of states is reshaped to (N, T, H) although it is (T, N, H), which mixes examples and steps.",
    family="transposed",
)
def sequence_reshaped(x, h0, Wx, Wh, b):
    h, cache = right_forward(x, h0, Wx, Wh, b)
    return h.transpose(1, 0, 2).reshape(h.shape), cache


@mistake(
    "rnn_forward",
    "The states are one step late: they begin with h0 and the last one is missing. Keep the state after each "
    "step.",
    family="offset",
)
def sequence_begins_with_h0(x, h0, Wx, Wh, b):
    h, cache = right_forward(x, h0, Wx, Wh, b)
    return np.concatenate([h0[:, None], h[:, :-1]], axis=1), cache


@mistake("rnn_forward", "h0 is returned as a first state: T + 1 of them instead of T.", family="offset")
def sequence_with_h0(x, h0, Wx, Wh, b):
    h, cache = right_forward(x, h0, Wx, Wh, b)
    return np.concatenate([h0[:, None], h], axis=1), cache


@mistake("rnn_forward", "Only the last state is returned; all T of them are needed.")
def sequence_last_state_only(x, h0, Wx, Wh, b):
    h, cache = right_forward(x, h0, Wx, Wh, b)
    return h[:, -1], cache


@mistake("rnn_forward", "The sequence is read from its end.")
def sequence_backwards(x, h0, Wx, Wh, b):
    _, cache = right_forward(x, h0, Wx, Wh, b)
    return right_forward(x[:, ::-1], h0, Wx, Wh, b)[0], cache


def through_time(dh, cache, carry, weigh=None):
    """Backpropagation through time, with `carry` applied to what a step hands to the one before."""
    dx, state, weights = [], np.zeros_like(dh[:, 0]), []
    for t in reversed(range(dh.shape[1])):
        dx_t, state, *of_step = right_step_backward(dh[:, t] + carry(state, t), cache[t])
        dx.append(dx_t)
        weights.append(of_step)
    total = (
        [sum(parts) for parts in zip(*weights, strict=True)] if weigh is None else weigh(weights, dh.shape[1])
    )
    return np.stack(dx[::-1], axis=1), state, *total


@mistake(
    "rnn_backward",
    "The gradient that a step returns for its previous state is lost: add it to dh of the step before.",
)
def no_gradient_through_time(dh, cache):
    return through_time(dh, cache, lambda state, t: 0)


@mistake(
    "rnn_backward",
    "Only the last state's upstream gradient is used: every state has its own, which adds up with what "
    "comes back through time.",
)
def only_last_upstream(dh, cache):
    alone = np.zeros_like(dh)
    alone[:, -1] = dh[:, -1]
    return right_backward(alone, cache)


@mistake(
    "rnn_backward", "The gradients of the weights are those of the first step alone: sum over the steps."
)
def weights_of_first_step(dh, cache):
    return through_time(dh, cache, lambda state, t: state, lambda weights, T: weights[-1])


@mistake("rnn_backward", "The gradients of the weights are those of the last step alone: sum over the steps.")
def weights_of_last_step(dh, cache):
    return through_time(dh, cache, lambda state, t: state, lambda weights, T: weights[0])


@mistake(
    "rnn_backward",
    "The gradients of the weights are averaged over the steps; they are sums.",
    family="scaled",
)
def weights_averaged(dh, cache):
    dx, dh0, *weights = right_backward(dh, cache)
    return dx, dh0, *(weight / dh.shape[1] for weight in weights)


@mistake("rnn_backward", "dh0 is the gradient of the first state, h_1: it has yet to pass the first step.")
def dh0_of_first_state(dh, cache):
    dx, _, *weights = right_backward(dh, cache)
    state = np.zeros_like(dh[:, 0])
    for t in range(dh.shape[1] - 1, 0, -1):
        state = right_step_backward(dh[:, t] + state, cache[t])[1]
    return dx, dh[:, 0] + state, *weights


@mistake(
    "rnn_backward", "dh0 is zero: it is what the first step returns for its previous state.", family="zeros"
)
def dh0_zero(dh, cache):
    dx, dh0, *weights = right_backward(dh, cache)
    return dx, np.zeros_like(dh0), *weights


@mistake("rnn_backward", "dx is in the order of the loop, last step first: turn it round.", family="reversed")
def dx_backwards(dh, cache):
    dx, *others = right_backward(dh, cache)
    return dx[:, ::-1], *others


@mistake("rnn_backward", "The steps are walked from the first to the last; gradients come from the end.")
def steps_forwards(dh, cache):
    dx, state, weights = [], np.zeros_like(dh[:, 0]), []
    for t in range(dh.shape[1]):
        dx_t, state, *of_step = right_step_backward(dh[:, t] + state, cache[t])
        dx.append(dx_t)
        weights.append(of_step)
    return np.stack(dx, axis=1), state, *(sum(parts) for parts in zip(*weights, strict=True))


@mistake("rnn_backward", "The gradient is cut off after five steps: it goes all the way back.")
def truncated(dh, cache):
    T = dh.shape[1]
    return through_time(dh, cache, lambda state, t: state if (T - 1 - t) % 5 else 0 * state)


# --- clipping


@mistake(
    "clip_gradients",
    "Each array is clipped by its own norm, which changes the direction: use one norm.",
    family="scaled",
)
def clipped_each(grads, max_norm):
    clipped = {name: right_clip({name: g}, max_norm)[0][name] for name, g in grads.items()}
    return clipped, right_clip(grads, max_norm)[1]


@mistake("clip_gradients", "Each number is cut off at max_norm; what is limited is the norm of all together.")
def clipped_elements(grads, max_norm):
    return {name: np.clip(g, -max_norm, max_norm) for name, g in grads.items()}, right_clip(grads, max_norm)[
        1
    ]


@mistake(
    "clip_gradients",
    "Short gradients are made longer: scale only where the norm exceeds max_norm.",
    family="scaled",
)
def always_scaled(grads, max_norm):
    norm = right_clip(grads, max_norm)[1]
    return {name: g * max_norm / norm if norm else g for name, g in grads.items()}, norm


@mistake(
    "clip_gradients",
    "The norms of the arrays are added up; the squares are, and the root comes last.",
    family="scaled",
)
def norms_added(grads, max_norm):
    norm = float(sum(np.linalg.norm(g) for g in grads.values()))
    factor = min(1.0, max_norm / norm) if norm else 1.0
    return {name: factor * g for name, g in grads.items()}, norm


@mistake("clip_gradients", "The root is missing: that is the square of the norm.", family="scaled")
def norm_squared(grads, max_norm):
    norm = float(sum(np.sum(g**2) for g in grads.values()))
    factor = min(1.0, max_norm / norm) if norm else 1.0
    return {name: factor * g for name, g in grads.items()}, norm


@mistake(
    "clip_gradients",
    "The norm is the largest one of the arrays; it is that of all numbers together.",
    family="scaled",
)
def largest_norm(grads, max_norm):
    norm = float(max(np.linalg.norm(g) for g in grads.values()))
    factor = min(1.0, max_norm / norm) if norm else 1.0
    return {name: factor * g for name, g in grads.items()}, norm


@mistake("clip_gradients", "The norm after clipping is returned; the one before is asked for.")
def norm_after(grads, max_norm):
    clipped, norm = right_clip(grads, max_norm)
    return clipped, min(norm, float(max_norm))


@mistake("clip_gradients", "A gradient of norm 0 is divided by its norm: 0 / 0 is NaN.", family="unstable")
def zero_divided(grads, max_norm):
    norm = right_clip(grads, max_norm)[1]
    with np.errstate(all="ignore"):
        factor = min(1.0, float(np.float64(max_norm) / norm)) if norm else np.nan
    return {name: factor * g for name, g in grads.items()}, norm


# --- words


@mistake("word_embedding_forward", "Each word gives a column of W; the vector of a word is its row.")
def embedding_columns(x, W):
    _, cache = right_embedding_forward(x, W)
    return np.take(W.T, np.minimum(x, W.shape[1] - 1), axis=0)[..., : W.shape[1]], cache


@mistake("word_embedding_forward", "The numbers of the words are off by one: word 0 has row 0.")
def embedding_off_by_one(x, W):
    _, cache = right_embedding_forward(x, W)
    return W[x - 1], cache


@mistake(
    "word_embedding_forward",
    "Examples and steps are exchanged: out has the shape (N, T, D).",
    family="transposed",
)
def embedding_time_first(x, W):
    out, cache = right_embedding_forward(x, W)
    return out.transpose(1, 0, 2), cache


@mistake(
    "word_embedding_forward",
    "The vectors of a caption are summed; each word keeps its own.",
    family="reduced",
)
def embedding_summed(x, W):
    out, cache = right_embedding_forward(x, W)
    return out.sum(axis=1), cache


@mistake(
    "word_embedding_backward",
    "dW[x] += dout adds only once to a row that is named several times: use np.add.at.",
)
def embedding_last_only(dout, cache):
    x, shape = cache
    dW = np.zeros(shape, dtype=dout.dtype)
    dW[x] += dout
    return dW


@mistake("word_embedding_backward", "A word's gradients are averaged over its places; they add up.")
def embedding_averaged(dout, cache):
    x, shape = cache
    counts = np.bincount(x.ravel(), minlength=shape[0])
    return right_embedding_backward(dout, cache) / np.maximum(counts, 1)[:, None]


@mistake(
    "word_embedding_backward",
    "dW has rows up to the largest word that occurs; it has the shape of W.",
    family="offset, partial",
)
def embedding_too_short(dout, cache):
    return right_embedding_backward(dout, cache)[: cache[0].max() + 1]


@mistake(
    "word_embedding_backward", "dout itself is returned; what is asked for is the gradient of W, (V, D)."
)
def embedding_upstream(dout, cache):
    return dout * 1.0


@mistake("word_embedding_backward", "The gradient is divided by N; the loss has done that.", family="scaled")
def embedding_divided(dout, cache):
    return right_embedding_backward(dout, cache) / len(dout)


@mistake("temporal_affine_forward", "The bias is missing: add b at every step.", family="shifted")
def affine_without_bias(x, w, b):
    out, cache = right_affine_forward(x, w, b)
    return out - b, cache


@mistake("temporal_affine_forward", "Only the last step is computed; every step has an output.")
def affine_last_step(x, w, b):
    out, cache = right_affine_forward(x, w, b)
    return out[:, -1], cache


@mistake(
    "temporal_affine_forward", "The output is still in rows, (N T, M): give it the shape (N, T, M).",
    family="reshaped",
)  # fmt: skip
def affine_in_rows(x, w, b):
    out, cache = right_affine_forward(x, w, b)
    return out.reshape(-1, out.shape[2]), cache


@mistake(
    "temporal_affine_forward",
    "The rows are put back as (T, N, M) and transposed, although they are in the order (N, T): that mixes "
    "examples and steps.",
    family="transposed",
)
def affine_mixed(x, w, b):
    out, cache = right_affine_forward(x, w, b)
    N, T, M = out.shape
    return out.reshape(T, N, M).transpose(1, 0, 2), cache


@mistake("temporal_affine_forward", "The bias is added once for each step, T times in all.", family="shifted")
def affine_bias_per_step(x, w, b):
    out, cache = right_affine_forward(x, w, b)
    return out + (x.shape[1] - 1) * b, cache


@mistake(
    "temporal_affine_backward", "db sums over the examples only: sum over the steps too.", family="reduced"
)
def affine_db_per_step(dout, cache):
    dx, dw, _ = right_affine_backward(dout, cache)
    return dx, dw, dout.sum(axis=0)


@mistake("temporal_affine_backward", "db averages over examples and steps; it is a sum.", family="scaled")
def affine_db_averaged(dout, cache):
    dx, dw, _ = right_affine_backward(dout, cache)
    return dx, dw, dout.mean(axis=(0, 1))


@mistake("temporal_affine_backward", "dw is that of the last step; it sums over the steps.")
def affine_dw_last_step(dout, cache):
    dx, _, db = right_affine_backward(dout, cache)
    return dx, cache[0][:, -1].T @ dout[:, -1], db


@mistake("temporal_affine_backward", "dw is divided by the number of steps; it is a sum.", family="scaled")
def affine_dw_per_step(dout, cache):
    dx, dw, db = right_affine_backward(dout, cache)
    return dx, dw / dout.shape[1], db


@mistake("temporal_affine_backward", "dw is transposed: it has the shape of w, (D, M).", family="transposed")
def affine_dw_transposed(dout, cache):
    dx, dw, db = right_affine_backward(dout, cache)
    return dx, dw.T, db


@mistake(
    "temporal_affine_backward", "dx is still in rows, (N T, D): it has the shape of x.", family="reshaped"
)
def affine_dx_in_rows(dout, cache):
    dx, dw, db = right_affine_backward(dout, cache)
    return dx.reshape(-1, dx.shape[2]), dw, db


# --- the loss


@mistake("temporal_softmax_loss", "The mask is ignored: steps of <NULL> cost nothing and teach nothing.")
def loss_without_mask(x, y, mask):
    return right_softmax_loss(x, y, np.ones_like(mask))


@mistake(
    "temporal_softmax_loss",
    "The loss is masked, its gradient is not: dx is zero where a step does not count.",
)
def loss_gradient_without_mask(x, y, mask):
    return right_softmax_loss(x, y, mask)[0], right_softmax_loss(x, y, np.ones_like(mask))[1]


@mistake(
    "temporal_softmax_loss",
    "The loss is divided by the number of words that count; here it is the mean over the N examples.",
    family="scaled",
)
def loss_per_word(x, y, mask):
    loss, dx = right_softmax_loss(x, y, mask)
    factor = len(x) / max(int(mask.sum()), 1)
    return loss * factor, dx * factor


@mistake(
    "temporal_softmax_loss",
    "The loss is divided by N * T; it is summed over time and averaged over examples.",
    family="scaled",
)
def loss_per_step(x, y, mask):
    loss, dx = right_softmax_loss(x, y, mask)
    return loss / x.shape[1], dx / x.shape[1]


@mistake("temporal_softmax_loss", "The loss is the sum over the examples; divide by N.", family="scaled")
def loss_summed(x, y, mask):
    loss, dx = right_softmax_loss(x, y, mask)
    return loss * len(x), dx * len(x)


@mistake("temporal_softmax_loss", "dx is not divided by N, though the loss is.", family="scaled")
def loss_gradient_not_divided(x, y, mask):
    loss, dx = right_softmax_loss(x, y, mask)
    return loss, dx * len(x)


@mistake(
    "temporal_softmax_loss",
    "The sign is wrong: the loss is minus the logarithm, and positive.",
    family="sign",
)
def loss_negative(x, y, mask):
    loss, dx = right_softmax_loss(x, y, mask)
    return -loss, -dx


@mistake("temporal_softmax_loss", "The 1 of the right word is not subtracted in dx: it is p - 1 there.")
def loss_gradient_only_p(x, y, mask):
    shifted = np.exp(x - x.max(axis=2, keepdims=True))
    p = shifted / shifted.sum(axis=2, keepdims=True)
    return right_softmax_loss(x, y, mask)[0], mask[:, :, None] * p / len(x)


@mistake(
    "temporal_softmax_loss",
    "The softmax runs over the steps; it runs over the words, the last axis.",
)
def loss_softmax_over_time(x, y, mask):
    shifted = x - x.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    right = np.eye(x.shape[2])[y] * mask[:, :, None]
    return -float((right * log_p).sum()) / len(x), (np.exp(log_p) * mask[:, :, None] - right) / len(x)


@mistake(
    "temporal_softmax_loss",
    "Large scores overflow: subtract the largest score of each step before exp.",
    family="unstable",
)
def loss_overflows(x, y, mask):
    with np.errstate(all="ignore"):
        p = np.exp(x) / np.exp(x).sum(axis=2, keepdims=True)
        right = np.eye(x.shape[2])[y]
        loss = -float(np.log((p * right).sum(axis=2))[mask].sum()) / len(x)
    return loss, (p - right) * mask[:, :, None] / len(x)


# --- the network


def with_tokens(self, features, words, right, counts):
    """The loss and gradients for given inputs, right words and mask."""
    p, grads = self.params, {}
    h0 = features @ p["W_proj"] + p["b_proj"]
    x, embedding_cache = word_embedding_forward(words, p["W_embed"])
    h, rnn_cache = rnn_forward(x, h0, p["Wx"], p["Wh"], p["b"])
    scores, vocab_cache = temporal_affine_forward(h, p["W_vocab"], p["b_vocab"])
    loss, dscores = temporal_softmax_loss(scores, right, counts)
    dh, grads["W_vocab"], grads["b_vocab"] = temporal_affine_backward(dscores, vocab_cache)
    dx, dh0, grads["Wx"], grads["Wh"], grads["b"] = rnn_backward(dh, rnn_cache)
    grads["W_embed"] = word_embedding_backward(dx, embedding_cache)
    grads["W_proj"], grads["b_proj"] = features.T @ dh0, dh0.sum(axis=0)
    return loss, grads


@mistake(
    "captioning_rnn",
    "Inputs and right words are the same: the network is asked for the word that it has just read. The right "
    "word is the next one.",
    replaces="CaptioningRNN.loss",
)
def same_word(self, features, captions):
    words = captions[:, :-1]
    return with_tokens(self, features.astype(self.dtype), words, words, words != self._null)


@mistake(
    "captioning_rnn",
    "The mask looks at the inputs; it is the right words that must not be <NULL>.",
    replaces="CaptioningRNN.loss",
)
def mask_of_inputs(self, features, captions):
    words, right = captions[:, :-1], captions[:, 1:]
    return with_tokens(self, features.astype(self.dtype), words, right, words != self._null)


@mistake("captioning_rnn", "<NULL> is not left out of the loss.", replaces="CaptioningRNN.loss")
def null_counts(self, features, captions):
    words, right = captions[:, :-1], captions[:, 1:]
    return with_tokens(self, features.astype(self.dtype), words, right, np.ones(right.shape, dtype=bool))


@mistake(
    "captioning_rnn",
    "<END> is left out of the loss: the network must learn to stop, too.",
    replaces="CaptioningRNN.loss",
)
def end_does_not_count(self, features, captions):
    words, right = captions[:, :-1], captions[:, 1:]
    counts = (right != self._null) & (right != self._end)
    return with_tokens(self, features.astype(self.dtype), words, right, counts)


@mistake(
    "captioning_rnn",
    "The picture is not used: the first state is zero instead of features @ W_proj + b_proj.",
    replaces="CaptioningRNN.loss",
)
def blind(self, features, captions):
    words, right = captions[:, :-1], captions[:, 1:]
    p = {**self.params}
    self.params = {**p, "b_proj": 0 * p["b_proj"]}
    result = with_tokens(self, 0 * features.astype(self.dtype), words, right, right != self._null)
    self.params = p
    return result


@mistake(
    "captioning_rnn",
    "The bias of the first state is missing: features @ W_proj + b_proj.",
    replaces="CaptioningRNN.loss",
)
def no_projection_bias(self, features, captions):
    words, right = captions[:, :-1], captions[:, 1:]
    p = {**self.params}
    self.params = {**p, "b_proj": 0 * p["b_proj"]}
    result = with_tokens(self, features.astype(self.dtype), words, right, right != self._null)
    self.params = p
    return result


@mistake(
    "captioning_rnn",
    "The gradient stops before the picture: dh0 is what W_proj and b_proj learn from.",
    replaces="CaptioningRNN.loss",
    family="zeros",
)
def projection_does_not_learn(self, features, captions):
    loss, grads = right_caption_loss(self, features, captions)
    return loss, {name: 0 * g if "proj" in name else g for name, g in grads.items()}


@mistake(
    "captioning_rnn",
    "W_embed has no gradient, or zeros: the gradient of the inputs goes back to the embedding.",
    replaces="CaptioningRNN.loss",
    family="zeros",
)
def embedding_does_not_learn(self, features, captions):
    loss, grads = right_caption_loss(self, features, captions)
    return loss, {**grads, "W_embed": 0 * grads["W_embed"]}


def say(self, features, max_length, start=None, feed_back=True, update=True, choose=np.argmax):
    """Sampling with parts left out."""
    p = self.params
    captions = np.full((len(features), max_length), self._null)
    h = features.astype(self.dtype) @ p["W_proj"] + p["b_proj"]
    word = np.full(len(features), self._start if start is None else start)
    for t in range(max_length):
        next_h, _ = rnn_step_forward(p["W_embed"][word], h, p["Wx"], p["Wh"], p["b"])
        captions[:, t] = choose(next_h @ p["W_vocab"] + p["b_vocab"], axis=1)
        h = next_h if update else h
        word = captions[:, t] if feed_back else word
    return captions


@mistake(
    "captioning_rnn",
    "The first input is <NULL>; sampling begins with <START>.",
    replaces="CaptioningRNN.sample",
)
def starts_with_null(self, features, max_length=30):
    return say(self, features, max_length, start=self._null)


@mistake(
    "captioning_rnn",
    "Every step reads <START>: the word that was said is the next input.",
    replaces="CaptioningRNN.sample",
)
def never_reads_itself(self, features, max_length=30):
    return say(self, features, max_length, feed_back=False)


@mistake(
    "captioning_rnn",
    "Every step begins with the picture's state: carry the state from step to step.",
    replaces="CaptioningRNN.sample",
)
def state_not_carried(self, features, max_length=30):
    return say(self, features, max_length, update=False)


@mistake("captioning_rnn", "The word with the lowest score is said.", replaces="CaptioningRNN.sample")
def lowest_score(self, features, max_length=30):
    return say(self, features, max_length, choose=np.argmin)


@mistake(
    "captioning_rnn",
    "The captions begin with <START>, so that every word is one place late.",
    replaces="CaptioningRNN.sample",
)
def start_is_said(self, features, max_length=30):
    said = right_sample(self, features, max_length)
    return np.concatenate([np.full((len(said), 1), self._start), said[:, :-1]], axis=1)


@mistake(
    "captioning_rnn",
    "A caption longer than the others ends when the first of the batch has ended: go on until all have.",
    replaces="CaptioningRNN.sample",
)
def stops_with_the_first(self, features, max_length=30):
    said = right_sample(self, features, max_length)
    ended = (said == self._end).any(axis=0)
    if ended.any():
        said[:, int(np.argmax(ended)) + 1 :] = self._null
    return said
