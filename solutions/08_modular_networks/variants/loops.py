"""Plain loops over examples, outputs and classes; caches as lists and dictionaries; updates in place."""

import numpy as np


def affine_forward(x, w, b):
    N, M = x.shape[0], w.shape[1]
    out = np.zeros((N, M))
    for n in range(N):
        row = x[n].flatten()
        for m in range(M):
            out[n, m] = np.dot(row, w[:, m]) + b[m]
    return out, [x, w, b]


def affine_backward(dout, cache):
    x, w, b = cache
    dx, dw, db = np.zeros(x.shape), np.zeros(w.shape), np.zeros(b.shape)
    for n in range(len(x)):
        dx[n] = np.dot(w, dout[n]).reshape(x[n].shape)
        dw += np.outer(x[n].flatten(), dout[n])
        db += dout[n]
    return [dx, dw, db]


def relu_forward(x):
    out = x.copy()
    out[out < 0] = 0.0
    return out, {"out": out}


def relu_backward(dout, cache):
    dx = np.array(dout)
    dx[cache["out"] == 0] = 0
    return dx


def affine_relu_forward(x, w, b):
    a, fc_cache = affine_forward(x, w, b)
    out, relu_cache = relu_forward(a)
    return out, {"fc": fc_cache, "relu": relu_cache}


def affine_relu_backward(dout, cache):
    da = relu_backward(dout, cache["relu"])
    dx, dw, db = affine_backward(da, cache["fc"])
    return dx, dw, db


def svm_loss(x, y):
    N, K = x.shape
    loss, dx = 0.0, np.zeros((N, K))
    for n in range(N):
        for k in range(K):
            if k == y[n]:
                continue
            margin = x[n, k] - x[n, y[n]] + 1
            if margin > 0:
                loss += margin / N
                dx[n, k] += 1.0 / N
                dx[n, y[n]] -= 1.0 / N
    return loss, dx


def softmax_loss(x, y):
    N = len(x)
    loss, dx = 0.0, np.zeros(x.shape)
    for n in range(N):
        shifted = x[n] - max(x[n])
        exponentials = np.exp(shifted)
        loss -= shifted[y[n]] - np.log(sum(exponentials))
        dx[n] = exponentials / sum(exponentials)
        dx[n, y[n]] -= 1.0
    return loss / N, dx / N


def dropout_forward(x, dropout_param):
    """One draw for each element, from Python's own generator."""
    import random

    if dropout_param["mode"] == "test":
        return x.copy(), ["test"]
    source = random.Random(dropout_param["seed"]) if "seed" in dropout_param else random
    p = dropout_param["p"]
    keep = np.array([0.0 if source.random() < p else 1.0 for _ in range(x.size)]).reshape(x.shape)
    return x * keep / (1 - p), ["train", keep, p]


def dropout_backward(dout, cache):
    if cache[0] == "test":
        return dout.copy()
    return cache[1] * dout / (1 - cache[2])


def sgd(w, dw, config=None):
    if config is None:
        config = {}
    config.setdefault("learning_rate", 1e-2)
    w -= config["learning_rate"] * dw
    return w, config


def sgd_momentum(w, dw, config=None):
    if config is None:
        config = {}
    config.setdefault("learning_rate", 1e-2)
    config.setdefault("momentum", 0.9)
    v = config.get("velocity", np.zeros(w.shape))
    v = config["momentum"] * v - config["learning_rate"] * dw
    w += v
    config["velocity"] = v
    return w, config


def rmsprop(w, dw, config=None):
    if config is None:
        config = {}
    config.setdefault("learning_rate", 1e-2)
    config.setdefault("decay_rate", 0.99)
    config.setdefault("epsilon", 1e-8)
    config.setdefault("cache", np.zeros(w.shape))
    config["cache"] *= config["decay_rate"]
    config["cache"] += (1 - config["decay_rate"]) * dw * dw
    w -= config["learning_rate"] * dw / np.sqrt(config["cache"] + config["epsilon"])
    return w, config


def adam(w, dw, config=None):
    if config is None:
        config = {}
    config.setdefault("learning_rate", 1e-3)
    config.setdefault("beta1", 0.9)
    config.setdefault("beta2", 0.999)
    config.setdefault("epsilon", 1e-8)
    config.setdefault("m", np.zeros(w.shape))
    config.setdefault("v", np.zeros(w.shape))
    config.setdefault("t", 0)
    config["t"] += 1
    config["m"] += (1 - config["beta1"]) * (dw - config["m"])
    config["v"] += (1 - config["beta2"]) * (dw**2 - config["v"])
    # the rate carries both corrections, with epsilon beside the root as it is
    rate = config["learning_rate"] * np.sqrt(1 - config["beta2"] ** config["t"])
    rate /= 1 - config["beta1"] ** config["t"]
    w -= rate * config["m"] / (np.sqrt(config["v"]) + config["epsilon"])
    return w, config


