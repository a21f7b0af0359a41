"""Affine and ReLU layers with caches of their own, and a small class behind the functions."""

import numpy as np


def affine_forward(x, w, b):
    return x @ w + b, (x, w)


def affine_backward(dout, cache):
    x, w = cache
    return dout @ w.T, x.T @ dout, dout.sum(0)


def relu_forward(x):
    return x.clip(min=0), x


def relu_backward(dout, x):
    dx = dout.copy()
    dx[x < 0] = 0
    return dx


def softmax_loss(scores, y):
    probs = np.exp(scores - scores.max(1).reshape(-1, 1))
    probs /= probs.sum(1).reshape(-1, 1)
    picked = probs[range(len(y)), list(y)]
    dscores = probs.copy()
    dscores[range(len(y)), list(y)] -= 1
    return np.sum(-np.log(picked)) / len(y), dscores / len(y)


class _Net:
    def __init__(self, params):
        self.params = params

    def forward(self, X):
        a, self.first = affine_forward(X, self.params["W1"], self.params["b1"])
        z, self.kink = relu_forward(a)
        scores, self.second = affine_forward(z, self.params["W2"], self.params["b2"])
        return scores, z

    def backward(self, dscores, reg):
        grads = {}
        dz, grads["W2"], grads["b2"] = affine_backward(dscores, self.second)
        _, grads["W1"], grads["b1"] = affine_backward(relu_backward(dz, self.kink), self.first)
        for name in ("W1", "W2"):
            grads[name] += 2 * reg * self.params[name]
        return grads


def nn_forward_pass(params, X):
    return _Net(params).forward(X)


def nn_forward_backward(params, X, y=None, reg=0.0):
    net = _Net(params)
    scores, _ = net.forward(X)
    if y is None:
        return scores
    loss, dscores = softmax_loss(scores, y)
    loss += reg * sum((params[name] ** 2).sum() for name in params if name.startswith("W"))
    return loss, net.backward(dscores, reg)


def nn_predict(params, X):
    return np.argmax(_Net(params).forward(X)[0], axis=-1)


def nn_train(
    params,
    X,
    y,
    X_val,
    y_val,
    learning_rate=1e-1,
    learning_rate_decay=0.95,
    reg=1e-5,
    num_iters=100,
    batch_size=200,
    seed=0,
):
    params = {k: v.astype(np.float64, copy=True) for k, v in params.items()}
    iterations_per_epoch = int(len(X) / batch_size)
    history = {"loss": [], "train_acc": [], "val_acc": []}
    for it in range(1, num_iters + 1):
        X_batch, y_batch = sample_batch(X, y, batch_size=batch_size, seed=(seed, it - 1))
        loss, grads = nn_forward_backward(params, X_batch, y_batch, reg)
        history["loss"] += [loss]
        for k in params:
            params[k] += -learning_rate * grads[k]
        if it % iterations_per_epoch == 0:
            for name, x, labels in (("train_acc", X, y), ("val_acc", X_val, y_val)):
                history[name] += [(nn_predict(params, x) == labels).mean()]
            learning_rate *= learning_rate_decay
    return params, history
