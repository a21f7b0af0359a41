"""The cache of a layer is a function that carries the gradient back; the network keeps a list of them."""

import math
from itertools import accumulate, islice

import numpy as np


def rnn_step_forward(x, prev_h, Wx, Wh, b):
    """From e = exp(-2 |a|) alone."""
    a = np.matmul(x, Wx) + np.matmul(prev_h, Wh) + b
    e = np.exp(-2 * np.fabs(a))

    def back(dnext_h):
        da = dnext_h * (4 * e / np.square(1 + e))
        of_weights = np.matmul(np.swapaxes(x, 0, 1), da), np.matmul(np.swapaxes(prev_h, 0, 1), da)
        return [np.inner(da, Wx), np.inner(da, Wh), *of_weights, np.add.reduce(da)]

    return np.copysign((1 - e) / (1 + e), a), back


def rnn_step_backward(dnext_h, cache):
    return cache(dnext_h)


def rnn_forward(x, h0, Wx, Wh, b):
    backs = []

    def step(state, x_t):
        state, back = rnn_step_forward(x_t, state, Wx, Wh, b)
        backs.append(back)
        return state

    _, *states = accumulate(np.moveaxis(x, 1, 0), step, initial=h0)

    def back_through_time(dh):
        dx, weights = np.empty(x.shape, dtype=dh.dtype), None
        state = np.zeros(h0.shape, dtype=dh.dtype)
        for t in range(len(backs))[::-1]:
            dx[:, t], state, *of_step = rnn_step_backward(dh[:, t] + state, backs[t])
            weights = of_step if weights is None else list(map(np.add, weights, of_step))
        return [dx, state, *weights]

    return np.moveaxis(np.array(states), 0, 1), back_through_time


def rnn_backward(dh, cache):
    return cache(dh)


def clip_gradients(grads, max_norm):
    norm = math.hypot(*(number for g in grads.values() for number in g.ravel().tolist()))
    factor = max_norm / max(norm, max_norm)
    return {name: np.multiply(g, factor) for name, g in grads.items()}, norm


def word_embedding_forward(x, W):
    vocabulary = list(W)

    def back(dout):
        places = x.ravel()
        columns = dout.reshape(places.size, -1).T
        return np.array([np.bincount(places, column, minlength=len(vocabulary)) for column in columns]).T

    return np.array([[vocabulary[word] for word in words] for words in x.tolist()]), back


def word_embedding_backward(dout, cache):
    return cache(dout)


def temporal_affine_forward(x, w, b):
    def back(dout):
        dw = np.matmul(x.transpose(0, 2, 1), dout).sum(axis=0)
        return [np.inner(dout, w), dw, np.ones(dout.shape[0] * dout.shape[1]) @ dout.reshape(-1, len(b))]

    return np.tensordot(x, w, axes=1) + b, back


def temporal_affine_backward(dout, cache):
    return cache(dout)


def temporal_softmax_loss(x, y, mask):
    """The words that count, as rows of one matrix."""
    rows, right = x[mask], y[mask]
    top = np.amax(rows, axis=1)
    powers = np.exp(rows - top[:, None])
    sums = powers.sum(axis=1)
    places = range(len(rows)), right
    loss = np.sum(np.log(sums) + (top - rows[places]), dtype=np.float64) / len(x)
    gradient = powers / sums[:, None]
    gradient[places] -= 1
    dx = np.zeros_like(x)
    dx[mask] = gradient / len(x)
    return [loss, dx]


class CaptioningRNN(CaptioningModel):
    def loss(self, features, captions):
        features = np.asarray(features, dtype=self.dtype)
        tape = []

        def through(forward, backward, value, *names):
            """One layer; what goes back through it is noted."""
            out, cache = forward(value, *(self.params[name] for name in names))
            tape.append((backward, cache, names))
            return out

        def project(value, w, b):
            return value.dot(w) + b, value

        def embed(W):
            return word_embedding_forward(captions[:, :-1], W)

        h0 = through(project, lambda d, f: (f.T.dot(d), d.sum(axis=0)), features, "W_proj", "b_proj")
        x, embedding = embed(self.params["W_embed"])
        h, recurrent = rnn_forward(x, h0, *(self.params[name] for name in ("Wx", "Wh", "b")))
        scores = through(temporal_affine_forward, temporal_affine_backward, h, "W_vocab", "b_vocab")
        answers = captions[:, 1:]
        loss, gradient = temporal_softmax_loss(scores, answers, np.not_equal(answers, self._null))

        grads = {}
        backward, cache, names = tape.pop()
        gradient, *of_weights = backward(gradient, cache)
        grads.update(zip(names, of_weights, strict=True))
        dx, gradient, *of_weights = rnn_backward(gradient, recurrent)
        grads.update(zip(("Wx", "Wh", "b"), of_weights, strict=True))
        grads["W_embed"] = word_embedding_backward(dx, embedding)
        backward, cache, names = tape.pop()
        grads.update(zip(names, backward(gradient, cache), strict=True))
        return loss, grads

    def words(self, features):
        """For ever one word of each caption."""
        p = self.params
        state = np.asarray(features, dtype=self.dtype).dot(p["W_proj"]) + p["b_proj"]
        word = [self._start] * len(features)
        while True:
            state, _ = rnn_step_forward(p["W_embed"][word], state, p["Wx"], p["Wh"], p["b"])
            word = np.argmax(np.dot(state, p["W_vocab"]) + p["b_vocab"], axis=-1)
            yield word

    def sample(self, features, max_length=30):
        return np.column_stack(list(islice(self.words(features), max_length)))
