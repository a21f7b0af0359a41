"""One example after the other, one hypothesis after the other; recursion over time."""

import numpy as np


def lstm_step_forward(x, prev_h, prev_c, Wx, Wh, b):
    next_h, next_c, caches = [], [], []
    for one_x, one_h, one_c in zip(x, prev_h, prev_c, strict=True):
        a_i, a_f, a_o, a_g = (one_x @ Wx + one_h @ Wh + b).reshape(4, -1)
        i, f, o, g = sigmoid(a_i), sigmoid(a_f), sigmoid(a_o), 2 * sigmoid(2 * a_g) - 1
        c = one_c + (f - 1) * one_c + i * g
        next_h.append(o * np.tanh(c))
        next_c.append(c)
        caches.append((one_x, one_h, one_c, Wx, Wh, i, f, o, g, c))
    return np.array(next_h), np.array(next_c), caches


def lstm_step_backward(dnext_h, dnext_c, cache):
    rows, sums = [], None
    for dh, dc_next, (x, h, c_before, Wx, Wh, i, f, o, g, c) in zip(dnext_h, dnext_c, cache, strict=True):
        dc = dc_next + dh * o - dh * o * np.tanh(c) ** 2
        da = np.stack([
            dc * g * i * (1 - i),
            dc * c_before * f * (1 - f),
            dh * np.tanh(c) * o * (1 - o),
            dc * i * (1 - g) * (1 + g),
        ]).ravel()  # fmt: skip
        rows.append((Wx @ da, Wh @ da, dc * f))
        of_one = np.outer(x, da), np.outer(h, da), da
        sums = of_one if sums is None else tuple(a + b for a, b in zip(sums, of_one, strict=True))
    return *(np.array(part) for part in zip(*rows, strict=True)), *sums


def lstm_forward(x, h0, Wx, Wh, b):
    def rest(t, h, c):
        if t == x.shape[1]:
            return []
        h, c, cache = lstm_step_forward(x[:, t], h, c, Wx, Wh, b)
        return [(h, cache), *rest(t + 1, h, c)]

    steps = rest(0, h0, 0 * h0)
    return np.stack([h for h, _ in steps], axis=1), [cache for _, cache in steps]


def lstm_backward(dh, cache):
    def rest(t):
        """The gradients from step t on, of its inputs, state and cell before it, and the weights."""
        if t == len(cache):
            return [], 0.0, np.zeros_like(dh[:, 0]), (0.0, 0.0, 0.0)
        dx, dh_after, dc_after, weights = rest(t + 1)
        dx_t, dh_t, dc_t, *of_step = lstm_step_backward(dh[:, t] + dh_after, dc_after, cache[t])
        return [dx_t, *dx], dh_t, dc_t, tuple(a + b for a, b in zip(weights, of_step, strict=True))

    dx, dh0, _, weights = rest(0)
    return np.stack(dx, axis=1), dh0, *weights


def dot_product_attention_forward(prev_h, A):
    N, H, P, Q = A.shape
    attn, weights = np.zeros((N, H)), np.zeros((N, P, Q))
    for n in range(N):
        scores = sum(prev_h[n, k] * A[n, k] for k in range(H)) / H**0.5
        weights[n] = np.exp(scores - scores.max())
        weights[n] /= weights[n].sum()
        for k in range(H):
            attn[n, k] = (weights[n] * A[n, k]).sum()
    return attn, weights, (prev_h.copy(), A.copy(), weights)


def dot_product_attention_backward(dattn, cache):
    """The whole Jacobian of the softmax, one picture after the other."""
    prev_h, A, weights = cache
    N, H, P, Q = A.shape
    dprev_h, dA = np.zeros((N, H)), np.zeros((N, H, P * Q))
    for n in range(N):
        cells, w = A[n].reshape(H, -1), weights[n].ravel()
        jacobian = np.diag(w) - np.outer(w, w)
        dscores = jacobian @ (cells.T @ dattn[n]) / np.sqrt(H)
        dprev_h[n] = cells @ dscores
        dA[n] = np.outer(dattn[n], w) + np.outer(prev_h[n], dscores)
    return dprev_h, dA.reshape(A.shape)


def attention_lstm_forward(x, A, Wx, Wh, Wattn, b):
    """Does not call the step: three products are added up."""
    h = c = A.sum(axis=(2, 3)) / (A.shape[2] * A.shape[3])
    out, looks, cache = [], [], []
    for t in range(x.shape[1]):
        attn, weights, look = dot_product_attention_forward(h, A)
        a = x[:, t] @ Wx + h @ Wh + attn @ Wattn + b
        i, f, o = (sigmoid(part) for part in np.split(a, 4, axis=1)[:3])
        g = np.tanh(np.split(a, 4, axis=1)[3])
        before, h_before, c = c, h, f * c + i * g
        h = o * np.tanh(c)
        out.append(h)
        looks.append(weights)
        cache.append((look, x[:, t], h_before, before, attn, i, f, o, g, np.tanh(c)))
    return np.stack(out, 1), np.stack(looks, 1), (cache, Wx, Wh, Wattn, A.shape)


def attention_lstm_backward(dh, cache):
    steps, Wx, Wh, Wattn, shape = cache
    dx, dA = [], np.zeros(shape)
    dWx, dWh, dWattn, db = np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(Wattn), 0
    dstate = dcell = np.zeros_like(dh[:, 0])
    for t in range(len(steps) - 1, -1, -1):
        look, x, h, before, attn, i, f, o, g, shown = steps[t]
        dstate = dstate + dh[:, t]
        dcell = dcell + dstate * o * (1 - shown**2)
        da = np.hstack([
            dcell * g * i * (1 - i),
            dcell * before * f * (1 - f),
            dstate * shown * o * (1 - o),
            dcell * i * (1 - g**2),
        ])  # fmt: skip
        dx.insert(0, da @ Wx.T)
        dWx, dWh, dWattn, db = dWx + x.T @ da, dWh + h.T @ da, dWattn + attn.T @ da, db + da.sum(0)
        asked, dA_t = dot_product_attention_backward(da @ Wattn.T, look)
        dstate, dcell, dA = da @ Wh.T + asked, dcell * f, dA + dA_t
    for way in (dstate, dcell):
        dA += way[..., None, None] / np.prod(shape[2:])
    return np.stack(dx, 1), dA, dWx, dWh, dWattn, db


def beam_search(model, features, beam_width=3, max_length=30):
    """Each hypothesis carries its own state of a single row; ended ones wait in the same list."""

    def longer(hypothesis):
        total, words, state = hypothesis
        if words and words[-1] == model._end:
            return [hypothesis]
        log_p, state = model.step(state, np.array([words[-1] if words else model._start]))
        return [(total + float(p), [*words, word], state) for word, p in enumerate(log_p[0])]

    def search(width):
        beam = [(0.0, [], model.begin(features))]
        for _ in range(max_length):
            candidates = [found for hypothesis in beam for found in longer(hypothesis)]
            beam = sorted(candidates, key=lambda found: found[0], reverse=True)[:width]
        return beam[0]

    total, words, _ = max(search(beam_width), search(1), key=lambda found: found[0])
    return np.array(words), total
