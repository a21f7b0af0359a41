"""What goes wrong in LSTMs, attention and beam search: small wrong versions of one function each, explained.

A wrong forward pass still returns the right cache, so that it costs its own question only.
"""

import numpy as np

from autograder.checking import mistake

# The right versions, under names that a mistake does not replace.
right_step_forward = lstm_step_forward
right_step_backward = lstm_step_backward
right_forward = lstm_forward
right_backward = lstm_backward
right_look_forward = dot_product_attention_forward
right_look_backward = dot_product_attention_backward
right_looking_forward = attention_lstm_forward
right_looking_backward = attention_lstm_backward
right_caption_loss = CaptioningRNN.loss
right_begin = CaptioningRNN.begin
right_caption_step = CaptioningRNN.step
right_sample = CaptioningRNN.sample
right_beam_search = beam_search
right_search = search


# --- one step


def gated(x, prev_h, prev_c, Wx, Wh, b, order="ifog", memory=None, show=np.tanh, new=np.tanh):
    """A step of an LSTM with something changed: the order of the gates, how the cell is made or shown."""
    a = np.split(x @ Wx + prev_h @ Wh + b, 4, axis=1)
    i, f, o = (sigmoid(a[order.index(gate)]) for gate in "ifo")
    g = new(a[order.index("g")])
    next_c = memory(i, f, g, prev_c) if memory else f * prev_c + i * g
    return o * show(next_c), next_c, right_step_forward(x, prev_h, prev_c, Wx, Wh, b)[2]


@mistake("lstm_step_forward", "The gates are read in the order i, f, g, o; here it is i, f, o, g.")
def step_gates_ifgo(x, prev_h, prev_c, Wx, Wh, b):
    return gated(x, prev_h, prev_c, Wx, Wh, b, order="ifgo")


@mistake("lstm_step_forward", "Input gate and forget gate are exchanged: the order is i, f, o, g.")
def step_gates_fiog(x, prev_h, prev_c, Wx, Wh, b):
    return gated(x, prev_h, prev_c, Wx, Wh, b, order="fiog")


@mistake("lstm_step_forward", "The forget gate is missing: the cell keeps f * prev_c, not all of prev_c.")
def step_never_forgets(x, prev_h, prev_c, Wx, Wh, b):
    return gated(x, prev_h, prev_c, Wx, Wh, b, memory=lambda i, f, g, c: c + i * g)


@mistake("lstm_step_forward", "The old cell is not used: next_c is f * prev_c + i * g.")
def step_without_cell(x, prev_h, prev_c, Wx, Wh, b):
    return gated(x, prev_h, prev_c, Wx, Wh, b, memory=lambda i, f, g, c: i * g)


@mistake(
    "lstm_step_forward",
    "What is forgotten is 1 - i: in this LSTM the forget gate is one of its own, with its own columns of Wx.",
)
def step_coupled_gates(x, prev_h, prev_c, Wx, Wh, b):
    return gated(x, prev_h, prev_c, Wx, Wh, b, memory=lambda i, f, g, c: (1 - i) * c + i * g)


@mistake("lstm_step_forward", "The state shows the cell without tanh: next_h = o * tanh(next_c).")
def step_shows_cell(x, prev_h, prev_c, Wx, Wh, b):
    return gated(x, prev_h, prev_c, Wx, Wh, b, show=lambda c: c)


@mistake("lstm_step_forward", "What is new goes through the sigmoid; g is a tanh, and can be negative.")
def step_new_is_sigmoid(x, prev_h, prev_c, Wx, Wh, b):
    return gated(x, prev_h, prev_c, Wx, Wh, b, new=sigmoid)


@mistake("lstm_step_forward", "The bias is missing: a = x Wx + prev_h Wh + b.")
def step_without_bias(x, prev_h, prev_c, Wx, Wh, b):
    return *gated(x, prev_h, prev_c, Wx, Wh, 0 * b)[:2], right_step_forward(x, prev_h, prev_c, Wx, Wh, b)[2]


