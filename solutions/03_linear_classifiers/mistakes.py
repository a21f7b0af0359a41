"""Errors that students really make in 03_linear_classifiers."""

import numpy as np

from autograder.checking import mistake

# The right versions, under names that a mistake does not replace.
right_svm = svm_loss_vectorized
right_softmax = softmax_loss_vectorized
right_train = train_linear_classifier
right_search = search_hyperparameters


def penalty(W, reg):
    """What the loss holds beside the data."""
    return reg * np.sum(W**2)


def missed(W, X, y, margin=1.0):
    """By how much each wrong class misses its margin, (N, C); 0 for the right class."""
    scores = X @ W
    margins = np.maximum(0, scores - scores[np.arange(len(y)), y][:, np.newaxis] + margin)
    margins[np.arange(len(y)), y] = 0
    return margins


def counts_of(margins, y):
    """How often each row of X is added to each column of dW."""
    M = (margins > 0).astype(float)
    M[np.arange(len(y)), y] = -M.sum(axis=1)
    return M


def probabilities(scores):
    """Softmax of each row."""
    exp = np.exp(scores - scores.max(axis=1, keepdims=True))
    return exp / exp.sum(axis=1, keepdims=True)


def one_hot(y, num_classes):
    """1 at the right class, 0 elsewhere."""
    return np.eye(num_classes)[y]


# --- svm_loss_naive


@mistake(
    "svm_loss_naive",
    "The right class is counted as well: its own margin is always 1, so the loss is too high by exactly 1. "
    "Leave j = y_i out.",
    family="shifted",
)
def naive_svm_counts_right_class(W, X, y, reg):
    loss, dW = right_svm(W, X, y, reg)
    return loss + 1, dW


@mistake("svm_loss_naive", "The margin of 1 is missing: a wrong class may not even come near the right one.")
def naive_svm_without_margin(W, X, y, reg):
    margins = missed(W, X, y, margin=0.0)
    return (
        margins.sum() / len(y) + penalty(W, reg),
        X.T @ counts_of(margins, y) / len(y) + 2 * reg * W,
    )


@mistake(
    "svm_loss_naive",
    "Loss and gradient are summed over the pictures but not divided by their number N.",
    family="scaled",
)
def naive_svm_summed(W, X, y, reg):
    loss, dW = right_svm(W, X, y, 0.0)
    return loss * len(y) + penalty(W, reg), dW * len(y) + 2 * reg * W


@mistake("svm_loss_naive", "The loss is divided by N, and the gradient is not.", family="scaled")
def naive_svm_gradient_summed(W, X, y, reg):
    loss, _ = right_svm(W, X, y, reg)
    return loss, right_svm(W, X, y, 0.0)[1] * len(y) + 2 * reg * W


@mistake(
    "svm_loss_naive",
    "The column of the right class is left out of the gradient: every margin that is missed also pushes "
    "column y_i, by -x.",
)
def naive_svm_right_column_missing(W, X, y, reg):
    loss, _ = right_svm(W, X, y, reg)
    return loss, X.T @ (missed(W, X, y) > 0) / len(y) + 2 * reg * W


@mistake(
    "svm_loss_naive",
    "The column of the right class is pushed once per picture. It is pushed once for each margin that is "
    "missed.",
)
def naive_svm_right_column_once(W, X, y, reg):
    loss, _ = right_svm(W, X, y, reg)
    M = counts_of(missed(W, X, y), y)
    return loss, X.T @ np.maximum(M, -1) / len(y) + 2 * reg * W


@mistake(
    "svm_loss_naive",
    "The margin has the wrong sign: it is the wrong class's score minus the right one's, plus 1.",
)
def naive_svm_reversed(W, X, y, reg):
    loss, dW = right_svm(-W, X, y, reg)
    return loss, -dW


@mistake("svm_loss_naive", "The gradient is that of all classes, whether their margin is met or not.")
def naive_svm_gradient_without_condition(W, X, y, reg):
    loss, _ = right_svm(W, X, y, reg)
    return loss, X.T @ counts_of(1 - one_hot(y, W.shape[1]), y) / len(y) + 2 * reg * W


@mistake("svm_loss_naive", "The penalty is missing in the gradient: add 2 * reg * W.", family="term")
def naive_svm_no_penalty_in_gradient(W, X, y, reg):
    return right_svm(W, X, y, reg)[0], right_svm(W, X, y, 0.0)[1]


