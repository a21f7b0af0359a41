"""Examples as columns, as some courses have them; a network in a class of its own; NumPy's old generator."""

import numpy as np


def sigmoid(z):
    with np.errstate(over="ignore"):
        return 1.0 / (1.0 + np.exp(-np.asarray(z, dtype=np.float64)))


def bce_loss(p, y):
    # A tiny number inside each logarithm instead of clipping.
    tiny = 1e-12
    logarithms = np.where(np.asarray(y) == 1, np.log(p + tiny), np.log(1 - p + tiny))
    return float(-logarithms.sum() / logarithms.size)


def initialize(input_dim, hidden_dim, seed):
    old = np.random.RandomState(seed)
    W1 = old.randn(hidden_dim, input_dim) * np.sqrt(1.0 / input_dim)
    W2 = old.randn(1, hidden_dim) * np.sqrt(1.0 / hidden_dim)
    return {"W1": W1.T, "b1": np.zeros(hidden_dim), "W2": W2.T, "b2": np.zeros(1)}


class _Network:
    """The pass over one batch, every array with one column for each example."""

    def __init__(self, x, params):
        self.A0 = x.T
        self.W1, self.b1 = params["W1"].T, params["b1"].reshape(-1, 1)
        self.W2, self.b2 = params["W2"].T, params["b2"].reshape(-1, 1)
        self.Z1 = np.dot(self.W1, self.A0) + self.b1
        self.A1 = np.tanh(self.Z1)
        self.Z2 = np.dot(self.W2, self.A1) + self.b2
        self.A2 = sigmoid(self.Z2)

    def gradients(self, y):
        m = self.A0.shape[1]
        dZ2 = self.A2 - y.reshape(1, m)
        dW2 = (1 / m) * np.dot(dZ2, self.A1.T)
        db2 = (1 / m) * np.sum(dZ2, axis=1, keepdims=True)
        dZ1 = np.multiply(np.dot(self.W2.T, dZ2), 1 - np.power(self.A1, 2))
        dW1 = (1 / m) * np.dot(dZ1, self.A0.T)
        db1 = (1 / m) * np.sum(dZ1, axis=1, keepdims=True)
        return {"W1": dW1.T, "b1": db1.ravel(), "W2": dW2.T, "b2": db2.ravel()}


def forward(x, params):
    network = _Network(x, params)
    return np.squeeze(network.A2, axis=0), network


def backward(y, cache):
    return cache.gradients(np.asarray(y))


def mini_batches(x, y, batch_size, seed):
    np.random.seed(seed)
    m = x.shape[0]
    permutation = list(np.random.permutation(m))
    shuffled_x, shuffled_y = x[permutation], y[permutation]
    batches = []
    complete = m // batch_size
    for k in range(complete):
        part = slice(k * batch_size, (k + 1) * batch_size)
        batches.append((shuffled_x[part], shuffled_y[part]))
    if m % batch_size != 0:
        batches.append((shuffled_x[complete * batch_size :], shuffled_y[complete * batch_size :]))
    return batches


def train(params, x, y, learning_rate, epochs, batch_size, seed):
    parameters = {key: np.array(value, copy=True) for key, value in params.items()}
    costs = []
    for _ in range(epochs):
        seed = seed + 1
        for x_batch, y_batch in mini_batches(x, y, batch_size, seed):
            network = _Network(x_batch, parameters)
            costs.append(bce_loss(network.A2[0], y_batch))
            grads = network.gradients(y_batch)
            for key in ("W1", "b1", "W2", "b2"):
                parameters[key] = parameters[key] - learning_rate * grads[key]
    return parameters, costs
