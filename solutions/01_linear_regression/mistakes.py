"""Errors that students really make in 01_linear_regression."""

import numpy as np

from autograder.checking import mistake

# --- predict


@mistake("predict", "The bias is missing: every line goes through the origin.", family="shifted")
def without_bias(x, w, b):
    return x @ w


@mistake(
    "predict",
    "x * w multiplies but does not add the features up: the result has shape (N, D) instead of (N,).",
)
def features_not_summed(x, w, b):
    return x * w + b


@mistake(
    "predict", "The predictions are a column of shape (N, 1); they should have shape (N,).", family="reshaped"
)
def column_of_predictions(x, w, b):
    return x @ w[:, np.newaxis] + b


@mistake(
    "predict",
    "The bias is added to the features before they are weighted, so it is multiplied by the weights.",
    family="shifted",
)
def bias_inside(x, w, b):
    return (x + b) @ w


@mistake("predict", "The bias is subtracted instead of added.", family="shifted")
def bias_subtracted(x, w, b):
    return x @ w - b


@mistake("predict", "The sum runs over the examples (axis 0) instead of the features (axis 1).")
def summed_over_examples(x, w, b):
    return (x * w).sum(axis=0) + b


@mistake("predict", "The bias is added once for each feature.", family="shifted")
def bias_for_each_feature(x, w, b):
    return (x * w + b).sum(axis=1)


# --- mse_loss


@mistake("mse_loss", "The squared errors are added up but not divided by their number.", family="scaled")
def summed_not_averaged(y_pred, y):
    return np.sum((y_pred - y) ** 2)


@mistake("mse_loss", "This is the mean absolute error: the differences are not squared.")
def absolute_error(y_pred, y):
    return np.mean(np.abs(y_pred - y))


@mistake(
    "mse_loss",
    "There is a factor 1/2 in front; here the loss is the plain mean of the squares.",
    family="scaled",
)
def half_of_it(y_pred, y):
    return np.mean((y_pred - y) ** 2) / 2


@mistake("mse_loss", "This is the root of the mean squared error: leave the root out.", family="function")
def root_of_it(y_pred, y):
    return np.sqrt(np.mean((y_pred - y) ** 2))


@mistake(
    "mse_loss",
    "The mean is squared instead of the mean taken of the squares: errors of opposite sign cancel.",
)
def square_of_the_mean(y_pred, y):
    return np.mean(y_pred - y) ** 2


@mistake("mse_loss", "This is the difference of the squares, not the square of the difference.")
def difference_of_squares(y_pred, y):
    return np.mean(y_pred**2 - y**2)


@mistake("mse_loss", "Shapes (N, 1) and (N,) were subtracted: all N x N pairs are compared instead of N.")
def all_pairs(y_pred, y):
    return np.mean((y_pred[:, np.newaxis] - y) ** 2)


@mistake("mse_loss", "The squared errors are divided by N - 1 instead of N.", family="scaled")
def divided_by_n_minus_one(y_pred, y):
    return np.sum((y_pred - y) ** 2) / max(len(y) - 1, 1)


# --- mse_gradients


@mistake(
    "mse_gradients",
    "The sign is reversed: the error is prediction minus target, not target minus prediction.",
    family="sign",
)
def sign_reversed(x, y, w, b):
    error = y - predict(x, w, b)
    return 2 * x.T @ error / len(y), 2 * np.mean(error)


@mistake("mse_gradients", "The factor 2 from the derivative of the square is missing.", family="scaled")
def factor_two_missing(x, y, w, b):
    error = predict(x, w, b) - y
    return x.T @ error / len(y), np.mean(error)


@mistake("mse_gradients", "The sums over the examples are not divided by their number N.", family="scaled")
def not_divided_by_n(x, y, w, b):
    error = predict(x, w, b) - y
    return 2 * x.T @ error, 2 * np.sum(error)


@mistake(
    "mse_gradients", "db is a sum over the examples where dw is a mean: divide both by N.", family="scaled"
)
def only_db_not_divided(x, y, w, b):
    error = predict(x, w, b) - y
    return 2 * x.T @ error / len(y), 2 * np.sum(error)


