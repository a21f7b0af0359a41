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