@mistake("lstm_step_forward", "Cell and state are returned in the wrong order: next_h first.")
def step_cell_first(x, prev_h, prev_c, Wx, Wh, b):
    next_h, next_c, cache = right_step_forward(x, prev_h, prev_c, Wx, Wh, b)
    return next_c, next_h, cache


@mistake("lstm_step_forward", "The new cell is written into prev_c: the caller still needs the old one.")
def step_overwrites_cell(x, prev_h, prev_c, Wx, Wh, b):
    next_h, next_c, cache = right_step_forward(x, prev_h, prev_c.copy(), Wx, Wh, b)
    prev_c[...] = next_c
    return next_h, next_c, cache


def step_gradients(dnext_h, dnext_c, cache, dc=None, gate=None, new=None, order=None):
    """Gradients of a step with something changed."""
    x, prev_h, prev_c, Wx, Wh, i, f, o, g, shown = cache
    dc = dnext_c + dnext_h * o * (1 - shown**2) if dc is None else dc
    slope = gate or (lambda s: s * (1 - s))
    slope_new = new or (lambda t: 1 - t**2)
    parts = [dc * g * slope(i), dc * prev_c * slope(f), dnext_h * shown * slope(o), dc * i * slope_new(g)]
    da = np.concatenate([parts[k] for k in order or range(4)], axis=1)
    return da @ Wx.T, da @ Wh.T, dc * f, x.T @ da, prev_h.T @ da, da.sum(axis=0)


@mistake(
    "lstm_step_backward",
    "The cell's gradient is dnext_c alone: the state shows the cell too, so dnext_h * o * (1 - tanh(c)**2) "
    "adds to it.",
)
def step_only_dnext_c(dnext_h, dnext_c, cache):
    return step_gradients(dnext_h, dnext_c, cache, dc=dnext_c)


@mistake(
    "lstm_step_backward",
    "The cell's gradient comes from the state alone: dnext_c, what the next step sends back, adds to it.",
)
def step_only_dnext_h(dnext_h, dnext_c, cache):
    return step_gradients(dnext_h, dnext_c, cache, dc=dnext_h * cache[7] * (1 - cache[9] ** 2))


@mistake("lstm_step_backward", "On the way from the state to the cell the derivative of tanh is missing.")
def step_without_tanh_slope(dnext_h, dnext_c, cache):
    return step_gradients(dnext_h, dnext_c, cache, dc=dnext_c + dnext_h * cache[7])


@mistake("lstm_step_backward", "On the way from the state to the cell the output gate is missing.")
def step_without_output_gate(dnext_h, dnext_c, cache):
    return step_gradients(dnext_h, dnext_c, cache, dc=dnext_c + dnext_h * (1 - cache[9] ** 2))


@mistake("lstm_step_backward", "The derivative of the gates is that of tanh; they are sigmoids, s * (1 - s).")
def step_gates_as_tanh(dnext_h, dnext_c, cache):
    return step_gradients(dnext_h, dnext_c, cache, gate=lambda s: 1 - s**2)


@mistake("lstm_step_backward", "The derivative of g is that of a sigmoid; g is a tanh, 1 - g**2.")
def step_new_as_sigmoid(dnext_h, dnext_c, cache):
    return step_gradients(dnext_h, dnext_c, cache, new=lambda t: t * (1 - t))


@mistake("lstm_step_backward", "The gates have no derivative of the sigmoid: multiply with s * (1 - s).")
def step_gates_without_slope(dnext_h, dnext_c, cache):
    return step_gradients(dnext_h, dnext_c, cache, gate=lambda s: 1.0)


@mistake(
    "lstm_step_backward", "The four parts are put together in the order i, f, g, o; here it is i, f, o, g."
)
def step_parts_ifgo(dnext_h, dnext_c, cache):
    return step_gradients(dnext_h, dnext_c, cache, order=(0, 1, 3, 2))


@mistake("lstm_step_backward", "dprev_c is not multiplied with the forget gate.")
def step_dprev_c_without_gate(dnext_h, dnext_c, cache):
    dx, dprev_h, _, *weights = right_step_backward(dnext_h, dnext_c, cache)
    return dx, dprev_h, dnext_c + dnext_h * cache[7] * (1 - cache[9] ** 2), *weights