@mistake("mse_gradients", "dw lacks the features: the derivative of x w + b with respect to w is x.")
def features_missing(x, y, w, b):
    error = predict(x, w, b) - y
    return 2 * np.mean(error) * np.ones_like(w), 2 * np.mean(error)


@mistake("mse_gradients", "The bias is left out of the prediction from which the gradients are computed.")
def bias_left_out(x, y, w, b):
    error = x @ w - y
    return 2 * x.T @ error / len(y), 2 * np.mean(error)


@mistake(
    "mse_gradients",
    "dw is divided by the number of elements of x, N times D, instead of the number of examples N.",
    family="scaled",
)
def divided_by_all_elements(x, y, w, b):
    error = predict(x, w, b) - y
    return 2 * x.T @ error / (2 * x.size), 2 * np.mean(error)


@mistake(
    "mse_gradients",
    "These are the gradients of single examples: they are not summed over the batch.",
    family="reduced",
)
def one_gradient_per_example(x, y, w, b):
    error = predict(x, w, b) - y
    return 2 * x * error[:, np.newaxis] / len(y), 2 * error / len(y)


# --- train


@mistake("train", "The step goes along the gradient, uphill; subtract it.", family="sign")
def uphill(x, y, learning_rate, epochs):
    w, b, losses = np.zeros(x.shape[1]), 0.0, []
    for _ in range(epochs):
        losses.append(mse_loss(predict(x, w, b), y))
        dw, db = mse_gradients(x, y, w, b)
        w, b = w + learning_rate * dw, b + learning_rate * db
    return w, b, losses


@mistake("train", "The bias is never updated.")
def bias_never_updated(x, y, learning_rate, epochs):
    w, b, losses = np.zeros(x.shape[1]), 0.0, []
    for _ in range(epochs):
        losses.append(mse_loss(predict(x, w, b), y))
        dw, _db = mse_gradients(x, y, w, b)
        w = w - learning_rate * dw
    return w, b, losses


@mistake("train", "db is computed after w has changed: both gradients belong to the point before the step.")
def gradients_of_two_points(x, y, learning_rate, epochs):
    w, b, losses = np.zeros(x.shape[1]), 0.0, []
    for _ in range(epochs):
        losses.append(mse_loss(predict(x, w, b), y))
        w = w - learning_rate * mse_gradients(x, y, w, b)[0]
        b = b - learning_rate * mse_gradients(x, y, w, b)[1]
    return w, b, losses


@mistake(
    "train",
    "Each loss is recorded after its step instead of before, so that the loss of the start is missing.",
    family="offset",
)
def loss_after_the_step(x, y, learning_rate, epochs):
    w, b, losses = np.zeros(x.shape[1]), 0.0, []
    for _ in range(epochs):
        dw, db = mse_gradients(x, y, w, b)
        w, b = w - learning_rate * dw, b - learning_rate * db
        losses.append(mse_loss(predict(x, w, b), y))
    return w, b, losses


@mistake(
    "train", "One step is missing: range(1, epochs) counts from 1 to epochs - 1.", family="offset, partial"
)
def one_step_short(x, y, learning_rate, epochs):
    return train_from(np.zeros(x.shape[1]), 0.0, x, y, learning_rate, range(1, epochs))


@mistake("train", "The parameters start at ones instead of zeros.")
def start_at_ones(x, y, learning_rate, epochs):
    return train_from(np.ones(x.shape[1]), 1.0, x, y, learning_rate, range(epochs))


@mistake("train", "The weights start at random numbers: from a start at zero every run is the same.")
def start_at_random(x, y, learning_rate, epochs):
    return train_from(
        np.random.default_rng(0).normal(size=x.shape[1]), 0.0, x, y, learning_rate, range(epochs)
    )


@mistake(
    "train",
    "The gradients are divided by the number of examples a second time; mse_gradients has done it.",
    family="scaled",
)
def divided_twice(x, y, learning_rate, epochs):
    return train_from(np.zeros(x.shape[1]), 0.0, x, y, learning_rate / len(y), range(epochs))


