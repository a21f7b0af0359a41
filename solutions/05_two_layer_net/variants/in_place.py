"""In-place operators, always on arrays made here; the backward pass overwrites its own forward pass."""

import numpy as np


def nn_forward_pass(params, X):
    hidden = np.dot(X, params["W1"])
    hidden += params["b1"]
    np.putmask(hidden, hidden < 0, 0)
    scores = np.dot(hidden, params["W2"])
    np.add(scores, params["b2"], out=scores)
    return scores, hidden


def nn_forward_backward(params, X, y=None, reg=0.0):
    scores, hidden = nn_forward_pass(params, X)
    if y is None:
        return scores
    N = scores.shape[0]
    scores -= np.amax(scores, axis=1, keepdims=True)
    right = scores[np.arange(N), y].copy()
    np.exp(scores, out=scores)
    total = scores.sum(axis=1)
    loss = float(np.add.reduce(np.log(total) - right)) / N
    scores /= total[:, None]
    np.subtract.at(scores, (np.arange(N), y), 1)
    scores /= N
    grads = {"W2": hidden.T.dot(scores), "b2": np.einsum("nc->c", scores)}
    np.copyto(hidden, scores.dot(params["W2"].T), where=hidden > 0)  # what was 0 stays 0
    grads.update(W1=X.T.dot(hidden), b1=np.einsum("nh->h", hidden))
    for name in ("W1", "W2"):
        loss += reg * float(np.square(params[name]).sum())
        grads[name] += params[name] * (reg * 2)
    return loss, grads


def nn_predict(params, X):
    scores, _ = nn_forward_pass(params, X)
    labels, best = np.zeros(len(X), dtype=np.int64), scores[:, 0].copy()
    for j in range(1, scores.shape[1]):
        better = scores[:, j] > best
        labels[better] = j
        np.maximum(best, scores[:, j], out=best)
    return labels


def nn_train(params, X, y, X_val, y_val, learning_rate=0.1, learning_rate_decay=0.95, reg=1e-5,
             num_iters=100, batch_size=200, seed=0):  # fmt: skip
    mine = {name: np.array(value, dtype=float) for name, value in params.items()}
    history = {"loss": [], "train_acc": [], "val_acc": []}
    step, seen = 0, 0
    while step < num_iters:
        batch = sample_batch(X, y, batch_size, (seed, step))
        loss, grads = nn_forward_backward(mine, *batch, reg=reg)
        history["loss"].append(loss)
        for name, gradient in grads.items():
            gradient *= learning_rate
            mine[name] -= gradient
        step += 1
        seen += 1
        if seen == len(X) // batch_size:
            seen = 0
            history["train_acc"].append(1 - np.mean(nn_predict(mine, X) != y))
            history["val_acc"].append(1 - np.mean(nn_predict(mine, X_val) != y_val))
            learning_rate *= learning_rate_decay
    return mine, history


def weight_pictures(W1, image_shape):
    pictures = np.ascontiguousarray(W1.T, dtype=float).copy()
    for picture in pictures:
        size = np.linalg.norm(picture, ord=np.inf)
        if size:
            picture /= size
    return pictures.reshape((len(pictures), *image_shape))


def nn_search(settings, X_train, y_train, X_val, y_val, num_classes, num_iters=100, batch_size=200, seed=0):
    accuracies, results = [], []
    for place, setting in enumerate(settings):
        params = initialize(X_train.shape[1], setting["hidden_dim"], num_classes, seed)
        options = {key: value for key, value in setting.items() if key != "hidden_dim"}
        options.update(num_iters=num_iters, batch_size=batch_size, seed=seed)
        params, _ = nn_train(params, X_train, y_train, X_val, y_val, **options)
        pair = tuple(
            np.count_nonzero(nn_predict(params, x) == labels) / len(labels)
            for x, labels in ((X_train, y_train), (X_val, y_val))
        )
        accuracies.append(pair)
        results.append((pair[1], -place, params))
    _, place, params = max(results, key=lambda result: result[:2])
    return settings[-place], params, accuracies