@mistake("lstm_step_backward", "db is not summed over the batch.", family="reduced")
def step_db_not_summed(dnext_h, dnext_c, cache):
    prev_c, (i, f, o, g, shown) = cache[2], cache[5:]
    dc = dnext_c + dnext_h * o * (1 - shown**2)
    parts = [
        dc * g * i * (1 - i),
        dc * prev_c * f * (1 - f),
        dnext_h * shown * o * (1 - o),
        dc * i * (1 - g**2),
    ]
    return *right_step_backward(dnext_h, dnext_c, cache)[:5], np.concatenate(parts, axis=1)


# --- a sequence


@mistake("lstm_forward", "Every step begins with a cell of zeros: hand the cell on from step to step.")
def sequence_cell_not_carried(x, h0, Wx, Wh, b):
    _, cache = right_forward(x, h0, Wx, Wh, b)
    state, states = h0, []
    for t in range(x.shape[1]):
        state, _, _ = right_step_forward(x[:, t], state, np.zeros_like(h0), Wx, Wh, b)
        states.append(state)
    return np.stack(states, axis=1), cache


@mistake("lstm_forward", "The first cell is h0; it is zero.")
def sequence_cell_from_h0(x, h0, Wx, Wh, b):
    _, cache = right_forward(x, h0, Wx, Wh, b)
    state, cell, states = h0, h0, []
    for t in range(x.shape[1]):
        state, cell, _ = right_step_forward(x[:, t], state, cell, Wx, Wh, b)
        states.append(state)
    return np.stack(states, axis=1), cache


@mistake("lstm_forward", "The first step starts from a state of zeros instead of h0.")
def sequence_from_zeros(x, h0, Wx, Wh, b):
    return right_forward(x, np.zeros_like(h0), Wx, Wh, b)[0], right_forward(x, h0, Wx, Wh, b)[1]


@mistake("lstm_forward", "The cells are returned instead of the states.")
def sequence_of_cells(x, h0, Wx, Wh, b):
    _, cache = right_forward(x, h0, Wx, Wh, b)
    state, cell, cells = h0, np.zeros_like(h0), []
    for t in range(x.shape[1]):
        state, cell, _ = right_step_forward(x[:, t], state, cell, Wx, Wh, b)
        cells.append(cell)
    return np.stack(cells, axis=1), cache


@mistake(
    "lstm_forward",
    "The states are stacked along the first axis: h has the shape (N, T, H).",
    family="transposed, reshaped",
)
def sequence_time_first(x, h0, Wx, Wh, b):
    h, cache = right_forward(x, h0, Wx, Wh, b)
    return h.transpose(1, 0, 2), cache


@mistake("lstm_forward", "Only the last state is returned; all T of them are needed.")
def sequence_last_state(x, h0, Wx, Wh, b):
    h, cache = right_forward(x, h0, Wx, Wh, b)
    return h[:, -1], cache


def through_time(dh, cache, state_back=1, cell_back=1, add_upstream=True):
    """Backpropagation through time with something left out."""
    dx, dstate, dcell, total = [], np.zeros_like(dh[:, 0]), np.zeros_like(dh[:, 0]), 0
    for t in reversed(range(dh.shape[1])):
        from_above = dh[:, t] if add_upstream or t == dh.shape[1] - 1 else 0 * dh[:, t]
        dx_t, dstate, dcell, *weights = right_step_backward(
            from_above + state_back * dstate, cell_back * dcell, cache[t]
        )
        dx.append(dx_t)
        total = weights if not total else [a + b for a, b in zip(total, weights, strict=True)]
    return np.stack(dx[::-1], axis=1), dstate, *total


@mistake("lstm_backward", "The cell's gradient is not handed back: each step gets zeros instead of dprev_c.")
def cell_gradient_lost(dh, cache):
    return through_time(dh, cache, cell_back=0)


@mistake("lstm_backward", "The state's gradient is not handed back: add dprev_h to dh of the step before.")
def state_gradient_lost(dh, cache):
    return through_time(dh, cache, state_back=0)


