"""Arrays made beforehand and filled, gates as slices; all log-probabilities of a beam in one array."""

import numpy as np


def lstm_step_forward(x, prev_h, prev_c, Wx, Wh, b):
    H = prev_h.shape[1]
    a = np.dot(x, Wx) + np.dot(prev_h, Wh) + b
    gates = np.empty_like(a)
    gates[:, : 3 * H] = sigmoid(a[:, : 3 * H])
    gates[:, 3 * H :] = np.tanh(a[:, 3 * H :])
    i, f, o, g = (gates[:, k * H : (k + 1) * H] for k in range(4))
    next_c = f * prev_c + i * g
    next_h = o * np.tanh(next_c)
    return (
        next_h,
        next_c,
        {"x": x, "h": prev_h, "c": prev_c, "Wx": Wx, "Wh": Wh, "gates": gates, "out": next_c},
    )


def lstm_step_backward(dnext_h, dnext_c, cache):
    H = dnext_h.shape[1]
    gates, squashed = cache["gates"], np.tanh(cache["out"])
    i, f, o, g = (gates[:, k * H : (k + 1) * H] for k in range(4))
    dc = dnext_c + dnext_h * o / np.cosh(cache["out"]) ** 2
    da = np.zeros_like(gates)
    da[:, :H] = dc * g
    da[:, H : 2 * H] = dc * cache["c"]
    da[:, 2 * H : 3 * H] = dnext_h * squashed
    da[:, : 3 * H] *= gates[:, : 3 * H] * (1.0 - gates[:, : 3 * H])
    da[:, 3 * H :] = dc * i * (1.0 - g * g)
    dx, dprev_h = np.dot(da, cache["Wx"].T), np.dot(da, cache["Wh"].T)
    return dx, dprev_h, f * dc, np.dot(cache["x"].T, da), np.dot(cache["h"].T, da), np.sum(da, axis=0)


def lstm_forward(x, h0, Wx, Wh, b):
    N, T, _ = x.shape
    h = np.zeros((N, T, h0.shape[1]), dtype=np.result_type(x, h0))
    cache = {"D": x.shape[2]}
    c = np.zeros(h0.shape, dtype=h0.dtype)
    for t in range(T):
        h[:, t], c, cache[t] = lstm_step_forward(x[:, t], h[:, t - 1] if t else h0, c, Wx, Wh, b)
    return h, cache


def lstm_backward(dh, cache):
    N, T, H = dh.shape
    D = cache["D"]
    dx = np.zeros((N, T, D))
    sums = np.zeros((D, 4 * H)), np.zeros((H, 4 * H)), np.zeros(4 * H)
    dstate, dcell = np.zeros((N, H)), np.zeros((N, H))
    for t in reversed(range(T)):
        dx[:, t], dstate, dcell, *parts = lstm_step_backward(dh[:, t] + dstate, dcell, cache[t])
        for whole, part in zip(sums, parts, strict=True):
            whole += part
    return (dx, dstate, *sums)


def dot_product_attention_forward(prev_h, A):
    N, H, P, Q = A.shape
    flat = A.reshape(N, H, -1)
    scores = np.matmul(prev_h[:, None, :], flat)[:, 0] / np.sqrt(H)
    scores -= scores.max(axis=1, keepdims=True)
    weights = np.exp(scores)
    weights /= weights.sum(axis=1, keepdims=True)
    attn = np.matmul(flat, weights[:, :, None])[:, :, 0]
    return attn, weights.reshape(N, P, Q), (prev_h, A, weights, attn)


def dot_product_attention_backward(dattn, cache):
    """sum of w * dw is the scalar product of dattn with attn itself."""
    prev_h, A, weights, attn = cache
    flat = A.reshape(*A.shape[:2], -1)
    dweights = np.matmul(dattn[:, None, :], flat)[:, 0]
    dscores = weights * (dweights - np.sum(dattn * attn, axis=1, keepdims=True)) / np.sqrt(A.shape[1])
    dprev_h = np.matmul(flat, dscores[:, :, None])[:, :, 0]
    dA = np.matmul(dattn[:, :, None], weights[:, None]) + np.matmul(prev_h[:, :, None], dscores[:, None])
    return dprev_h, dA.reshape(A.shape)


def attention_lstm_forward(x, A, Wx, Wh, Wattn, b):
    """What attention brings is added to the bias's place, through an input of D + H numbers."""
    N, T, D = x.shape
    _, H, P, Q = A.shape
    h, weights = np.zeros((N, T, H), dtype=A.dtype), np.zeros((N, T, P, Q), dtype=A.dtype)
    both, caches = np.vstack([Wx, Wattn]), []
    state = A.reshape(N, H, -1).mean(axis=-1)
    c = state.copy()
    for t in range(T):
        attn, weights[:, t], look = dot_product_attention_forward(state, A)
        state, c, step = lstm_step_forward(np.hstack([x[:, t], attn]), state, c, both, Wh, b)
        h[:, t] = state
        caches.append({"look": look, "step": step})
    return h, weights, {"steps": caches, "shape": A.shape, "D": D}


