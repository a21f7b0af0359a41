"""Loops over examples and units, the way one writes down the formulas first."""

import math

import numpy as np


def linear_forward(x, w, b):
    out = np.zeros((len(x), len(b)))
    for m in range(len(b)):
        out[:, m] = np.sum(x * w[:, m], axis=1) + b[m]
    return out, (x, w, b)


def linear_backward(dout, cache):
    x, w, b = cache
    dx, dw, db = np.zeros(x.shape), np.zeros(w.shape), np.zeros(b.shape)
    for n in range(len(x)):
        dx[n] = w @ dout[n]
        dw += np.outer(x[n], dout[n])
        db += dout[n]
    return [dx, dw, db]


def relu_forward(x):
    out = x.copy()
    out[out < 0] = 0
    return out, out  # the output is positive exactly where the input is


def relu_backward(dout, cache):
    dx = dout.copy()
    dx[cache == 0] = 0
    return dx


def softmax_cross_entropy_forward(scores, y):
    loss, rows = 0.0, []
    for s, label in zip(scores, y, strict=True):
        top = max(s)
        total = sum(math.exp(v - top) for v in s)
        loss += math.log(total) + top - s[label]
        rows.append([math.exp(v - top) / total for v in s])
    return loss / len(y), {"p": rows, "labels": [int(label) for label in y]}


def softmax_cross_entropy_backward(dout, cache):
    gradient = np.array(cache["p"])
    for n, label in enumerate(cache["labels"]):
        gradient[n, label] -= 1.0
    return gradient * (dout / len(gradient))


def step_decay(step, learning_rate, factor, every):
    for t in range(1, step + 1):
        if t % every == 0:
            learning_rate *= factor
    return learning_rate


def warmup_cosine(step, num_steps, learning_rate, warmup_steps=0):
    if step + 1 <= warmup_steps:
        return (step + 1) / warmup_steps * learning_rate
    left = (num_steps - step) / (num_steps - warmup_steps)
    return learning_rate * math.sin(math.pi / 2 * left) ** 2


def predict(params, x):
    return np.array([int(np.argmax(mlp_forward(params, row[None])[0])) for row in x])
