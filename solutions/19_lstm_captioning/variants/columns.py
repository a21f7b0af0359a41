"""Examples in columns, input, state and a one below each other, one matrix; transposed views are returned."""

import numpy as np


def gates_of(a):
    """(4H, N) -> i, f, o, g; a sigmoid is half a tanh."""
    *gates, g = np.tanh(
        np.stack(np.vsplit(a, 4)) * np.array([0.5, 0.5, 0.5, 1.0])[:, None, None].astype(a.dtype)
    )
    return (*((gate + 1) / 2 for gate in gates), g)


def one_step(column, c, W):
    """column (D + H + 1, N), c (H, N), W (D + H + 1, 4H)."""
    i, f, o, g = gates_of(W.T @ column)
    after = f * c + i * g
    return o * np.tanh(after), after, (column, c, i, f, o, g, np.tanh(after))


def one_step_back(dh, dc, kept):
    """The gradients of a, (4H, N), and of the cell before."""
    _, c, i, f, o, g, shown = kept
    dc = dc + dh * o * (1 - shown**2)
    da = [dc * g * i * (1 - i), dc * c * f * (1 - f), dh * shown * o * (1 - o), dc * i * (1 - g**2)]
    return np.vstack(da), dc * f


def ones_like_row(x):
    return np.ones((1, len(x)), dtype=x.dtype)


def lstm_step_forward(x, prev_h, prev_c, Wx, Wh, b):
    W = np.vstack((Wx, Wh, b))
    h, c, kept = one_step(np.vstack((x.T, prev_h.T, ones_like_row(x))), prev_c.T, W)
    return h.T, c.T, {"kept": kept, "W": W, "D": len(Wx)}


def lstm_step_backward(dnext_h, dnext_c, cache):
    kept, W, D = cache["kept"], cache["W"], cache["D"]
    da, dc = one_step_back(dnext_h.T, dnext_c.T, kept)
    dinputs, dW = W @ da, kept[0] @ da.T
    return dinputs[:D].T, dinputs[D:-1].T, dc.T, dW[:D], dW[D:-1], dW[-1]


def lstm_forward(x, h0, Wx, Wh, b):
    W = np.vstack((Wx, Wh, b))
    h, c = h0.T, np.zeros_like(h0.T)
    states, kept = [], []
    for t in range(x.shape[1]):
        h, c, of_step = one_step(np.vstack((x[:, t].T, h, ones_like_row(x))), c, W)
        states.append(h)
        kept.append(of_step)
    return np.stack(states).transpose(2, 0, 1), (kept, W, len(Wx))


def lstm_backward(dh, cache):
    kept, W, D = cache
    dx = np.empty((dh.shape[1], D, len(dh)), dtype=dh.dtype)
    dW, dstate, dc = np.zeros_like(W), 0.0, 0.0
    for t, upstream in reversed(list(enumerate(dh.transpose(1, 2, 0)))):
        da, dc = one_step_back(upstream + dstate, dc, kept[t])
        dx[t], dstate = W[:D] @ da, W[D:-1] @ da
        dW += kept[t][0] @ da.T
    return dx.transpose(2, 0, 1), dstate.T, dW[:D], dW[D:-1], dW[-1]


def dot_product_attention_forward(prev_h, A):
    """Cells as rows of a matrix; weights are counted from the largest."""
    rows = A.reshape(*A.shape[:2], -1).swapaxes(1, 2)
    scores = (rows @ (prev_h / np.sqrt(prev_h.shape[1]))[:, :, None])[..., 0]
    powers = np.exp2((scores - np.amax(scores, axis=1)[:, None]) / np.log(2))
    weights = powers / np.add.reduce(powers, axis=1)[:, None]
    return (weights[:, None] @ rows)[:, 0], weights.reshape(len(A), *A.shape[2:]), (prev_h, A, weights)


def dot_product_attention_backward(dattn, cache):
    """The softmax's Jacobian through centred cells: a mean has no part in it."""
    prev_h, A, weights = cache
    rows = A.reshape(*A.shape[:2], -1).swapaxes(1, 2)
    centred = rows - weights[:, None] @ rows
    dscores = weights * (centred @ dattn[:, :, None])[..., 0] / np.sqrt(A.shape[1])
    both = np.stack((weights, dscores), axis=2) @ np.stack((dattn, prev_h), axis=1)
    return (dscores[:, None] @ rows)[:, 0], both.swapaxes(1, 2).reshape(A.shape)


def attention_lstm_forward(x, A, Wx, Wh, Wattn, b):
    W = np.vstack((Wx, Wattn, Wh, b))
    h = c = A.mean(axis=-1).mean(axis=-1).T
    states, looks, kept = [], [], []
    for t in range(x.shape[1]):
        attn, weights, look = dot_product_attention_forward(h.T, A)
        h, c, of_step = one_step(np.vstack((x[:, t].T, attn.T, h, ones_like_row(x))), c, W)
        states.append(h)
        looks.append(weights)
        kept.append((look, of_step))
    return np.stack(states).transpose(2, 0, 1), np.stack(looks).swapaxes(0, 1), (kept, W, A.shape, len(Wx))