@mistake("svm_loss_naive", "The penalty is missing in the loss: add reg * sum(W ** 2).", family="term")
def naive_svm_no_penalty_in_loss(W, X, y, reg):
    return right_svm(W, X, y, 0.0)[0], right_svm(W, X, y, reg)[1]


@mistake(
    "svm_loss_naive",
    "There is a factor 1/2 in the penalty. Here it is reg * sum(W ** 2), without one.",
    family="term",
)
def naive_svm_half_penalty(W, X, y, reg):
    return right_svm(W, X, y, reg / 2)


@mistake(
    "svm_loss_naive",
    "The penalty is divided by N. It belongs outside of the mean over the pictures.",
    family="term",
)
def naive_svm_penalty_averaged(W, X, y, reg):
    return right_svm(W, X, y, reg / len(y))


@mistake(
    "svm_loss_naive",
    "The number of classes is taken from the labels. It is W.shape[1], even if the last classes do not "
    "occur.",
)
def naive_svm_classes_from_labels(W, X, y, reg):
    loss, dW = right_svm(W[:, : y.max() + 1], X, y, 0.0)
    padded = np.zeros(W.shape)
    padded[:, : y.max() + 1] = dW
    return loss + penalty(W, reg), padded + 2 * reg * W


# --- svm_loss_vectorized


@mistake("svm_loss_vectorized", "There is still a Python loop over the pictures, and it is slow.")
def svm_loop_over_pictures(W, X, y, reg):
    N, C = len(y), W.shape[1]
    loss, dW = 0.0, np.zeros(W.shape)
    for i in range(N):
        scores = X[i] @ W
        for j in range(C):
            margin = scores[j] - scores[y[i]] + 1
            if j != y[i] and margin > 0:
                loss += margin
                dW[:, j] += X[i]
                dW[:, y[i]] -= X[i]
    return loss / N + penalty(W, reg), dW / N + 2 * reg * W


@mistake(
    "svm_loss_vectorized",
    "The margins of the right classes are not set to 0: each adds 1, and the loss is too high by exactly 1.",
    family="shifted",
)
def svm_counts_right_class(W, X, y, reg):
    loss, dW = right_svm(W, X, y, reg)
    return loss + 1, dW


@mistake(
    "svm_loss_vectorized",
    "The right class gets -1 in the matrix. It gets minus the number of margins missed in its row.",
)
def svm_right_class_minus_one(W, X, y, reg):
    loss, _ = right_svm(W, X, y, reg)
    M = (missed(W, X, y) > 0).astype(float)
    M[np.arange(len(y)), y] = -1
    return loss, X.T @ M / len(y) + 2 * reg * W


@mistake(
    "svm_loss_vectorized",
    "The right class itself is counted among the margins that are missed, so its column is pushed once too "
    "often. Set its margin to 0 before you count.",
)
def svm_right_class_counts_itself(W, X, y, reg):
    loss, _ = right_svm(W, X, y, reg)
    M = counts_of(missed(W, X, y), y)
    M[np.arange(len(y)), y] -= 1
    return loss, X.T @ M / len(y) + 2 * reg * W


@mistake(
    "svm_loss_vectorized",
    "The gradient is weighted with the margins themselves. The derivative of a margin that is missed is 1, "
    "however much is missing.",
)
def svm_gradient_weighted(W, X, y, reg):
    loss, _ = right_svm(W, X, y, reg)
    M = missed(W, X, y)
    M[np.arange(len(y)), y] = -M.sum(axis=1)
    return loss, X.T @ M / len(y) + 2 * reg * W


@mistake("svm_loss_vectorized", "The column of the right class is left out of the gradient.")
def svm_right_column_missing(W, X, y, reg):
    loss, _ = right_svm(W, X, y, reg)
    return loss, X.T @ (missed(W, X, y) > 0) / len(y) + 2 * reg * W


@mistake(
    "svm_loss_vectorized", "The loss is a mean over pictures and classes: divide by N only.", family="scaled"
)
def svm_mean_over_everything(W, X, y, reg):
    return missed(W, X, y).mean() + penalty(W, reg), right_svm(W, X, y, reg)[1]


@mistake(
    "svm_loss_vectorized", "The margins that are met are not cut off at 0: they must not lower the loss."
)
def svm_not_cut_off(W, X, y, reg):
    scores = X @ W
    margins = scores - scores[np.arange(len(y)), y][:, np.newaxis] + 1
    margins[np.arange(len(y)), y] = 0
    return margins.sum() / len(y) + penalty(W, reg), right_svm(W, X, y, reg)[1]


