"""Plain Python loops, one number at a time, as somebody new to NumPy would write it."""

import numpy as np


def predict(x, w, b):
    predictions = np.zeros(x.shape[0])
    for i in range(x.shape[0]):
        total = float(b)
        for d in range(x.shape[1]):
            total += x[i, d] * w[d]
        predictions[i] = total
    return predictions


def mse_loss(y_pred, y):
    total = 0.0
    for predicted, wanted in zip(y_pred, y, strict=True):
        total += (wanted - predicted) ** 2
    return total / len(y)


def mse_gradients(x, y, w, b):
    n, features = x.shape
    dw, db = np.zeros(features), 0.0
    for i in range(n):
        prediction = b
        for d in range(features):
            prediction += w[d] * x[i, d]
        slope = 2.0 / n * (prediction - y[i])
        db += slope
        for d in range(features):
            dw[d] += slope * x[i, d]
    return dw, db


def train(x, y, learning_rate, epochs):
    w = np.zeros(x.shape[1])
    b = 0.0
    losses = []
    epoch = 0
    while epoch < epochs:
        losses.append(mse_loss(predict(x, w, b), y))
        dw, db = mse_gradients(x, y, w, b)
        for d in range(len(w)):
            w[d] -= learning_rate * dw[d]
        b -= learning_rate * db
        epoch += 1
    return w, b, losses


def train_test_split(x, y, test_fraction, seed):
    # The legacy generator, and the test part taken from the end.
    np.random.seed(seed)
    order = np.random.permutation(x.shape[0])
    num_train = x.shape[0] - round(x.shape[0] * test_fraction)
    x_train, y_train, x_test, y_test = [], [], [], []
    for place, index in enumerate(order):
        if place < num_train:
            x_train.append(x[index])
            y_train.append(y[index])
        else:
            x_test.append(x[index])
            y_test.append(y[index])
    features = x.shape[1]
    return (
        np.array(x_train).reshape(-1, features),
        np.array(x_test).reshape(-1, features),
        np.array(y_train),
        np.array(y_test),
    )


def standardize(x_train, x_test):
    n, features = x_train.shape
    mean, std = np.zeros(features), np.zeros(features)
    for d in range(features):
        mean[d] = sum(x_train[:, d]) / n
        std[d] = (sum((value - mean[d]) ** 2 for value in x_train[:, d]) / n) ** 0.5
        if std[d] == 0:
            std[d] = 1
    train_out, test_out = x_train.astype(float), x_test.astype(float)
    for d in range(features):
        train_out[:, d] = (train_out[:, d] - mean[d]) / std[d]
        test_out[:, d] = (test_out[:, d] - mean[d]) / std[d]
    return train_out, test_out, mean, std


def to_original_units(w, b, mean, std):
    slopes, bias = [], b
    for weight, centre, spread in zip(w, mean, std, strict=True):
        slopes.append(weight / spread)
        bias -= weight * centre / spread
    return np.array(slopes), bias
