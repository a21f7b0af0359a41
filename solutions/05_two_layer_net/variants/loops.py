"""One picture at a time and one class at a time, plain Python where possible; lists of NumPy scalars."""

import numpy as np


def nn_forward_pass(params, X):
    W1, b1, W2, b2 = (params[name] for name in ("W1", "b1", "W2", "b2"))
    hidden = np.zeros((X.shape[0], W1.shape[1]))
    scores = np.zeros((X.shape[0], W2.shape[1]))
    for i in range(X.shape[0]):
        for h in range(W1.shape[1]):
            a = np.dot(X[i], W1[:, h]) + b1[h]
            hidden[i, h] = a if a > 0 else 0.0
        for j in range(W2.shape[1]):
            scores[i, j] = np.dot(hidden[i], W2[:, j]) + b2[j]
    return scores, hidden


def nn_forward_backward(params, X, y=None, reg=0.0):
    scores, hidden = nn_forward_pass(params, X)
    if y is None:
        return scores
    N = X.shape[0]
    loss = 0.0
    grads = {name: np.zeros(value.shape) for name, value in params.items()}
    for i in range(N):
        e = np.exp(scores[i] - np.max(scores[i]))
        p = e / np.sum(e)
        loss -= np.log(p[y[i]] + 1e-12) / N
        p[y[i]] -= 1.0
        p /= N
        grads["b2"] += p
        grads["W2"] += np.outer(hidden[i], p)
        dz = np.dot(params["W2"], p)
        dz[hidden[i] <= 0] = 0
        grads["b1"] += dz
        grads["W1"] += np.outer(X[i], dz)
    for name in ("W1", "W2"):
        loss += reg * np.sum(params[name] * params[name])
        grads[name] += reg * params[name]
        grads[name] += reg * params[name]
    return loss, grads


def nn_predict(params, X):
    scores = nn_forward_backward(params, X)
    return [int(max(range(len(row)), key=lambda j: row[j])) for row in scores]


def nn_train(
    params, X, y, X_val, y_val, learning_rate=0.1, learning_rate_decay=0.95, reg=1e-5,
    num_iters=100, batch_size=200, seed=0, verbose=False,
):  # fmt: skip
    params = {name: value.copy() for name, value in params.items()}
    losses, train_accs, val_accs = [], [], []
    left = X.shape[0] // batch_size
    for t in range(num_iters):
        X_batch, y_batch = sample_batch(X, y, batch_size, (seed, t))
        loss, grads = nn_forward_backward(params, X_batch, y=y_batch, reg=reg)
        losses.append(loss)
        for name, gradient in grads.items():
            params[name] -= learning_rate * gradient
        left -= 1
        if left == 0:
            train_accs.append((np.array(nn_predict(params, X)) == y).mean())
            val_accs.append((np.array(nn_predict(params, X_val)) == y_val).mean())
            learning_rate = learning_rate * learning_rate_decay
            left = X.shape[0] // batch_size
            if verbose:
                print(f"step {t + 1}: loss {loss:.3f}")
    return params, {"loss": losses, "train_acc": train_accs, "val_acc": val_accs}


def weight_pictures(W1, image_shape):
    pictures = []
    for h in range(W1.shape[1]):
        column = W1[:, h].copy()
        size = max(column.max(), -column.min())
        if size > 0:
            column = column / size
        pictures.append(column.reshape(image_shape))
    return np.array(pictures)


def nn_search(settings, X_train, y_train, X_val, y_val, num_classes, num_iters=100, batch_size=200, seed=0):
    best, best_params, best_accuracy, accuracies = None, None, None, []
    for s in settings:
        params, _ = nn_train(
            initialize(X_train.shape[1], s["hidden_dim"], num_classes, seed=seed),
            X_train, y_train, X_val, y_val, s["learning_rate"], 0.95, s["reg"], num_iters, batch_size, seed,
        )  # fmt: skip
        pair = [
            np.mean(np.array(nn_predict(params, x)) == y) for x, y in ((X_train, y_train), (X_val, y_val))
        ]
        accuracies.append(pair)
        if best_accuracy is None or pair[1] > best_accuracy:
            best, best_params, best_accuracy = s, params, pair[1]
    return best, best_params, accuracies
