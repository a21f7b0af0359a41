"""The cache of a layer is a function that carries the gradient back; one object for each kind of cell."""

import heapq
from itertools import islice

import numpy as np


def lstm_step_forward(x, prev_h, prev_c, Wx, Wh, b):
    """The gates by way of the logarithm of the sigmoid."""
    a = x @ Wx + prev_h @ Wh + b
    H = prev_h.shape[1]
    i, f, o = np.exp(-np.logaddexp(0, -a[:, : 3 * H].reshape(len(a), 3, H).swapaxes(0, 1)))
    g = np.tanh(a[:, -H:])
    next_c = i * g + f * prev_c
    shown = np.tanh(next_c)

    def back(dnext_h, dnext_c):
        dc = dnext_c + o * dnext_h * (1 + shown) * (1 - shown)
        da = np.concatenate(
            [
                g * dc * (i - i * i),
                prev_c * dc * (f - f * f),
                shown * dnext_h * (o - o * o),
                i * dc * (1 - g * g),
            ],
            axis=-1,
        )
        return [np.inner(da, Wx), np.inner(da, Wh), f * dc, x.T.dot(da), prev_h.T.dot(da), np.add.reduce(da)]

    return [o * shown, next_c, back]


def lstm_step_backward(dnext_h, dnext_c, cache):
    return cache(dnext_h, dnext_c)


def lstm_forward(x, h0, Wx, Wh, b):
    backs, states, cell = [], [h0], np.zeros(h0.shape, dtype=h0.dtype)
    for x_t in x.swapaxes(0, 1):
        state, cell, back = lstm_step_forward(x_t, states[-1], cell, Wx, Wh, b)
        states.append(state)
        backs.append(back)

    def through_time(dh):
        dx, dstate, dcell = [], np.zeros(h0.shape), np.zeros(h0.shape)
        weights = [np.zeros(w.shape) for w in (Wx, Wh, b)]
        for dh_t, back in zip(dh.swapaxes(0, 1)[::-1], reversed(backs), strict=True):
            dx_t, dstate, dcell, *of_step = lstm_step_backward(dh_t + dstate, dcell, back)
            dx.insert(0, dx_t)
            weights = [np.add(total, part) for total, part in zip(weights, of_step, strict=True)]
        return [np.array(dx).swapaxes(0, 1), dstate, *weights]

    return np.array(states[1:]).swapaxes(0, 1), through_time


def lstm_backward(dh, cache):
    return cache(dh)


def dot_product_attention_forward(prev_h, A):
    """By broadcasting."""
    scale = A.shape[1] ** -0.5
    scores = scale * np.sum(prev_h[..., None, None] * A, axis=1)
    weights = np.exp(scores - scores.max(axis=(1, 2), keepdims=True))
    weights /= weights.sum(axis=(1, 2), keepdims=True)

    def back(dattn):
        dweights = np.sum(dattn[..., None, None] * A, axis=1)
        mean = np.sum(weights * dweights, axis=(1, 2), keepdims=True)
        dscores = scale * weights * (dweights - mean)
        dA = dattn[..., None, None] * weights[:, None] + prev_h[..., None, None] * dscores[:, None]
        return [np.sum(dscores[:, None] * A, axis=(2, 3)), dA]

    return [np.sum(weights[:, None] * A, axis=(2, 3)), weights, back]


def dot_product_attention_backward(dattn, cache):
    return cache(dattn)


def attention_lstm_forward(x, A, Wx, Wh, Wattn, b):
    """What was seen goes through Wattn as a state does: an LSTM whose state is [h, attn]."""
    D, H = len(Wx), len(Wh)
    state = cell = np.average(A.reshape(len(A), H, -1), axis=2)
    states, looks, backs = [], [], []
    for t in range(x.shape[1]):
        attn, look, back_to_grid = dot_product_attention_forward(state, A)
        inputs, W = np.c_[x[:, t], attn], np.r_[Wx, Wattn]
        state, cell, back_through_step = lstm_step_forward(inputs, state, cell, W, Wh, b)
        states.append(state)
        looks.append(look)
        backs.append((back_to_grid, back_through_step))

    def through_time(dh):
        dx, dA, dstate, dcell = (
            np.zeros(x.shape),
            np.zeros(A.shape),
            np.zeros(cell.shape),
            np.zeros(cell.shape),
        )
        dW, dWh, db = np.zeros((D + H, 4 * H)), np.zeros(Wh.shape), np.zeros(b.shape)
        for t, (back_to_grid, back_through_step) in reversed(list(enumerate(backs))):
            inputs, dstate, dcell, *of_step = lstm_step_backward(dh[:, t] + dstate, dcell, back_through_step)
            for total, part in zip((dW, dWh, db), of_step, strict=True):
                total += part
            dx[:, t], seen = np.split(inputs, [D], axis=1)
            asked, of_grid = dot_product_attention_backward(seen, back_to_grid)
            dstate, dA = dstate + asked, dA + of_grid
        dA += ((dstate + dcell) / A[0, 0].size)[..., None, None]
        return [dx, dA, dW[:D], dWh, dW[D:], db]

    return [np.stack(states, axis=1), np.stack(looks, axis=1), through_time]


