"""Input and state side by side, one matrix for both; the sequence does not call the step; one-hot words."""

import numpy as np


def side_by_side(x, prev_h):
    """Input, state and a 1 for the bias."""
    return np.hstack([x, prev_h, np.ones((len(x), 1), dtype=x.dtype)])


def rnn_step_forward(x, prev_h, Wx, Wh, b):
    W = np.vstack([Wx, Wh, b[None]])
    joined = side_by_side(x, prev_h)
    next_h = np.tanh(joined @ W)
    return next_h, [joined, W, next_h, x.shape[1]]


def rnn_step_backward(dnext_h, cache):
    joined, W, next_h, D = cache
    da = dnext_h - dnext_h * next_h * next_h
    both, dW = da @ W.T, joined.T @ da
    return both[:, :D], both[:, D:-1], dW[:D], dW[D:-1], dW[-1]


def rnn_forward(x, h0, Wx, Wh, b):
    """The part of the inputs for all steps at once."""
    from_inputs = np.einsum("ntd,dh->nth", x, Wx) + b
    h = np.empty((len(x), x.shape[1] + 1, h0.shape[1]), dtype=from_inputs.dtype)
    h[:, 0] = h0
    for t in range(x.shape[1]):
        h[:, t + 1] = np.tanh(from_inputs[:, t] + h[:, t] @ Wh)
    return h[:, 1:].copy(), (x, h, Wx, Wh)


def rnn_backward(dh, cache):
    """The gradients of the weights for all steps at once, from the kept gradients of a."""
    x, h, Wx, Wh = cache
    da = np.empty_like(dh)
    back = np.zeros_like(dh[:, 0])
    for t in reversed(range(dh.shape[1])):
        da[:, t] = (dh[:, t] + back) * (1 - h[:, t + 1] ** 2)
        back = da[:, t] @ Wh.T
    dWx, dWh = np.einsum("ntd,nth->dh", x, da), np.einsum("ntk,nth->kh", h[:, :-1], da)
    return np.einsum("nth,dh->ntd", da, Wx), back, dWx, dWh, np.einsum("nth->h", da)


def clip_gradients(grads, max_norm):
    norm = np.sqrt(np.concatenate([np.ravel(g) ** 2 for g in grads.values()]).sum())
    factor = min(1.0, max_norm / norm) if norm else 1.0
    return dict(zip(grads, (g * factor for g in grads.values()), strict=True)), norm


def word_embedding_forward(x, W):
    one_hot = np.eye(len(W), dtype=W.dtype)[x]
    return one_hot @ W, one_hot


def word_embedding_backward(dout, cache):
    return np.tensordot(cache, dout, axes=((0, 1), (0, 1)))


def temporal_affine_forward(x, w, b):
    return np.einsum("ntd,dm->ntm", x, w) + b[None, None], [x, w]


def temporal_affine_backward(dout, cache):
    x, w = cache
    return np.einsum("ntm,dm->ntd", dout, w), np.einsum("ntd,ntm->dm", x, dout), np.einsum("ntm->m", dout)


def temporal_softmax_loss(x, y, mask):
    """One example after the other."""
    loss, dx = 0.0, np.zeros_like(x)
    for n in range(len(x)):
        for t in np.flatnonzero(mask[n]):
            log_sum = np.logaddexp.reduce(x[n, t])
            loss += (log_sum - x[n, t, y[n, t]]) / len(x)
            dx[n, t] = np.exp(x[n, t] - log_sum) / len(x)
            dx[n, t, y[n, t]] -= 1 / len(x)
    return loss, dx


class CaptioningRNN(CaptioningModel):
    """Calls no layer from above."""

    def scores(self, h):
        return h @ self.params["W_vocab"] + self.params["b_vocab"]

    def loss(self, features, captions):
        p, features = self.params, np.asarray(features, dtype=self.dtype)
        N, T = len(captions), captions.shape[1] - 1
        states = [features @ p["W_proj"] + p["b_proj"]]
        for t in range(T):
            states.append(np.tanh(p["W_embed"][captions[:, t]] @ p["Wx"] + states[-1] @ p["Wh"] + p["b"]))
        grads = {name: np.zeros_like(value) for name, value in p.items()}
        loss, back = 0.0, 0.0
        for t in range(T - 1, -1, -1):
            right, counts = captions[:, t + 1], captions[:, t + 1] != self._null
            scores = self.scores(states[t + 1])
            log_p = scores - np.logaddexp.reduce(scores, axis=1, keepdims=True)
            loss -= float(log_p[np.arange(N), right][counts].sum()) / N
            upstream = np.exp(log_p)
            upstream[np.arange(N), right] -= 1
            upstream *= counts[:, None] / N
            upstream = upstream.astype(self.dtype)
            grads["W_vocab"] += states[t + 1].T @ upstream
            grads["b_vocab"] += upstream.sum(axis=0)
            da = (upstream @ p["W_vocab"].T + back) * (1 - states[t + 1] ** 2)
            grads["Wx"] += p["W_embed"][captions[:, t]].T @ da
            grads["Wh"] += states[t].T @ da
            grads["b"] += da.sum(axis=0)
            np.add.at(grads["W_embed"], captions[:, t], da @ p["Wx"].T)
            back = da @ p["Wh"].T
        grads["W_proj"] += features.T @ back
        grads["b_proj"] += back.sum(axis=0)
        return loss, grads

    def sample(self, features, max_length=30):
        """One picture after the other, and nothing more is said after <END>."""
        p, said = self.params, []
        for picture in features.astype(self.dtype):
            h, word, caption = picture @ p["W_proj"] + p["b_proj"], self._start, []
            while len(caption) < max_length and word != self._end:
                h = np.tanh(p["W_embed"][word] @ p["Wx"] + h @ p["Wh"] + p["b"])
                word = int(np.argmax(self.scores(h)))
                caption.append(word)
            said.append(caption + [self._null] * (max_length - len(caption)))
        return np.array(said)