@mistake("train", "Only the last loss is returned instead of the list of all of them.", family="reshaped")
def last_loss_only(x, y, learning_rate, epochs):
    w, b, losses = train_from(np.zeros(x.shape[1]), 0.0, x, y, learning_rate, range(epochs))
    return w, b, losses[-1] if losses else 0.0


def train_from(w, b, x, y, learning_rate, steps):
    """Gradient descent from a given start."""
    losses = []
    for _ in steps:
        losses.append(mse_loss(predict(x, w, b), y))
        dw, db = mse_gradients(x, y, w, b)
        w, b = w - learning_rate * dw, b - learning_rate * db
    return w, b, losses


# --- train_test_split


@mistake("train_test_split", "The examples are not shuffled: the test part is the beginning of the data.")
def not_shuffled(x, y, test_fraction, seed):
    num_test = round(test_fraction * len(x))
    return x[num_test:].copy(), x[:num_test].copy(), y[num_test:].copy(), y[:num_test].copy()


@mistake(
    "train_test_split",
    "x and y are shuffled by two different permutations, so targets land beside the wrong examples.",
)
def shuffled_apart(x, y, test_fraction, seed):
    rng = np.random.default_rng(seed)
    x, y = rng.permutation(x), rng.permutation(y)
    num_test = round(test_fraction * len(x))
    return x[num_test:], x[:num_test], y[num_test:], y[:num_test]


@mistake(
    "train_test_split",
    "The results come in the order x_train, y_train, x_test, y_test; here it is x_train, x_test, "
    "y_train, y_test.",
)
def other_order_of_results(x, y, test_fraction, seed):
    x_train, x_test, y_train, y_test = split_at(
        x, y, np.random.default_rng(seed), round(test_fraction * len(x))
    )
    return x_train, y_train, x_test, y_test


@mistake("train_test_split", "order[-num_test:] is everything when num_test is 0, because -0 is 0.")
def minus_zero(x, y, test_fraction, seed):
    order = np.random.default_rng(seed).permutation(len(x))
    num_test = round(test_fraction * len(x))
    return x[order[:-num_test]], x[order[-num_test:]], y[order[:-num_test]], y[order[-num_test:]]


@mistake("train_test_split", "test_fraction is used as the share of the training part.")
def fraction_of_training(x, y, test_fraction, seed):
    return split_at(x, y, np.random.default_rng(seed), len(x) - round(test_fraction * len(x)))


@mistake("train_test_split", "The seed is ignored: two calls with the same seed give two different splits.")
def seed_ignored(x, y, test_fraction, seed):
    return split_at(x, y, np.random, round(test_fraction * len(x)))


@mistake("train_test_split", "The seed is always the same, whatever is passed: all splits are one split.")
def seed_fixed(x, y, test_fraction, seed):
    return split_at(x, y, np.random.default_rng(42), round(test_fraction * len(x)))


@mistake("train_test_split", "Examples are drawn with replacement: some are in both parts, others in none.")
def with_replacement(x, y, test_fraction, seed):
    order = np.random.default_rng(seed).integers(len(x), size=len(x))
    num_test = round(test_fraction * len(x))
    return x[order[num_test:]], x[order[:num_test]], y[order[num_test:]], y[order[:num_test]]


@mistake(
    "train_test_split", "The size of the test part is cut off instead of rounded: 2.8 examples become 2."
)
def size_cut_off(x, y, test_fraction, seed):
    return split_at(x, y, np.random.default_rng(seed), int(test_fraction * len(x)))


@mistake("train_test_split", "The caller's arrays are shuffled in place; permute indices or work on copies.")
def shuffled_in_place(x, y, test_fraction, seed):
    np.random.default_rng(seed).shuffle(x)
    np.random.default_rng(seed).shuffle(y)
    num_test = round(test_fraction * len(x))
    return x[num_test:], x[:num_test], y[num_test:], y[:num_test]


def split_at(x, y, rng, num_test):
    """Shuffle, then cut."""
    order = rng.permutation(len(x))
    return x[order[num_test:]], x[order[:num_test]], y[order[num_test:]], y[order[:num_test]]


