"""The SVM as a list of (picture, class) pairs that miss, probabilities as ratios, a trainer with a state."""

import numpy as np


def svm_loss_naive(W, X, y, reg):
    """Templates are compared in pairs: the margin is x times a difference of columns."""
    loss = reg * sum(w**2 for w in W.flat)
    dW = 2 * reg * W
    pairs = ((i, j) for i in range(len(y)) for j in range(W.shape[1]) if j != y[i])
    for i, j in pairs:
        missing = 1 - X[i].dot(W[:, y[i]] - W[:, j])
        if missing >= 0:
            loss = loss + missing / len(y)
            step = X[i] / len(y)
            dW[:, j] = dW[:, j] + step
            dW[:, y[i]] = dW[:, y[i]] - step
    return loss, dW


def svm_loss_vectorized(W, X, y, reg):
    N, C = X.shape[0], W.shape[1]
    scores = X @ W
    lead = np.take_along_axis(scores, y[:, None], axis=1) - scores
    i, j = np.nonzero((lead < 1) & (np.arange(C) != y[:, None]))
    pushed = np.bincount(i * C + j, minlength=N * C) - np.bincount(i * C + y[i], minlength=N * C)
    dW = np.dot(pushed.reshape(N, C).T, X).T / N
    return np.sum(1 - lead[i, j]) / N + reg * (W * W).sum(), dW + reg * W + reg * W


def softmax_loss_naive(W, X, y, reg):
    """The probability of class j is 1 over the sum of exp(s_k - s_j)."""
    N, C = len(X), W.shape[1]
    total, gradient = 0.0, np.zeros(W.shape)
    with np.errstate(over="ignore"):
        for n in range(N):
            s = np.matmul(X[n], W)
            for j in range(C):
                p = 1 / np.exp(s - s[j]).sum()  # an infinite sum gives 0, which is right
                gradient[:, j] += X[n] * (p - 1 if j == y[n] else p)
            total += np.logaddexp.reduce(s - s[y[n]])
    return total / N + reg * np.sum(np.abs(W) ** 2), gradient / N + 2 * reg * W


def softmax_loss_vectorized(W, X, y, reg):
    """The gradient of the log of the denominator, less that of the right score, one matrix product each."""
    N, C = X.shape[0], W.shape[1]
    S = X @ W
    top = np.sort(S, axis=1)[:, -1:]
    weights = np.exp(S - top)
    denominator = weights @ np.ones((C, 1))
    loss = np.mean(np.log(denominator) + top - S[np.arange(N), y].reshape(N, 1))
    of_denominator = X.T @ (weights / denominator)
    of_right_scores = np.stack([(X * (y == j)[:, None]).sum(axis=0) for j in range(C)], axis=1)
    return loss + reg * np.square(W).sum(), (of_denominator - of_right_scores) / N + 2 * reg * W


def sample_batch(X, y, batch_size, seed):
    """Examples may come twice."""
    chosen = np.random.default_rng(seed).choice(len(y), batch_size)
    return X[chosen, ...].copy(), y[chosen].copy()


class Trainer:
    """Weights, and what has happened to them so far."""

    def __init__(self, loss, W, reg, learning_rate):
        self.loss = {"svm": svm_loss_vectorized, "softmax": softmax_loss_vectorized}[loss]
        self.W, self.reg, self.learning_rate = W + 0.0, reg, learning_rate
        self.history = []

    def step(self, X, y):
        value, slope = self.loss(self.W, X, y, self.reg)
        self.W = self.W - slope * self.learning_rate
        self.history.append(value)


def train_linear_classifier(
    loss, W, X, y, learning_rate=0.1, reg=1e-3, num_iters=100, batch_size=200, seed=0
):
    trainer = Trainer(loss, W, reg, learning_rate)
    for t in range(num_iters):
        trainer.step(*sample_batch(X, y, batch_size, (seed, t)))
    return trainer.W, np.array(trainer.history)


def predict(W, X):
    scores = np.inner(X, W.T)
    return (scores == scores.max(axis=1, keepdims=True)).argmax(axis=1)


def search_hyperparameters(
    loss, W, X_train, y_train, X_val, y_val, learning_rates, regs, num_iters=100, batch_size=200, seed=0
):
    pairs = [(rate, reg) for rate in learning_rates for reg in regs]
    runs = [
        train_linear_classifier(loss, W, X_train, y_train, *pair, num_iters, batch_size, seed)[0]
        for pair in pairs
    ]
    right = [
        ((predict(run, X_train) == y_train).mean(), (predict(run, X_val) == y_val).mean()) for run in runs
    ]
    winner = int(np.argmax([val for _, val in right]))
    return dict(zip(pairs, right, strict=True)), pairs[winner], runs[winner]
