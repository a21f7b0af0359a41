"""Layers as objects with einsum; a network that keeps its own layers; a rule that remembers gradients."""

import numpy as np


class Memo:
    """A cache of a type of its own."""

    def __init__(self, **values):
        self.__dict__.update(values)


def affine_forward(x, w, b):
    rows = np.reshape(x, (len(x), w.shape[0]))
    return np.einsum("nd,dm->nm", rows, w) + b.reshape(1, -1), Memo(rows=rows, w=w, shape=x.shape)


def affine_backward(dout, cache):
    dx = np.einsum("nm,dm->nd", dout, cache.w).reshape(cache.shape)
    return dx, np.einsum("nd,nm->dm", cache.rows, dout), np.einsum("nm->m", dout)


def relu_forward(x):
    positive = x >= 0
    return np.where(positive, x, 0), positive


def relu_backward(dout, cache):
    return np.where(cache, dout, np.zeros_like(dout))


def affine_relu_forward(x, w, b):
    out, memo = affine_forward(x, w, b)
    memo.positive = out > 0
    return out * memo.positive, memo


def affine_relu_backward(dout, cache):
    return affine_backward(dout * cache.positive, cache)


def svm_loss(x, y):
    N, K = x.shape
    one_hot = np.eye(K, dtype=bool)[y]
    margins = (x - x[one_hot][:, np.newaxis] + 1.0)[~one_hot].reshape(N, K - 1)
    loss = np.mean(np.sum(np.clip(margins, 0, None), axis=1))
    violated = np.zeros((N, K))
    violated[~one_hot] = (margins > 0).ravel()
    return loss, (violated - one_hot * violated.sum(axis=1, keepdims=True)) / N


def softmax_loss(x, y):
    log_sum = np.logaddexp.reduce(x, axis=1)
    loss = np.mean(log_sum - np.take_along_axis(x, y[:, None], axis=1)[:, 0])
    return loss, (np.exp(x - log_sum[:, None]) - (np.arange(x.shape[1]) == y[:, None])) / len(x)


def dropout_forward(x, dropout_param):
    if dropout_param["mode"] != "train":
        return x, Memo(scale=1.0)
    generator = np.random.default_rng(dropout_param.get("seed"))
    keep = generator.binomial(1, 1 - dropout_param["p"], size=x.shape)
    scale = keep / (1.0 - dropout_param["p"])
    return scale * x, Memo(scale=scale)


def dropout_backward(dout, cache):
    return cache.scale * dout


class FullyConnectedNet:
    """Drops by itself and does not call the functions above."""

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
        self.sizes = [input_dim, *list(hidden_dims), num_classes]
        self.dropout, self.reg, self.dtype = dropout, reg, np.dtype(dtype)
        self.dropout_param = {}
        rng = np.random.default_rng(seed)
        self.params = {}
        for i, (fan_in, fan_out) in enumerate(zip(self.sizes, self.sizes[1:], strict=False)):
            self.params["W" + str(i + 1)] = rng.normal(0, weight_scale, (fan_in, fan_out)).astype(dtype)
            self.params["b" + str(i + 1)] = np.zeros(fan_out).astype(dtype)

    def loss(self, X, y=None):
        depth = len(self.sizes) - 1
        a = [np.asarray(X, dtype=self.dtype).reshape(len(X), -1)]
        factors = []
        for i in range(1, depth):
            z = a[-1] @ self.params["W" + str(i)] + self.params["b" + str(i)]
            factor = (z > 0).astype(self.dtype)
            if y is not None and self.dropout:
                factor *= (np.random.rand(*z.shape) > self.dropout) / (1 - self.dropout)
            factors.append(factor)
            a.append((z * factor).astype(self.dtype))
        scores = a[-1] @ self.params["W" + str(depth)] + self.params["b" + str(depth)]
        if y is None:
            return scores
        loss, delta = softmax_loss(scores, y)
        delta = delta.astype(self.dtype)
        grads = {}
        for i in reversed(range(1, depth + 1)):
            W = self.params["W" + str(i)]
            loss = loss + self.reg / 2 * (W**2).sum()
            grads["W" + str(i)] = a[i - 1].T @ delta + self.reg * W
            grads["b" + str(i)] = delta.sum(0)
            if i > 1:
                delta = (delta @ W.T) * factors[i - 2].astype(self.dtype)
        return loss, grads