@mistake("svm_loss_vectorized", "The gradient is not divided by N.", family="scaled")
def svm_gradient_summed(W, X, y, reg):
    loss, _ = right_svm(W, X, y, reg)
    return loss, right_svm(W, X, y, 0.0)[1] * len(y) + 2 * reg * W


@mistake(
    "svm_loss_vectorized",
    "The factor 2 is missing in the penalty's gradient: it is 2 * reg * W.",
    family="term",
)
def svm_penalty_factor_two(W, X, y, reg):
    loss, dW = right_svm(W, X, y, reg)
    return loss, dW - reg * W


@mistake("svm_loss_vectorized", "The penalty is missing in the gradient: add 2 * reg * W.", family="term")
def svm_no_penalty_in_gradient(W, X, y, reg):
    return right_svm(W, X, y, reg)[0], right_svm(W, X, y, 0.0)[1]


@mistake("svm_loss_vectorized", "The penalty is missing in the loss: add reg * sum(W ** 2).", family="term")
def svm_no_penalty_in_loss(W, X, y, reg):
    return right_svm(W, X, y, 0.0)[0], right_svm(W, X, y, reg)[1]


@mistake(
    "svm_loss_vectorized",
    "The last row of W is left out of the penalty. It is a row like the others here, bias or not.",
)
def svm_penalty_spares_last_row(W, X, y, reg):
    loss, dW = right_svm(W, X, y, 0.0)
    free = W.copy()
    free[-1] = 0
    return loss + penalty(free, reg), dW + 2 * reg * free


# --- softmax_loss_naive


@mistake(
    "softmax_loss_naive",
    "Large scores overflow in exp: subtract the picture's largest score from its scores first.",
    family="unstable",
)
def naive_softmax_overflows(W, X, y, reg):
    with np.errstate(all="ignore"):
        exp = np.exp(X @ W)
        p = exp / exp.sum(axis=1, keepdims=True)
        loss = -np.log(p[np.arange(len(y)), y]).mean() + penalty(W, reg)
        return loss, X.T @ (p - one_hot(y, W.shape[1])) / len(y) + 2 * reg * W


@mistake(
    "softmax_loss_naive",
    "The gradient has the probabilities alone: subtract 1 from that of the right class.",
)
def naive_softmax_one_not_subtracted(W, X, y, reg):
    loss, _ = right_softmax(W, X, y, reg)
    return loss, X.T @ probabilities(X @ W) / len(y) + 2 * reg * W


@mistake(
    "softmax_loss_naive",
    "The gradient's sign is reversed: it is the probabilities minus what is true, not the other way round.",
    family="sign",
)
def naive_softmax_reversed(W, X, y, reg):
    loss, _ = right_softmax(W, X, y, reg)
    return loss, 2 * reg * W - right_softmax(W, X, y, 0.0)[1]


@mistake("softmax_loss_naive", "The logarithm is missing: the loss is -log p of the right class, not -p.")
def naive_softmax_without_log(W, X, y, reg):
    p = probabilities(X @ W)[np.arange(len(y)), y]
    return -p.mean() + penalty(W, reg), right_softmax(W, X, y, reg)[1]


@mistake(
    "softmax_loss_naive",
    "The minus sign is missing in front of the logarithm: the loss is negative.",
    family="sign",
)
def naive_softmax_without_minus(W, X, y, reg):
    return penalty(W, reg) - right_softmax(W, X, y, 0.0)[0], right_softmax(W, X, y, reg)[1]


@mistake(
    "softmax_loss_naive",
    "The loss has -log p of every class. Only the right one counts; the others count through the sum below "
    "the fraction.",
)
def naive_softmax_log_of_all(W, X, y, reg):
    log_p = np.log(probabilities(X @ W))
    return -log_p.sum() / len(y) + penalty(W, reg), right_softmax(W, X, y, reg)[1]


@mistake(
    "softmax_loss_naive",
    "Loss and gradient are summed over the pictures but not divided by their number N.",
    family="scaled",
)
def naive_softmax_summed(W, X, y, reg):
    loss, dW = right_softmax(W, X, y, 0.0)
    return loss * len(y) + penalty(W, reg), dW * len(y) + 2 * reg * W


@mistake("softmax_loss_naive", "The loss is divided by N, and the gradient is not.", family="scaled")
def naive_softmax_gradient_summed(W, X, y, reg):
    loss, _ = right_softmax(W, X, y, reg)
    return loss, right_softmax(W, X, y, 0.0)[1] * len(y) + 2 * reg * W


