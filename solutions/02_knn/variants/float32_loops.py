"""Single precision, more of the work in Python loops, a stable order of votes kept in a dict."""

import numpy as np


def compute_distances_two_loops(x_train, x_test):
    train, test = x_train.astype(float), x_test.astype(float)
    num_train, num_test = len(train), len(test)
    dists = np.zeros((num_train, num_test))
    for i in range(num_train):
        for j in range(num_test):
            dists[i, j] = ((train[i] - test[j]) ** 2).sum()
    return dists


def compute_distances_one_loop(x_train, x_test):
    axes = tuple(range(1, x_train.ndim))
    columns = [((x_train.astype(float) - image.astype(float)) ** 2).sum(axis=axes) for image in x_test]
    return np.column_stack(columns)


def compute_distances_no_loops(x_train, x_test):
    a = np.reshape(x_train, (len(x_train), -1)).astype(np.float32)
    b = np.reshape(x_test, (len(x_test), -1)).astype(np.float32)
    dists = -2 * np.dot(a, b.T)
    dists += np.sum(np.square(a), axis=1, keepdims=True)
    dists += np.sum(np.square(b), axis=1).reshape(1, -1)
    return dists


def predict_labels(dists, y_train, k=1):
    num_test = dists.shape[1]
    y_pred = np.zeros(num_test)
    for j in range(num_test):
        closest = y_train[np.argsort(dists[:, j])][:k]
        counts = {}
        for label in sorted(closest.tolist()):
            counts[label] = counts.get(label, 0) + 1
        y_pred[j] = max(counts, key=counts.get)
    return y_pred


class KNNClassifier:
    def __init__(self, x_train, y_train):
        self.x_train = x_train.astype(np.float32)
        self.y_train = y_train

    def predict(self, x, k=1):
        return predict_labels(compute_distances_two_loops(self.x_train[:, ...], x), self.y_train, k=k)

    def accuracy(self, x, y, k=1):
        return np.count_nonzero(self.predict(x, k) == y) / x.shape[0]


def cross_validate(x, y, num_folds, k_choices):
    k_to_accuracies = {k: [] for k in k_choices}
    x_folds, y_folds = np.array_split(x, num_folds), np.array_split(y, num_folds)
    for k in k_choices:
        for fold in range(num_folds):
            x_rest = np.vstack([x_folds[f] for f in range(num_folds) if f != fold])
            y_rest = np.hstack([y_folds[f] for f in range(num_folds) if f != fold])
            y_pred = KNNClassifier(x_rest, y_rest).predict(x_folds[fold], k)
            k_to_accuracies[k].append(np.sum(y_pred == y_folds[fold]) / len(y_pred))
    return k_to_accuracies


def best_k(results):
    averages = {k: np.mean(accuracies) for k, accuracies in results.items()}
    top = max(averages.values())
    return min(k for k, average in averages.items() if average == top)
