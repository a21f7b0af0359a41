"""A cache is the backward pass itself, a function that remembers what it needs."""

import math
from functools import reduce

import numpy as np


def linear_forward(x, w, b):
    def back(dout):
        return np.inner(dout, w), np.tensordot(x, dout, axes=(0, 0)), np.add.reduce(dout)

    return np.add(np.inner(x, w.T), b), back


def linear_backward(dout, cache):
    return cache(dout)


def relu_forward(x):
    positive = x > 0
    return np.where(positive, x, 0), lambda dout: np.where(positive, dout, 0)


def relu_backward(dout, cache):
    return cache(dout)


def softmax_cross_entropy_forward(scores, y):
    N = len(scores)
    weights = np.exp(scores - scores.max(axis=1).reshape(N, 1))
    p = weights / weights.sum(axis=1).reshape(N, 1)
    one_hot = np.zeros_like(p)
    one_hot.flat[np.arange(N) * scores.shape[1] + y] = 1
    log_sum = scores.max(axis=1) + np.log(weights.sum(axis=1))
    loss = np.average(log_sum - scores[range(N), y])
    return loss, lambda dout: dout * (p - one_hot) / N


def softmax_cross_entropy_backward(dout, cache):
    return cache(dout)


def initialize(sizes, seed=0):
    rng = np.random.default_rng(seed)
    numbers = rng.normal(size=int(np.dot(sizes[:-1], sizes[1:])))
    params = {}
    for layer in range(1, len(sizes)):
        shape = sizes[layer - 1], sizes[layer]
        mine, numbers = np.split(numbers, [math.prod(shape)])
        params[f"W{layer}"] = mine.reshape(shape) * math.sqrt(2 / shape[0])
        params[f"b{layer}"] = np.zeros(shape[1])
    return params


def mlp_forward(params, x):
    depth = sum(name.startswith("W") for name in params)
    backs = []
    for layer in range(1, depth + 1):
        x, back = linear_forward(x, params[f"W{layer}"], params[f"b{layer}"])
        backs.append(back)
        if layer != depth:
            x, back = relu_forward(x)
            backs.append(back)
    return x, backs


def mlp_backward(dscores, caches):
    grads, layer = {}, (len(caches) + 1) // 2
    for back in caches[::-1]:
        result = back(dscores)
        if isinstance(result, tuple):
            dscores, grads[f"W{layer}"], grads[f"b{layer}"] = result
            layer -= 1
        else:
            dscores = result
    return grads


def sgd_step(params, grads, learning_rate):
    return {key: params[key] + grads[key] * -learning_rate for key in sorted(grads)}


def step_decay(step, learning_rate, factor, every):
    return reduce(lambda rate, _: rate * factor, range(step // every), learning_rate)


def warmup_cosine(step, num_steps, learning_rate, warmup_steps=0):
    if warmup_steps > step:
        return learning_rate - learning_rate * (warmup_steps - 1 - step) / warmup_steps
    done = step - warmup_steps
    return 0.5 * learning_rate * (1 + math.cos(math.pi * done / (num_steps - warmup_steps)))


def predict(params, x):
    scores = mlp_forward(params, x)[0]
    return (scores == scores.max(axis=1, keepdims=True)).argmax(axis=1)


def train(params, x, y, x_val, y_val, learning_rates, num_epochs, batch_size, seed=0):
    rng = np.random.default_rng(seed)
    rates, history = iter(learning_rates), {"loss": [], "val_accuracy": []}

    def epoch(params, _):
        order = np.argsort(rng.random(len(x)))
        for batch in np.array_split(order, np.arange(batch_size, len(x), batch_size)):
            loss, grads = loss_and_gradients(params, x[batch], y[batch])
            params = sgd_step(params, grads, next(rates))
            history["loss"].append(loss)
        history["val_accuracy"].append(np.mean(np.equal(predict(params, x_val), y_val)))
        return params

    return reduce(epoch, range(num_epochs), params), history
