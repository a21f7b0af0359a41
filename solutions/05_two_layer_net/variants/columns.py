"""Pictures as columns, a bias as one more column of weights: each layer is one product with [x; 1]."""

import numpy as np


def _extended(x):
    """(D, N) with a row of ones below it."""
    return np.concatenate([x, np.ones((1, x.shape[1]))])


def _weights(params, layer):
    """(outputs, inputs + 1)."""
    return np.column_stack([params[f"W{layer}"].T, params[f"b{layer}"]])


def nn_forward_pass(params, X):
    z = _weights(params, 1) @ _extended(X.T)
    z = (z + np.abs(z)) / 2
    return (_weights(params, 2) @ _extended(z)).T, z.T


def nn_forward_backward(params, X, y=None, reg=0.0):
    first, second = _weights(params, 1), _weights(params, 2)
    below = _extended(X.T)
    a = first @ below
    between = _extended(np.maximum(0.0, a))
    s = second @ between
    if y is None:
        return np.transpose(s)
    # The loss of a picture is log(sum over j of e^(s_j - s_y)).
    gaps = s - s[y, np.arange(len(y))]
    losses = np.logaddexp.reduce(gaps, axis=0)
    p = np.exp(gaps - losses)
    ds = (p - (np.arange(len(s))[:, None] == y)) / len(y)
    da = np.heaviside(a, 0.5) * (second[:, :-1].T @ ds)
    g1, g2 = da @ below.T, ds @ between.T  # weights, and the bias in the last column
    penalty = np.trace(first[:, :-1] @ first[:, :-1].T) + np.trace(second[:, :-1] @ second[:, :-1].T)
    return losses.mean() + reg * penalty, {
        "W1": (g1[:, :-1] + 2 * reg * first[:, :-1]).T,
        "b1": g1[:, -1],
        "W2": (g2[:, :-1] + 2 * reg * second[:, :-1]).T,
        "b2": g2[:, -1],
    }


def nn_predict(params, X):
    return np.argsort(-nn_forward_pass(params, X)[0], axis=1, kind="stable")[:, 0]


def nn_train(params, X, y, X_val, y_val, learning_rate=0.1, learning_rate_decay=0.95, reg=1e-5,
             num_iters=100, batch_size=200, seed=0):  # fmt: skip
    steps_per_epoch = len(y) // batch_size
    loss, train_acc, val_acc = (), (), ()
    for t in range(num_iters):
        rate = learning_rate * learning_rate_decay ** len(train_acc)
        x_batch, y_batch = sample_batch(X, y, batch_size, (seed, t))
        value, grads = nn_forward_backward(params, x_batch, y_batch, reg)
        params = {name: params[name] - rate * grads[name] for name in ("W1", "b1", "W2", "b2")}
        loss = (*loss, value)
        if not (t + 1) % steps_per_epoch:
            train_acc = (*train_acc, np.average(nn_predict(params, X) == y))
            val_acc = (*val_acc, np.average(nn_predict(params, X_val) == y_val))
    return params, {"loss": list(loss), "train_acc": list(train_acc), "val_acc": list(val_acc)}


def weight_pictures(W1, image_shape):
    size = np.ptp(np.vstack([W1, -W1]), axis=0) / 2  # the largest weight, whatever its sign
    return np.stack([w.reshape(image_shape) / (m or 1.0) for w, m in zip(W1.T, size, strict=True)])


def nn_search(settings, X_train, y_train, X_val, y_val, num_classes, num_iters=100, batch_size=200, seed=0):
    runs = []
    for setting in settings:
        start = initialize(X_train.shape[1], setting["hidden_dim"], num_classes, seed)
        runs.append(
            nn_train(start, X_train, y_train, X_val, y_val, setting["learning_rate"], 0.95, setting["reg"],
                     num_iters, batch_size, seed)[0]
        )  # fmt: skip
    on_train, on_val = (
        [float(np.mean(nn_predict(params, x) == labels)) for params in runs]
        for x, labels in ((X_train, y_train), (X_val, y_val))
    )
    first = on_val.index(max(on_val))
    return settings[first], runs[first], list(zip(on_train, on_val, strict=True))
