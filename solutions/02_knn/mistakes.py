"""Errors that students really make in 02_knn."""

import numpy as np

from autograder.checking import mistake


def as_rows(x):
    """Each image as a row of floats."""
    return np.asarray(x).reshape(len(x), -1).astype(float)


# --- compute_distances_two_loops


@mistake(
    "compute_distances_two_loops",
    "This is the distance, not its square: leave the root out.",
    family="function",
)
def two_loops_with_root(x_train, x_test):
    a, b = as_rows(x_train), as_rows(x_test)
    return np.array([[np.sqrt(np.sum((p - q) ** 2)) for q in b] for p in a])


@mistake("compute_distances_two_loops", "The differences are taken as absolute values instead of squares.")
def two_loops_absolute(x_train, x_test):
    a, b = as_rows(x_train), as_rows(x_test)
    return np.array([[np.sum(np.abs(p - q)) for q in b] for p in a])


@mistake(
    "compute_distances_two_loops",
    "The matrix is transposed: rows belong to training, columns to test images.",
    family="transposed",
)
def two_loops_transposed(x_train, x_test):
    a, b = as_rows(x_train), as_rows(x_test)
    return np.array([[np.sum((p - q) ** 2) for p in a] for q in b])


@mistake(
    "compute_distances_two_loops", "The differences are summed first and squared afterwards, so they cancel."
)
def two_loops_square_of_sum(x_train, x_test):
    a, b = as_rows(x_train), as_rows(x_test)
    return np.array([[np.sum(p - q) ** 2 for q in b] for p in a])


@mistake("compute_distances_two_loops", "The pixels are subtracted as unsigned bytes, in which 3 - 5 is 254.")
def two_loops_overflow(x_train, x_test):
    a, b = x_train.reshape(len(x_train), -1), x_test.reshape(len(x_test), -1)
    with np.errstate(all="ignore"):
        return np.array([[np.sum((p - q) ** 2) for q in b] for p in a], dtype=float)


@mistake(
    "compute_distances_two_loops",
    "The squared differences are averaged over the pixels instead of summed.",
    family="scaled",
)
def two_loops_mean(x_train, x_test):
    a, b = as_rows(x_train), as_rows(x_test)
    return np.array([[np.mean((p - q) ** 2) for q in b] for p in a])


@mistake(
    "compute_distances_two_loops",
    "The loops start at 1: the first row and the first column stay zero.",
    family="partial",
)
def two_loops_from_one(x_train, x_test):
    a, b = as_rows(x_train), as_rows(x_test)
    dists = np.zeros((len(a), len(b)))
    for i in range(1, len(a)):
        for j in range(1, len(b)):
            dists[i, j] = np.sum((a[i] - b[j]) ** 2)
    return dists


# --- compute_distances_one_loop


@mistake(
    "compute_distances_one_loop",
    "This is the distance, not its square: leave the root out.",
    family="function",
)
def one_loop_with_root(x_train, x_test):
    a, b = as_rows(x_train), as_rows(x_test)
    return np.stack([np.sqrt(np.sum((a - q) ** 2, axis=1)) for q in b], axis=1)


@mistake(
    "compute_distances_one_loop",
    "The sum has no axis: it runs over all training images, and each column holds one number throughout.",
    family="broadcast",
)
def one_loop_summed_over_everything(x_train, x_test):
    a, b = as_rows(x_train), as_rows(x_test)
    dists = np.zeros((len(a), len(b)))
    for j in range(len(b)):
        dists[:, j] = np.sum((a - b[j]) ** 2)
    return dists


@mistake(
    "compute_distances_one_loop",
    "The matrix is transposed: rows belong to training, columns to test images.",
    family="transposed",
)
def one_loop_transposed(x_train, x_test):
    a, b = as_rows(x_train), as_rows(x_test)
    return np.stack([np.sum((a - q) ** 2, axis=1) for q in b], axis=0)


@mistake("compute_distances_one_loop", "The pixels are subtracted as unsigned bytes, in which 3 - 5 is 254.")
def one_loop_overflow(x_train, x_test):
    a, b = x_train.reshape(len(x_train), -1), x_test.reshape(len(x_test), -1)
    with np.errstate(all="ignore"):
        return np.stack([np.sum((a - q) ** 2, axis=1) for q in b], axis=1).astype(float)


@mistake(
    "compute_distances_one_loop",
    "The sum runs over axis 0, the images, instead of axis 1, the pixels: the column gets one "
    "number for each pixel.",
)
def one_loop_wrong_axis(x_train, x_test):
    a, b = as_rows(x_train), as_rows(x_test)
    dists = np.zeros((len(a), len(b)))
    for j in range(len(b)):
        dists[:, j] = np.sum((a - b[j]) ** 2, axis=0)
    return dists