@mistake("lstm_backward", "Only the last state's upstream gradient is used; every state has one.")
def only_last_upstream(dh, cache):
    return through_time(dh, cache, add_upstream=False)


@mistake(
    "lstm_backward", "The weights' gradients are averaged over the steps; they are sums.", family="scaled"
)
def weights_averaged(dh, cache):
    dx, dh0, *weights = right_backward(dh, cache)
    return dx, dh0, *(weight / dh.shape[1] for weight in weights)


@mistake("lstm_backward", "The weights' gradients are those of one step; they sum over the steps.")
def weights_of_one_step(dh, cache):
    dx, dh0, *_ = right_backward(dh, cache)
    dstate, dcell = np.zeros_like(dh[:, 0]), np.zeros_like(dh[:, 0])
    for t in reversed(range(dh.shape[1])):
        _, dstate, dcell, *weights = right_step_backward(dh[:, t] + dstate, dcell, cache[t])
    return dx, dh0, *weights


@mistake("lstm_backward", "dx is in the order of the loop, last step first.", family="reversed")
def dx_backwards(dh, cache):
    dx, *others = right_backward(dh, cache)
    return dx[:, ::-1], *others


# --- attention


def looked(prev_h, A, scale=None, axes=None):
    """attn and weights with another scale, or a softmax over other axes."""
    scores = np.einsum("nh,nhpq->npq", prev_h, A) / (np.sqrt(A.shape[1]) if scale is None else scale)
    e = np.exp(scores - scores.max(axis=axes or (1, 2), keepdims=True))
    weights = e / e.sum(axis=axes or (1, 2), keepdims=True)
    return np.einsum("npq,nhpq->nh", weights, A), weights, right_look_forward(prev_h, A)[2]


@mistake("dot_product_attention_forward", "The scores are not divided by the root of H.")
def look_not_scaled(prev_h, A):
    return looked(prev_h, A, scale=1)


@mistake("dot_product_attention_forward", "The scores are divided by H; it is the root of H.")
def look_divided_by_h(prev_h, A):
    return looked(prev_h, A, scale=A.shape[1])


@mistake(
    "dot_product_attention_forward",
    "The softmax runs over each row of the grid by itself; all cells of a picture share a weight of 1.",
)
def look_softmax_of_rows(prev_h, A):
    return looked(prev_h, A, axes=(2,))


@mistake(
    "dot_product_attention_forward",
    "The softmax runs over the pictures of the batch; it runs over the cells of each.",
)
def look_softmax_of_batch(prev_h, A):
    return looked(prev_h, A, axes=(0,))


@mistake("dot_product_attention_forward", "The mean of all cells is returned: the weights are not used.")
def look_at_everything(prev_h, A):
    _, weights, cache = right_look_forward(prev_h, A)
    return A.mean(axis=(2, 3)), weights, cache


@mistake("dot_product_attention_forward", "The scores are returned as weights, without softmax.")
def look_without_softmax(prev_h, A):
    scores = np.einsum("nh,nhpq->npq", prev_h, A) / np.sqrt(A.shape[1])
    return np.einsum("npq,nhpq->nh", scores, A), scores, right_look_forward(prev_h, A)[2]


@mistake(
    "dot_product_attention_forward",
    "The weights are a row of P * Q numbers; give them the shape of the grid, (N, P, Q).",
    family="reshaped",
)
def look_weights_in_rows(prev_h, A):
    attn, weights, cache = right_look_forward(prev_h, A)
    return attn, weights.reshape(len(A), -1), cache


@mistake(
    "dot_product_attention_forward",
    "Large scores overflow: subtract the largest one before exp.",
    family="unstable",
)
def look_overflows(prev_h, A):
    with np.errstate(all="ignore"):
        e = np.exp(np.einsum("nh,nhpq->npq", prev_h, A) / np.sqrt(A.shape[1]))
        weights = e / e.sum(axis=(1, 2), keepdims=True)
    return np.einsum("npq,nhpq->nh", weights, A), weights, right_look_forward(prev_h, A)[2]


