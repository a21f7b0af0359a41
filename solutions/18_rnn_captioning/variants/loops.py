"""Loops over everything, and recursion over time; each function by itself."""

import math

import numpy as np


def rnn_step_forward(x, prev_h, Wx, Wh, b):
    next_h = np.zeros(prev_h.shape)
    for n in range(len(x)):
        e = np.exp(-2 * np.abs(Wx.T @ x[n] + Wh.T @ prev_h[n] + b))
        next_h[n] = np.sign(Wx.T @ x[n] + Wh.T @ prev_h[n] + b) * (1 - e) / (1 + e)
    return next_h, (x.copy(), prev_h.copy(), Wx.copy(), Wh.copy(), next_h.copy())


def rnn_step_backward(dnext_h, cache):
    x, prev_h, Wx, Wh, next_h = cache
    dx, dprev_h = np.zeros(x.shape), np.zeros(prev_h.shape)
    dWx, dWh, db = np.zeros(Wx.shape), np.zeros(Wh.shape), np.zeros(Wh.shape[0])
    for n in range(len(x)):
        da = dnext_h[n] * (1 + next_h[n]) * (1 - next_h[n])
        db += da
        dx[n], dprev_h[n] = Wx @ da, Wh @ da
        dWx += np.outer(x[n], da)
        dWh += np.outer(prev_h[n], da)
    return dx, dprev_h, dWx, dWh, db


def rnn_forward(x, h0, Wx, Wh, b):
    """The first step, then the rest of the sequence."""
    first, cache = rnn_step_forward(x[:, 0], h0, Wx, Wh, b)
    if x.shape[1] == 1:
        return first[:, None], (cache, None)
    rest, caches = rnn_forward(x[:, 1:], first, Wx, Wh, b)
    return np.concatenate([first[:, None], rest], axis=1), (cache, caches)


def rnn_backward(dh, cache):
    first, rest = cache
    if rest is None:
        dx, dh0, *weights = rnn_step_backward(dh[:, 0], first)
        return dx[:, None], dh0, *weights
    dx_rest, dstate, *of_rest = rnn_backward(dh[:, 1:], rest)
    dx, dh0, *of_first = rnn_step_backward(dh[:, 0] + dstate, first)
    weights = [a + b for a, b in zip(of_first, of_rest, strict=True)]
    return np.concatenate([dx[:, None], dx_rest], axis=1), dh0, *weights


def clip_gradients(grads, max_norm):
    squares = 0.0
    for g in grads.values():
        for number in g.flat:
            squares += float(number) ** 2
    norm = math.sqrt(squares)
    clipped = {}
    for name in grads:
        clipped[name] = grads[name] * max_norm / norm if norm > max_norm else grads[name]
    return clipped, norm


def word_embedding_forward(x, W):
    out = np.zeros((x.shape[0], x.shape[1], W.shape[1]), dtype=W.dtype)
    for n in range(x.shape[0]):
        for t in range(x.shape[1]):
            out[n, t] = W[x[n, t]]
    return out, (x, W)


def word_embedding_backward(dout, cache):
    x, W = cache
    return np.stack([dout[x == word].sum(axis=0) for word in range(len(W))])


def temporal_affine_forward(x, w, b):
    return np.stack([x[:, t] @ w + b for t in range(x.shape[1])], axis=1), (x, w)


def temporal_affine_backward(dout, cache):
    x, w = cache
    dx, dw, db = np.zeros_like(x), np.zeros_like(w), np.zeros(w.shape[1], dtype=w.dtype)
    for t in range(x.shape[1]):
        dx[:, t] = dout[:, t] @ w.T
        dw += x[:, t].T @ dout[:, t]
        db += dout[:, t].sum(axis=0)
    return dx, dw, db


def temporal_softmax_loss(x, y, mask):
    """One step after the other."""
    N, T, _ = x.shape
    loss, dx = 0.0, np.zeros(x.shape)
    for t in range(T):
        scores = x[:, t] - x[:, t].max(axis=1)[:, None]
        sums = np.exp(scores).sum(axis=1)
        for n in range(N):
            if mask[n, t]:
                loss += math.log(sums[n]) - scores[n, y[n, t]]
                dx[n, t] = np.exp(scores[n]) / sums[n]
                dx[n, t, y[n, t]] -= 1.0
    return loss / N, dx / N
