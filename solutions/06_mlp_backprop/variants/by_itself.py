"""The network without the layer functions: everything written out in one place, caches as dictionaries."""

import numpy as np


def mlp_forward(params, x):
    depth = max(int(name[1:]) for name in params)
    caches = {"inputs": [], "weights": []}
    for i in range(depth):
        W = params[f"W{i + 1}"]
        caches["inputs"].append(x)
        caches["weights"].append(W)
        x = np.dot(x, W) + params[f"b{i + 1}"]
        if i != depth - 1:
            x = np.clip(x, 0, None)
    return x, caches


def mlp_backward(dscores, caches):
    grads, delta = {}, dscores
    for i in reversed(range(len(caches["weights"]))):
        inputs = caches["inputs"][i]
        grads[f"b{i + 1}"] = delta.sum(0)
        grads[f"W{i + 1}"] = inputs.T.dot(delta)
        delta = delta.dot(caches["weights"][i].T)
        if i > 0:
            delta = delta * np.sign(inputs)
    return grads


def train(params, x, y, x_val, y_val, learning_rates, num_epochs, batch_size, seed=0):
    rng = np.random.default_rng(seed)
    weights = {name: value.copy() for name, value in params.items()}
    losses, accuracies, t = [], [], 0
    for _ in range(num_epochs):
        indices = np.arange(len(x))
        rng.shuffle(indices)
        shuffled_x, shuffled_y = x[indices], y[indices]
        for batch in range(int(np.ceil(len(x) / batch_size))):
            xb = shuffled_x[batch * batch_size : (batch + 1) * batch_size]
            yb = shuffled_y[batch * batch_size : (batch + 1) * batch_size]
            scores, caches = mlp_forward(weights, xb)
            shifted = scores - scores.max(axis=1)[:, None]
            log_p = shifted - np.log(np.exp(shifted).sum(axis=1))[:, None]
            rows = range(len(yb))
            dscores = np.exp(log_p)
            dscores[rows, yb] -= 1
            for name, gradient in mlp_backward(dscores / len(yb), caches).items():
                weights[name] -= learning_rates[t] * gradient
            losses.append(np.mean(-log_p[rows, yb]))
            t += 1
        accuracies.append((np.argmax(mlp_forward(weights, x_val)[0], axis=1) == y_val).sum() / len(y_val))
    return weights, {"loss": np.array(losses), "val_accuracy": np.array(accuracies)}
