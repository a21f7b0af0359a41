"""Buffers made once and written into: out= arguments, augmented assignments, parameters that stay put."""

import numpy as np


def affine_forward(x, w, b):
    rows = x.reshape(len(x), -1)
    out = np.empty((len(x), w.shape[1]), dtype=np.result_type(x, w))
    np.matmul(rows, w, out=out)
    np.add(out, b, out=out)
    return out, {"rows": rows, "w": w, "shape": x.shape}


def affine_backward(dout, cache):
    dx = np.empty(cache["rows"].shape, dtype=dout.dtype)
    dw = np.empty_like(cache["w"], dtype=dout.dtype)
    np.matmul(dout, cache["w"].T, out=dx)
    np.matmul(cache["rows"].T, dout, out=dw)
    dx.shape = cache["shape"]
    return dx, dw, np.add.reduce(dout, axis=0)


def relu_forward(x):
    out = np.copy(x)
    np.clip(out, 0, None, out=out)
    return out, out.astype(bool)


def relu_backward(dout, cache):
    dx = np.copy(dout)
    np.copyto(dx, 0, where=~cache)
    return dx


def affine_relu_forward(x, w, b):
    out, cache = affine_forward(x, w, b)
    np.maximum(out, 0, out=out)  # the output is our own
    cache["active"] = out > 0
    return out, cache


def affine_relu_backward(dout, cache):
    masked = np.zeros_like(dout)
    np.multiply(dout, cache["active"], out=masked)
    return affine_backward(masked, cache)


def svm_loss(x, y):
    """Flat indices; the loss from the gradient, since violated margins are linear in the scores."""
    N, K = x.shape
    right = np.arange(N) * K + y
    dx = np.array(x, dtype=float)
    dx -= np.take(x, right).reshape(N, 1)
    np.greater(dx, -1, out=dx)
    dx.flat[right] = 0
    count = dx.sum()
    dx.flat[right] -= dx.sum(axis=1)
    dx /= N
    # sum of (x[k] - x[y] + 1) over the violated ones
    return float(np.sum(dx * (x - x.mean(axis=1, keepdims=True))) + count / N), dx


def softmax_loss(x, y):
    dx = np.array(x, dtype=np.float64)
    dx -= np.amax(dx, axis=1)[:, np.newaxis]
    right = dx[range(len(y)), y]
    np.exp(dx, out=dx)
    sums = np.sum(dx, axis=1)
    loss = np.average(np.log(sums) - right)
    dx /= sums[:, np.newaxis]
    dx[range(len(y)), y] -= 1.0
    dx *= 1.0 / y.size
    return loss, dx


def dropout_forward(x, dropout_param):
    """A random choice of 0 and 1 / (1 - p)."""
    out = x.copy()
    if dropout_param["mode"] == "test":
        return out, 1.0
    source = np.random
    if "seed" in dropout_param:
        source = np.random.Generator(np.random.Philox(dropout_param["seed"]))
    p = dropout_param["p"]
    mask = source.choice(np.array([0.0, 1.0 / (1.0 - p)]), size=x.shape, p=[p, 1.0 - p])
    out *= mask.astype(x.dtype)
    return out, mask


def dropout_backward(dout, cache):
    dx = dout.copy()
    dx *= cache
    return dx


class FullyConnectedNet:
    """Masks and penalties are written into the outputs and the gradients where they lie."""

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
        self.dropout_param = {"mode": "test", "p": dropout}
        sizes = [input_dim]
        sizes.extend(hidden_dims)
        sizes.append(num_classes)
        self.params = {}
        rng = np.random.default_rng(seed)
        for i in range(len(sizes) - 1):
            W = rng.standard_normal((sizes[i], sizes[i + 1]))
            W *= weight_scale
            self.params["W%d" % (i + 1)] = W.astype(dtype)  # noqa: UP031
            self.params["b%d" % (i + 1)] = np.zeros(sizes[i + 1], dtype)  # noqa: UP031

    def loss(self, X, y=None):
        self.dropout_param["mode"] = "train" if y is not None else "test"
        drops = self.dropout_param["p"] > 0
        Ws = [self.params[name] for name in sorted(self.params, key=lambda n: int(n[1:])) if name[0] == "W"]
        bs = [self.params[name] for name in sorted(self.params, key=lambda n: int(n[1:])) if name[0] == "b"]
        out, stack = X.astype(self.dtype), []
        for W, b in zip(Ws[:-1], bs[:-1], strict=True):
            out, cache = affine_relu_forward(out, W, b)
            stack.append((affine_relu_backward, cache))
            if drops:
                out, cache = dropout_forward(out, self.dropout_param)
                stack.append((dropout_backward, cache))
        out, cache = affine_forward(out, Ws[-1], bs[-1])
        stack.append((affine_backward, cache))
        if y is None:
            return out
        loss, dout = softmax_loss(out, y)
        dout = dout.astype(self.dtype)
        grads, number = {}, len(Ws)
        while stack:
            backward, cache = stack.pop()
            if backward is dropout_backward:
                dout = backward(dout, cache)
                continue
            dout, dW, db = backward(dout, cache)
            dW += self.reg * Ws[number - 1]
            loss += self.reg * float(np.linalg.norm(Ws[number - 1])) ** 2 / 2
            grads[f"W{number}"], grads[f"b{number}"] = dW, db
            number -= 1
        return loss, grads