def look_gradients(dattn, cache, mix=True, scale=None, mean=True, score=True, softmax=True):
    """Gradients of attention with something left out."""
    prev_h, shape, cells, weights = cache
    dw = np.einsum("nh,nhp->np", dattn, cells)
    ds = weights * (dw - (weights * dw).sum(axis=1, keepdims=True) * mix) if softmax else dw
    ds = ds / (np.sqrt(shape[1]) if scale is None else scale)
    dA = mean * dattn[:, :, None] * weights[:, None] + score * prev_h[:, :, None] * ds[:, None]
    return np.einsum("np,nhp->nh", ds, cells), dA.reshape(shape)


@mistake(
    "dot_product_attention_backward",
    "The gradient of the softmax is w * dw; each weight depends on all scores: w * (dw - sum of w * dw).",
)
def look_softmax_by_element(dattn, cache):
    return look_gradients(dattn, cache, mix=False)


@mistake("dot_product_attention_backward", "The gradient does not pass the softmax: dw is used as ds.")
def look_without_softmax_gradient(dattn, cache):
    return look_gradients(dattn, cache, softmax=False)


@mistake(
    "dot_product_attention_backward",
    "The root of H is missing on the way back through the scores.",
    family="scaled",
)
def look_gradient_not_scaled(dattn, cache):
    return look_gradients(dattn, cache, scale=1)


@mistake("dot_product_attention_backward", "dA lacks the way through the scores: the vectors are used twice.")
def look_da_of_mean_only(dattn, cache):
    return look_gradients(dattn, cache, score=False)


@mistake(
    "dot_product_attention_backward",
    "dA lacks the way through the weighted mean: the vectors are used twice.",
)
def look_da_of_scores_only(dattn, cache):
    return look_gradients(dattn, cache, mean=False)


@mistake("dot_product_attention_backward", "dprev_h and dA come in the wrong order.")
def look_gradients_swapped(dattn, cache):
    return right_look_backward(dattn, cache)[::-1]


# --- the LSTM that looks


def looking(x, A, Wx, Wh, Wattn, b, state=None, cell=None, again=True, use=1.0, after=False):
    """An LSTM that looks, with something changed."""
    mean = A.mean(axis=(2, 3))
    state, cell = mean if state is None else state, mean if cell is None else cell
    first, states, looks = state, [], []
    for t in range(x.shape[1]):
        attn, weights, _ = right_look_forward(state if again else first, A)
        inputs = np.concatenate([x[:, t], use * attn], axis=1)
        state, cell, _ = right_step_forward(inputs, state, cell, np.concatenate([Wx, Wattn]), Wh, b)
        states.append(state)
        looks.append(right_look_forward(state, A)[1] if after else weights)
    return (
        np.stack(states, axis=1),
        np.stack(looks, axis=1),
        right_looking_forward(x, A, Wx, Wh, Wattn, b)[2],
    )


@mistake(
    "attention_lstm_forward", "The first state is zero; it is the mean of all cells.", family="broadcast"
)
def looking_from_zero_state(x, A, Wx, Wh, Wattn, b):
    return looking(x, A, Wx, Wh, Wattn, b, state=np.zeros(A.shape[:2]))


@mistake("attention_lstm_forward", "The first cell is zero; here it is the mean of all cells, as the state.")
def looking_from_zero_cell(x, A, Wx, Wh, Wattn, b):
    return looking(x, A, Wx, Wh, Wattn, b, cell=np.zeros(A.shape[:2]))


@mistake("attention_lstm_forward", "The question is asked once, with the first state; ask before each step.")
def looking_once(x, A, Wx, Wh, Wattn, b):
    return looking(x, A, Wx, Wh, Wattn, b, again=False)


@mistake("attention_lstm_forward", "What attention brings is not used: attn @ Wattn is part of a.")
def looking_in_vain(x, A, Wx, Wh, Wattn, b):
    return looking(x, A, Wx, Wh, Wattn, b, use=0.0)


