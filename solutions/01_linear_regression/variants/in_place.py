"""In-place operators and `out=` arguments, always on arrays made here; a table with y as its last column."""

import numpy as np


def predict(x, w, b):
    predictions = np.full(len(x), b, dtype=float)
    column = np.empty(len(x))
    for d in range(x.shape[1]):
        np.multiply(x[:, d], w[d], out=column)
        predictions += column
    return predictions


def mse_loss(y_pred, y):
    error = y_pred.astype(float)
    error -= y
    error **= 2
    return np.add.reduce(error) / error.size


def mse_gradients(x, y, w, b):
    error = predict(x, w, b)
    error -= y
    error *= 2 / len(y)
    weighted = x.astype(float)
    weighted *= error[:, np.newaxis]
    return weighted.sum(axis=0), error.sum()


def train(x, y, learning_rate, epochs):
    parameters, step = np.zeros(x.shape[1] + 1), np.empty(x.shape[1] + 1)
    losses = np.empty(epochs)
    for epoch in range(epochs):
        losses[epoch] = mse_loss(predict(x, parameters[:-1], parameters[-1]), y)
        step[:-1], step[-1] = mse_gradients(x, y, parameters[:-1], parameters[-1])
        step *= learning_rate
        parameters -= step
    return parameters[:-1], parameters[-1], losses.tolist()


def train_test_split(x, y, test_fraction, seed):
    table = np.column_stack([x, y])
    np.random.default_rng(seed).shuffle(table, axis=0)
    train, test = np.split(table, [len(table) - int(np.rint(test_fraction * len(table)))])
    return train[:, :-1], test[:, :-1], train[:, -1], test[:, -1]


def standardize(x_train, x_test):
    train, test = np.array(x_train, dtype=float), np.array(x_test, dtype=float)
    mean = train.mean(axis=0)
    train -= mean
    test -= mean
    std = np.square(train).mean(axis=0)
    np.sqrt(std, out=std)
    std[np.ptp(x_train, axis=0) == 0] = 1
    train /= std
    test /= std
    return train, test, mean, std


def to_original_units(w, b, mean, std):
    slopes, shift = w.copy(), mean.copy()
    slopes /= std
    shift *= slopes
    return slopes, b - shift.sum()