# --- standardize


@mistake(
    "standardize",
    "The test part is standardised by its own mean and deviation instead of the training part's.",
)
def test_part_by_itself(x_train, x_test):
    mean, std = moments(x_train)
    test_mean, test_std = moments(x_test)
    return (x_train - mean) / std, (x_test - test_mean) / test_std, mean, std


@mistake(
    "standardize",
    "Mean and deviation are computed from both parts together: the test part leaks into training.",
)
def both_parts_together(x_train, x_test):
    mean, std = moments(np.concatenate([x_train, x_test]))
    return (x_train - mean) / std, (x_test - mean) / std, mean, std


@mistake("standardize", "The features are divided by the variance: the root is missing.", family="scaled")
def divided_by_variance(x_train, x_test):
    mean, std = moments(x_train)
    return (x_train - mean) / std**2, (x_test - mean) / std**2, mean, std**2


@mistake("standardize", "The mean is not subtracted.", family="shifted")
def mean_not_subtracted(x_train, x_test):
    mean, std = moments(x_train)
    return x_train / std, x_test / std, mean, std


@mistake("standardize", "One mean and one deviation are used for all features together: axis=0 is missing.")
def one_mean_for_all(x_train, x_test):
    mean, std = np.full(x_train.shape[1], x_train.mean()), np.full(x_train.shape[1], x_train.std() or 1.0)
    return (x_train - mean) / std, (x_test - mean) / std, mean, std


@mistake(
    "standardize", "The standard deviation is divided by N - 1; here it is divided by N.", family="scaled"
)
def sample_deviation(x_train, x_test):
    mean = x_train.mean(axis=0)
    std = x_train.std(axis=0, ddof=min(1, len(x_train) - 1))
    std = np.where(std == 0, 1.0, std)
    return (x_train - mean) / std, (x_test - mean) / std, mean, std


@mistake(
    "standardize", "A constant feature is divided by its deviation 0 and becomes NaN.", family="unstable"
)
def constant_feature_divided(x_train, x_test):
    mean, std = x_train.mean(axis=0), x_train.std(axis=0)
    with np.errstate(all="ignore"):
        return (x_train - mean) / std, (x_test - mean) / std, mean, std


@mistake(
    "standardize", "The features are scaled to 0..1 by minimum and maximum instead of mean and deviation."
)
def min_max(x_train, x_test):
    low = x_train.min(axis=0)
    span = np.where(np.ptp(x_train, axis=0) == 0, 1.0, np.ptp(x_train, axis=0))
    return (x_train - low) / span, (x_test - low) / span, low, span


def moments(x):
    """Mean and standard deviation of each feature, with 1 for a deviation of 0."""
    std = x.std(axis=0)
    return x.mean(axis=0), np.where(std == 0, 1.0, std)


# --- to_original_units


@mistake("to_original_units", "The bias is left as it was, although the features are shifted by their mean.")
def bias_not_corrected(w, b, mean, std):
    return w / std, b


@mistake(
    "to_original_units",
    "The weights are multiplied by the deviation; a slope per deviation is divided by it.",
    family="scaled",
)
def multiplied_by_std(w, b, mean, std):
    return w * std, b - np.sum(w * std * mean)


@mistake("to_original_units", "The bias is corrected by w' times mean without the division by the deviation.")
def correction_not_divided(w, b, mean, std):
    return w / std, b - np.sum(w * mean)


@mistake("to_original_units", "The correction of the bias is added instead of subtracted.")
def correction_added(w, b, mean, std):
    return w / std, b + np.sum(w * mean / std)


@mistake(
    "to_original_units",
    "The bias is an array with one number for each feature: sum the corrections.",
    family="reshaped",
)
def bias_not_summed(w, b, mean, std):
    return w / std, b - w * mean / std


@mistake(
    "to_original_units", "The bias is divided by the deviation, too; it is in units of y and is not scaled."
)
def bias_divided(w, b, mean, std):
    return w / std, b / std.mean() - np.sum(w * mean / std)
