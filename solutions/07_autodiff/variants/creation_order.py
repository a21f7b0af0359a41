"""The design of the notebook, in which tensors are numbered as they are made: the newest goes first."""

import heapq
import itertools

import numpy as np

COUNTER = itertools.count()


def unbroadcast(gradient, shape):
    extra = len(gradient.shape) - len(shape)
    axes = list(range(extra))
    for axis in range(len(shape)):
        if shape[axis] == 1 and gradient.shape[axis + extra] > 1:
            axes.append(axis + extra)
    total = gradient.sum(axis=tuple(axes), keepdims=True) if axes else gradient
    return np.array(total).reshape(shape)


class Tensor(Tensor):
    def __init__(self, data, requires_grad=False):
        if not isinstance(data, np.ndarray) or data.dtype not in (np.float32, np.float64):
            data = np.array(data, dtype=np.float64)
        self.data = data
        self.requires_grad = requires_grad
        self.grad = None
        self.history = None
        self.number = next(COUNTER)


def apply(forward, backward, *operands, **settings):
    tensors = tuple(t if isinstance(t, Tensor) else Tensor(t) for t in operands)
    out, cache = forward(*(t.data for t in tensors), **settings)
    result = Tensor(np.asarray(out), any(t.requires_grad for t in tensors))
    result.history = (backward, cache, tensors)
    return result


def backpropagate(output, gradient=None):
    start = np.ones_like(output.data) if gradient is None else np.array(gradient, dtype=output.data.dtype)
    waiting = [(-output.number, output)]
    arrived = {output.number: start}
    while waiting:
        _, tensor = heapq.heappop(waiting)
        dout = arrived.pop(tensor.number)
        if not tensor.requires_grad:
            continue
        if tensor.history is None:
            if tensor.grad is None:
                tensor.grad = np.zeros_like(tensor.data)
            tensor.grad += dout
            continue
        backward, cache, operands = tensor.history
        parts = backward(dout, cache)
        for operand, part in zip(operands, parts if len(operands) > 1 else [parts], strict=True):
            if operand.number in arrived:
                arrived[operand.number] = arrived[operand.number] + part
            else:
                arrived[operand.number] = part
                heapq.heappush(waiting, (-operand.number, operand))


def add_forward(a, b):
    return np.add(a, b), {"a": a, "b": b}


def add_backward(dout, cache):
    return [unbroadcast(dout, cache["a"].shape), unbroadcast(dout, cache["b"].shape)]


def sub_forward(a, b):
    return a + -b, (np.shape(a), np.shape(b))


def sub_backward(dout, cache):
    return unbroadcast(dout, cache[0]), -unbroadcast(dout, cache[1])


def mul_forward(a, b):
    return np.multiply(a, b), [a.copy(), b.copy()]


def mul_backward(dout, cache):
    a, b = cache
    return tuple(unbroadcast(dout * other, own.shape) for own, other in ((a, b), (b, a)))


def div_forward(a, b):
    out = a * b**-1.0
    return out, (a.shape, b, out)


def div_backward(dout, cache):
    a_shape, b, out = cache
    da = dout / b
    return unbroadcast(da, a_shape), unbroadcast(-da * out, b.shape)


def matmul_forward(a, b):
    return np.einsum("nd,dm->nm", a, b), (a.T, b.T)


def matmul_backward(dout, cache):
    at, bt = cache
    return np.matmul(dout, bt), np.matmul(at, dout)


def sum_forward(a, axis=None, keepdims=False):
    axes = range(a.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    axes = tuple(i % a.ndim for i in axes)
    return np.add.reduce(a, axis=axes, keepdims=keepdims), (np.ones_like(a), axes)


def sum_backward(dout, cache):
    ones, axes = cache
    kept = [1 if i in axes else size for i, size in enumerate(ones.shape)]
    return ones * np.asarray(dout).reshape(kept)


def mean_forward(a, axis=None, keepdims=False):
    total, (ones, axes) = sum_forward(a, axis, keepdims)
    count = np.prod([a.shape[i] for i in axes])
    return total / count, (ones / count, axes)


def mean_backward(dout, cache):
    return sum_backward(dout, cache)


def exp_forward(a):
    return np.exp(a), a


def exp_backward(dout, cache):
    return np.exp(cache) * dout


def log_forward(a):
    return np.log(a), 1 / a


def log_backward(dout, cache):
    return cache * dout


def relu_forward(a):
    out = a.copy()
    if out.ndim:
        out[out < 0] = 0
    else:
        out = max(out, np.zeros(()))
    return out, out


def relu_backward(dout, cache):
    return np.where(cache > 0, dout, 0)


def sigmoid_forward(a):
    with np.errstate(over="ignore"):
        out = 1 / (1 + np.exp(-a))  # an infinite denominator gives 0, which is right
    return out, out


def sigmoid_backward(dout, cache):
    return cache * (1 - cache) * dout


def tanh_forward(a):
    e = np.exp(-2 * np.abs(a))
    out = np.sign(a) * (1 - e) / (1 + e)
    return out, a


def tanh_backward(dout, cache):
    return dout / np.cosh(np.clip(cache, -300, 300)) ** 2


def softmax_cross_entropy_forward(scores, labels):
    z = scores - np.max(scores, axis=1)[:, np.newaxis]
    e = np.exp(z)
    p = e / np.sum(e, axis=1, keepdims=True)
    picked = z[range(len(z)), labels] - np.log(np.sum(e, axis=1))
    return -np.sum(picked) / len(z), {"p": p, "y": labels}


def softmax_cross_entropy_backward(dout, cache):
    d = cache["p"].copy()
    for n, label in enumerate(cache["y"]):
        d[n, label] -= 1
    return d * (dout / len(d))


class MLP:
    def __init__(self, sizes, activation="relu", seed=0):
        rng = np.random.default_rng(seed)
        self.depth = len(sizes) - 1
        self.function = {"relu": relu, "tanh": tanh, "sigmoid": sigmoid}[activation]
        self.params = {}
        for layer in range(1, self.depth + 1):
            D, M = sizes[layer - 1 : layer + 1]
            bound = np.sqrt(6 / D)  # uniform, with the same standard deviation
            self.params[f"W{layer}"] = Tensor(rng.uniform(-bound, bound, (D, M)), requires_grad=True)
            self.params[f"b{layer}"] = Tensor(np.zeros((M,)), requires_grad=True)

    def parameters(self):
        return list(self.params.values())

    def __call__(self, x):
        h = x
        for layer in range(1, self.depth):
            h = self.function(matmul(h, self.params[f"W{layer}"]) + self.params[f"b{layer}"])
        return matmul(h, self.params[f"W{self.depth}"]) + self.params[f"b{self.depth}"]


def train(net, x, y, epochs, batch_size=32, learning_rate=0.1, seed=0):
    rng = np.random.default_rng(seed)
    losses = []
    for _ in range(epochs):
        order = rng.permutation(len(y))
        x_shuffled, y_shuffled = x[order], y[order]
        for start in range(0, len(y), batch_size):
            stop = start + batch_size
            loss = softmax_cross_entropy(net(x_shuffled[start:stop]), y_shuffled[start:stop])
            losses += [loss.data]
            loss.backward()
            for p in net.parameters():
                p.data = p.data - learning_rate * p.grad
                p.grad = None
    return losses