def attention_lstm_backward(dh, cache):
    N, T, H = dh.shape
    shape, D = cache["shape"], cache["D"]
    dx, dA = np.zeros((N, T, D)), np.zeros(shape)
    dboth, dWh, db = np.zeros((D + H, 4 * H)), np.zeros((H, 4 * H)), np.zeros(4 * H)
    dstate, dc = np.zeros((N, H)), np.zeros((N, H))
    for t in range(T)[::-1]:
        one = cache["steps"][t]
        dinput, dprev, dc, dW_t, dWh_t, db_t = lstm_step_backward(dh[:, t] + dstate, dc, one["step"])
        dboth += dW_t
        dWh += dWh_t
        db += db_t
        dx[:, t] = dinput[:, :D]
        dquestion, dA_t = dot_product_attention_backward(dinput[:, D:], one["look"])
        dstate = dprev + dquestion
        dA += dA_t
    dA += np.broadcast_to((dstate + dc)[:, :, None, None], shape) / (shape[2] * shape[3])
    return dx, dA, dboth[:D], dWh, dboth[D:], db


class CaptioningRNN(CaptioningModel):
    """The state is one array in each case but that of attention, which needs the grid beside it."""

    def grid(self, features):
        return np.einsum("nfpq,fh->nhpq", features.astype(self.dtype), self.params["W_proj"]) + self.params[
            "b_proj"
        ].reshape(1, -1, 1, 1)

    def loss(self, features, captions):
        P, G, cell = self.params, {}, self.cell_type
        words_in, words_out = captions[:, :-1], captions[:, 1:]
        vectors, c1 = word_embedding_forward(words_in, P["W_embed"])
        if cell == "attention":
            h, _, c2 = attention_lstm_forward(
                vectors, self.grid(features), P["Wx"], P["Wh"], P["Wattn"], P["b"]
            )
        else:
            h0 = features.astype(self.dtype).dot(P["W_proj"]) + P["b_proj"]
            forward = {"rnn": rnn_forward, "lstm": lstm_forward}[cell]
            h, c2 = forward(vectors, h0, P["Wx"], P["Wh"], P["b"])
        scores, c3 = temporal_affine_forward(h, P["W_vocab"], P["b_vocab"])
        loss, d = temporal_softmax_loss(scores, words_out, words_out != self._null)
        d, G["W_vocab"], G["b_vocab"] = temporal_affine_backward(d, c3)
        if cell == "attention":
            d, dA, G["Wx"], G["Wh"], G["Wattn"], G["b"] = attention_lstm_backward(d, c2)
            rows = dA.transpose(0, 2, 3, 1).reshape(-1, dA.shape[1])
            G["W_proj"] = features.transpose(0, 2, 3, 1).reshape(len(rows), -1).T.dot(rows)
            G["b_proj"] = rows.sum(axis=0)
        else:
            backward = {"rnn": rnn_backward, "lstm": lstm_backward}[cell]
            d, dh0, G["Wx"], G["Wh"], G["b"] = backward(d, c2)
            G["W_proj"], G["b_proj"] = features.T.dot(dh0), dh0.sum(axis=0)
        G["W_embed"] = word_embedding_backward(d, c1)
        return loss, G

    def begin(self, features):
        if self.cell_type == "attention":
            A = self.grid(features)
            mean = A.mean(axis=(2, 3))
            return np.hstack([mean, mean]), A
        h0 = features.astype(self.dtype).dot(self.params["W_proj"]) + self.params["b_proj"]
        return (h0 if self.cell_type == "rnn" else np.hstack([h0, np.zeros_like(h0)]),)

    def step(self, state, words):
        P = self.params
        x, H = P["W_embed"][words], P["W_vocab"].shape[0]
        if self.cell_type == "rnn":
            h, _ = rnn_step_forward(x, state[0], P["Wx"], P["Wh"], P["b"])
            after = (h,)
        else:
            h, c = state[0][:, :H], state[0][:, H:]
            Wx = P["Wx"]
            if self.cell_type == "attention":
                x = np.hstack([x, dot_product_attention_forward(h, state[1])[0]])
                Wx = np.vstack([Wx, P["Wattn"]])
            h, c, _ = lstm_step_forward(x, h, c, Wx, P["Wh"], P["b"])
            after = (np.hstack([h, c]), *state[1:])
        scores = h.dot(P["W_vocab"]) + P["b_vocab"]
        return scores - np.logaddexp.reduce(scores, axis=1, keepdims=True), after

    def sample(self, features, max_length=30):
        words = np.full(len(features), self._start)
        state, said = self.begin(features), []
        for _ in range(max_length):
            log_p, state = self.step(state, words)
            words = np.argmax(log_p, axis=1)
            said.append(words)
        return np.stack(said, axis=1)


def beam_search(model, features, beam_width=3, max_length=30):
    """A second beam of width 1 runs beside the first: the greedy caption."""
    found = []
    for width in (beam_width, 1):
        state, totals = model.begin(features), np.zeros(1)
        captions, ended = np.zeros((1, 0), dtype=int), np.zeros(1, dtype=bool)
        for t in range(max_length):
            words = captions[:, -1] if t else np.array([model._start])
            log_p, state = model.step(state, words)
            V = log_p.shape[1]
            log_p = np.array(log_p, dtype=float)
            log_p[ended] = -np.inf
            log_p[ended, model._end] = 0.0  # stays as it is: one more <END>, cut off at last
            sums = (totals[:, None] + log_p).ravel()
            order = np.argsort(-sums, kind="stable")[:width]
            order = order[np.isfinite(sums[order])]
            rows, words = order // V, order % V
            totals = sums[order]
            captions = np.concatenate([captions[rows], words[:, None]], axis=1)
            ended = words == model._end
            state = tuple(part[rows] for part in state)
            if ended.all():
                break
        caption = captions[0].tolist()
        if model._end in caption:
            caption = caption[: caption.index(model._end) + 1]
        found.append((caption, float(totals[0])))
    return found[0] if found[0][1] >= found[1][1] else found[1]
