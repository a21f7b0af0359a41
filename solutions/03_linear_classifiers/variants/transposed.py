"""Scores with the classes first, gradients of the scores apart from those of the weights."""

import numpy as np


def _loss(score_loss, W, X, y, reg):
    """A loss of the scores, (C, N) -> number and its derivative, made a loss of the weights."""
    loss, dscores = score_loss(W.T @ X.T, y)
    return float(loss + reg * np.trace(W.T @ W)), (dscores @ X).T + 2 * reg * W


def _hinge(scores, y):
    N = scores.shape[1]
    i = np.arange(N)
    margins = scores - scores[y, i] + 1
    margins[y, i] = 0
    margins[margins < 0] = 0
    d = np.heaviside(margins, 0)
    d[y, i] -= d.sum(axis=0)
    return margins.sum() / N, d / N


def _cross_entropy(scores, y):
    N = scores.shape[1]
    e = np.exp(scores - np.amax(scores, axis=0))
    p = e / np.add.reduce(e, axis=0)
    loss = -np.sum(np.log(p[y, np.arange(N)])) / N
    p[y, np.arange(N)] -= 1.0
    return loss, p / N


def _one_by_one(loss, W, X, y, reg):
    """The mean of the losses of single pictures, of their penalties too."""
    parts = [loss(W, X[i : i + 1], y[i : i + 1], reg) for i in range(len(y))]
    return sum(part[0] for part in parts) / len(y), sum(part[1] for part in parts) / len(y)


def svm_loss_vectorized(W, X, y, reg):
    return _loss(_hinge, W, X, y, reg)


def softmax_loss_vectorized(W, X, y, reg):
    return _loss(_cross_entropy, W, X, y, reg)


def svm_loss_naive(W, X, y, reg):
    return _one_by_one(svm_loss_vectorized, W, X, y, reg)


def softmax_loss_naive(W, X, y, reg):
    return _one_by_one(softmax_loss_vectorized, W, X, y, reg)


def sample_batch(X, y, batch_size, seed):
    """Those with the smallest random numbers."""
    keys = np.random.default_rng(seed).random(len(X))
    mask = np.argsort(keys)[:batch_size]
    return X[mask], y[mask]


def train_linear_classifier(
    loss, W, X, y, learning_rate=0.1, reg=1e-3, num_iters=100, batch_size=200, seed=0
):
    step = globals()[f"{loss}_loss_vectorized"]
    weights, losses = [W], []
    for t in range(num_iters):
        batch_loss, gradient = step(weights[-1], *sample_batch(X, y, batch_size, (seed, t)), reg)
        losses += [batch_loss]
        weights += [weights[-1] - learning_rate * gradient]
    return weights[-1], losses


def predict(W, X):
    scores = (X @ W).astype(np.float64)
    return np.argmax(scores - scores.max(axis=1, keepdims=True), axis=1).astype(np.int32)


def search_hyperparameters(
    loss, W, X_train, y_train, X_val, y_val, learning_rates, regs, num_iters=100, batch_size=200, seed=0
):
    def fit(rate, reg):
        return train_linear_classifier(loss, W, X_train, y_train, rate, reg, num_iters, batch_size, seed)[0]

    results, best_so_far, best = {}, -1, None
    for rate in learning_rates:
        for reg in regs:
            weights = fit(rate, reg)
            results[(rate, reg)] = np.array(
                [np.mean(predict(weights, X_train) == y_train), np.mean(predict(weights, X_val) == y_val)]
            )
            if results[(rate, reg)][1] > best_so_far:
                best_so_far, best = results[(rate, reg)][1], [rate, reg]
    return results, best, fit(*best)
