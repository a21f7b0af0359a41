"""Plain Python loops, one number at a time, as somebody new to NumPy would write it."""

import math

import numpy as np


def sigmoid(z):
    if np.ndim(z) == 0:
        if z >= 0:
            return 1.0 / (1.0 + math.exp(-z))
        return math.exp(z) / (1.0 + math.exp(z))
    result = np.zeros(z.shape)
    for index in np.ndindex(z.shape):
        result[index] = sigmoid(float(z[index]))
    return result


def bce_loss(p, y):
    total = 0.0
    for probability, label in zip(p, y, strict=True):
        truth = probability if label == 1 else 1 - probability
        if truth < 1e-12:
            truth = 1e-12
        total -= math.log(truth)
    return total / len(y)


def initialize(input_dim, hidden_dim, seed):
    np.random.seed(seed)
    W1 = np.zeros((input_dim, hidden_dim))
    W2 = np.zeros((hidden_dim, 1))
    for d in range(input_dim):
        for unit in range(hidden_dim):
            W1[d, unit] = np.random.normal(0, input_dim**-0.5)
    for unit in range(hidden_dim):
        W2[unit, 0] = np.random.normal(0, hidden_dim**-0.5)
    return {"W1": W1, "b1": np.zeros((hidden_dim,)), "W2": W2, "b2": np.zeros((1,))}


def forward(x, params):
    W1, b1, W2, b2 = params["W1"], params["b1"], params["W2"], params["b2"]
    hidden, probabilities = [], []
    for example in x:
        units = []
        for unit in range(len(b1)):
            total = b1[unit]
            for d in range(len(example)):
                total += example[d] * W1[d, unit]
            units.append(math.tanh(total))
        z = b2[0]
        for unit in range(len(b1)):
            z += units[unit] * W2[unit, 0]
        hidden.append(units)
        probabilities.append(sigmoid(float(z)))
    return np.array(probabilities), {"x": x, "hidden": hidden, "p": probabilities, "params": params}


def backward(y, cache):
    x, hidden, p, params = cache["x"], cache["hidden"], cache["p"], cache["params"]
    grads = {name: np.zeros(value.shape) for name, value in params.items()}
    n = len(y)
    for i in range(n):
        error = (p[i] - y[i]) / n
        grads["b2"][0] += error
        for unit, h in enumerate(hidden[i]):
            grads["W2"][unit, 0] += error * h
            passed = error * params["W2"][unit, 0] * (1 - h * h)
            grads["b1"][unit] += passed
            for d in range(x.shape[1]):
                grads["W1"][d, unit] += passed * x[i, d]
    return grads


def mini_batches(x, y, batch_size, seed):
    order = list(range(len(x)))
    np.random.RandomState(seed).shuffle(order)
    batches = []
    x_batch, y_batch = [], []
    for index in order:
        x_batch.append(x[index])
        y_batch.append(y[index])
        if len(x_batch) == batch_size:
            batches.append((np.array(x_batch), np.array(y_batch)))
            x_batch, y_batch = [], []
    if x_batch:
        batches.append((np.array(x_batch), np.array(y_batch)))
    return batches


def train(params, x, y, learning_rate, epochs, batch_size, seed):
    current = {}
    for name in params:
        current[name] = params[name].copy()
    losses = []
    for epoch in range(epochs):
        for batch in mini_batches(x, y, batch_size, seed + epoch):
            p, cache = forward(batch[0], current)
            losses.append(bce_loss(p, batch[1]))
            grads = backward(batch[1], cache)
            for name in current:
                current[name] -= learning_rate * grads[name]
    return current, losses
