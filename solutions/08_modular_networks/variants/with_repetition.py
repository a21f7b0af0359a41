"""Batches drawn with repetition, dropout by np.random.seed, caches computed again, all written tersely."""

import numpy as np


def affine_forward(x, w, b):
    return np.tensordot(x.reshape(len(x), -1), w, axes=1) + b, (x.copy(), w.copy())


def affine_backward(dout, cache):
    x, w = cache
    flat = x.reshape(len(x), -1)
    return np.dot(dout, w.T).reshape(*x.shape), np.dot(flat.T, dout), np.ones(len(dout)) @ dout


def relu_forward(x):
    return (abs(x) + x) / 2, np.sign(x)


def relu_backward(dout, cache):
    return dout * np.clip(cache, 0, 1)


def affine_relu_forward(x, w, b):
    z, _ = affine_forward(x, w, b)
    return relu_forward(z)[0], (x, w, b)


def affine_relu_backward(dout, cache):
    x, w, b = cache
    z, first = affine_forward(x, w, b)
    _, second = relu_forward(z)
    return affine_backward(relu_backward(dout, second), first)


def svm_loss(x, y):
    N = x.shape[0]
    correct = x[np.arange(N), y]
    margins = np.maximum(0, x - correct[:, np.newaxis] + 1.0)
    margins[np.arange(N), y] = 0
    loss = np.sum(margins) / N
    num_pos = np.sum(margins > 0, axis=1)
    dx = np.zeros_like(x)
    dx[margins > 0] = 1
    dx[np.arange(N), y] -= num_pos
    dx /= N
    return loss, dx


def softmax_loss(x, y):
    shifted = x - np.max(x, axis=1, keepdims=True)
    Z = np.sum(np.exp(shifted), axis=1, keepdims=True)
    log_probs = shifted - np.log(Z)
    N = x.shape[0]
    loss = -np.sum(log_probs[np.arange(N), y]) / N
    dx = np.exp(log_probs)
    dx[np.arange(N), y] -= 1
    dx /= N
    return loss, dx


def dropout_forward(x, dropout_param):
    p, mode = dropout_param["p"], dropout_param["mode"]
    if "seed" in dropout_param:
        np.random.seed(dropout_param["seed"])
    mask = None
    if mode == "train":
        mask = (np.random.rand(*x.shape) < (1 - p)) / (1 - p)
        out = x * mask
    elif mode == "test":
        out = x
    out = out.astype(x.dtype, copy=False)
    return out, (dropout_param, mask)


def dropout_backward(dout, cache):
    dropout_param, mask = cache
    return dout * mask if dropout_param["mode"] == "train" else dout


class FullyConnectedNet:
    """Built on the layer functions, with the caches in dictionaries."""

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
        self.reg, self.dtype = reg, dtype
        self.use_dropout, self.dropout_param = dropout != 0, {"mode": "train", "p": dropout}
        self.num_layers = 1 + len(hidden_dims)
        self.params = {}
        state = np.random.RandomState(seed)
        dims = np.hstack((input_dim, hidden_dims, num_classes)).astype(int)
        for i in range(self.num_layers):
            self.params[f"W{i + 1}"] = weight_scale * state.randn(dims[i], dims[i + 1])
            self.params[f"b{i + 1}"] = np.zeros(dims[i + 1])
        for k, v in self.params.items():
            self.params[k] = v.astype(dtype)

    def loss(self, X, y=None):
        X = X.astype(self.dtype)
        mode = "test" if y is None else "train"
        if self.use_dropout:
            self.dropout_param["mode"] = mode
        caches, dropout_caches = {}, {}
        for i in range(1, self.num_layers):
            X, caches[i] = affine_relu_forward(X, self.params[f"W{i}"], self.params[f"b{i}"])
            if self.use_dropout:
                X, dropout_caches[i] = dropout_forward(X, self.dropout_param)
        i = self.num_layers
        scores, caches[i] = affine_forward(X, self.params[f"W{i}"], self.params[f"b{i}"])
        if mode == "test":
            return scores
        loss, grads = 0.0, {}
        loss, dout = softmax_loss(scores, y)
        for j in range(1, self.num_layers + 1):
            loss += 0.5 * self.reg * np.sum(self.params[f"W{j}"] ** 2)
        dout, grads[f"W{i}"], grads[f"b{i}"] = affine_backward(dout, caches[i])
        grads[f"W{i}"] += self.reg * self.params[f"W{i}"]
        while i > 1:
            i -= 1
            if self.use_dropout:
                dout = dropout_backward(dout, dropout_caches[i])
            dout, grads[f"W{i}"], grads[f"b{i}"] = affine_relu_backward(dout, caches[i])
            grads[f"W{i}"] += self.reg * self.params[f"W{i}"]
        return loss, grads


def sgd(w, dw, config=None):
    rate = (config or {}).get("learning_rate", 1e-2)
    return w - rate * dw, {"learning_rate": rate}


