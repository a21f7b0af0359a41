"""The gates along an axis of their own, einsum, all steps' inputs at once; nothing calls the step."""

import numpy as np


def squashed(a):
    """(..., 4, H) -> i, f, o and g along the first axis."""
    return np.concatenate([sigmoid(a[..., :3, :]), np.tanh(a[..., 3:, :])], axis=-2).transpose(
        a.ndim - 2, *range(a.ndim - 2), a.ndim - 1
    )


def slopes(gates, c_before, dh, dc, shown):
    """The gradients of a, (N, 4, H), where dc has both ways of the cell in it."""
    i, f, o, g = gates
    outer = np.stack([dc * g, dc * c_before, dh * shown, dc * i], axis=1)
    inner = np.stack([i - i**2, f - f**2, o - o**2, 1 - g**2], axis=1)
    return np.einsum("ngh,ngh->ngh", outer, inner)


def by_gate(W):
    return W.reshape(*W.shape[:-1], 4, -1)


def flat(dW):
    return dW.reshape(*dW.shape[:-2], -1)


def lstm_step_forward(x, prev_h, prev_c, Wx, Wh, b):
    a = np.einsum("nd,dgh->ngh", x, by_gate(Wx)) + np.einsum("nk,kgh->ngh", prev_h, by_gate(Wh)) + by_gate(b)
    i, f, o, g = gates = squashed(a)
    next_c = np.einsum("snh,snh->nh", np.stack([f, i]), np.stack([prev_c, g]))
    return o * np.tanh(next_c), next_c, (x, prev_h, prev_c, Wx, Wh, gates, np.tanh(next_c))


def lstm_step_backward(dnext_h, dnext_c, cache):
    x, prev_h, prev_c, Wx, Wh, gates, shown = cache
    _, f, o, _ = gates
    dc = dnext_c + dnext_h * o * (1 - shown * shown)
    da = slopes(gates, prev_c, dnext_h, dc, shown)
    dx, dprev_h = np.einsum("ngh,dgh->nd", da, by_gate(Wx)), np.einsum("ngh,kgh->nk", da, by_gate(Wh))
    dWx, dWh = np.einsum("nd,ngh->dgh", x, da), np.einsum("nk,ngh->kgh", prev_h, da)
    return dx, dprev_h, dc * f, flat(dWx), flat(dWh), flat(np.einsum("ngh->gh", da))


def unrolled(of_inputs, h0, c0, Wh, look=None):
    """States (T + 1, N, H), cells, and gates (T, 4, N, H); `look` adds to a what it sees from a state."""
    states, cells, gates = [h0], [c0], []
    for a in of_inputs.swapaxes(0, 1):
        a = by_gate(a + states[-1] @ Wh + (0 if look is None else look(states[-1])))
        gates.append(squashed(a))
        i, f, o, g = gates[-1]
        cells.append(f * cells[-1] + i * g)
        states.append(o * np.tanh(cells[-1]))
    return np.stack(states), np.stack(cells), np.stack(gates)


def rolled_up(dh, cells, gates, Wh, back=None):
    """The gradients of a, (T, N, 4, H), of the first state and cell; `back` is the way of a look."""
    da, dstate, dcell = [], 0.0, 0.0
    for t in range(len(gates) - 1, -1, -1):
        dstate, shown = dstate + dh[:, t], np.tanh(cells[t + 1])
        dcell = dcell + dstate * gates[t, 2] * (1 - shown * shown)
        da.insert(0, slopes(gates[t], cells[t], dstate, dcell, shown))
        dcell = dcell * gates[t, 1]
        dstate = np.einsum("ngh,kgh->nk", da[0], by_gate(Wh)) + (0 if back is None else back(t, flat(da[0])))
    return np.stack(da), dstate, dcell


def of_weight(inputs, da):
    """inputs (T, N, D), da (T, N, 4, H)."""
    return flat(np.einsum("tnd,tngh->dgh", inputs, da))


def lstm_forward(x, h0, Wx, Wh, b):
    states, cells, gates = unrolled(np.einsum("ntd,dk->ntk", x, Wx) + b, h0, np.zeros_like(h0), Wh)
    return np.einsum("tnh->nth", states[1:]), [x, states, cells, gates, Wx, Wh]