@mistake("softmax_loss_naive", "The penalty is missing in the gradient: add 2 * reg * W.", family="term")
def naive_softmax_no_penalty_in_gradient(W, X, y, reg):
    return right_softmax(W, X, y, reg)[0], right_softmax(W, X, y, 0.0)[1]


@mistake("softmax_loss_naive", "The penalty is missing in the loss: add reg * sum(W ** 2).", family="term")
def naive_softmax_no_penalty_in_loss(W, X, y, reg):
    return right_softmax(W, X, y, 0.0)[0], right_softmax(W, X, y, reg)[1]


@mistake(
    "softmax_loss_naive",
    "There is a factor 1/2 in the penalty. Here it is reg * sum(W ** 2), without one.",
    family="term",
)
def naive_softmax_half_penalty(W, X, y, reg):
    return right_softmax(W, X, y, reg / 2)


@mistake(
    "softmax_loss_naive",
    "The number of classes is taken from the labels. It is W.shape[1], even if the last classes do not "
    "occur.",
)
def naive_softmax_classes_from_labels(W, X, y, reg):
    loss, dW = right_softmax(W[:, : y.max() + 1], X, y, 0.0)
    padded = np.zeros(W.shape)
    padded[:, : y.max() + 1] = dW
    return loss + penalty(W, reg), padded + 2 * reg * W


# --- softmax_loss_vectorized


@mistake("softmax_loss_vectorized", "There is still a Python loop over the pictures, and it is slow.")
def softmax_loop_over_pictures(W, X, y, reg):
    loss, dW = 0.0, np.zeros(W.shape)
    for x, label in zip(X, y, strict=True):
        p = np.exp(x @ W - np.max(x @ W))
        p = p / p.sum()
        loss -= np.log(p[label])
        p[label] -= 1
        dW += np.outer(x, p)
    return loss / len(y) + penalty(W, reg), dW / len(y) + 2 * reg * W


@mistake(
    "softmax_loss_vectorized",
    "Large scores overflow in exp: subtract each picture's largest score from its scores first.",
    family="unstable",
)
def softmax_overflows(W, X, y, reg):
    with np.errstate(all="ignore"):
        exp = np.exp(X @ W)
        p = exp / exp.sum(axis=1, keepdims=True)
        loss = -np.log(p[np.arange(len(y)), y]).mean() + penalty(W, reg)
        return loss, X.T @ (p - one_hot(y, W.shape[1])) / len(y) + 2 * reg * W


@mistake(
    "softmax_loss_vectorized",
    "The largest score of the whole batch is subtracted. A picture whose scores are all far below it ends up "
    "with 0 / 0: take the maximum of each row.",
    family="unstable",
)
def softmax_maximum_of_the_batch(W, X, y, reg):
    with np.errstate(all="ignore"):
        scores = X @ W
        exp = np.exp(scores - scores.max())
        p = exp / exp.sum(axis=1, keepdims=True)
        loss = -np.log(p[np.arange(len(y)), y]).mean() + penalty(W, reg)
        return loss, X.T @ (p - one_hot(y, W.shape[1])) / len(y) + 2 * reg * W


@mistake(
    "softmax_loss_vectorized",
    "The probabilities are normalised over the pictures (axis 0). Those of one picture, over the classes "
    "(axis 1), add up to 1.",
)
def softmax_normalised_over_pictures(W, X, y, reg):
    p = probabilities((X @ W).T).T
    loss = -np.log(p[np.arange(len(y)), y]).mean() + penalty(W, reg)
    return loss, X.T @ (p - one_hot(y, W.shape[1])) / len(y) + 2 * reg * W


@mistake(
    "softmax_loss_vectorized",
    "The sum in the denominator runs over the whole batch: give it axis=1 and keepdims=True.",
)
def softmax_normalised_over_everything(W, X, y, reg):
    scores = X @ W
    exp = np.exp(scores - scores.max(axis=1, keepdims=True))
    p = exp / exp.sum()
    loss = -np.log(p[np.arange(len(y)), y]).mean() + penalty(W, reg)
    return loss, X.T @ (p - one_hot(y, W.shape[1])) / len(y) + 2 * reg * W


@mistake(
    "softmax_loss_vectorized",
    "keepdims=True is missing: sums of shape (N,) cannot be divided into an array of shape (N, C).",
)
def softmax_without_keepdims(W, X, y, reg):
    scores = X @ W
    exp = np.exp(scores - scores.max(axis=1, keepdims=True))
    p = exp / exp.sum(axis=1)
    loss = -np.log(p[np.arange(len(y)), y]).mean() + penalty(W, reg)
    return loss, X.T @ (p - one_hot(y, W.shape[1])) / len(y) + 2 * reg * W