def attention_lstm_backward(dh, cache):
    return cache(dh)


class Plain:
    """A recurrent layer: the order of its weights, its passes, and one step from a state to the next."""

    weights = "Wx", "Wh", "b"

    def forward(self, *arguments):
        return rnn_forward(*arguments)

    def backward(self, dh, cache):
        return rnn_backward(dh, cache)

    def first(self, seen):
        return (seen,)

    def next(self, x, state, *weights):
        return (rnn_step_forward(x, *state, *weights)[0],)


class Memory(Plain):
    def forward(self, *arguments):
        return lstm_forward(*arguments)

    def backward(self, dh, cache):
        return lstm_backward(dh, cache)

    def first(self, seen):
        return seen, np.zeros_like(seen)

    def next(self, x, state, *weights):
        return tuple(lstm_step_forward(x, *state, *weights)[:2])


class Gaze(Plain):
    weights = "Wx", "Wh", "Wattn", "b"

    def forward(self, *arguments):
        h, _, cache = attention_lstm_forward(*arguments)
        return h, cache

    def backward(self, dh, cache):
        return attention_lstm_backward(dh, cache)

    def first(self, seen):
        return seen.mean((2, 3)), seen.mean((2, 3)), seen

    def next(self, x, state, Wx, Wh, Wattn, b):
        h, c, A = state
        look = dot_product_attention_forward(h, A)[0]
        return *lstm_step_forward(np.c_[x, look], h, c, np.r_[Wx, Wattn], Wh, b)[:2], A


class CaptioningRNN(CaptioningModel):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.layer = {"rnn": Plain, "lstm": Memory, "attention": Gaze}[self.cell_type]()

    def look(self, features):
        """The affine layer along axis 1, whatever follows it."""
        rows = np.moveaxis(features.astype(self.dtype), 1, -1)
        return np.moveaxis(rows @ self.params["W_proj"] + self.params["b_proj"], -1, 1)

    def loss(self, features, captions):
        p = self.params
        weights = [p[name] for name in self.layer.weights]
        x, embedded = word_embedding_forward(captions[:, :-1], p["W_embed"])
        h, unrolled = self.layer.forward(x, self.look(features), *weights)
        scores, scored = temporal_affine_forward(h, p["W_vocab"], p["b_vocab"])
        answers = captions[:, 1:]
        loss, d = temporal_softmax_loss(scores, answers, answers != self._null)
        d, dW_vocab, db_vocab = temporal_affine_backward(d, scored)
        d, dseen, *of_weights = self.layer.backward(d, unrolled)
        rows = np.moveaxis(dseen, 1, -1).reshape(-1, dseen.shape[1])
        inputs = np.moveaxis(features.astype(self.dtype), 1, -1).reshape(len(rows), -1)
        grads = dict(zip(self.layer.weights, of_weights, strict=True))
        grads |= {"W_proj": inputs.T @ rows, "b_proj": rows.sum(axis=0), "W_vocab": dW_vocab}
        return loss, grads | {"b_vocab": db_vocab, "W_embed": word_embedding_backward(d, embedded)}

    def begin(self, features):
        return self.layer.first(self.look(features))

    def step(self, state, words):
        p = self.params
        state = self.layer.next(p["W_embed"][words], state, *(p[name] for name in self.layer.weights))
        scores = state[0] @ p["W_vocab"] + p["b_vocab"]
        scores = scores - scores.max(axis=1)[:, None]
        return scores - np.log(np.exp(scores).sum(axis=1))[:, None], state

    def words(self, features):
        state, word = self.begin(features), [self._start] * len(features)
        while True:
            log_p, state = self.step(state, word)
            word = np.argmax(log_p, axis=-1)
            yield word

    def sample(self, features, max_length=30):
        return np.array(list(islice(self.words(features), max_length))).T


def beam_search(model, features, beam_width=3, max_length=30):
    """By recursion; the ended ones wait without a row of the state."""

    def rest(k, going, state, ended, left):
        if not left or not going:
            return max(ended + going)
        log_p, state = model.step(state, np.array([words[-1] for _, words in going]))
        longer = [
            (total + p, (*words, word), row)
            for row, (total, words) in enumerate(going)
            for word, p in enumerate(log_p[row])
        ]
        kept = heapq.nlargest(k, [(*one, None) for one in ended] + longer)
        still = [one for one in kept if one[1][-1] != model._end]
        rows = [row for *_, row in still]
        ended = [one[:2] for one in kept if one[1][-1] == model._end]
        return rest(k, [one[:2] for one in still], tuple(part[rows] for part in state), ended, left - 1)

    log_p, words = max(
        rest(k, [(0.0, (model._start,))], model.begin(features), [], max_length) for k in (1, beam_width)
    )
    return list(words[1:]), log_p