def lstm_backward(dh, cache):
    x, states, cells, gates, Wx, Wh = cache
    da, dh0, _ = rolled_up(dh, cells, gates, Wh)
    dx = np.einsum("tngh,dgh->ntd", da, by_gate(Wx))
    dWx, dWh = of_weight(x.swapaxes(0, 1), da), of_weight(states[:-1], da)
    return dx, dh0, dWx, dWh, np.einsum("tngh->gh", da).ravel()


def dot_product_attention_forward(prev_h, A):
    scores = np.einsum("nk,nkpq->npq", prev_h, A) / np.sqrt(A.shape[1])
    highest = np.max(scores, axis=(1, 2))
    weights = np.exp(scores - highest[:, None, None])
    weights = np.einsum("npq,n->npq", weights, 1 / np.einsum("npq->n", weights))
    return np.einsum("npq,nkpq->nk", weights, A), weights, (prev_h, A, weights)


def dot_product_attention_backward(dattn, cache):
    prev_h, A, weights = cache
    dweights = np.einsum("nk,nkpq->npq", dattn, A)
    mean = np.einsum("npq,npq->n", weights, dweights)
    dscores = weights * (dweights - mean[:, None, None]) / np.sqrt(A.shape[1])
    through_mean = np.einsum("npq,nk->nkpq", weights, dattn)
    return np.einsum("npq,nkpq->nk", dscores, A), through_mean + np.einsum("npq,nk->nkpq", dscores, prev_h)


def attention_lstm_forward(x, A, Wx, Wh, Wattn, b):
    looks = []

    def look(state):
        looks.append(dot_product_attention_forward(state, A))
        return looks[-1][0] @ Wattn

    mean = np.einsum("nkpq->nk", A) / (A.shape[2] * A.shape[3])
    states, cells, gates = unrolled(x @ Wx + b, mean, mean, Wh, look)
    seen, weights, caches = zip(*looks, strict=True)
    cache = x, A.shape, states, cells, gates, np.stack(seen), caches, (Wx, Wh, Wattn)
    return np.einsum("tnh->nth", states[1:]), np.stack(weights, axis=1), cache


def attention_lstm_backward(dh, cache):
    x, shape, states, cells, gates, seen, caches, (Wx, Wh, Wattn) = cache
    dA = np.zeros(shape, dtype=dh.dtype)

    def back(t, da):
        asked, of_grid = dot_product_attention_backward(da @ Wattn.T, caches[t])
        np.add(dA, of_grid, out=dA)
        return asked

    da, dstate, dcell = rolled_up(dh, cells, gates, Wh, back)
    dA += np.einsum("nk,pq->nkpq", dstate + dcell, np.ones(shape[2:]) / np.prod(shape[2:]))
    dx = np.einsum("tngh,dgh->ntd", da, by_gate(Wx))
    dWx, dWh, dWattn = (of_weight(inputs, da) for inputs in (x.swapaxes(0, 1), states[:-1], seen))
    return dx, dA, dWx, dWh, dWattn, flat(da.sum(axis=(0, 1)))