@mistake(
    "attention_lstm_forward",
    "The weights are those after each step; asked for are those before it.",
    family="offset",
)
def looking_afterwards(x, A, Wx, Wh, Wattn, b):
    return looking(x, A, Wx, Wh, Wattn, b, after=True)


@mistake("attention_lstm_forward", "The first state is the sum of all cells; it is their mean.")
def looking_from_sum(x, A, Wx, Wh, Wattn, b):
    total = A.sum(axis=(2, 3))
    return looking(x, A, Wx, Wh, Wattn, b, state=total, cell=total)


def looking_gradients(dh, cache, asked=1, look=1, first=(1, 1), mean=True):
    """Backpropagation through time with something left out."""
    caches, D, (_, _, P, Q) = cache
    dx, dstate, dcell, dA, total = [], 0, np.zeros_like(dh[:, 0]), 0, None
    for t in reversed(range(dh.shape[1])):
        attention_cache, step_cache = caches[t]
        dinputs, dstate, dcell, *weights = right_step_backward(dh[:, t] + dstate, dcell, step_cache)
        dasked, dA_t = right_look_backward(dinputs[:, D:], attention_cache)
        dstate, dA = dstate + asked * dasked, dA + look * dA_t
        dx.append(dinputs[:, :D])
        total = weights if total is None else [a + b for a, b in zip(total, weights, strict=True)]
    dA = dA + (first[0] * dstate + first[1] * dcell)[:, :, None, None] / (P * Q if mean else 1)
    dW, dWh, db = total
    return np.stack(dx[::-1], axis=1), dA, dW[:D], dWh, dW[D:], db


@mistake(
    "attention_lstm_backward",
    "The gradient of the question is lost: the state before a step was used by the step and by attention.",
)
def question_gradient_lost(dh, cache):
    return looking_gradients(dh, cache, asked=0)


@mistake(
    "attention_lstm_backward", "dA lacks what each look sends back; only the first state's part is there."
)
def look_gradient_lost(dh, cache):
    return looking_gradients(dh, cache, look=0)


@mistake(
    "attention_lstm_backward",
    "dA lacks the part of the first state and first cell, the mean of the cells.",
    family="shifted",
)
def mean_gradient_lost(dh, cache):
    return looking_gradients(dh, cache, first=(0, 0))


@mistake(
    "attention_lstm_backward",
    "dA lacks the part of the first cell: it is the mean of the cells, too.",
    family="shifted",
)
def first_cell_gradient_lost(dh, cache):
    return looking_gradients(dh, cache, first=(1, 0))


@mistake(
    "attention_lstm_backward",
    "The first state is a mean: each cell gets 1 / (P Q) of its gradient.",
    family="shifted",
)
def mean_gradient_not_divided(dh, cache):
    return looking_gradients(dh, cache, mean=False)


@mistake("attention_lstm_backward", "dWattn and dWh are exchanged: the order is dWx, dWh, dWattn.")
def looking_gradients_swapped(dh, cache):
    dx, dA, dWx, dWh, dWattn, db = right_looking_backward(dh, cache)
    return dx, dA, dWx, dWattn, dWh, db


# --- the networks


def with_tokens(self, features, captions, right, counts, see=None):
    """The loss and gradients for given right words and mask."""
    words, targets = captions[:, :-1], captions[:, 1:]

    def changed_loss(x, y, mask):
        return right_temporal_softmax_loss(x, right(words, targets), counts(words, targets))

    global temporal_softmax_loss
    temporal_softmax_loss = changed_loss
    try:
        return right_caption_loss(self, features if see is None else see(features), captions)
    finally:
        temporal_softmax_loss = right_temporal_softmax_loss


right_temporal_softmax_loss = temporal_softmax_loss


@mistake(
    "captioning_rnn",
    "The right word is the one that was read; it is the next one.",
    replaces="CaptioningRNN.loss",
)
def same_word(self, features, captions):
    return with_tokens(self, features, captions, lambda w, y: w, lambda w, y: w != self._null)