@mistake(
    "softmax_loss_vectorized",
    "The gradient has the probabilities alone: subtract 1 from those of the right classes.",
)
def softmax_one_not_subtracted(W, X, y, reg):
    loss, _ = right_softmax(W, X, y, reg)
    return loss, X.T @ probabilities(X @ W) / len(y) + 2 * reg * W


@mistake(
    "softmax_loss_vectorized",
    "p[:, y] -= 1 takes whole columns. The right class of each picture is p[np.arange(N), y].",
)
def softmax_columns_instead_of_elements(W, X, y, reg):
    loss, _ = right_softmax(W, X, y, reg)
    p = probabilities(X @ W)
    p[:, y] -= 1
    return loss, X.T @ p / len(y) + 2 * reg * W


@mistake(
    "softmax_loss_vectorized",
    "The gradient's sign is reversed: it is the probabilities minus what is true, not the other way round.",
    family="sign",
)
def softmax_reversed(W, X, y, reg):
    loss, _ = right_softmax(W, X, y, reg)
    return loss, 2 * reg * W - right_softmax(W, X, y, 0.0)[1]


@mistake(
    "softmax_loss_vectorized",
    "The gradient is a mean over pictures and classes: divide by N only.",
    family="scaled",
)
def softmax_divided_by_classes(W, X, y, reg):
    loss, _ = right_softmax(W, X, y, reg)
    return loss, right_softmax(W, X, y, 0.0)[1] / W.shape[1] + 2 * reg * W


@mistake("softmax_loss_vectorized", "The gradient is not divided by N.", family="scaled")
def softmax_gradient_summed(W, X, y, reg):
    loss, _ = right_softmax(W, X, y, reg)
    return loss, right_softmax(W, X, y, 0.0)[1] * len(y) + 2 * reg * W


@mistake(
    "softmax_loss_vectorized",
    "The factor 2 is missing in the penalty's gradient: it is 2 * reg * W.",
    family="term",
)
def softmax_penalty_factor_two(W, X, y, reg):
    loss, dW = right_softmax(W, X, y, reg)
    return loss, dW - reg * W


@mistake("softmax_loss_vectorized", "The penalty is missing in the gradient: add 2 * reg * W.", family="term")
def softmax_no_penalty_in_gradient(W, X, y, reg):
    return right_softmax(W, X, y, reg)[0], right_softmax(W, X, y, 0.0)[1]


@mistake(
    "softmax_loss_vectorized", "The penalty is missing in the loss: add reg * sum(W ** 2).", family="term"
)
def softmax_no_penalty_in_loss(W, X, y, reg):
    return right_softmax(W, X, y, 0.0)[0], right_softmax(W, X, y, reg)[1]


# --- sample_batch


@mistake("sample_batch", "The batch is always the first batch_size examples: nothing is drawn.")
def first_examples(X, y, batch_size, seed):
    return X[:batch_size], y[:batch_size]


@mistake("sample_batch", "X and y are drawn separately, so that the pictures come with labels of others.")
def labels_drawn_apart(X, y, batch_size, seed):
    rng = np.random.default_rng(seed)
    return X[rng.integers(len(X), size=batch_size)], y[rng.integers(len(X), size=batch_size)]


@mistake("sample_batch", "The last example is never drawn: rng.integers(n) stops at n - 1 by itself.")
def last_example_never(X, y, batch_size, seed):
    chosen = np.random.default_rng(seed).integers(max(len(X) - 1, 1), size=batch_size)
    return X[chosen], y[chosen]


@mistake(
    "sample_batch",
    "The batch is a run of neighbours from a random place. In file order neighbours may be of one class: "
    "draw each index for itself.",
)
def run_of_neighbours(X, y, batch_size, seed):
    start = np.random.default_rng(seed).integers(len(X) - batch_size + 1)
    return X[start : start + batch_size], y[start : start + batch_size]


@mistake("sample_batch", "The seed is not used: every batch of a run is the same.")
def seed_fixed(X, y, batch_size, seed):
    chosen = np.random.default_rng(0).integers(len(X), size=batch_size)
    return X[chosen], y[chosen]


@mistake(
    "sample_batch", "Only the last number of the seed is used, so that different runs draw the same batches."
)
def part_of_the_seed(X, y, batch_size, seed):
    seed = seed[-1] if isinstance(seed, tuple) else seed
    chosen = np.random.default_rng(seed).integers(len(X), size=batch_size)
    return X[chosen], y[chosen]


