"""Buffers made once and written into, `out=` arguments; votes counted in a table, one rank at a time."""

import numpy as np


def _rows(x):
    rows = np.empty((len(x), int(np.prod(x.shape[1:]))))
    rows[...] = x.reshape(rows.shape)
    return rows


def compute_distances_two_loops(x_train, x_test):
    a, b = _rows(x_train), _rows(x_test)
    dists, gap = np.empty((len(a), len(b))), np.empty(a.shape[1])
    for i in range(len(a)):
        for j in range(len(b)):
            np.subtract(a[i], b[j], out=gap)
            dists[i, j] = np.vdot(gap, gap)
    return dists


def compute_distances_one_loop(x_train, x_test):
    a, b = _rows(x_train), _rows(x_test)
    dists, gaps = np.empty((len(b), len(a))), np.empty_like(a)
    for row, image in zip(dists, b, strict=True):
        np.subtract(a, image, out=gaps)
        np.multiply(gaps, gaps, out=gaps)
        np.sum(gaps, axis=1, out=row)
    return dists.T


def compute_distances_no_loops(x_train, x_test):
    a, b = _rows(x_train), _rows(x_test)
    dists = a @ b.T
    dists *= -2
    a *= a
    b *= b
    dists += a.sum(axis=1, keepdims=True)
    dists += b.sum(axis=1)
    return np.maximum(dists, 0, out=dists)


def predict_labels(dists, y_train, k=1):
    remaining, tests = dists.astype(float), np.arange(dists.shape[1])
    votes = np.zeros((int(y_train.max()) + 1, dists.shape[1]), dtype=int)
    for _ in range(k):  # the nearest of those that have not voted yet
        nearest = remaining.argmin(axis=0)
        votes[y_train[nearest], tests] += 1
        remaining[nearest, tests] = np.inf
    return votes.argmax(axis=0)


class KNNClassifier:
    def __init__(self, x_train, y_train):
        self.x_train, self.y_train = _rows(x_train), y_train.copy()

    def predict(self, x, k=1, batch_size=100):
        answers = np.empty(len(x), dtype=self.y_train.dtype)
        for start in range(0, len(x), batch_size):
            part = slice(start, start + batch_size)
            answers[part] = predict_labels(compute_distances_no_loops(self.x_train, x[part]), self.y_train, k)
        return answers

    def accuracy(self, x, y, k=1):
        answers = self.predict(x, k)
        answers[...] = answers == y
        return answers.sum() / len(answers)


def cross_validate(x, y, num_folds, k_choices):
    results = {k: np.empty(num_folds) for k in k_choices}
    inside = np.zeros(len(x), dtype=bool)
    stop = 0
    for i in range(num_folds):
        start, stop = stop, stop + len(x) // num_folds + (i < len(x) % num_folds)
        inside[start:stop] = True
        classifier = KNNClassifier(x[~inside], y[~inside])
        for k in k_choices:
            results[k][i] = classifier.accuracy(x[inside], y[inside], k)
        inside[start:stop] = False
    return results


def best_k(results):
    keys = list(results)
    keys.sort()
    means = np.empty(len(keys))
    for position, k in enumerate(keys):
        means[position] = np.mean(results[k])
    return keys[means.argmax()]
