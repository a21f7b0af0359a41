"""The cache is the backward function itself; the bias is a row of the weights; the network is a recursion."""

import itertools
import math

import numpy as np


def apply_cache(dout, cache):
    """Every backward pass: the cache knows what to do."""
    return cache(dout)


affine_backward = relu_backward = affine_relu_backward = dropout_backward = apply_cache


def affine_forward(x, w, b):
    extended = np.column_stack([np.reshape(x, (len(x), -1)), np.ones(len(x), dtype=x.dtype)])
    weights = np.vstack([w, b])

    def backward(dout):
        joint = extended.T @ dout
        return (dout @ weights.T)[:, :-1].reshape(x.shape), joint[:-1], joint[-1]

    return extended @ weights, backward


def relu_forward(x):
    step = np.heaviside(x, 0.5)
    return step * x, lambda dout: step * dout


def affine_relu_forward(x, w, b):
    before, affine_back = affine_forward(x, w, b)
    out, relu_back = relu_forward(before)
    return out, lambda dout: affine_back(relu_back(dout))


def svm_loss(x, y):
    """By the matrix of all differences of scores: D[n, k] = x[n, k] - x[n, y[n]]."""
    N, K = x.shape
    right = np.zeros((N, K))
    np.put_along_axis(right, y.reshape(N, 1), 1.0, axis=1)
    differences = x - (x * right).sum(axis=1, keepdims=True) + 1 - right
    violated = np.sign(np.clip(differences, 0, None))
    loss = np.vdot(violated, differences) / N
    return float(loss), (violated - right * violated.sum(axis=1, keepdims=True)) / N


def softmax_loss(x, y):
    """By the differences to the right class's score: -log p = log(sum(exp(x - x[y])))."""
    N = len(x)
    differences = x - np.take_along_axis(x, y[:, None], axis=1)
    top = differences.max(axis=1, keepdims=True)
    log_sums = top + np.log(np.sum(np.exp(differences - top), axis=1, keepdims=True))
    dx = np.exp(differences - log_sums) / N
    np.subtract.at(dx, (np.arange(N), y), 1 / N)
    return math.fsum(log_sums[:, 0].tolist()) / N, dx


def dropout_forward(x, dropout_param):
    """Exactly as likely: an element is kept when a standard exponential number exceeds -log(1 - p)."""
    p = dropout_param["p"]
    if dropout_param["mode"] == "test" or p == 0:
        return +x, lambda dout: +dout
    if dropout_param.get("seed") is not None:
        waits = np.random.RandomState(dropout_param["seed"]).standard_exponential(x.shape)
    else:
        waits = np.random.standard_exponential(x.shape)
    # P(wait > -log(1 - p)) is 1 - p
    factor = np.where(waits > -math.log1p(-p), 1 / (1 - p), 0.0)
    return factor * x, lambda dout: factor * dout


class FullyConnectedNet:
    """loss goes down one layer by calling itself, and comes back with the gradients."""

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
        self.reg, self.dtype, self.p = reg, dtype, dropout
        self.dropout_param = {"p": dropout}
        widths = (input_dim, *hidden_dims, num_classes)
        rng = np.random.default_rng(seed)
        self.params = {}
        for number, (rows, columns) in enumerate(itertools.pairwise(widths), start=1):
            self.params[f"W{number}"] = rng.normal(scale=weight_scale, size=(rows, columns)).astype(dtype)
            self.params[f"b{number}"] = np.zeros((columns,), dtype=dtype)

    def from_layer(self, number, below, y):
        """(scores, None, {}) without labels; else loss, gradient of `below`, gradients from here up."""
        W, b = self.params[f"W{number}"], self.params[f"b{number}"]
        if f"W{number + 1}" not in self.params:
            out, back = affine_forward(below, W, b)
            if y is None:
                return out, None, {}
            result, dout = softmax_loss(out, y)
            grads = {}
        else:
            out, back = affine_relu_forward(below, W, b)
            training = self.p > 0 and y is not None
            out, undrop = dropout_forward(
                out, {**self.dropout_param, "mode": "train" if training else "test"}
            )
            result, dout, grads = self.from_layer(number + 1, out.astype(self.dtype), y)
            if y is None:
                return result, None, {}
            dout = undrop(dout)
        dbelow, dW, db = back(dout.astype(self.dtype))
        penalty = 0.5 * self.reg * np.vdot(W, W)
        return result + penalty, dbelow, {**grads, f"W{number}": dW + self.reg * W, f"b{number}": db}

    def loss(self, X, y=None):
        result, _, grads = self.from_layer(1, np.asarray(X, self.dtype), y)
        return result if y is None else (float(result), grads)