@mistake(
    "sample_batch",
    "The order of the first batch_size examples is shuffled. The batch should be drawn from all examples.",
)
def first_examples_shuffled(X, y, batch_size, seed):
    order = np.random.default_rng(seed).permutation(batch_size)
    return X[order], y[order]


@mistake(
    "sample_batch", "X and y are shuffled in place: the caller's arrays are in another order afterwards."
)
def shuffled_in_place(X, y, batch_size, seed):
    order = np.random.default_rng(seed).permutation(len(X))
    X[:], y[:] = X[order], y[order]
    return X[:batch_size].copy(), y[:batch_size].copy()


# --- train_linear_classifier


def descend(loss, W, X, y, rate, reg, steps, size, seed, *, first=0, same=False, whole=False):
    """The right loop, with a switch for each mistake."""
    loss_function = {"svm": svm_loss_vectorized, "softmax": softmax_loss_vectorized}[loss]
    history = []
    for t in range(first, steps):
        batch = (X, y) if whole else sample_batch(X, y, size, (seed, 0 if same else t))
        value, dW = loss_function(W, *batch, reg)
        history.append(float(value))
        W = W - rate * dW
    return W, history


@mistake(
    "train_linear_classifier",
    "The sign is wrong: W moves along the gradient, uphill, and the loss grows.",
    family="sign",
)
def uphill(loss, W, X, y, learning_rate=0.1, reg=1e-3, num_iters=100, batch_size=200, seed=0):
    return descend(loss, W, X, y, -learning_rate, reg, num_iters, batch_size, seed)


@mistake("train_linear_classifier", "Every step sees all of X instead of a batch.")
def whole_set(loss, W, X, y, learning_rate=0.1, reg=1e-3, num_iters=100, batch_size=200, seed=0):
    return descend(loss, W, X, y, learning_rate, reg, num_iters, batch_size, seed, whole=True)


@mistake(
    "train_linear_classifier",
    "One batch is drawn and used in all steps. Draw a fresh one in each, with the seed (seed, t).",
)
def one_batch_for_all(loss, W, X, y, learning_rate=0.1, reg=1e-3, num_iters=100, batch_size=200, seed=0):
    return descend(loss, W, X, y, learning_rate, reg, num_iters, batch_size, seed, same=True)


@mistake("train_linear_classifier", "The first step is number 0: one step too few is made.", family="offset")
def one_step_too_few(loss, W, X, y, learning_rate=0.1, reg=1e-3, num_iters=100, batch_size=200, seed=0):
    return descend(loss, W, X, y, learning_rate, reg, num_iters, batch_size, seed, first=1)


@mistake(
    "train_linear_classifier",
    "reg is not passed on to the loss: training goes without a penalty.",
    family="term",
)
def without_penalty(loss, W, X, y, learning_rate=0.1, reg=1e-3, num_iters=100, batch_size=200, seed=0):
    return descend(loss, W, X, y, learning_rate, 0.0, num_iters, batch_size, seed)


@mistake(
    "train_linear_classifier",
    "The penalty counts twice: dW has its gradient already, so do not shrink W by it once more.",
)
def penalty_twice(loss, W, X, y, learning_rate=0.1, reg=1e-3, num_iters=100, batch_size=200, seed=0):
    loss_function = {"svm": svm_loss_vectorized, "softmax": softmax_loss_vectorized}[loss]
    history = []
    for t in range(num_iters):
        value, dW = loss_function(W, *sample_batch(X, y, batch_size, (seed, t)), reg)
        history.append(float(value))
        W = W - learning_rate * (dW + 2 * reg * W)
    return W, history


@mistake(
    "train_linear_classifier",
    "The gradient is divided by the size of the batch, which the loss has done already: the steps are too "
    "short.",
    family="scaled",
)
def averaged_twice(loss, W, X, y, learning_rate=0.1, reg=1e-3, num_iters=100, batch_size=200, seed=0):
    return descend(loss, W, X, y, learning_rate / batch_size, reg, num_iters, batch_size, seed)


@mistake("train_linear_classifier", "Training starts from zeros instead of the weights that are given.")
def starts_from_zeros(loss, W, X, y, learning_rate=0.1, reg=1e-3, num_iters=100, batch_size=200, seed=0):
    return descend(loss, 0 * W, X, y, learning_rate, reg, num_iters, batch_size, seed)


