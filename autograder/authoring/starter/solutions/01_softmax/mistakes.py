"""Errors that students really make, each with the sentence that explains it."""

import numpy as np

from autograder.checking import mistake


@mistake("softmax", "The scores are not shifted before the exponential, so that large ones overflow.")
def not_shifted(scores):
    with np.errstate(all="ignore"):
        exponentials = np.exp(scores)
        return exponentials / exponentials.sum(axis=1, keepdims=True)


@mistake("softmax", "The sum runs over the examples (axis 0), not over the classes (axis 1).")
def sum_over_examples(scores):
    exponentials = np.exp(scores - scores.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=0, keepdims=True)


@mistake("softmax", "The exponentials are not divided by their sum.")
def not_divided(scores):
    return np.exp(scores - scores.max(axis=1, keepdims=True))


@mistake("softmax", "The maximum is subtracted from scores itself: the caller finds other numbers in it.")
def in_place(scores):
    scores -= scores.max(axis=1, keepdims=True)
    exponentials = np.exp(scores)
    return exponentials / exponentials.sum(axis=1, keepdims=True)


@mistake("cross_entropy", "The sum over the examples is not divided by N.")
def sum_instead_of_mean(probabilities, labels):
    return -np.sum(np.log(probabilities[np.arange(len(labels)), labels]))


@mistake("cross_entropy", "The minus sign is missing.")
def sign_missing(probabilities, labels):
    return np.mean(np.log(probabilities[np.arange(len(labels)), labels]))


@mistake("cross_entropy", "All classes count, not only the right one of each example.")
def all_classes(probabilities, labels):
    return -np.mean(np.log(probabilities).sum(axis=1))


@mistake("cross_entropy", "The logarithm has base 2; the natural one is asked for.")
def base_two(probabilities, labels):
    return -np.mean(np.log2(probabilities[np.arange(len(labels)), labels]))
