"""No ops at all: every result carries a closure that adds to the gradients of its operands."""

from itertools import pairwise

import numpy as np


def unbroadcast(gradient, shape):
    while gradient.ndim > len(shape):
        gradient = gradient.sum(axis=0)
    for axis, size in enumerate(shape):
        if size == 1:
            gradient = gradient.sum(axis=axis, keepdims=True)
    return gradient


class Tensor:
    __array_ufunc__ = None

    def __init__(self, data, requires_grad=False, _parents=(), _push=None):
        self.data = np.array(data, dtype=np.float64)
        self.requires_grad = bool(requires_grad)
        self.grad = None
        self._parents = [parent for parent in _parents if parent.requires_grad]
        self._push = _push  # _push(gradient, send) calls send(operand, gradient of the operand)

    @staticmethod
    def wrap(value):
        return value if isinstance(value, Tensor) else Tensor(value)

    @classmethod
    def result(cls, data, parents, push):
        wanted = any(parent.requires_grad for parent in parents)
        return cls(data, wanted, parents if wanted else (), push if wanted else None)

    def zero_grad(self):
        self.grad = None

    def backward(self, gradient=None):
        if not self.requires_grad:
            return
        # Depth first with a stack of iterators.
        order, visited = [], {id(self)}
        path = [(self, iter(self._parents))]
        while path:
            node, parents = path[-1]
            for parent in parents:
                if id(parent) not in visited:
                    visited.add(id(parent))
                    path.append((parent, iter(parent._parents)))
                    break
            else:
                order.append(node)
                path.pop()

        waiting = {}

        def send(tensor, part):
            if tensor.requires_grad:
                if id(tensor) not in waiting:
                    waiting[id(tensor)] = np.zeros(tensor.data.shape)
                waiting[id(tensor)] += part  # an array of our own: in place is fine

        send(self, np.ones(self.data.shape) if gradient is None else gradient)
        while order:
            node = order.pop()
            arrived = waiting.pop(id(node))
            if node._push is None:  # only the leaves keep a gradient
                node.grad = arrived if node.grad is None else node.grad + arrived
            else:
                node._push(arrived, send)

    def _with(self, other, value, own, others):
        other = Tensor.wrap(other)

        def push(g, send):
            send(self, unbroadcast(own(g, self.data, other.data), self.data.shape))
            send(other, unbroadcast(others(g, self.data, other.data), other.data.shape))

        return Tensor.result(value(self.data, other.data), [self, other], push)

    def __add__(self, other):
        return self._with(other, np.add, lambda g, a, b: g, lambda g, a, b: g)

    def __sub__(self, other):
        return self._with(other, np.subtract, lambda g, a, b: g, lambda g, a, b: -g)

    def __mul__(self, other):
        return self._with(other, np.multiply, lambda g, a, b: g * b, lambda g, a, b: g * a)

    def __truediv__(self, other):
        return self._with(other, np.divide, lambda g, a, b: g / b, lambda g, a, b: -g * (a / b) / b)

    __radd__ = __add__
    __rmul__ = __mul__

    def __rsub__(self, other):
        return Tensor.wrap(other) - self

    def __rtruediv__(self, other):
        return Tensor.wrap(other) / self

    def __neg__(self):
        return self * -1

    def __matmul__(self, other):
        other = Tensor.wrap(other)

        def push(g, send):
            send(self, g @ other.data.T)
            send(other, self.data.T @ g)

        return Tensor.result(self.data @ other.data, [self, other], push)

    def __rmatmul__(self, other):
        return Tensor.wrap(other) @ self

    def _reduced(self, value, axis, keepdims, scale):
        def push(g, send):
            if axis is not None and not keepdims:
                for position in sorted(a % self.data.ndim for a in np.atleast_1d(axis)):
                    g = np.expand_dims(g, position)
            send(self, np.broadcast_to(g, self.data.shape) * scale)

        return Tensor.result(value, [self], push)

    def sum(self, axis=None, keepdims=False):
        return self._reduced(np.sum(self.data, axis=axis, keepdims=keepdims), axis, keepdims, 1.0)

    def mean(self, axis=None, keepdims=False):
        value = np.mean(self.data, axis=axis, keepdims=keepdims)
        return self._reduced(value, axis, keepdims, np.size(value) / self.data.size)


def _map(tensor, value, slope):
    tensor = Tensor.wrap(tensor)
    return Tensor.result(value, [tensor], lambda g, send: send(tensor, g * slope))


def add(a, b):
    return a + b


def square(t):
    return _map(t, t.data**2, 2 * t.data)


def exp(t):
    y = np.exp(t.data)
    return _map(t, y, y)


def log(t):
    return _map(t, np.log(t.data), 1 / t.data)


def relu(t):
    return _map(t, np.where(t.data > 0, t.data, 0), np.where(t.data >= 0, 1.0, 0.0))


def sigmoid(t):
    y = 0.5 * (1 + np.tanh(t.data / 2))
    y = np.where(t.data < 0, np.exp(np.minimum(t.data, 0)) / (1 + np.exp(np.minimum(t.data, 0))), y)
    return _map(t, y, y * (1 - y))


def tanh(t):
    y = np.tanh(t.data)
    return _map(t, y, 1 - y * y)


def softmax_cross_entropy(scores, labels):
    s = scores.data
    N, K = s.shape
    loss, slope = 0.0, np.zeros((N, K))
    for n in range(N):
        row = s[n] - s[n].max()
        total = np.exp(row).sum()
        loss += (np.log(total) - row[labels[n]]) / N
        slope[n] = np.exp(row) / total / N
        slope[n, labels[n]] -= 1 / N
    return _map(scores, loss, slope)


class MLP:
    def __init__(self, sizes, activation="relu", seed=0):
        generator = np.random.default_rng(seed)
        self.activation = activation
        self.W, self.b = [], []
        for D, M in pairwise(sizes):
            self.W.append(Tensor(generator.standard_normal((D, M)) * (2 / D) ** 0.5, True))
            self.b.append(Tensor(np.zeros(M), True))

    def parameters(self):
        found = []
        for W, b in zip(self.W, self.b, strict=True):
            found += [W, b]
        return found

    def __call__(self, x):
        out = x
        last = self.W[-1]
        for W, b in zip(self.W, self.b, strict=True):
            out = out @ W + b
            if W is not last:
                out = {"relu": relu, "sigmoid": sigmoid, "tanh": tanh}[self.activation](out)
        return out


def train(net, x, y, epochs, batch_size=32, learning_rate=0.1, seed=0):
    generator = np.random.default_rng(seed)
    history = []
    for _ in range(epochs):
        indices = np.arange(len(y))
        generator.shuffle(indices)
        while len(indices):
            now, indices = indices[:batch_size], indices[batch_size:]
            loss = softmax_cross_entropy(net(x[now]), y[now])
            loss.backward()
            for p in net.parameters():
                p.data -= learning_rate * p.grad
                p.zero_grad()
            history.append(loss.data.item())
    return history