@mistake(
    "train_linear_classifier",
    "W -= ... changes the caller's array in place, so that the next run does not start where it should. "
    "Write W = W - ..., or work on a copy.",
)
def start_changed_in_place(loss, W, X, y, learning_rate=0.1, reg=1e-3, num_iters=100, batch_size=200, seed=0):
    W[:], history = descend(loss, W, X, y, learning_rate, reg, num_iters, batch_size, seed)
    return W, history


@mistake(
    "train_linear_classifier",
    "The losses are noted after the step: entry t belongs before it.",
    family="offset",
)
def losses_after_the_step(loss, W, X, y, learning_rate=0.1, reg=1e-3, num_iters=100, batch_size=200, seed=0):
    loss_function = {"svm": svm_loss_vectorized, "softmax": softmax_loss_vectorized}[loss]
    history = []
    for t in range(num_iters):
        batch = sample_batch(X, y, batch_size, (seed, t))
        W = W - learning_rate * loss_function(W, *batch, reg)[1]
        history.append(float(loss_function(W, *batch, reg)[0]))
    return W, history


@mistake("train_linear_classifier", "Only the last loss is returned; the history has one for each step.")
def last_loss_only(loss, W, X, y, learning_rate=0.1, reg=1e-3, num_iters=100, batch_size=200, seed=0):
    W, history = descend(loss, W, X, y, learning_rate, reg, num_iters, batch_size, seed)
    return W, history[-1] if history else 0.0


@mistake("train_linear_classifier", "The softmax loss is used whatever `loss` says.")
def always_softmax(loss, W, X, y, learning_rate=0.1, reg=1e-3, num_iters=100, batch_size=200, seed=0):
    return descend("softmax", W, X, y, learning_rate, reg, num_iters, batch_size, seed)


# --- predict


@mistake("predict", "argmax has the wrong axis: it runs over the pictures (0) instead of the classes (1).")
def best_picture_of_each_class(W, X):
    return np.argmax(X @ W, axis=0)


@mistake("predict", "This is the highest score itself. The class is its index: argmax, not max.")
def highest_score(W, X):
    return np.max(X @ W, axis=1)


@mistake("predict", "The lowest score wins: argmin where argmax belongs.")
def lowest_score(W, X):
    return np.argmin(X @ W, axis=1)


@mistake("predict", "The size of the scores is compared, without their sign: a very negative one wins.")
def largest_size(W, X):
    return np.argmax(np.abs(X @ W), axis=1)


@mistake("predict", "argmax has no axis: it returns one number for the whole batch.")
def one_number_for_all(W, X):
    return np.argmax(X @ W)


@mistake("predict", "Of equal scores the last one wins; it should be the smaller class number.")
def last_of_equals(W, X):
    scores = X @ W
    return scores.shape[1] - 1 - np.argmax(scores[:, ::-1], axis=1)


@mistake(
    "predict",
    "The class numbers are a column of shape (N, 1); they should have shape (N,).",
    family="reshaped",
)
def column_of_answers(W, X):
    return np.argmax(X @ W, axis=1, keepdims=True)


@mistake(
    "predict",
    "Probabilities are compared, and for large scores exp overflows. The scores have the same order: compare "
    "them.",
)
def overflowing_probabilities(W, X):
    with np.errstate(all="ignore"):
        exp = np.exp(X @ W)
        return np.argmax(exp / exp.sum(axis=1, keepdims=True), axis=1)


# --- search_hyperparameters


def runs_of(loss, W, X, y, X_val, y_val, rates, regs, steps, size, seed, *, swapped=False, onwards=False):
    """(pair, accuracies, weights) of every run, with a switch for each mistake."""
    runs = []
    for rate in rates:
        for reg in regs:
            pair = (reg, rate) if swapped else (rate, reg)
            trained, _ = train_linear_classifier(loss, W, X, y, *pair, steps, size, seed)
            accuracies = tuple(float(np.mean(predict(trained, a) == b)) for a, b in ((X, y), (X_val, y_val)))
            runs.append(((rate, reg), accuracies, trained))
            W = trained if onwards else W
    return runs


def choose(runs, value):
    """results, best and best_W, where `value` of the accuracies decides."""
    best = max(runs, key=lambda run: value(run[1]))
    return {pair: accuracies for pair, accuracies, _ in runs}, best[0], best[2]


def validation(accuracies):
    """What ought to decide."""
    return accuracies[1]


@mistake(
    "search_hyperparameters",
    "The training accuracy chooses. It always favours the weakest penalty: let the validation set choose.",
)
def chosen_by_training(
    loss, W, X_train, y_train, X_val, y_val, learning_rates, regs, num_iters=100, batch_size=200, seed=0
):
    runs = runs_of(loss, W, X_train, y_train, X_val, y_val, learning_rates, regs, num_iters, batch_size, seed)
    return choose(runs, lambda accuracies: accuracies[0])


