"""One-hot labels, einsum, log-sum-exp and masks; results as lists, arrays and keyword arguments."""

import numpy as np


def nn_forward_pass(params, X):
    a = np.einsum("nd,dh->nh", X, params["W1"]) + params["b1"][None, :]
    z = np.where(a > 0, a, 0)
    return [np.einsum("nh,hc->nc", z, params["W2"]) + params["b2"][None, :], z]


def nn_forward_backward(params, X, y=None, reg=0.0):
    W1, b1, W2, b2 = params["W1"], params["b1"], params["W2"], params["b2"]
    a = X.dot(W1) + b1
    z = a * (a >= 0)
    s = z.dot(W2) + b2
    if y is None:
        return s
    one_hot = np.eye(W2.shape[1])[y]
    top = s.max(axis=-1, keepdims=True)
    log_sum = top + np.log(np.sum(np.exp(s - top), axis=-1, keepdims=True))
    data_loss = np.vdot(one_hot, log_sum - s) / len(s)
    ds = (np.exp(s - log_sum) - one_hot) / len(s)
    da = np.where(a >= 0, np.einsum("nc,hc->nh", ds, W2), 0.0)
    return data_loss + reg * np.linalg.norm(W1) ** 2 + reg * np.linalg.norm(W2) ** 2, {
        "b2": np.ones(len(s)) @ ds,
        "W2": np.tensordot(z, ds, axes=(0, 0)) + reg * (W2 + W2),
        "b1": np.ones(len(s)) @ da,
        "W1": np.tensordot(X, da, axes=(0, 0)) + reg * (W1 + W1),
    }


def nn_predict(params, X):
    return nn_forward_pass(params, X)[0].T.argmax(axis=0)


def nn_train(params, X, y, X_val, y_val, learning_rate=0.1, learning_rate_decay=0.95, reg=1e-5,
             num_iters=100, batch_size=200, seed=0):  # fmt: skip
    names, epoch = list(params), max(1, X.shape[0] // batch_size)
    values = [np.array(params[name]) for name in names]
    loss, train_acc, val_acc = np.zeros(num_iters), [], []
    for t in range(num_iters):
        now = dict(zip(names, values, strict=True))
        rate = learning_rate * learning_rate_decay ** (t // epoch)
        loss[t], grads = nn_forward_backward(now, *sample_batch(X, y, batch_size, (seed, t)), reg=reg)
        values = [np.subtract(v, rate * grads[name]) for name, v in zip(names, values, strict=True)]
        if t % epoch == epoch - 1:
            now = dict(zip(names, values, strict=True))
            train_acc.append(np.count_nonzero(nn_predict(now, X) == y) / len(y))
            val_acc.append(np.count_nonzero(nn_predict(now, X_val) == y_val) / len(y_val))
    history = {"train_acc": np.array(train_acc), "val_acc": np.array(val_acc), "loss": loss}
    return dict(zip(names, values, strict=True)), history


def weight_pictures(W1, image_shape):
    size = np.maximum(W1.max(axis=0), -W1.min(axis=0))
    unit = np.divide(W1, size, out=np.zeros(W1.shape), where=size > 0)
    return np.moveaxis(unit.reshape(*image_shape, -1), -1, 0)


def nn_search(settings, X_train, y_train, X_val, y_val, num_classes, num_iters=100, batch_size=200, seed=0):
    def run(hidden_dim, learning_rate, reg):
        start = initialize(X_train.shape[-1], hidden_dim, num_classes, seed)
        return nn_train(
            start, X_train, y_train, X_val, y_val, learning_rate, reg=reg,
            num_iters=num_iters, batch_size=batch_size, seed=seed,
        )[0]  # fmt: skip

    nets = [run(**setting) for setting in settings]
    accuracies = np.array([
        [np.mean(nn_predict(net, X_train) == y_train), np.mean(nn_predict(net, X_val) == y_val)]
        for net in nets
    ])  # fmt: skip
    winner = int(np.argmax(accuracies[:, 1]))
    return settings[winner], nets[winner], accuracies