def sgd(w, dw, config=None):
    settings = {"learning_rate": 0.01}
    settings.update(config or {})
    return w + -settings["learning_rate"] * dw, settings


def sgd_momentum(w, dw, config=None):
    """The heavy ball: the velocity is the way from the place before, w - previous."""
    settings = {"learning_rate": 0.01, "momentum": 0.9, "previous": w} | (config or {})
    next_w = w + settings["momentum"] * (w - settings["previous"]) - settings["learning_rate"] * dw
    return next_w, settings | {"previous": w.copy()}


def rmsprop(w, dw, config=None):
    """The root of the average is kept, not the average: np.hypot updates it."""
    settings = {"learning_rate": 0.01, "decay_rate": 0.99, "epsilon": 1e-8} | (config or {})
    rho = settings["decay_rate"]
    root = np.hypot(math.sqrt(rho) * settings.get("root", 0.0), math.sqrt(1 - rho) * dw)
    return w - settings["learning_rate"] / (root + settings["epsilon"]) * dw, settings | {"root": root}


def adam(w, dw, config=None):
    """The corrected averages are updated themselves, by weights that sum up to one."""
    settings = {"learning_rate": 0.001, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8} | (config or {})
    t = settings.get("t", 0) + 1
    averages = []
    for name, beta, value in (("m", settings["beta1"], dw), ("v", settings["beta2"], dw * dw)):
        # (1 - beta) / (1 - beta**t): 1 in the first step, 1 - beta after many
        share = (1 - beta) / (1 - beta**t)
        averages.append(settings.get(name, 0.0) * (1 - share) + share * value)
    m, v = averages
    step = settings["learning_rate"] * m / (v**0.5 + settings["epsilon"])
    return w - step, settings | {"t": t, "m": m, "v": v}


class Solver:
    """Batches by one long generator; the best epoch is found when all are over."""

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
        rule = {f.__name__: f for f in (sgd, sgd_momentum, rmsprop, adam)}[update_rule]
        # one closure for each parameter, which remembers the config
        self.updates = {name: self.updater(rule, dict(optim_config or {})) for name in model.params}
        self.model, self.data = model, data
        self.lr_decay, self.batch_size, self.num_epochs = lr_decay, batch_size, num_epochs
        self.num_train_samples, self.verbose, self.rng = (
            num_train_samples,
            verbose,
            np.random.default_rng(seed),
        )

    @staticmethod
    def updater(rule, config):
        def update(w, dw, decay):
            nonlocal config
            if "learning_rate" in config:
                config = {**config, "learning_rate": config["learning_rate"] * decay}
            w, config = rule(w, dw, config)
            return w

        return update

    def batches(self):
        """(indices, the factor that is due for the learning rate, whether an epoch ends) for each step."""
        N, size = len(self.data["X_train"]), self.batch_size
        starts = range(0, max(N // size, 1) * size, size)
        for epoch in range(self.num_epochs):
            order = self.rng.permuted(np.arange(N))
            for start in starts:
                due = self.lr_decay if epoch and not start else 1.0
                yield order[start : start + size], due, start == starts[-1]

    def check_accuracy(self, X, y, num_samples=None, batch_size=100):
        chosen = np.arange(len(X))
        if num_samples is not None and num_samples < len(X):
            chosen = self.rng.choice(chosen, size=num_samples, replace=False)
        parts = np.array_split(chosen, math.ceil(len(chosen) / batch_size))
        right = sum(int(np.sum(self.model.loss(X[part]).argmax(1) == y[part])) for part in parts)
        return right / len(chosen)

    def train(self):
        data, snapshots = self.data, []
        self.loss_history, self.train_acc_history, self.val_acc_history = [], [], []
        for chosen, due, ends in self.batches():
            loss, grads = self.model.loss(data["X_train"][chosen], data["y_train"][chosen])
            self.loss_history.append(float(loss))
            for name, update in self.updates.items():
                self.model.params[name] = update(self.model.params[name], grads[name], due)
            if ends:
                self.train_acc_history.append(
                    self.check_accuracy(data["X_train"], data["y_train"], self.num_train_samples)
                )
                self.val_acc_history.append(self.check_accuracy(data["X_val"], data["y_val"]))
                snapshots.append({name: np.copy(w) for name, w in self.model.params.items()})
        best = int(np.argmax(self.val_acc_history))
        self.best_val_acc, self.best_params = self.val_acc_history[best], snapshots[best]
        self.model.params.update({name: w.copy() for name, w in snapshots[best].items()})