def sgd(w, dw, config=None):
    config = config if config is not None else {}
    step = np.array(dw)
    step *= config.setdefault("learning_rate", 0.01)
    np.subtract(w, step, out=w)
    return w, config


def sgd_momentum(w, dw, config=None):
    config = config if config is not None else {}
    rate, mu = config.setdefault("learning_rate", 0.01), config.setdefault("momentum", 0.9)
    v = config.setdefault("velocity", np.zeros_like(w))
    v *= mu
    v -= rate * dw
    w += v
    return w, config


def rmsprop(w, dw, config=None):
    config = config if config is not None else {}
    for name, default in (("learning_rate", 0.01), ("decay_rate", 0.99), ("epsilon", 1e-8)):
        config.setdefault(name, default)
    cache = config.setdefault("cache", np.zeros_like(w))
    cache *= config["decay_rate"]
    square = np.square(dw)
    square *= 1 - config["decay_rate"]
    cache += square
    np.sqrt(cache, out=square)
    square += config["epsilon"]
    w -= config["learning_rate"] * np.divide(dw, square)
    return w, config


def adam(w, dw, config=None):
    config = config if config is not None else {}
    for name, default in (
        ("learning_rate", 1e-3),
        ("beta1", 0.9),
        ("beta2", 0.999),
        ("epsilon", 1e-8),
        ("t", 0),
    ):
        config.setdefault(name, default)
    m, v = config.setdefault("m", np.zeros_like(w)), config.setdefault("v", np.zeros_like(w))
    config["t"] += 1
    m *= config["beta1"]
    m += (1 - config["beta1"]) * dw
    v *= config["beta2"]
    v += (1 - config["beta2"]) * np.square(dw)
    root = v / (1 - config["beta2"] ** config["t"])
    np.sqrt(root, out=root)
    root += config["epsilon"]
    w -= (config["learning_rate"] / (1 - config["beta1"] ** config["t"])) * m / root
    return w, config


class Solver:
    """Each step, and the restoring at the end, write into the arrays that the model has held all along."""

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
        self.model, self.data = model, data
        self.update_rule = globals()[update_rule]
        self.configs = {}
        for name in model.params:
            self.configs[name] = {}
            self.configs[name].update(optim_config or {})
        self.lr_decay, self.batch_size, self.num_epochs = lr_decay, batch_size, num_epochs
        self.num_train_samples, self.verbose = num_train_samples, verbose
        self.rng = np.random.default_rng(seed)
        self.loss_history, self.train_acc_history, self.val_acc_history = [], [], []
        self.best_val_acc, self.best_params = float("-inf"), {}

    def check_accuracy(self, X, y, num_samples=None, batch_size=100):
        N = X.shape[0]
        if num_samples is not None and num_samples < N:
            indices = np.arange(N)
            self.rng.shuffle(indices)
            X, y, N = X[indices[:num_samples]], y[indices[:num_samples]], num_samples
        predicted = np.empty(N, dtype=int)
        for start in range(0, N, batch_size):
            np.argmax(
                self.model.loss(X[start : start + batch_size]),
                axis=1,
                out=predicted[start : start + batch_size],
            )
        return np.count_nonzero(predicted == y) / N

    def train(self):
        X, y, N = self.data["X_train"], self.data["y_train"], len(self.data["y_train"])
        order = np.arange(N)
        per_epoch = N // self.batch_size or 1
        for _epoch in range(self.num_epochs):
            self.rng.shuffle(order)
            for batch in range(per_epoch):
                chosen = order[batch * self.batch_size : batch * self.batch_size + self.batch_size]
                loss, grads = self.model.loss(X[chosen], y[chosen])
                self.loss_history.append(loss)
                for name, w in self.model.params.items():
                    updated, self.configs[name] = self.update_rule(w, grads[name], self.configs[name])
                    w[...] = updated
            for config in self.configs.values():
                config["learning_rate"] *= self.lr_decay
            self.train_acc_history.append(self.check_accuracy(X, y, self.num_train_samples))
            accuracy = self.check_accuracy(self.data["X_val"], self.data["y_val"])
            self.val_acc_history.append(accuracy)
            if accuracy > self.best_val_acc:
                self.best_val_acc = accuracy
                for name, w in self.model.params.items():
                    self.best_params[name] = np.array(w)
        for name, best in self.best_params.items():
            self.model.params[name][...] = best
