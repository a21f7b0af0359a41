"""One big broadcast subtraction, bincount for the vote, the classifier used within cross-validation."""

import numpy as np


def compute_distances_two_loops(x_train, x_test):
    dists = np.empty((x_train.shape[0], x_test.shape[0]))
    for j, image in enumerate(x_test):
        for i, other in enumerate(x_train):
            difference = np.float64(image).ravel() - np.float64(other).ravel()
            dists[i, j] = difference @ difference
    return dists


def compute_distances_one_loop(x_train, x_test):
    rows = []
    flat_test = x_test.reshape(x_test.shape[0], -1).astype(np.float64)
    for image in x_train:
        rows.append(np.square(image.ravel() - flat_test).sum(1))
    return np.array(rows)


def compute_distances_no_loops(x_train, x_test):
    a = x_train.reshape(x_train.shape[0], 1, -1).astype(np.float64)
    b = x_test.reshape(1, x_test.shape[0], -1).astype(np.float64)
    return ((a - b) ** 2).sum(axis=-1)


def predict_labels(dists, y_train, k=1):
    predictions = []
    for column in dists.T:
        neighbours = np.argpartition(column, k - 1)[:k]
        predictions.append(np.bincount(y_train[neighbours]).argmax())
    return np.array(predictions)


class KNNClassifier:
    def __init__(self, x_train, y_train):
        self.images, self.labels = np.array(x_train), np.array(y_train)

    def predict(self, x, k=1):
        answers = [
            predict_labels(compute_distances_one_loop(self.images, image[np.newaxis]), self.labels, k)[0]
            for image in x
        ]
        return np.array(answers)

    def accuracy(self, x, y, k=1):
        right = 0
        for predicted, label in zip(self.predict(x, k), y, strict=True):
            right += int(predicted == label)
        return right / len(y)


def cross_validate(x, y, num_folds, k_choices):
    results = {}
    pieces = np.array_split(np.arange(len(x)), num_folds)
    for k in k_choices:
        results[k] = []
        for piece in pieces:
            keep = np.ones(len(x), dtype=bool)
            keep[piece] = False
            classifier = KNNClassifier(x[keep], y[keep])
            results[k].append(classifier.accuracy(x[piece], y[piece], k))
    return results


def best_k(results):
    best, best_mean = None, -1.0
    for k in sorted(results):
        mean = sum(results[k]) / len(results[k])
        if mean > best_mean:
            best, best_mean = k, mean
    return best