class CaptioningRNN(CaptioningModel):
    """Only the words that count are scored; a network without a gaze has a grid of no cells in its state."""

    def begin(self, features):
        p, features = self.params, features.astype(self.dtype)
        seen = np.einsum("nf...,fk->nk...", features, p["W_proj"])
        seen = np.einsum("nk...,k->nk...", np.ones_like(seen), p["b_proj"]) + seen
        if seen.ndim == 2:
            return seen, np.zeros_like(seen), seen[:, :0]
        return np.mean(seen, axis=(2, 3)), np.mean(seen, axis=(2, 3)), seen

    def step(self, state, words):
        h, c, A = state
        p = self.params
        a = p["W_embed"][words] @ p["Wx"] + h @ p["Wh"] + p["b"]
        if A.size:
            a = a + dot_product_attention_forward(h, A)[0] @ p["Wattn"]
        if self.cell_type == "rnn":
            h = np.tanh(a)
        else:
            i, f, o, g = squashed(by_gate(a))
            c = f * c + i * g
            h = o * np.tanh(c)
        scores = np.einsum("nh,hv->nv", h, p["W_vocab"]) + p["b_vocab"]
        return scores - np.logaddexp.reduce(scores, axis=1)[:, None], (h, c, A)

    def loss(self, features, captions):
        p, N, features = self.params, len(captions), features.astype(self.dtype)
        heard, said = captions[:, :-1], captions[:, 1:]
        x = p["W_embed"][heard]
        h0, _, A = self.begin(features)
        if self.cell_type == "attention":
            h, _, cache = attention_lstm_forward(x, A, p["Wx"], p["Wh"], p["Wattn"], p["b"])
        else:
            forward = lstm_forward if self.cell_type == "lstm" else rnn_forward
            h, cache = forward(x, h0, p["Wx"], p["Wh"], p["b"])
        n, t = np.nonzero(said != self._null)
        asked, right = h[n, t], said[n, t]
        scores = asked @ p["W_vocab"] + p["b_vocab"]
        log_p = scores - np.logaddexp.reduce(scores, axis=1, keepdims=True)
        loss = -np.einsum("ii", log_p[:, right]) / N
        dscores = ((np.exp(log_p) - (right[:, None] == np.arange(log_p.shape[1]))) / N).astype(self.dtype)
        dh = np.zeros_like(h)
        dh[n, t] = dscores @ p["W_vocab"].T
        grads = {"W_vocab": asked.T @ dscores, "b_vocab": np.einsum("iv->v", dscores)}
        if self.cell_type == "attention":
            dx, dseen, *of_layer, grads["Wattn"], grads["b"] = attention_lstm_backward(dh, cache)
        else:
            backward = lstm_backward if self.cell_type == "lstm" else rnn_backward
            dx, dseen, *of_layer, grads["b"] = backward(dh, cache)
        grads["Wx"], grads["Wh"] = of_layer
        grads["W_embed"] = np.zeros_like(p["W_embed"])
        for word in np.unique(heard):
            grads["W_embed"][word] = dx[heard == word].sum(axis=0)
        cells, dcells = (part.reshape(*part.shape[:2], -1) for part in (features, dseen))
        grads["W_proj"], grads["b_proj"] = (
            np.einsum("nfp,nkp->fk", cells, dcells),
            np.einsum("nkp->k", dcells),
        )
        return loss, grads

    def sample(self, features, max_length=30):
        captions = np.zeros((len(features), max_length + 1), dtype=np.uint8)
        captions[:, 0] = self._start
        state = self.begin(features)
        for t in range(max_length):
            log_p, state = self.step(state, captions[:, t])
            captions[:, t + 1] = log_p.argmax(axis=1)
        return captions[:, 1:]


def beam_search(model, features, beam_width=3, max_length=30):
    """A dictionary from captions to their log-probability and the row of their state."""
    state, greedy = model.begin(features), ()
    total, word = 0.0, model._start
    while len(greedy) < max_length and word != model._end:
        log_p, state = model.step(state, np.array([word]))
        word = int(np.argmax(log_p[0]))
        total, greedy = total + log_p[0, word], (*greedy, word)

    state, beam = model.begin(features), {(): (0.0, 0)}
    for _ in range(max_length):
        last = [caption[-1] if caption else model._start for caption in beam]
        log_p, state = model.step(state, np.array(last))
        longer = {}
        for (caption, (so_far, _)), row in zip(beam.items(), range(len(beam)), strict=True):
            if caption and caption[-1] == model._end:
                longer[caption] = so_far, row
            else:
                longer |= {(*caption, w): (so_far + p, row) for w, p in enumerate(log_p[row].tolist())}
        beam = {
            caption: longer[caption] for caption in sorted(longer, key=longer.get, reverse=True)[:beam_width]
        }
        state = tuple(part[[row for _, row in beam.values()]] for part in state)
    found = {caption: so_far for caption, (so_far, _) in beam.items()}
    best = max(found, key=found.get)
    return (list(best), found[best]) if found[best] >= total else (list(greedy), float(total))
