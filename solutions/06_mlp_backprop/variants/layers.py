"""Layers as objects, kept in the caches; a mask of zeros and ones; batches cut by np.split."""

from itertools import pairwise

import numpy as np


class Linear:
    def __init__(self, w, b):
        self.w, self.b = w, b

    def __call__(self, x):
        self.x = x
        return x @ self.w + self.b

    def backward(self, dout):
        self.dw, self.db = self.x.T @ dout, np.ones(len(dout)) @ dout
        return dout @ self.w.T


class ReLU:
    def __call__(self, x):
        self.mask = (x > 0).astype(x.dtype)
        return self.mask * x

    def backward(self, dout):
        return self.mask * dout


def linear_forward(x, w, b):
    layer = Linear(w, b)
    return layer(x), layer


def linear_backward(dout, layer):
    dx = layer.backward(dout)
    return dx, layer.dw, layer.db


def relu_forward(x):
    layer = ReLU()
    return layer(x), layer


def relu_backward(dout, layer):
    return layer.backward(dout)


def mlp_forward(params, x):
    layers = []
    for i in range(1, len(params) // 2 + 1):
        layers += [ReLU()] if i > 1 else []
        layers.append(Linear(params[f"W{i}"], params[f"b{i}"]))
    for layer in layers:
        x = layer(x)
    return x, layers


def mlp_backward(dscores, layers):
    for layer in reversed(layers):
        dscores = layer.backward(dscores)
    linear = [layer for layer in layers if isinstance(layer, Linear)]
    return {
        f"{letter}{i}": gradient
        for i, layer in enumerate(linear, start=1)
        for letter, gradient in (("W", layer.dw), ("b", layer.db))
    }


def initialize(sizes, seed=0):
    rng = np.random.default_rng(seed)
    weights = [rng.standard_normal((a, b)) * np.sqrt(2.0 / a) for a, b in pairwise(sizes)]
    params = {f"W{i}": w for i, w in enumerate(weights, start=1)}
    return params | {f"b{i}": np.zeros(w.shape[1]) for i, w in enumerate(weights, start=1)}


def train(params, x, y, x_val, y_val, learning_rates, num_epochs, batch_size, seed=0):
    rng = np.random.default_rng(seed)
    rates = iter(learning_rates)
    loss, accuracy = [], []
    for _ in range(num_epochs):
        order = rng.permutation(x.shape[0])
        for batch in np.split(order, range(batch_size, len(order), batch_size)):
            value, grads = loss_and_gradients(params, x[batch], y[batch])
            params = sgd_step(params, grads, next(rates))
            loss.append(value)
        accuracy.append(np.mean(predict(params, x_val) == y_val))
    return params, {"val_accuracy": accuracy, "loss": loss}