@mistake(
    "compute_distances_one_loop",
    "There is a second loop inside: one image is still compared with one at a time.",
)
def one_loop_hides_another(x_train, x_test):
    a, b = as_rows(x_train), as_rows(x_test)
    dists = np.zeros((len(a), len(b)))
    for j in range(len(b)):
        dists[:, j] = [np.sum((p - b[j]) ** 2) for p in a]
    return dists


# --- compute_distances_no_loops


@mistake(
    "compute_distances_no_loops",
    "The factor 2 in front of the product is missing: (a - b)^2 = a^2 + b^2 - 2ab.",
)
def no_loops_factor_two(x_train, x_test):
    a, b = as_rows(x_train), as_rows(x_test)
    return np.sum(a**2, axis=1)[:, np.newaxis] + np.sum(b**2, axis=1) - a @ b.T


@mistake(
    "compute_distances_no_loops", "The product is added instead of subtracted: this is the square of a sum."
)
def no_loops_plus(x_train, x_test):
    a, b = as_rows(x_train), as_rows(x_test)
    return np.sum(a**2, axis=1)[:, np.newaxis] + np.sum(b**2, axis=1) + 2 * a @ b.T


@mistake(
    "compute_distances_no_loops",
    "The sums of squares of the test images are missing: the order in each column is right, the "
    "distances are not.",
    family="shifted",
)
def no_loops_without_test_squares(x_train, x_test):
    a, b = as_rows(x_train), as_rows(x_test)
    return np.sum(a**2, axis=1)[:, np.newaxis] - 2 * a @ b.T


@mistake(
    "compute_distances_no_loops", "The sums of squares of the training images are missing.", family="shifted"
)
def no_loops_without_train_squares(x_train, x_test):
    a, b = as_rows(x_train), as_rows(x_test)
    return np.sum(b**2, axis=1) - 2 * a @ b.T


@mistake(
    "compute_distances_no_loops",
    "This is the distance, not its square; and where rounding leaves -1e-16, NaN.",
    family="function",
)
def no_loops_with_root(x_train, x_test):
    a, b = as_rows(x_train), as_rows(x_test)
    with np.errstate(all="ignore"):
        return np.sqrt(np.sum(a**2, axis=1)[:, np.newaxis] + np.sum(b**2, axis=1) - 2 * a @ b.T)


@mistake(
    "compute_distances_no_loops",
    "The squares of unsigned bytes overflow: 16 * 16 is 0. Convert to floats first.",
)
def no_loops_overflow(x_train, x_test):
    a, b = x_train.reshape(len(x_train), -1), x_test.reshape(len(x_test), -1)
    with np.errstate(all="ignore"):
        return np.sum(a**2, axis=1)[:, np.newaxis] + np.sum(b**2, axis=1) - 2.0 * (a @ b.T)


@mistake(
    "compute_distances_no_loops",
    "The matrix is transposed: rows belong to training, columns to test images.",
    family="transposed",
)
def no_loops_transposed(x_train, x_test):
    a, b = as_rows(x_train), as_rows(x_test)
    return np.sum(b**2, axis=1)[:, np.newaxis] + np.sum(a**2, axis=1) - 2 * b @ a.T


@mistake("compute_distances_no_loops", "The loops have moved into a comprehension, and are as slow there.")
def no_loops_comprehension(x_train, x_test):
    a, b = as_rows(x_train), as_rows(x_test)
    return np.array([[np.sum((p - q) ** 2) for q in b] for p in a])


# --- predict_labels


def vote(dists, y_train, k, start=0):
    """The winning label of each column, ties to the smaller."""
    votes = y_train[np.argsort(dists, axis=0)[start : start + k]]
    return np.array(
        [np.unique(column)[np.argmax(np.unique(column, return_counts=True)[1])] for column in votes.T]
    )


@mistake("predict_labels", "k is ignored: only the nearest example decides.")
def k_ignored(dists, y_train, k=1):
    return y_train[np.argmin(dists, axis=0)]


@mistake("predict_labels", "The farthest examples vote instead of the nearest.")
def farthest(dists, y_train, k=1):
    return vote(-dists, y_train, k)


@mistake("predict_labels", "The neighbours are sought along the rows; each column belongs to a test example.")
def along_rows(dists, y_train, k=1):
    nearest = np.argsort(dists, axis=1)[:, :k] % len(y_train)
    return np.array([np.bincount(y_train[row]).argmax() for row in nearest])


@mistake(
    "predict_labels",
    "A tie goes to the label that comes first among the neighbours, instead of the smaller label.",
)
def tie_to_the_nearer(dists, y_train, k=1):
    votes = y_train[np.argsort(dists, axis=0)[:k]]
    return np.array([max(column.tolist(), key=column.tolist().count) for column in votes.T])


