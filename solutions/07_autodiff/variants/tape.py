"""One tape for everything that is computed, played backwards from the result; one MLP in closures."""

import numpy as np

TAPE = []  # (result, operands, function of the upstream gradient that gives theirs), in order of computation


def unbroadcast(gradient, shape):
    if shape == ():
        return np.sum(gradient)
    result = np.zeros(shape)
    for index in np.ndindex(gradient.shape):
        own = index[len(index) - len(shape) :]
        result[tuple(i if size > 1 else 0 for i, size in zip(own, shape, strict=True))] += gradient[index]
    return result


def fast_unbroadcast(gradient, shape):
    """The same for large arrays, by a product with ones over each axis."""
    gradient = np.asarray(gradient)
    gradient = gradient.reshape(-1, *gradient.shape[gradient.ndim - len(shape) :])
    gradient = np.add.reduce(gradient, axis=0)
    return np.add.reduce(gradient, axis=tuple(i for i, size in enumerate(shape) if size == 1)).reshape(shape)


class Tensor:
    __array_ufunc__ = None

    def __init__(self, data, requires_grad=False):
        self.data = np.array(data) + 0.0
        self.requires_grad = requires_grad
        self.grad = None
        self.position = -1  # on the tape

    def zero_grad(self):
        self.grad = None

    def backward(self, gradient=None):
        if self.position < 0:
            if self.requires_grad:
                start = np.ones(self.data.shape) if gradient is None else gradient
                self.grad = start if self.grad is None else self.grad + start
            return
        pending = {self: np.ones(self.data.shape) if gradient is None else gradient}
        for result, operands, pull in TAPE[self.position :: -1]:
            if result not in pending:
                continue
            result.grad = pending.pop(result)  # for drawing only: the last pass
            for operand, part in zip(operands, pull(result.grad), strict=True):
                if operand.requires_grad:
                    pending[operand] = pending.get(operand, 0) + part
        for leaf, total in pending.items():
            leaf.grad = total if leaf.grad is None else leaf.grad + total

    def sum(self, axis=None, keepdims=False):
        out = self.data.sum(axis=axis, keepdims=keepdims)
        like = self.data.sum(axis=axis, keepdims=True)
        return record(out, (self,), lambda g: [np.reshape(g, like.shape) + 0 * self.data])

    def mean(self, axis=None, keepdims=False):
        out = self.data.mean(axis=axis, keepdims=keepdims)
        like = self.data.mean(axis=axis, keepdims=True)
        share = like.size / self.data.size
        return record(out, (self,), lambda g: [share * np.reshape(g, like.shape) + 0 * self.data])

    def __add__(self, other):
        return binary(np.add, self, other, lambda g, a, b: (g, g))

    def __radd__(self, other):
        return binary(np.add, other, self, lambda g, a, b: (g, g))

    def __sub__(self, other):
        return binary(np.subtract, self, other, lambda g, a, b: (g, -g))

    def __rsub__(self, other):
        return binary(np.subtract, other, self, lambda g, a, b: (g, -g))

    def __mul__(self, other):
        return binary(np.multiply, self, other, lambda g, a, b: (g * b, g * a))

    def __rmul__(self, other):
        return self * other

    def __truediv__(self, other):
        return binary(np.divide, self, other, lambda g, a, b: (g / b, -g * a * b**-2))

    def __rtruediv__(self, other):
        return binary(np.divide, other, self, lambda g, a, b: (g / b, -g * a * b**-2))

    def __neg__(self):
        return 0 - self

    def __matmul__(self, other):
        return matmul(self, other)

    def __rmatmul__(self, other):
        return matmul(other, self)


def as_tensor(value):
    return value if isinstance(value, Tensor) else Tensor(value)


def record(out, operands, pull):
    result = Tensor(out, any(operand.requires_grad for operand in operands))
    if result.requires_grad:
        result.position = len(TAPE)
        TAPE.append((result, operands, pull))
    return result


def binary(value, a, b, slopes):
    a, b = as_tensor(a), as_tensor(b)

    def pull(g):
        da, db = slopes(g, a.data, b.data)
        return fast_unbroadcast(da, a.data.shape), fast_unbroadcast(db, b.data.shape)

    return record(value(a.data, b.data), (a, b), pull)


def add(a, b):
    return binary(np.add, a, b, lambda g, a, b: (g, g))


def matmul(a, b):
    a, b = as_tensor(a), as_tensor(b)
    return record(a.data @ b.data, (a, b), lambda g: ((b.data @ g.T).T, (g.T @ a.data).T))


def square(t):
    return t * t


def exp(t):
    out = np.exp(t.data)
    return record(out, (t,), lambda g: [g * out])


def log(t):
    return record(np.log(t.data), (t,), lambda g: [g / t.data])


def relu(t):
    return record((abs(t.data) + t.data) / 2, (t,), lambda g: [g * np.heaviside(t.data, 0.5)])


def sigmoid(t):
    positive = 1 / (1 + np.exp(-np.clip(t.data, 0, None)))
    e = np.exp(np.clip(t.data, None, 0))
    out = np.where(t.data > 0, positive, e / (1 + e))
    return record(out, (t,), lambda g: [g * out * (1 - out)])


def tanh(t):
    return 2 * sigmoid(2 * t) - 1


def softmax_cross_entropy(scores, labels):
    """Built from the smaller ops; the largest score of each row is a constant."""
    K = scores.data.shape[1]
    shifted = scores - scores.data.max(axis=1, keepdims=True)
    picked = (shifted * np.eye(K)[labels]).sum(axis=1)
    return (log(exp(shifted).sum(axis=1)) - picked).mean()


def MLP(sizes, activation="relu", seed=0):
    return Network(sizes, globals()[activation], np.random.default_rng(seed))


class Network:
    def __init__(self, sizes, activation, rng):
        self.tensors = []
        self.activation = activation
        for layer in range(len(sizes) - 1):
            W = rng.normal(size=(sizes[layer], sizes[layer + 1])) * np.sqrt(2.0 / sizes[layer])
            b = np.zeros(sizes[layer + 1])
            self.tensors += [Tensor(W, requires_grad=True), Tensor(b, requires_grad=True)]

    def parameters(self):
        return self.tensors

    def __call__(self, x):
        h = Tensor(x) @ self.tensors[0] + self.tensors[1]
        for W, b in zip(self.tensors[2::2], self.tensors[3::2], strict=True):
            h = self.activation(h) @ W + b
        return h


def train(net, x, y, epochs, batch_size=32, learning_rate=0.1, seed=0):
    rng = np.random.default_rng(seed)
    losses = []
    for _ in range(epochs):
        for rows in np.split(rng.permutation(len(x)), range(batch_size, len(x), batch_size)):
            loss = softmax_cross_entropy(net(x[rows]), y[rows])
            for tensor in net.parameters():
                tensor.zero_grad()
            loss.backward()
            TAPE.clear()  # this step's graph is done with
            for tensor in net.parameters():
                tensor.data -= learning_rate * tensor.grad
            losses.append(float(loss.data))
    return losses
