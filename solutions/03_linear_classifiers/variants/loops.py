"""Plain Python as far as it goes: lists, explicit sums, loops over classes inside a vectorized batch."""

import math

import numpy as np


def svm_loss_naive(W, X, y, reg):
    D, C = W.shape
    dW = [[0.0] * C for _ in range(D)]
    total = 0.0
    for x, label in zip(X.tolist(), y.tolist(), strict=True):
        scores = [sum(x[d] * float(W[d, j]) for d in range(D)) for j in range(C)]
        for j in range(C):
            if j == label:
                continue
            margin = max(0.0, scores[j] - scores[label] + 1.0)
            total += margin
            if margin > 0:
                for d in range(D):
                    dW[d][j] += x[d]
                    dW[d][label] -= x[d]
    gradient = np.array(dW) / len(X)
    for d in range(D):
        for j in range(C):
            total += len(X) * reg * W[d, j] * W[d, j]
            gradient[d, j] += 2 * reg * W[d, j]
    return total / len(X), gradient


def svm_loss_vectorized(W, X, y, reg):
    """A loop over the classes, none over the pictures."""
    N, C = X.shape[0], W.shape[1]
    scores = X.dot(W)
    right = np.choose(y, scores.T) if C <= 30 else scores[np.arange(N), y]
    loss, dW = 0.0, 2.0 * reg * W
    for j in range(C):
        missed = (scores[:, j] - right + 1 > 0) & (y != j)
        loss += (scores[missed, j] - right[missed] + 1).sum()
        dW[:, j] += X[missed].sum(axis=0) / N
        for k in range(C):
            dW[:, k] -= X[missed & (y == k)].sum(axis=0) / N
    return loss / N + reg * np.sum(np.square(W)), dW


def softmax_loss_naive(W, X, y, reg):
    N, (D, C) = len(X), W.shape
    loss = 0
    dW = np.zeros_like(W)
    for i in range(N):
        scores = [float(X[i] @ W[:, j]) for j in range(C)]
        top = max(scores)
        exps = [math.exp(s - top) for s in scores]
        total = sum(exps)
        loss += math.log(total) - (scores[y[i]] - top)
        for j in range(C):
            for d in range(D):
                dW[d, j] += exps[j] / total * X[i, d]
        dW[:, y[i]] -= X[i]
    loss /= N
    dW /= N
    return loss + reg * float((W * W).sum()), dW + 2 * reg * W


def softmax_loss_vectorized(W, X, y, reg):
    """An epsilon inside the logarithm."""
    scores = X.dot(W)
    scores -= np.max(scores, axis=1).reshape(-1, 1)
    p = np.exp(scores)
    p /= np.sum(p, axis=1).reshape(-1, 1)
    loss = np.mean(-np.log(p[range(len(y)), y] + 1e-8))
    p[range(len(y)), y] -= 1
    dW = np.dot(X.T, p)
    dW /= X.shape[0]
    dW += 2 * reg * W
    loss += reg * np.sum(W * W)
    return loss, dW


def sample_batch(X, y, batch_size, seed):
    """Each example at most once."""
    order = np.random.default_rng(seed).permutation(len(y))
    return np.array([X[i] for i in order[:batch_size]]), np.array([y[i] for i in order[:batch_size]])


def train_linear_classifier(
    loss, W, X, y, learning_rate=0.1, reg=1e-3, num_iters=100, batch_size=200, seed=0
):
    W = W.copy()
    history = np.zeros(num_iters)
    for t in range(num_iters):
        xs, ys = sample_batch(X, y, batch_size, (seed, t))
        if loss == "svm":
            history[t], dW = svm_loss_vectorized(W, xs, ys, reg)
        else:
            history[t], dW = softmax_loss_vectorized(W, xs, ys, reg)
        W -= learning_rate * dW
    return W, history


def predict(W, X):
    answers = []
    for x in X:
        scores = [float(x @ W[:, j]) for j in range(W.shape[1])]
        answers.append(scores.index(max(scores)))
    return answers


def search_hyperparameters(
    loss, W, X_train, y_train, X_val, y_val, learning_rates, regs, num_iters=100, batch_size=200, seed=0
):
    results, weights = {}, {}
    for reg in regs:  # in another order than the choice goes
        for rate in learning_rates:
            W_run, _ = train_linear_classifier(
                loss, W, X_train, y_train, rate, reg, num_iters, batch_size, seed
            )
            weights[(rate, reg)] = W_run
            results[(rate, reg)] = [
                sum(int(a == b) for a, b in zip(predict(W_run, xs), ys, strict=True)) / len(ys)
                for xs, ys in ((X_train, y_train), (X_val, y_val))
            ]
    best = None
    for rate in learning_rates:
        for reg in regs:
            if best is None or results[(rate, reg)][1] > results[best][1]:
                best = (rate, reg)
    return results, best, weights[best]
