"""Arrays made beforehand and filled; gradients clipped in place; sampling that stops when all have ended."""

import numpy as np


def rnn_step_forward(x, prev_h, Wx, Wh, b):
    a = np.dot(x, Wx)
    a += np.dot(prev_h, Wh)
    a += b
    next_h = np.tanh(a)
    return next_h, {"x": x, "prev_h": prev_h, "Wx": Wx, "Wh": Wh, "a": a}


def rnn_step_backward(dnext_h, cache):
    da = dnext_h / np.cosh(cache["a"]) ** 2
    dx = np.dot(da, cache["Wx"].T)
    dprev_h = np.dot(da, cache["Wh"].T)
    return dx, dprev_h, np.dot(cache["x"].T, da), np.dot(cache["prev_h"].T, da), np.sum(da, axis=0)


def rnn_forward(x, h0, Wx, Wh, b):
    N, T, D = x.shape
    h = np.zeros((N, T, h0.shape[1]), dtype=np.result_type(x, h0))
    cache = {"D": D}
    for t in range(T):
        before = h0 if t == 0 else h[:, t - 1, :]
        h[:, t, :], cache[t] = rnn_step_forward(x[:, t, :], before, Wx, Wh, b)
    return h, cache


def rnn_backward(dh, cache):
    N, T, H = dh.shape
    D = cache["D"]
    dx, carried = np.zeros((N, T, D)), np.zeros((N, H))
    dWx, dWh, db = np.zeros((D, H)), np.zeros((H, H)), np.zeros(H)
    for t in reversed(range(T)):
        dx[:, t, :], carried, *parts = rnn_step_backward(dh[:, t, :] + carried, cache[t])
        for whole, part in zip((dWx, dWh, db), parts, strict=True):
            whole += part
    return dx, carried, dWx, dWh, db


def clip_gradients(grads, max_norm):
    """As PyTorch does it: in place, with 1e-6 in the denominator."""
    norm = np.linalg.norm([np.linalg.norm(g) for g in grads.values()])
    coefficient = max_norm / (norm + 1e-6)
    if coefficient < 1:
        for g in grads.values():
            g *= coefficient
    return grads, norm


def word_embedding_forward(x, W):
    out = np.take(W, x, axis=0)
    return out, (x, W)


def word_embedding_backward(dout, cache):
    x, W = cache
    dW = np.zeros_like(W)
    for word, gradient in zip(x.ravel(), dout.reshape(-1, W.shape[1]), strict=True):
        dW[word] += gradient
    return dW


def temporal_affine_forward(x, w, b):
    N, T, D = x.shape
    out = x.reshape(N * T, D).dot(w).reshape(N, T, len(b)) + b
    return out, (x, w, b, out)


def temporal_affine_backward(dout, cache):
    x, w, b, _ = cache
    N, T, D = x.shape
    M = b.shape[0]
    dx = dout.reshape(N * T, M).dot(w.T).reshape(N, T, D)
    dw = dout.reshape(N * T, M).T.dot(x.reshape(N * T, D)).T
    return dx, dw, dout.sum(axis=(0, 1))


def temporal_softmax_loss(x, y, mask):
    N, T, V = x.shape
    rows, right, counts = x.reshape(N * T, V), y.reshape(-1), mask.reshape(-1).astype(float)
    scores = rows - np.max(rows, axis=1, keepdims=True)
    log_p = scores - np.log(np.sum(np.exp(scores), axis=1, keepdims=True))
    loss = -np.sum(counts * log_p[np.arange(N * T), right]) / N
    dx = np.exp(log_p)
    dx[np.arange(N * T), right] -= 1
    dx /= N
    dx *= counts[:, None]
    return loss, dx.reshape(N, T, V)


class CaptioningRNN(CaptioningModel):
    def loss(self, features, captions):
        features = features.astype(self.dtype)
        words_in, words_out = captions[:, :-1], captions[:, 1:]
        P, G = self.params, {}
        h0 = np.dot(features, P["W_proj"]) + P["b_proj"]
        vectors, c1 = word_embedding_forward(words_in, P["W_embed"])
        states, c2 = rnn_forward(vectors, h0, P["Wx"], P["Wh"], P["b"])
        scores, c3 = temporal_affine_forward(states, P["W_vocab"], P["b_vocab"])
        loss, d = temporal_softmax_loss(scores, words_out, words_out != self._null)
        d, G["W_vocab"], G["b_vocab"] = temporal_affine_backward(d, c3)
        d, dh0, G["Wx"], G["Wh"], G["b"] = rnn_backward(d, c2)
        G["W_embed"] = word_embedding_backward(d, c1)
        G["W_proj"] = np.dot(features.T, dh0)
        G["b_proj"] = np.sum(dh0, axis=0)
        return loss, G

    def sample(self, features, max_length=30):
        N = features.shape[0]
        P = self.params
        captions = self._null * np.ones((N, max_length), dtype=np.int32)
        h = np.dot(features.astype(self.dtype), P["W_proj"]) + P["b_proj"]
        word = self._start * np.ones((N, 1), dtype=np.int32)
        ended = np.zeros(N, dtype=bool)
        for t in range(max_length):
            vector, _ = word_embedding_forward(word, P["W_embed"])
            h, _ = rnn_step_forward(vector[:, 0], h, P["Wx"], P["Wh"], P["b"])
            scores, _ = temporal_affine_forward(h[:, None], P["W_vocab"], P["b_vocab"])
            word = np.argmax(scores[:, 0], axis=1)[:, None]
            captions[~ended, t] = word[~ended, 0]
            ended |= word[:, 0] == self._end
            if ended.all():
                break
        return captions
