"""Masks and one-hot matrices, einsum, log-sum-exp; results as lists and NumPy scalars."""

from itertools import product

import numpy as np


def _one_hot(y, num_classes):
    return np.equal.outer(y, np.arange(num_classes)).astype(float)


def svm_loss_naive(W, X, y, reg):
    """One picture at a time, the classes at once."""
    losses, dW = [], np.zeros(W.shape)
    for x, label in zip(X, y, strict=True):
        scores = np.einsum("d,dc->c", x, W)
        margins = np.maximum(scores - scores[label] + 1, 0) * (np.arange(len(scores)) != label)
        missed = np.sign(margins)
        losses.append(margins.sum())
        dW += np.outer(x, missed)
        dW[:, label] -= x * missed.sum()
    return np.mean(losses) + reg * np.einsum("dc,dc", W, W), dW / len(losses) + 2 * reg * W


def svm_loss_vectorized(W, X, y, reg):
    """The right class is let into the sum, and its 1 taken out again."""
    Y = _one_hot(y, W.shape[1])
    S = np.einsum("nd,dc->nc", X, W)
    right = np.einsum("nc,nc->n", S, Y)
    margins = np.where(S - right[:, None] + 1 > 0, S - right[:, None] + 1, 0.0)
    loss = margins.sum(axis=1).mean() - 1 + reg * np.linalg.norm(W) ** 2
    M = (margins > 0) * (1 - Y)
    M = M - M.sum(axis=1, keepdims=True) * Y
    return loss, np.tensordot(X, M, axes=(0, 0)) / X.shape[0] + reg * (W + W)


def softmax_loss_naive(W, X, y, reg):
    losses, gradients = [], []
    for i in range(X.shape[0]):
        x, scores = X[i : i + 1], X[i : i + 1] @ W
        log_p = scores - np.logaddexp.reduce(scores, axis=1)[0]
        losses.append(-log_p[0, y[i]])
        gradients.append(x.T @ (np.exp(log_p) - _one_hot(y[i : i + 1], W.shape[1])))
    return sum(losses) / len(losses) + reg * (W**2).sum(), np.mean(gradients, axis=0) + 2 * reg * W


def softmax_loss_vectorized(W, X, y, reg):
    S, Y = X @ W, _one_hot(y, W.shape[1])
    top = S.max(axis=-1)[:, None]
    log_sum = top + np.log(np.exp(S - top).sum(axis=-1, keepdims=True))
    loss = np.vdot(Y, log_sum - S) / len(S)
    P = np.exp(S - log_sum)
    return [loss + reg * np.vdot(W, W), np.einsum("nd,nc->dc", X, P - Y) / len(S) + 2 * reg * W]


def sample_batch(X, y, batch_size, seed):
    rng = np.random.Generator(np.random.PCG64(seed))
    chosen = rng.choice(X.shape[0], size=batch_size, replace=False)
    return np.take(X, chosen, axis=0), np.take(y, chosen)


def train_linear_classifier(
    loss, W, X, y, learning_rate=0.1, reg=1e-3, num_iters=100, batch_size=200, seed=0
):
    f = svm_loss_vectorized if loss == "svm" else softmax_loss_vectorized
    W, history = np.array(W), []
    while len(history) < num_iters:
        value, dW = f(W, *sample_batch(X, y, batch_size, seed=(seed, len(history))), reg)
        history.append(value)
        W = np.subtract(W, np.multiply(learning_rate, dW))
    return W, history


def predict(W, X):
    return np.einsum("nd,dc->cn", X, W).argmax(axis=0)


def search_hyperparameters(
    loss, W, X_train, y_train, X_val, y_val, learning_rates, regs, num_iters=100, batch_size=200, seed=0
):
    options = {"num_iters": num_iters, "batch_size": batch_size, "seed": seed}
    weights = {
        (rate, reg): train_linear_classifier(
            loss, W, X_train, y_train, learning_rate=rate, reg=reg, **options
        )[0]
        for rate, reg in product(learning_rates, regs)
    }
    results = {
        pair: (np.mean(predict(w, X_train) == y_train), np.mean(predict(w, X_val) == y_val))
        for pair, w in weights.items()
    }
    best = max(results, key=lambda pair: results[pair][1])
    return results, best, weights[best]
