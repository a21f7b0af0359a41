"""NumPy's in-place operators and `out=` arguments, always on arrays made here; caches as tuples of copies."""

import numpy as np


def linear_forward(x, w, b):
    out = np.empty((x.shape[0], w.shape[1]), dtype=np.result_type(x, w, b))
    np.dot(x, w, out=out)
    out += b
    return out, (x.copy(), w.copy())


def linear_backward(dout, cache):
    x, w = cache
    dx, dw, db = np.empty_like(x), np.empty_like(w), np.zeros(w.shape[1], dtype=w.dtype)
    np.matmul(dout, w.T, out=dx)
    np.matmul(x.T, dout, out=dw)
    for row in dout:
        db += row
    return dx, dw, db


def relu_forward(x):
    out = np.array(x)
    closed = out < 0
    np.copyto(out, 0, where=closed)
    return out, closed


def relu_backward(dout, closed):
    dx = np.array(dout)
    np.putmask(dx, closed, 0)
    return dx


def softmax_cross_entropy_forward(scores, y):
    log_p = scores.astype(np.float64)
    log_p -= np.amax(log_p, axis=1, keepdims=True)
    exponentials = np.exp(log_p)
    log_p -= np.log(np.add.reduce(exponentials, axis=1, keepdims=True))
    loss = 0.0
    for n in range(len(y)):
        loss -= log_p[n, y[n]]
    return loss / len(y), (log_p, y.copy())


def softmax_cross_entropy_backward(dout, cache):
    log_p, y = cache
    dscores = np.exp(log_p)
    np.subtract.at(dscores, (np.arange(y.size), y), 1.0)
    dscores *= dout
    dscores /= y.size
    return dscores


def initialize(sizes, seed=0):
    rng = np.random.default_rng(seed)
    params = {}
    for layer in range(1, len(sizes)):
        fan_in, fan_out = sizes[layer - 1 : layer + 1]
        params[f"W{layer}"] = rng.standard_normal((fan_in, fan_out))
        params[f"W{layer}"] /= np.sqrt(fan_in / 2)
        params[f"b{layer}"] = np.full(fan_out, 0.0)
    return params


def mlp_forward(params, x):
    caches, layer = [], 1
    while f"W{layer}" in params:
        if layer > 1:
            x, cache = relu_forward(x)
            caches.append(("relu", cache))
        x, cache = linear_forward(x, params[f"W{layer}"], params[f"b{layer}"])
        caches.append(("linear", cache))
        layer += 1
    return x, caches


def mlp_backward(dscores, caches):
    grads = {}
    stack = list(caches)  # a list of its own: what is popped is still in the caller's
    while stack:
        kind, cache = stack.pop()
        if kind == "relu":
            dscores = relu_backward(dscores, cache)
            continue
        layer = len(stack) // 2 + 1
        dscores, grads[f"W{layer}"], grads[f"b{layer}"] = linear_backward(dscores, cache)
    return grads


def sgd_step(params, grads, learning_rate):
    stepped = {}
    for name in params:
        stepped[name] = params[name].copy()
        stepped[name] -= learning_rate * grads[name]
    return stepped


def step_decay(step, learning_rate, factor, every):
    while step >= every:
        step -= every
        learning_rate *= factor
    return learning_rate


def warmup_cosine(step, num_steps, learning_rate, warmup_steps=0):
    rates = np.full(num_steps, float(learning_rate))
    rates[:warmup_steps] *= np.arange(1, warmup_steps + 1) / max(warmup_steps, 1)
    half = np.linspace(0, np.pi, num_steps - warmup_steps, endpoint=False)
    rates[warmup_steps:] *= (1 + np.cos(half)) / 2
    return rates[step]


def predict(params, x):
    scores, _ = mlp_forward(params, x)
    labels, best = np.zeros(len(scores), dtype=np.intp), scores[:, 0].copy()
    for k in range(1, scores.shape[1]):
        better = scores[:, k] > best
        labels[better], best[better] = k, scores[better, k]
    return labels


def train(params, x, y, x_val, y_val, learning_rates, num_epochs, batch_size, seed=0):
    rng = np.random.default_rng(seed)
    params = {name: np.array(value) for name, value in params.items()}
    history = {"loss": [], "val_accuracy": []}
    order = np.arange(len(x))
    for step, rate in enumerate(learning_rates):
        position = step % -(-len(x) // batch_size)
        if position == 0:
            rng.shuffle(order)
        batch = order[position * batch_size :][:batch_size]
        loss, grads = loss_and_gradients(params, x.take(batch, axis=0), y.take(batch))
        for name, gradient in grads.items():
            params[name] -= rate * gradient
        history["loss"] += [loss]
        if (position + 1) * batch_size >= len(x):
            history["val_accuracy"] += [np.count_nonzero(predict(params, x_val) == y_val) / len(y_val)]
    return params, history
