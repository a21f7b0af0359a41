"""Examples as columns and the bias as one more row of weights; recursion in place of loops."""

import numpy as np


def linear_forward(x, w, b):
    extended = np.vstack([x.T, np.ones(len(x), dtype=x.dtype)])  # (D + 1, N)
    weights = np.vstack([w, b])  # (D + 1, M)
    return (weights.T @ extended).T, {"x": extended, "w": weights}


def linear_backward(dout, cache):
    gradient = cache["x"] @ dout  # (D + 1, M): dw, and db below it
    return (cache["w"] @ dout.T)[:-1].T, gradient[:-1], gradient[-1]


def relu_forward(x):
    return (x + abs(x)) / 2, np.heaviside(x, 0.5)


def relu_backward(dout, slope):
    return slope * dout


def softmax_cross_entropy_forward(scores, y):
    # log(sum over j of e^(s_j - s_y)), each example with its own right class subtracted.
    gaps = scores - np.take_along_axis(scores, y[:, None], axis=1)
    top = gaps.max(axis=1)
    losses = top + np.log(np.sum(np.exp(gaps.T - top), axis=0))
    return losses.mean(), (gaps.T - losses, y)  # log of the probabilities, a column for each example


def softmax_cross_entropy_backward(dout, cache):
    log_p, y = cache
    right = np.arange(len(log_p))[:, None] == y
    return (dout / len(y) * np.where(right, np.expm1(log_p), np.exp(log_p))).T


def initialize(sizes, seed=0):
    rng = np.random.default_rng(seed)
    count = len(sizes) - 1
    weights = {
        f"W{i + 1}": rng.normal(scale=np.sqrt(2 / sizes[i]), size=sizes[i : i + 2]) for i in range(count)
    }
    return {**weights, **{f"b{i}": np.zeros(sizes[i]) for i in range(1, count + 1)}}


def mlp_forward(params, x, layer=1):
    x, cache = linear_forward(x, params[f"W{layer}"], params[f"b{layer}"])
    if f"W{layer + 1}" not in params:
        return x, (cache, None, None)
    x, relu_cache = relu_forward(x)
    scores, rest = mlp_forward(params, x, layer + 1)
    return scores, (cache, relu_cache, rest)


def mlp_backward(dscores, caches):
    def back(nested, layer):
        """The gradient of the inputs of a layer, and those of all parameters from there on."""
        linear_cache, relu_cache, rest = nested
        dout, grads = dscores, {}
        if rest is not None:
            dout, grads = back(rest, layer + 1)
            dout = relu_backward(dout, relu_cache)
        dx, dw, db = linear_backward(dout, linear_cache)
        return dx, {f"W{layer}": dw, f"b{layer}": db} | grads

    return back(caches, 1)[1]


def sgd_step(params, grads, learning_rate):
    return dict(
        zip(params, (np.add(params[k], np.multiply(-learning_rate, grads[k])) for k in params), strict=True)
    )


def step_decay(step, learning_rate, factor, every):
    if step < every:
        return learning_rate
    return factor * step_decay(step - every, learning_rate, factor, every)


def warmup_cosine(step, num_steps, learning_rate, warmup_steps=0):
    rising = (step + 1) / warmup_steps if warmup_steps else 1.0
    left = max(num_steps - warmup_steps, 1)
    falling = np.cos(np.pi / 2 * max(step - warmup_steps, 0) / left) ** 2
    return learning_rate * min(rising, 1.0) * falling


def predict(params, x):
    return np.argsort(-mlp_forward(params, x)[0], axis=1, kind="stable")[:, 0]


def train(params, x, y, x_val, y_val, learning_rates, num_epochs, batch_size, seed=0):
    rng = np.random.default_rng(seed)
    losses, accuracies = (), ()
    for _ in range(num_epochs):
        left = list(rng.permutation(len(y)))
        while left:
            batch, left = left[:batch_size], left[batch_size:]
            loss, grads = loss_and_gradients(params, x[batch], y[batch])
            params = sgd_step(params, grads, learning_rates[len(losses)])
            losses = (*losses, float(loss))
        accuracies = (*accuracies, 1 - np.mean(predict(params, x_val) != y_val))
    return params, {"loss": losses, "val_accuracy": accuracies}