def attention_lstm_backward(dh, cache):
    kept, W, (_, H, P, Q), D = cache
    dW, dA, dx = np.zeros_like(W), 0.0, []
    dstate, dc = 0.0, 0.0
    for t in range(len(kept) - 1, -1, -1):
        look, of_step = kept[t]
        da, dc = one_step_back(dh[:, t].T + dstate, dc, of_step)
        dx_t, dattn, dstate, _ = np.vsplit(W @ da, (D, D + H, D + 2 * H))
        asked, of_grid = dot_product_attention_backward(dattn.T, look)
        dstate, dA = dstate + asked.T, dA + of_grid
        dx.append(dx_t)
        dW += of_step[0] @ da.T
    dA = dA + np.multiply.outer((dstate + dc).T, np.full((P, Q), 1 / (P * Q)))
    dWx, dWattn, dWh, db = np.vsplit(dW, (D, D + H, D + 2 * H))
    return np.stack(dx[::-1]).transpose(2, 0, 1), dA, dWx, dWh, dWattn, db[0]


class CaptioningRNN(CaptioningModel):
    """States as one array (N, 2, H) of h and c; sampling goes on for what has not ended."""

    def seen(self, features):
        p, features = self.params, np.asarray(features, self.dtype)
        if features.ndim == 2:
            return features @ p["W_proj"] + p["b_proj"]
        return np.tensordot(features, p["W_proj"], axes=(1, 0)).transpose(0, 3, 1, 2) + p["b_proj"].reshape(
            -1, 1, 1
        )

    def loss(self, features, captions):
        p, grads = self.params, {}
        heard, said = captions[:, :-1], captions[:, 1:]
        x, words = word_embedding_forward(heard, p["W_embed"])
        seen = self.seen(features)
        match self.cell_type:
            case "rnn":
                h, layer = rnn_forward(x, seen, p["Wx"], p["Wh"], p["b"])
            case "lstm":
                h, layer = lstm_forward(x, seen, p["Wx"], p["Wh"], p["b"])
            case "attention":
                h, _, layer = attention_lstm_forward(x, seen, p["Wx"], p["Wh"], p["Wattn"], p["b"])
        scores, vocabulary = temporal_affine_forward(h, p["W_vocab"], p["b_vocab"])
        loss, dscores = temporal_softmax_loss(scores, said, said != self._null)
        dh, grads["W_vocab"], grads["b_vocab"] = temporal_affine_backward(dscores, vocabulary)
        match self.cell_type:
            case "rnn":
                dx, dseen, grads["Wx"], grads["Wh"], grads["b"] = rnn_backward(dh, layer)
            case "lstm":
                dx, dseen, grads["Wx"], grads["Wh"], grads["b"] = lstm_backward(dh, layer)
            case "attention":
                dx, dseen, *of_weights = attention_lstm_backward(dh, layer)
                grads.update(zip(("Wx", "Wh", "Wattn", "b"), of_weights, strict=True))
        grads["W_embed"] = word_embedding_backward(dx, words)
        everywhere = (0, *range(2, dseen.ndim))
        grads["W_proj"] = np.tensordot(features, dseen, axes=(everywhere, everywhere))
        grads["b_proj"] = dseen.sum(axis=everywhere)
        return loss, grads

    def begin(self, features):
        seen = self.seen(features)
        if self.cell_type == "attention":
            return np.stack([seen.mean(axis=(2, 3))] * 2, axis=1), seen
        return (np.stack([seen, np.zeros_like(seen)], axis=1),)

    def step(self, state, words):
        (h, c), rest = state[0].swapaxes(0, 1), state[1:]
        p, inputs, b = self.params, [self.params["W_embed"][words]], self.params["b"]
        if self.cell_type == "attention":
            b = b + dot_product_attention_forward(h, *rest)[0] @ p["Wattn"]
        a = inputs[0] @ p["Wx"] + h @ p["Wh"] + b
        if self.cell_type == "rnn":
            h = np.tanh(a)
        else:
            i, f, o, g = (part.T for part in gates_of(a.T))
            c = f * c + i * g
            h = o * np.tanh(c)
        scores = h @ p["W_vocab"] + p["b_vocab"]
        top = scores.max(axis=1, keepdims=True)
        log_sum = top + np.log(np.sum(np.exp(scores - top), axis=1, keepdims=True))
        return scores - log_sum, (np.stack([h, c], axis=1), *rest)

    def sample(self, features, max_length=30):
        captions = np.full((len(features), max_length), -1, dtype=np.int32)
        going, state = np.arange(len(features)), self.begin(features)
        words = np.full_like(going, self._start)
        for t in range(max_length):
            log_p, state = self.step(state, words)
            words = captions[going, t] = np.argmax(log_p, axis=1)
            stays = words != self._end
            words, going, state = words[stays], going[stays], tuple(part[stays] for part in state)
            if len(going) == 0:
                break
        return captions


def beam_search(model, features, beam_width=3, max_length=30):
    """The greedy caption is row 0 beside those of the beam."""
    state = tuple(np.repeat(part, 2, axis=0) for part in model.begin(features))
    totals, captions = np.zeros(2), np.full((2, 1), model._start)
    for _ in range(max_length):
        log_p, state = model.step(state, captions[:, -1])
        V = log_p.shape[1]
        stays = np.where(np.arange(V) == model._end, 0.0, -np.inf)
        sums = totals[:, None] + np.where(captions[:, -1:] == model._end, stays, log_p)
        beam = sums[1:].ravel()
        best = beam.argsort()[::-1][: min(beam_width, np.isfinite(beam).sum())]
        rows, words = np.append(0, 1 + best // V), np.append(sums[0].argmax(), best % V)
        totals = sums[rows, words]
        captions = np.column_stack((captions[rows], words))
        state = tuple(part[rows] for part in state)
        if np.all(words == model._end):
            break
    winner = np.argmax(totals)
    said = captions[winner, 1:]
    length = len(said) - max(np.sum(said == model._end) - 1, 0)
    return said[:length].tolist(), totals[winner]
