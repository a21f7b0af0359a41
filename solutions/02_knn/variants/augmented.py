"""Distances as a product of longer rows, (a, |a|^2, 1) and (-2 b, 1, |b|^2); votes as a product, too."""

import numpy as np


def _left(x):
    """(a, |a|^2, 1) for each example."""
    rows = np.array([np.ravel(example) for example in x], dtype=float)
    return np.column_stack([rows, np.linalg.norm(rows, axis=1) ** 2, np.ones(len(rows))])


def _right(x):
    """(-2 b, 1, |b|^2) for each example."""
    rows = _left(x)
    rows[:, :-2] *= -2
    rows[:, -2:] = rows[:, :-3:-1]
    return rows


def compute_distances_two_loops(x_train, x_test):
    a, b = _left(x_train), _right(x_test)
    return np.array([[float(np.inner(row, other)) for other in b] for row in a])


def compute_distances_one_loop(x_train, x_test):
    a = _left(x_train)
    return np.stack([a @ row for row in _right(x_test)], axis=-1)


def compute_distances_no_loops(x_train, x_test):
    return np.tensordot(_left(x_train), _right(x_test), axes=(1, 1))


def predict_labels(dists, y_train, k=1):
    classes, owner = np.unique(y_train, return_inverse=True)
    ranks = np.argsort(np.argsort(dists, axis=0), axis=0)
    votes = np.eye(len(classes))[:, owner] @ (ranks < k)
    return classes[np.argmax(votes, axis=0)]


class KNNClassifier:
    def __init__(self, x_train, y_train):
        self.examples = list(zip(x_train, y_train, strict=True))

    def predict(self, x, k=1):
        images, labels = map(np.array, zip(*self.examples, strict=True))
        return predict_labels(compute_distances_no_loops(images, x), labels, k)

    def accuracy(self, x, y, k=1):
        return 1 - float(np.mean(self.predict(x, k) != y))


def cross_validate(x, y, num_folds, k_choices):
    # Each pair of examples is compared once, whatever the folds are.
    dists = compute_distances_no_loops(x, x)
    everyone = np.arange(len(x))
    accuracies = []
    for fold in np.array_split(everyone, num_folds):
        others = np.setdiff1d(everyone, fold)
        between = dists[np.ix_(others, fold)]
        accuracies.append([np.mean(predict_labels(between, y[others], k) == y[fold]) for k in k_choices])
    return {k: list(column) for k, column in zip(k_choices, zip(*accuracies, strict=True), strict=True)}


def best_k(results):
    return max(sorted(results), key=lambda k: sum(results[k]) / len(results[k]))
