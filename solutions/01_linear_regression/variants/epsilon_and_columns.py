"""Habits from elsewhere: an epsilon beside the deviation, columns that are squeezed, updates in place."""

import numpy as np


def predict(x, w, b):
    return np.squeeze(np.matmul(x, np.reshape(w, (-1, 1))), axis=1) + b


def mse_loss(y_pred, y):
    return ((y - y_pred) ** 2).mean()


def mse_gradients(x, y, w, b):
    residual = y - (x.dot(w) + b)
    return -2 * np.mean(x * residual[:, None], axis=0), -2 * residual.mean()


def train(x, y, learning_rate, epochs):
    w, b = np.zeros_like(x[0], dtype=float), np.array(0.0)
    losses = []
    for _ in range(epochs):
        losses += [float(mse_loss(predict(x, w, b), y))]
        dw, db = mse_gradients(x, y, w, b)
        w -= learning_rate * dw
        b -= learning_rate * db
    return w, float(b), losses


def standardize(x_train, x_test):
    mean, std = x_train.mean(0), x_train.std(0)
    std[std == 0] = 1
    return (x_train - mean) / (std + 1e-10), (x_test - mean) / (std + 1e-10), mean, std
