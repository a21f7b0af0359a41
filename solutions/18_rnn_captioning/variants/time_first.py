"""Steps along the first axis and examples in columns; what is returned are transposed views."""

import numpy as np


def rnn_step_forward(x, prev_h, Wx, Wh, b):
    columns = np.tanh(Wx.T @ x.T + Wh.T @ prev_h.T + b[:, np.newaxis])
    return columns.T, {"x": x.T, "before": prev_h.T, "Wx": Wx, "Wh": Wh, "after": columns}


def rnn_step_backward(dnext_h, cache):
    da = dnext_h.T - dnext_h.T * cache["after"] ** 2
    dx, dprev_h = cache["Wx"] @ da, cache["Wh"] @ da
    return dx.T, dprev_h.T, (da @ cache["x"].T).T, (da @ cache["before"].T).T, da.sum(axis=1)


def rnn_forward(x, h0, Wx, Wh, b):
    """State 0 is h0."""
    steps = x.transpose(1, 2, 0)
    states = np.empty((len(steps) + 1, *h0.T.shape), dtype=h0.dtype)
    states[0] = h0.T
    for before, after, step in zip(states[:-1], states[1:], steps, strict=True):
        np.matmul(Wh.T, before, out=after)
        after += Wx.T @ step
        after += b[:, None]
        np.tanh(after, out=after)
    return states[1:].transpose(2, 0, 1), (steps, states, Wx, Wh)


def rnn_backward(dh, cache):
    """The gradients of all a_t first, in place; the weights' from them at once."""
    steps, states, Wx, Wh = cache
    da = dh.transpose(1, 2, 0).copy()
    slopes = 1 - states[1:] ** 2
    da[-1] *= slopes[-1]
    for t in range(len(da) - 2, -1, -1):
        da[t] += Wh @ da[t + 1]
        da[t] *= slopes[t]
    dWx, dWh = (np.tensordot(inputs, da, axes=((0, 2), (0, 2))) for inputs in (steps, states[:-1]))
    return (Wx @ da).transpose(2, 0, 1), (Wh @ da[0]).T, dWx, dWh, da.sum(axis=2).sum(axis=0)


def clip_gradients(grads, max_norm):
    """On copies; the squares as products of each array with itself."""
    clipped = {name: g.copy() for name, g in grads.items()}
    norm = sum(np.vdot(g, g).item() for g in clipped.values()) ** 0.5
    if norm > max_norm:
        for g in clipped.values():
            g /= norm
            g *= max_norm
    return clipped, norm


def word_embedding_forward(x, W):
    return W[x.T].swapaxes(0, 1), {"words": x, "V": W.shape[0]}


def word_embedding_backward(dout, cache):
    """Equal words side by side, then one sum for each run of them."""
    words, V = cache["words"].reshape(-1), cache["V"]
    order = np.argsort(words, kind="stable")
    present, starts = np.unique(words[order], return_index=True)
    dW = np.zeros((V, dout.shape[2]), dtype=dout.dtype)
    dW[present] = np.add.reduceat(dout.reshape(len(words), -1)[order], starts, axis=0)
    return dW


def temporal_affine_forward(x, w, b):
    columns = w.T @ x.transpose(1, 2, 0)
    return (columns + b.reshape(-1, 1)).transpose(2, 0, 1), (x, w)


def temporal_affine_backward(dout, cache):
    x, w = cache
    columns = dout.transpose(1, 2, 0)
    dw = np.zeros(w.T.shape, dtype=w.dtype)
    for step, of_step in zip(columns, x.swapaxes(0, 1), strict=True):
        dw += step @ of_step
    return (w @ columns).transpose(2, 0, 1), dw.T, np.sum(columns, axis=(0, 2))


def temporal_softmax_loss(x, y, mask):
    """The logarithm of the denominator; comparison with 0 ... V - 1 instead of indices."""
    top = x.max(axis=-1)
    log_sum = top + np.log(np.sum(np.exp(x - top[..., None]), axis=-1))
    is_right = np.arange(x.shape[-1]) == y[..., None]
    losses = log_sum - np.sum(x, axis=-1, where=is_right)
    dx = np.where(mask[..., None], np.exp(x - log_sum[..., None]) - is_right, 0.0) / len(x)
    return losses.sum(where=mask).item() / len(x), dx


class CaptioningRNN(CaptioningModel):
    """All steps' words and scores at once, outside the recurrence."""

    def loss(self, features, captions):
        features, p = features.astype(self.dtype), self.params
        heard, said = captions.T[:-1], captions.T[1:]
        T, N = said.shape
        from_words = (p["W_embed"] @ p["Wx"] + p["b"])[heard]
        states = [features @ p["W_proj"] + p["b_proj"]]
        for of_words in from_words:
            states.append(np.tanh(of_words + states[-1] @ p["Wh"]))
        states = np.stack(states)
        before, after = states[:-1].reshape(T * N, -1), states[1:].reshape(T * N, -1)

        scores = after @ p["W_vocab"] + p["b_vocab"]
        scores -= scores.max(axis=1, keepdims=True)
        powers = np.exp(scores)
        sums = powers.sum(axis=1)
        right, counts = said.ravel(), said.ravel() != self._null
        loss = np.sum((np.log(sums) - scores[np.arange(T * N), right])[counts]) / N
        dscores = powers / sums[:, None] - np.eye(scores.shape[1])[right]
        dscores = (dscores * counts[:, None] / N).astype(self.dtype)

        da = (dscores @ p["W_vocab"].T).reshape(T, N, -1)
        back = np.zeros_like(da[0])
        for t in range(T)[::-1]:
            da[t] = (da[t] + back) * (1 - states[t + 1] ** 2)
            back = da[t] @ p["Wh"].T
        da = da.reshape(T * N, -1)
        per_word = np.zeros((len(p["W_embed"]), da.shape[1]))
        np.add.at(per_word, heard.ravel(), da)
        return float(loss), {
            "W_proj": features.T @ back,
            "b_proj": back.sum(axis=0),
            "W_embed": per_word @ p["Wx"].T,
            "Wx": p["W_embed"].T @ per_word,
            "Wh": before.T @ da,
            "b": per_word.sum(axis=0),
            "W_vocab": after.T @ dscores,
            "b_vocab": dscores.sum(axis=0),
        }

    def sample(self, features, max_length=30):
        """Only the captions that have not ended go on; behind their end stands -1."""
        p = self.params
        captions = np.full((max_length, len(features)), -1, dtype=np.int16)
        state = p["W_proj"].T @ features.astype(self.dtype).T + p["b_proj"][:, None]
        going, word = np.arange(len(features)), np.repeat(self._start, len(features))
        for row in captions:
            state = np.tanh(p["Wx"].T @ p["W_embed"][word].T + p["Wh"].T @ state + p["b"][:, None])
            word = np.argmax(p["W_vocab"].T @ state + p["b_vocab"][:, None], axis=0)
            row[going] = word
            state, going, word = (part[..., word != self._end] for part in (state, going, word))
            if not len(going):
                break
        return captions.T
