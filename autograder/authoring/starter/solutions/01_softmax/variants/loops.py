"""One example after another, in plain Python."""

import math

import numpy as np


def softmax(scores):
    rows = []
    for row in scores:
        exponentials = [math.exp(score - max(row)) for score in row]
        rows.append([value / sum(exponentials) for value in exponentials])
    return np.array(rows)


def cross_entropy(probabilities, labels):
    total = 0.0
    for row, label in zip(probabilities, labels, strict=True):
        total -= math.log(row[label])
    return total / len(labels)