def sgd(w, dw, config=None):
    config = dict(config) if config else {}
    rate = config.get("learning_rate", 0.01)
    return np.add(w, np.multiply(-rate, dw)), {"learning_rate": rate}


def sgd_momentum(w, dw, config=None):
    """The velocity sums up gradients, and the learning rate multiplies it afterwards."""
    config = {"learning_rate": 0.01, "momentum": 0.9, "sum": 0.0 * w, **(config or {})}
    config["sum"] = config["momentum"] * config["sum"] + dw
    return w - config["learning_rate"] * config["sum"], config


def rmsprop(w, dw, config=None):
    settings = {"learning_rate": 0.01, "decay_rate": 0.99, "epsilon": 1e-8}
    settings.update(config or {})
    squares = settings.pop("state", 0.0)
    squares = squares + (1 - settings["decay_rate"]) * (np.square(dw) - squares)
    scale = settings["learning_rate"] / (squares**0.5 + settings["epsilon"])
    return w - scale * dw, {**settings, "state": squares}


def adam(w, dw, config=None):
    """Epsilon inside the root, the state in one entry."""
    settings = {"learning_rate": 1e-3, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}
    settings.update(config or {})
    m, v, power1, power2 = settings.pop("state", (0.0, 0.0, 1.0, 1.0))
    b1, b2 = settings["beta1"], settings["beta2"]
    m, v, power1, power2 = b1 * m + (1 - b1) * dw, b2 * v + (1 - b2) * dw * dw, power1 * b1, power2 * b2
    step = m / (1 - power1) / np.sqrt(v / (1 - power2) + settings["epsilon"])
    return w - settings["learning_rate"] * step, {**settings, "state": (m, v, power1, power2)}


class Solver:
    """Everything in one method; the accuracies are measured before the first epoch, too."""

    RULES = ("sgd", "sgd_momentum", "rmsprop", "adam")

    def __init__(self, model, data, update_rule="sgd", optim_config=None, lr_decay=1.0, batch_size=100,
                 num_epochs=10, num_train_samples=1000, verbose=False, seed=0):  # fmt: skip
        assert update_rule in self.RULES
        self.model, self.data, self.rule = model, data, globals()[update_rule]
        self.configs = {}
        for name in model.params:
            self.configs[name] = dict(optim_config or {})
        self.lr_decay, self.batch_size, self.num_epochs = lr_decay, batch_size, num_epochs
        self.num_train_samples, self.verbose = num_train_samples, verbose
        self.random = np.random.RandomState(seed)
        self.loss_history, self.train_acc_history, self.val_acc_history = [], [], []
        self.best_val_acc, self.best_params = -1.0, None

    def check_accuracy(self, X, y, num_samples=None, batch_size=100):
        if num_samples and num_samples < X.shape[0]:
            subset = self.random.permutation(X.shape[0])[:num_samples]
            X, y = X[subset], y[subset]
        right = 0
        for i in range(0, X.shape[0], batch_size):
            right += np.sum(
                np.argmax(self.model.loss(X[i : i + batch_size]), axis=1) == y[i : i + batch_size]
            )
        return right / X.shape[0]

    def measure(self):
        d = self.data
        self.train_acc_history.append(self.check_accuracy(d["X_train"], d["y_train"], self.num_train_samples))
        self.val_acc_history.append(self.check_accuracy(d["X_val"], d["y_val"]))
        if self.val_acc_history[-1] > self.best_val_acc:
            self.best_val_acc = self.val_acc_history[-1]
            self.best_params = {k: np.array(v) for k, v in self.model.params.items()}

    def train(self):
        X, y = self.data["X_train"], self.data["y_train"]
        self.measure()
        for _ in range(self.num_epochs):
            indices = list(range(len(X)))
            self.random.shuffle(indices)
            for i in range(max(1, len(X) // self.batch_size)):
                some = indices[i * self.batch_size : (i + 1) * self.batch_size]
                loss, grads = self.model.loss(X[some], y[some])
                self.loss_history += [loss]
                updated = {}
                for name in self.model.params:
                    w, self.configs[name] = self.rule(
                        self.model.params[name], grads[name], self.configs[name]
                    )
                    updated[name] = w
                self.model.params = updated
            for name in self.configs:
                self.configs[name]["learning_rate"] *= self.lr_decay
            self.measure()
        self.model.params = self.best_params