def sgd_momentum(w, dw, config=None):
    """The state is a list of one entry."""
    c = {"learning_rate": 1e-2, "momentum": 0.9, "past": [0.0]}
    c.update(config or {})
    (v,) = c["past"]
    v = np.multiply(c["momentum"], v) - np.multiply(c["learning_rate"], dw)
    c["past"] = [v]
    return np.add(w, v), c


def rmsprop(w, dw, config=None):
    """An explicit average of all squares so far, newest first, each with its weight."""
    c = {"learning_rate": 1e-2, "decay_rate": 0.99, "epsilon": 1e-8, "squares": ()}
    c.update(config or {})
    squares = (dw**2, *c["squares"])
    rho = c["decay_rate"]
    average = (1 - rho) * sum(rho**age * square for age, square in enumerate(squares))
    return w - c["learning_rate"] * dw / (np.sqrt(average) + c["epsilon"]), {**c, "squares": squares}


def adam(w, dw, config=None):
    """Averages without their factor 1 - beta, divided by 1 + beta + beta**2 + ..., which needs no t."""
    c = {"learning_rate": 1e-3, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, "sums": (0.0, 0.0, 0.0, 0.0)}
    c.update(config or {})
    m, v, weight_m, weight_v = c["sums"]
    m, weight_m = c["beta1"] * m + dw, c["beta1"] * weight_m + 1
    v, weight_v = c["beta2"] * v + dw**2, c["beta2"] * weight_v + 1
    w = w - c["learning_rate"] * (m / weight_m) / (np.sqrt(v / weight_v) + c["epsilon"])
    return w, {**c, "sums": (m, v, weight_m, weight_v)}


class Solver:
    """Batches are drawn with repetition; step counts in one long loop."""

    def __init__(self, model, data, **kwargs):
        self.model = model
        self.X_train, self.y_train = data["X_train"], data["y_train"]
        self.X_val, self.y_val = data["X_val"], data["y_val"]
        rules = {"sgd": sgd, "sgd_momentum": sgd_momentum, "rmsprop": rmsprop, "adam": adam}
        self.update_rule = rules[kwargs.pop("update_rule", "sgd")]
        self.optim_config = kwargs.pop("optim_config", None) or {}
        self.lr_decay = kwargs.pop("lr_decay", 1.0)
        self.batch_size = kwargs.pop("batch_size", 100)
        self.num_epochs = kwargs.pop("num_epochs", 10)
        self.num_train_samples = kwargs.pop("num_train_samples", 1000)
        self.verbose = kwargs.pop("verbose", False)
        self.state = np.random.RandomState(kwargs.pop("seed", 0))
        self.best_val_acc, self.best_params = 0, {}
        self.loss_history, self.train_acc_history, self.val_acc_history = [], [], []
        self.optim_configs = {p: dict(self.optim_config) for p in self.model.params}

    def _step(self):
        num_train = self.X_train.shape[0]
        batch_mask = self.state.choice(num_train, self.batch_size)
        loss, grads = self.model.loss(self.X_train[batch_mask], self.y_train[batch_mask])
        self.loss_history.append(loss)
        for p, w in self.model.params.items():
            next_w, next_config = self.update_rule(w, grads[p], self.optim_configs[p])
            self.model.params[p] = next_w
            self.optim_configs[p] = next_config

    def check_accuracy(self, X, y, num_samples=None, batch_size=100):
        N = X.shape[0]
        if num_samples is not None and num_samples < N:
            mask = self.state.choice(N, num_samples, replace=False)
            N, X, y = num_samples, X[mask], y[mask]
        num_batches = N // batch_size
        if N % batch_size != 0:
            num_batches += 1
        y_pred = []
        for i in range(num_batches):
            scores = self.model.loss(X[i * batch_size : (i + 1) * batch_size])
            y_pred.append(np.argmax(scores, axis=1))
        return np.mean(np.hstack(y_pred) == y)

    def train(self):
        per_epoch = max(self.X_train.shape[0] // self.batch_size, 1)
        num_iterations = self.num_epochs * per_epoch
        for t in range(num_iterations):
            self._step()
            epoch_end = (t + 1) % per_epoch == 0
            if epoch_end:
                for k in self.optim_configs:
                    self.optim_configs[k]["learning_rate"] *= self.lr_decay
            if epoch_end:
                train_acc = self.check_accuracy(
                    self.X_train, self.y_train, num_samples=self.num_train_samples
                )
                val_acc = self.check_accuracy(self.X_val, self.y_val)
                self.train_acc_history.append(train_acc)
                self.val_acc_history.append(val_acc)
                if val_acc > self.best_val_acc or not self.best_params:
                    self.best_val_acc = val_acc
                    self.best_params = {k: v.copy() for k, v in self.model.params.items()}
        self.model.params = self.best_params