@mistake(
    "search_hyperparameters",
    "Each run goes on from the weights of the one before. Then the last pair looks best: start every run "
    "from W.",
)
def runs_go_on(
    loss, W, X_train, y_train, X_val, y_val, learning_rates, regs, num_iters=100, batch_size=200, seed=0
):
    runs = runs_of(
        loss,
        W,
        X_train,
        y_train,
        X_val,
        y_val,
        learning_rates,
        regs,
        num_iters,
        batch_size,
        seed,
        onwards=True,
    )
    return choose(runs, validation)


@mistake("search_hyperparameters", "Learning rate and penalty are exchanged where the training is called.")
def rate_and_penalty_exchanged(
    loss, W, X_train, y_train, X_val, y_val, learning_rates, regs, num_iters=100, batch_size=200, seed=0
):
    runs = runs_of(
        loss,
        W,
        X_train,
        y_train,
        X_val,
        y_val,
        learning_rates,
        regs,
        num_iters,
        batch_size,
        seed,
        swapped=True,
    )
    return choose(runs, validation)


@mistake("search_hyperparameters", "best_W holds the weights of the last run instead of the best one.")
def weights_of_the_last_run(
    loss, W, X_train, y_train, X_val, y_val, learning_rates, regs, num_iters=100, batch_size=200, seed=0
):
    runs = runs_of(loss, W, X_train, y_train, X_val, y_val, learning_rates, regs, num_iters, batch_size, seed)
    results, best, _ = choose(runs, validation)
    return results, best, runs[-1][2]


@mistake(
    "search_hyperparameters",
    "Of equal validation accuracies the last one wins: compare with >, so that the first one stays.",
)
def last_of_equal_pairs(
    loss, W, X_train, y_train, X_val, y_val, learning_rates, regs, num_iters=100, batch_size=200, seed=0
):
    runs = runs_of(loss, W, X_train, y_train, X_val, y_val, learning_rates, regs, num_iters, batch_size, seed)
    results, _, _ = choose(runs, validation)
    _, best, best_W = choose(runs[::-1], validation)
    return results, best, best_W


@mistake(
    "search_hyperparameters",
    "The accuracies are per cent; they should be shares from 0 to 1.",
    family="scaled",
)
def accuracies_in_per_cent(
    loss, W, X_train, y_train, X_val, y_val, learning_rates, regs, num_iters=100, batch_size=200, seed=0
):
    runs = runs_of(loss, W, X_train, y_train, X_val, y_val, learning_rates, regs, num_iters, batch_size, seed)
    results, best, best_W = choose(runs, validation)
    return {pair: (100 * a, 100 * b) for pair, (a, b) in results.items()}, best, best_W


@mistake(
    "search_hyperparameters", "The lowest validation accuracy is chosen: these are accuracies, not losses."
)
def worst_chosen(
    loss, W, X_train, y_train, X_val, y_val, learning_rates, regs, num_iters=100, batch_size=200, seed=0
):
    runs = runs_of(loss, W, X_train, y_train, X_val, y_val, learning_rates, regs, num_iters, batch_size, seed)
    return choose(runs, lambda accuracies: -accuracies[1])


@mistake(
    "search_hyperparameters",
    "The first rate goes with the first reg, the second with the second: try all pairs.",
)
def no_grid(
    loss, W, X_train, y_train, X_val, y_val, learning_rates, regs, num_iters=100, batch_size=200, seed=0
):
    results, _, _ = right_search(
        loss, W, X_train, y_train, X_val, y_val, learning_rates, regs, num_iters, batch_size, seed
    )
    pairs = list(zip(learning_rates, regs, strict=False))
    best = max(pairs, key=lambda pair: results[pair][1])
    best_W, _ = train_linear_classifier(loss, W, X_train, y_train, *best, num_iters, batch_size, seed)
    return {pair: results[pair] for pair in pairs}, best, best_W


@mistake(
    "search_hyperparameters",
    "num_iters, batch_size and seed are not passed on: every run uses the defaults of the training.",
)
def options_not_passed_on(
    loss, W, X_train, y_train, X_val, y_val, learning_rates, regs, num_iters=100, batch_size=200, seed=0
):
    runs = runs_of(loss, W, X_train, y_train, X_val, y_val, learning_rates, regs, 100, 200, 0)
    return choose(runs, validation)