@mistake("predict_labels", "A tie goes to the larger label instead of the smaller.")
def tie_to_the_larger(dists, y_train, k=1):
    votes = y_train[np.argsort(dists, axis=0)[:k]]
    return np.array(
        [max(column.tolist(), key=lambda label: (column.tolist().count(label), label)) for column in votes.T]
    )


@mistake("predict_labels", "The labels of the neighbours are averaged; a label is a name, not a quantity.")
def average_label(dists, y_train, k=1):
    return np.rint(y_train[np.argsort(dists, axis=0)[:k]].mean(axis=0)).astype(int)


@mistake("predict_labels", "The index of the neighbour is returned instead of its label.")
def index_instead_of_label(dists, y_train, k=1):
    return np.argsort(dists, axis=0)[0]


@mistake("predict_labels", "The nearest example is skipped, as if it were the test example itself.")
def nearest_skipped(dists, y_train, k=1):
    return vote(dists, y_train, k, start=1) if len(y_train) > k else vote(dists, y_train, k)


@mistake("predict_labels", "One neighbour too many votes: [:k + 1] takes k + 1 of them.")
def one_too_many(dists, y_train, k=1):
    return vote(dists, y_train, k + 1)


@mistake("predict_labels", "The smallest label among the neighbours is returned, without counting the votes.")
def smallest_label(dists, y_train, k=1):
    return y_train[np.argsort(dists, axis=0)[:k]].min(axis=0)


# --- KNNClassifier


@mistake("knn_classifier", "accuracy does not pass k on to predict.", replaces="KNNClassifier.accuracy")
def accuracy_ignores_k(self, x, y, k=1):
    return np.mean(self.predict(x) == y)


@mistake(
    "knn_classifier",
    "predict does not pass k on: it always asks one neighbour.",
    replaces="KNNClassifier.predict",
)
def predict_ignores_k(self, x, k=1):
    return predict_labels(compute_distances_no_loops(self.x_train, x), self.y_train)


@mistake(
    "knn_classifier",
    "The distances are computed with x in the place of the training examples: rows and columns "
    "are exchanged.",
    replaces="KNNClassifier.predict",
)
def arguments_exchanged(self, x, k=1):
    dists = compute_distances_no_loops(x, self.x_train)
    nearest = np.argsort(dists, axis=0)[:k] % len(self.y_train)
    return np.array([np.bincount(column).argmax() for column in self.y_train[nearest].T])


@mistake(
    "knn_classifier",
    "accuracy counts the right answers instead of taking their share.",
    replaces="KNNClassifier.accuracy",
    family="scaled",
)
def accuracy_counts(self, x, y, k=1):
    return np.sum(self.predict(x, k) == y)


@mistake(
    "knn_classifier",
    "accuracy is given in percent; it should go from 0 to 1.",
    replaces="KNNClassifier.accuracy",
    family="scaled",
)
def accuracy_in_percent(self, x, y, k=1):
    return 100 * np.mean(self.predict(x, k) == y)


@mistake(
    "knn_classifier",
    "accuracy returns the share of wrong answers.",
    replaces="KNNClassifier.accuracy",
    family="function",
)
def accuracy_is_the_error(self, x, y, k=1):
    return np.mean(self.predict(x, k) != y)


@mistake(
    "knn_classifier",
    "The examples are stored in the class instead of the object, so a second classifier "
    "overwrites the first.",
    replaces="KNNClassifier.__init__",
)
def stored_in_the_class(self, x_train, y_train):
    type(self).x_train = x_train
    type(self).y_train = y_train


@mistake(
    "knn_classifier", "The default number of neighbours is 5 instead of 1.", replaces="KNNClassifier.predict"
)
def other_default(self, x, k=5):
    return predict_labels(compute_distances_no_loops(self.x_train, x), self.y_train, k)


# --- cross_validate


def fold_accuracy(x_train, y_train, x, y, k):
    """The accuracy on one fold."""
    return float(np.mean(predict_labels(compute_distances_no_loops(x_train, x), y_train, k) == y))


def leave_out(pieces, i):
    """All pieces but one, joined."""
    return np.concatenate(pieces[:i] + pieces[i + 1 :])


@mistake(
    "cross_validate",
    "The fold that is measured is among the training examples, so each example finds itself.",
)
def trained_on_everything(x, y, num_folds, k_choices):
    xs, ys = np.array_split(x, num_folds), np.array_split(y, num_folds)
    return {k: [fold_accuracy(x, y, xs[i], ys[i], k) for i in range(num_folds)] for k in k_choices}


