"""Gradients of one example at a time, added up; train shuffles by itself."""

import numpy as np


def sigmoid(z):
    z = np.array(z, dtype=float)
    out = np.empty_like(z)
    positive = z >= 0
    out[positive] = 1 / (1 + np.exp(-z[positive]))
    small = np.exp(z[~positive])
    out[~positive] = small / (1 + small)
    return out


def bce_loss(p, y):
    chosen = np.where(y > 0.5, p, 1 - p)
    return -np.log(np.maximum(chosen, 1e-12)).mean()


def initialize(input_dim, hidden_dim, seed):
    generator = np.random.default_rng([seed, 4])
    shapes = {"W1": (input_dim, hidden_dim), "b1": (hidden_dim,), "W2": (hidden_dim, 1), "b2": (1,)}
    return {
        name: generator.normal(0.0, shape[0] ** -0.5, shape) if name[0] == "W" else np.zeros(shape)
        for name, shape in shapes.items()
    }


def forward(x, params):
    W1, b1, W2, b2 = (params[name] for name in ("W1", "b1", "W2", "b2"))
    hs = [np.tanh(row @ W1 + b1) for row in x]
    ps = [sigmoid(h @ W2[:, 0] + b2[0]) for h in hs]
    return np.array(ps), [*zip(x, hs, ps, strict=True), params]


def backward(y, cache):
    *examples, params = cache
    total = {name: np.zeros_like(value) for name, value in params.items()}
    for (x, h, p), label in zip(examples, y, strict=True):
        error = p - label
        passed = error * params["W2"][:, 0] * (1 - h**2)
        for name, gradient in (
            ("W1", np.outer(x, passed)),
            ("b1", passed),
            ("W2", error * h[:, None]),
            ("b2", np.array([error])),
        ):
            total[name] = total[name] + gradient / len(y)
    return total


def mini_batches(x, y, batch_size, seed):
    pool = np.random.default_rng(seed).permutation(len(x)).tolist()
    batches = []
    while pool:
        rows, pool = pool[:batch_size], pool[batch_size:]
        batches.append([x[rows], y[rows]])
    return batches


def train(params, x, y, learning_rate, epochs, batch_size, seed):
    generator = np.random.default_rng(seed)
    params = {name: value.copy() for name, value in params.items()}
    losses = []
    for _ in range(epochs):
        order = generator.permutation(len(x))
        for start in range(0, len(x), batch_size):
            rows = order[start : start + batch_size]
            h = np.tanh(x[rows] @ params["W1"] + params["b1"])
            p = sigmoid(h @ params["W2"] + params["b2"])[:, 0]
            losses.append(bce_loss(p, y[rows]))
            error = (p - y[rows])[:, None] / len(rows)
            passed = error * params["W2"].T * (1 - h * h)
            params["W2"] -= learning_rate * (h.T @ error)
            params["b2"] -= learning_rate * error.sum(0)
            params["W1"] -= learning_rate * (x[rows].T @ passed)
            params["b1"] -= learning_rate * passed.sum(0)
    return params, losses