class FullyConnectedNet:
    """One loop after the other, a penalty summed weight by weight, caches found by the layer's number."""

    def __init__(
        self,
        hidden_dims,
        input_dim=3 * 32 * 32,
        num_classes=10,
        dropout=0.0,
        reg=0.0,
        weight_scale=1e-2,
        dtype=np.float64,
        seed=0,
    ):
        self.dropout, self.reg, self.dtype = dropout, reg, dtype
        self.dropout_param = {"mode": "train", "p": dropout}
        self.L = len(hidden_dims) + 1
        rng = np.random.default_rng(seed)
        self.params = {}
        before = input_dim
        for layer in range(1, self.L + 1):
            units = num_classes if layer == self.L else hidden_dims[layer - 1]
            W = np.zeros((before, units), dtype=dtype)
            for i in range(before):
                for j in range(units):
                    W[i, j] = weight_scale * rng.standard_normal()
            self.params["W" + str(layer)] = W
            self.params["b" + str(layer)] = np.zeros(units, dtype=dtype)
            before = units

    def loss(self, X, y=None):
        out = X.astype(self.dtype)
        affine_caches, dropout_caches = {}, {}
        for layer in range(1, self.L):
            out, affine_caches[layer] = affine_relu_forward(
                out, self.params["W" + str(layer)], self.params["b" + str(layer)]
            )
            if self.dropout > 0 and y is not None:
                self.dropout_param["mode"] = "train"
                out, dropout_caches[layer] = dropout_forward(out, self.dropout_param)
        scores, affine_caches[self.L] = affine_forward(
            out, self.params["W" + str(self.L)], self.params["b" + str(self.L)]
        )
        if y is None:
            return scores
        loss, d = softmax_loss(scores, y)
        grads = {}
        d, grads["W" + str(self.L)], grads["b" + str(self.L)] = affine_backward(d, affine_caches[self.L])
        for layer in range(self.L - 1, 0, -1):
            if layer in dropout_caches:
                d = dropout_backward(d, dropout_caches[layer])
            d, grads["W" + str(layer)], grads["b" + str(layer)] = affine_relu_backward(
                d, affine_caches[layer]
            )
        for name in self.params:
            grads[name] = grads[name].astype(self.dtype)
            if name.startswith("W"):
                for row in self.params[name]:
                    loss += 0.5 * self.reg * np.dot(row, row)
                grads[name] += self.dtype_of(self.reg) * self.params[name]
        return loss, grads

    def dtype_of(self, number):
        """A number in the network's own precision."""
        return np.dtype(self.dtype).type(number)


class Solver:
    """Counts single predictions, and walks through the data by a position that starts over."""

    def __init__(
        self,
        model,
        data,
        update_rule="sgd",
        optim_config=None,
        lr_decay=1.0,
        batch_size=100,
        num_epochs=10,
        num_train_samples=1000,
        verbose=False,
        seed=0,
    ):
        if update_rule == "sgd":
            self.rule = sgd
        elif update_rule == "sgd_momentum":
            self.rule = sgd_momentum
        elif update_rule == "rmsprop":
            self.rule = rmsprop
        else:
            self.rule = adam
        self.model = model
        self.X_train, self.y_train = data["X_train"], data["y_train"]
        self.X_val, self.y_val = data["X_val"], data["y_val"]
        self.lr_decay = lr_decay
        self.batch_size = batch_size
        self.num_epochs = num_epochs
        self.num_train_samples = num_train_samples
        self.verbose = verbose
        self.configs = {}
        for name in model.params:
            self.configs[name] = (optim_config or {}).copy()
        self.rng = np.random.default_rng(seed)
        self.loss_history = []
        self.train_acc_history = []
        self.val_acc_history = []
        self.best_val_acc = 0.0
        self.best_params = {}

    def check_accuracy(self, X, y, num_samples=None, batch_size=100):
        indices = list(range(len(X)))
        if num_samples is not None and num_samples < len(indices):
            indices = [int(i) for i in self.rng.permutation(len(X))[:num_samples]]
        right = 0
        position = 0
        while position < len(indices):
            part = indices[position : position + batch_size]
            scores = self.model.loss(X[part])
            for row, label in zip(scores, y[part], strict=True):
                if np.argmax(row) == label:
                    right += 1
            position += batch_size
        return right / len(indices)

    def train(self):
        N = len(self.X_train)
        steps = N // self.batch_size
        if steps < 1:
            steps = 1
        for epoch in range(self.num_epochs):
            order = self.rng.permutation(N)
            position = 0
            for _ in range(steps):
                batch = order[position : position + self.batch_size]
                position += self.batch_size
                loss, grads = self.model.loss(self.X_train[batch], self.y_train[batch])
                self.loss_history.append(loss)
                for name in list(self.model.params):
                    w = self.model.params[name].copy()
                    w, self.configs[name] = self.rule(w, grads[name], self.configs[name])
                    self.model.params[name] = w
            for name in self.configs:
                self.configs[name]["learning_rate"] *= self.lr_decay
            self.train_acc_history.append(
                self.check_accuracy(self.X_train, self.y_train, self.num_train_samples)
            )
            self.val_acc_history.append(self.check_accuracy(self.X_val, self.y_val))
            if epoch == 0 or self.val_acc_history[-1] > self.best_val_acc:
                self.best_val_acc = self.val_acc_history[-1]
                self.best_params = {}
                for name in self.model.params:
                    self.best_params[name] = self.model.params[name].copy()
        for name in self.best_params:
            self.model.params[name] = self.best_params[name].copy()
