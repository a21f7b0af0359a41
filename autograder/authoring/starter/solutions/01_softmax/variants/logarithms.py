"""By the logarithm of the sum, and by one-hot labels."""

import numpy as np


def softmax(scores):
    return np.exp(scores - np.logaddexp.reduce(scores, axis=1, keepdims=True))


def cross_entropy(probabilities, labels):
    one_hot = np.eye(probabilities.shape[1])[labels]
    return -np.einsum("nc,nc->", one_hot, np.log(probabilities)) / len(labels)