@mistake(
    "captioning_rnn",
    "The mask looks at the inputs; it is the right words that must not be <NULL>.",
    replaces="CaptioningRNN.loss",
)
def mask_of_inputs(self, features, captions):
    return with_tokens(self, features, captions, lambda w, y: y, lambda w, y: w != self._null)


@mistake("captioning_rnn", "<NULL> is not left out of the loss.", replaces="CaptioningRNN.loss")
def null_counts(self, features, captions):
    return with_tokens(self, features, captions, lambda w, y: y, lambda w, y: np.ones(y.shape, dtype=bool))


@mistake("captioning_rnn", "<END> is left out of the loss: the network must learn to stop, too.",
         replaces="CaptioningRNN.loss")  # fmt: skip
def end_does_not_count(self, features, captions):
    def counts(w, y):
        return (y != self._null) & (y != self._end)

    return with_tokens(self, features, captions, lambda w, y: y, counts)


@mistake(
    "captioning_rnn",
    "The projection of the grid does not learn: its gradient sums over pictures and cells.",
    replaces="CaptioningRNN.loss",
    family="zeros",
)
def projection_of_grid_does_not_learn(self, features, captions):
    loss, grads = right_caption_loss(self, features, captions)
    if self.cell_type == "attention":
        grads = {name: 0 * g if "proj" in name else g for name, g in grads.items()}
    return loss, grads


@mistake(
    "captioning_rnn",
    "The gradients of the projection are averaged over the cells; they are sums.",
    replaces="CaptioningRNN.loss",
    family="scaled",
)
def projection_averaged(self, features, captions):
    loss, grads = right_caption_loss(self, features, captions)
    if self.cell_type == "attention":
        cells = features.shape[2] * features.shape[3]
        grads = {name: g / cells if "proj" in name else g for name, g in grads.items()}
    return loss, grads


@mistake(
    "captioning_rnn",
    "The network with attention begins with a state of zeros; it begins with the mean of the grid.",
    replaces="CaptioningRNN.begin",
)
def attention_begins_with_zeros(self, features):
    state = right_begin(self, features)
    return (0 * state[0], 0 * state[1], state[2]) if self.cell_type == "attention" else state


@mistake(
    "captioning_rnn",
    "The cell of the plain LSTM begins as the picture; it begins with zeros, as in lstm_forward.",
    replaces="CaptioningRNN.begin",
)
def cell_begins_as_picture(self, features):
    state = right_begin(self, features)
    return (state[0], state[0]) if self.cell_type == "lstm" else state


@mistake(
    "captioning_rnn",
    "step returns scores; log-probabilities are asked for.",
    replaces="CaptioningRNN.step",
    family="shifted",
)
def step_returns_scores(self, state, words):
    _, state = right_caption_step(self, state, words)
    return state[0] @ self.params["W_vocab"] + self.params["b_vocab"], state


@mistake(
    "captioning_rnn", "step returns probabilities, not their logarithms.", replaces="CaptioningRNN.step",
    family="function",
)  # fmt: skip
def step_returns_probabilities(self, state, words):
    log_p, state = right_caption_step(self, state, words)
    return np.exp(log_p), state


@mistake(
    "captioning_rnn",
    "step returns the state that it was given; it returns the one after the word.",
    replaces="CaptioningRNN.step",
)
def step_keeps_state(self, state, words):
    return right_caption_step(self, state, words)[0], state


def say(self, features, max_length, start, feed_back):
    """Sampling with parts left out."""
    captions = np.full((len(features), max_length), self._null)
    state, word = self.begin(features), np.full(len(features), start)
    for t in range(max_length):
        log_p, state = self.step(state, word)
        captions[:, t] = log_p.argmax(axis=1)
        word = captions[:, t] if feed_back else word
    return captions


@mistake(
    "captioning_rnn",
    "The first input is <NULL>; sampling begins with <START>.",
    replaces="CaptioningRNN.sample",
)
def starts_with_null(self, features, max_length=30):
    return say(self, features, max_length, self._null, True)


@mistake(
    "captioning_rnn",
    "Every step reads <START>: the word that was said is the next input.",
    replaces="CaptioningRNN.sample",
)
def never_reads_itself(self, features, max_length=30):
    return say(self, features, max_length, self._start, False)


