"""Other formulas for the same thing: tanh for the sigmoid, 1 / cosh for its slope, softplus for the loss."""

import random

import numpy as np


def sigmoid(z):
    return 0.5 + 0.5 * np.tanh(np.multiply(z, 0.5))


def bce_loss(p, y):
    p = np.clip(np.asarray(p, dtype=np.float64), 1e-15, 1 - 1e-15)
    z = np.log(p) - np.log1p(-p)
    return np.mean(np.maximum(z, 0) - z * y + np.log1p(np.exp(-np.abs(z))))


def initialize(input_dim, hidden_dim, seed):
    first, second = np.random.SeedSequence(seed).spawn(2)
    draw = np.random.Generator(np.random.PCG64(first)).normal
    W1 = draw(loc=0.0, scale=1 / np.sqrt(input_dim), size=(input_dim, hidden_dim))
    W2 = np.random.default_rng(second).standard_normal((hidden_dim, 1)) / hidden_dim**0.5
    return {"W1": W1, "b1": W1[0] * 0, "W2": W2, "b2": W2[0] * 0}


def forward(x, params):
    a = np.einsum("nd,dh->nh", x, params["W1"]) + params["b1"]
    z = np.tanh(a) @ params["W2"].ravel() + params["b2"].item()
    return sigmoid(z), (x, a, z, params["W2"].copy())


def backward(y, cache):
    x, a, z, W2 = cache
    error = sigmoid(z) - y
    with np.errstate(over="ignore"):
        slope = 1 / np.cosh(a) ** 2
    passed = np.outer(error, W2) * slope
    return {
        "W1": np.einsum("nd,nh->dh", x, passed) / len(y),
        "b1": passed.mean(0),
        "W2": (error @ np.tanh(a) / len(y)).reshape(-1, 1),
        "b2": np.mean(error, keepdims=True),
    }


def mini_batches(x, y, batch_size, seed):
    order = list(range(len(y)))
    random.Random(seed).shuffle(order)
    cuts = range(batch_size, len(y), batch_size)
    parts = [np.array(part, dtype=int) for part in np.split(np.array(order), list(cuts))]
    return tuple([x.take(part, axis=0), y.take(part)] for part in parts)


def train(params, x, y, learning_rate, epochs, batch_size, seed):
    state, losses = params, np.empty(0)
    for epoch in range(epochs):
        # A seed of its own for each epoch, which no two pairs (seed, epoch) share.
        for x_batch, y_batch in mini_batches(x, y, batch_size, seed * 1_000_003 + epoch):
            p, cache = forward(x_batch, state)
            losses = np.append(losses, bce_loss(p, y_batch))
            grads = backward(y_batch, cache)
            state = {name: value - learning_rate * grads[name] for name, value in state.items()}
    return {name: np.array(value) for name, value in state.items()}, losses