@mistake(
    "cross_validate",
    "Training and validation are exchanged: one fold is remembered, the others are measured.",
)
def roles_exchanged(x, y, num_folds, k_choices):
    xs, ys = np.array_split(x, num_folds), np.array_split(y, num_folds)
    return {
        k: [
            fold_accuracy(xs[i], ys[i], leave_out(xs, i), leave_out(ys, i), min(k, len(ys[i])))
            for i in range(num_folds)
        ]
        for k in k_choices
    }


@mistake("cross_validate", "The accuracies are averaged: the list with one entry for each fold is wanted.")
def averaged(x, y, num_folds, k_choices):
    xs, ys = np.array_split(x, num_folds), np.array_split(y, num_folds)
    return {
        k: float(
            np.mean(
                [fold_accuracy(leave_out(xs, i), leave_out(ys, i), xs[i], ys[i], k) for i in range(num_folds)]
            )
        )
        for k in k_choices
    }


@mistake(
    "cross_validate", "Examples are left over where their number is not a multiple of the number of folds."
)
def remainder_dropped(x, y, num_folds, k_choices):
    size = len(x) // num_folds
    xs = [x[i * size : (i + 1) * size] for i in range(num_folds)]
    ys = [y[i * size : (i + 1) * size] for i in range(num_folds)]
    return {
        k: [fold_accuracy(leave_out(xs, i), leave_out(ys, i), xs[i], ys[i], k) for i in range(num_folds)]
        for k in k_choices
    }


@mistake(
    "cross_validate", "The remainder goes into the last fold instead of one example each into the first ones."
)
def remainder_in_the_last_fold(x, y, num_folds, k_choices):
    cuts = [len(x) // num_folds * i for i in range(1, num_folds)]
    xs, ys = np.split(x, cuts), np.split(y, cuts)
    return {
        k: [fold_accuracy(leave_out(xs, i), leave_out(ys, i), xs[i], ys[i], k) for i in range(num_folds)]
        for k in k_choices
    }


@mistake(
    "cross_validate", "The examples are shuffled before they are cut; here the folds are consecutive pieces."
)
def shuffled(x, y, num_folds, k_choices):
    order = np.random.default_rng(0).permutation(len(x))
    xs, ys = np.array_split(x[order], num_folds), np.array_split(y[order], num_folds)
    return {
        k: [fold_accuracy(leave_out(xs, i), leave_out(ys, i), xs[i], ys[i], k) for i in range(num_folds)]
        for k in k_choices
    }


@mistake("cross_validate", "The folds take every num_folds-th example; here they are consecutive pieces.")
def interleaved(x, y, num_folds, k_choices):
    xs = [x[i::num_folds] for i in range(num_folds)]
    ys = [y[i::num_folds] for i in range(num_folds)]
    return {
        k: [fold_accuracy(leave_out(xs, i), leave_out(ys, i), xs[i], ys[i], k) for i in range(num_folds)]
        for k in k_choices
    }


@mistake("cross_validate", "k is not passed on to the vote: every k gets the accuracies of k = 1.")
def always_one_neighbour(x, y, num_folds, k_choices):
    xs, ys = np.array_split(x, num_folds), np.array_split(y, num_folds)
    one = [fold_accuracy(leave_out(xs, i), leave_out(ys, i), xs[i], ys[i], 1) for i in range(num_folds)]
    return {k: list(one) for k in k_choices}


@mistake("cross_validate", "Only the first fold is ever held out.")
def always_the_first_fold(x, y, num_folds, k_choices):
    xs, ys = np.array_split(x, num_folds), np.array_split(y, num_folds)
    return {
        k: [fold_accuracy(leave_out(xs, 0), leave_out(ys, 0), xs[0], ys[0], k)] * num_folds for k in k_choices
    }


# --- best_k


@mistake("best_k", "The best single fold decides instead of the mean over the folds.")
def best_single_fold(results):
    return min(results, key=lambda k: (-max(results[k]), k))


@mistake("best_k", "Of equally good k the largest is returned instead of the smallest.")
def largest_of_equals(results):
    return max(results, key=lambda k: (np.mean(results[k]), k))


@mistake("best_k", "Of equally good k the first in the dict is returned, which need not be the smallest.")
def first_of_equals(results):
    return max(results, key=lambda k: np.mean(results[k]))


@mistake("best_k", "The k with the lowest mean accuracy is returned.")
def worst_k(results):
    return min(results, key=lambda k: (np.mean(results[k]), k))


@mistake("best_k", "The mean accuracy is returned instead of the k that has it.")
def accuracy_instead_of_k(results):
    return max(float(np.mean(accuracies)) for accuracies in results.values())


@mistake("best_k", "The position of the best k is returned instead of the k itself.")
def position_instead_of_k(results):
    return int(np.argmax([np.mean(results[k]) for k in sorted(results)]))


@mistake("best_k", "The median over the folds decides instead of the mean.")
def median_decides(results):
    return min(results, key=lambda k: (-np.median(results[k]), k))