@mistake(
    "captioning_rnn",
    "The captions begin with <START>, so that every word is one place late.",
    replaces="CaptioningRNN.sample",
)
def start_is_said(self, features, max_length=30):
    said = right_sample(self, features, max_length)
    return np.concatenate([np.full((len(said), 1), self._start), said[:, :-1]], axis=1)


# --- beam search


def beam(model, features, beam_width, max_length, *, reorder=True, stay=True, prune=True, finish="best"):
    """A beam search with something changed."""
    state, hypotheses, ended = model.begin(features), [([], 0.0)], []
    for _ in range(max_length):
        last = np.array([words[-1] if words else model._start for words, _ in hypotheses])
        log_p, state = model.step(state, last)
        longer = []
        for row, (words, total) in enumerate(hypotheses):
            if stay and words and words[-1] == model._end:
                longer.append((words, total, row))
            else:
                longer += [([*words, w], total + float(log_p[row, w]), row) for w in range(log_p.shape[1])]
        longer.sort(key=lambda one: -one[1])
        kept = longer[:beam_width]
        hypotheses = [(words, total) for words, total, _ in kept]
        if stay and all(words[-1] == model._end for words, _ in hypotheses):
            break
        rows = np.array([row for _, _, row in kept]) if reorder else np.arange(len(kept)) % len(last)
        state = tuple(part[rows] for part in state)
    return hypotheses


def never_below_greedy(found, model, features, max_length):
    """The better of a hypothesis and the greedy caption."""
    return max(found, right_search(model, features, 1, max_length), key=lambda one: one[1])


@mistake(
    "beam_search",
    "The states stay in their old order: each hypothesis that is kept needs the state it was continued from.",
)
def beam_states_not_reordered(model, features, beam_width=3, max_length=30):
    found = beam(model, features, beam_width, max_length, reorder=False)[0]
    return never_below_greedy(found, model, features, max_length)


@mistake("beam_search", "Hypotheses that have ended are continued: <END> is the last word.")
def beam_goes_on_after_end(model, features, beam_width=3, max_length=30):
    found = beam(model, features, beam_width, max_length, stay=False)[0]
    return found if found[1] > -np.inf else right_beam_search(model, features, beam_width, max_length)


@mistake("beam_search", "The width is ignored: at each step only the most probable word is kept.")
def beam_always_greedy(model, features, beam_width=3, max_length=30):
    return right_search(model, features, 1, max_length)


@mistake(
    "beam_search",
    "The greedy caption has been crowded out and is more probable: compare with it at the end.",
)
def beam_below_greedy(model, features, beam_width=3, max_length=30):
    return right_search(model, features, beam_width, max_length)


@mistake(
    "beam_search", "The log-probability is divided by the number of words; it is their sum.", family="scaled"
)
def beam_mean_log_p(model, features, beam_width=3, max_length=30):
    caption, log_p = right_beam_search(model, features, beam_width, max_length)
    return caption, log_p / len(caption)


@mistake("beam_search", "The probability is returned; its logarithm is asked for.", family="function")
def beam_probability(model, features, beam_width=3, max_length=30):
    caption, log_p = right_beam_search(model, features, beam_width, max_length)
    return caption, float(np.exp(log_p))


@mistake("beam_search", "The least probable hypothesis of the beam is returned; it is the most probable one.")
def beam_worst(model, features, beam_width=3, max_length=30):
    return beam(model, features, beam_width, max_length)[-1]


@mistake(
    "beam_search", "The caption lacks its <END>: it is the last word, where it was said.", family="offset"
)
def beam_without_end(model, features, beam_width=3, max_length=30):
    caption, log_p = right_beam_search(model, features, beam_width, max_length)
    return [word for word in caption if word != model._end], log_p


@mistake("beam_search", "The caption begins with <START>; it is the words that were said.", family="offset")
def beam_with_start(model, features, beam_width=3, max_length=30):
    caption, log_p = right_beam_search(model, features, beam_width, max_length)
    return [model._start, *caption], log_p
