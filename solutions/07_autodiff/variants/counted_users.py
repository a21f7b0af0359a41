"""Each result holds pairs of an operand and a function for its gradient; the way back counts users."""

from collections import Counter
from itertools import pairwise

import numpy as np


def unbroadcast(gradient, shape):
    """By one einsum, from the axes that are left."""
    kept = [axis for axis in range(-len(shape), 0) if shape[axis] != 1]
    numbers = list(range(gradient.ndim))
    return np.einsum(gradient, numbers, [numbers[axis] for axis in kept]).reshape(shape)


class Tensor:
    __array_priority__ = 1000
    __array_ufunc__ = None

    def __init__(self, data, requires_grad=False, ways=()):
        self.data = np.array(data, dtype=np.float64)
        self.ways = [(operand, way) for operand, way in ways if operand.requires_grad]
        self.requires_grad = requires_grad or len(self.ways) > 0
        self.grad = None

    def zero_grad(self):
        self.grad = None

    def backward(self, gradient=None):
        users, met = Counter(), [self]
        for tensor in met:
            for operand, _ in tensor.ways:
                users[operand] += 1
                if users[operand] == 1:
                    met.append(operand)
        arrived = {
            self: np.full(self.data.shape, 1.0) if gradient is None else np.array(gradient, dtype=float)
        }
        ready = [self] if self.requires_grad else []
        while ready:
            tensor = ready.pop()
            dout = arrived.pop(tensor)
            tensor.grad = dout.copy() if tensor.grad is None else np.add(tensor.grad, dout)
            for operand, way in tensor.ways:
                arrived[operand] = arrived.get(operand, 0.0) + way(dout)
                users[operand] -= 1
                if not users[operand]:
                    ready.append(operand)

    def sum(self, axis=None, keepdims=False):
        shape, axes = self.data.shape, tuple(range(self.data.ndim)) if axis is None else axis
        squeezed = np.sum(self.data, axis=axes)

        def way(dout):
            dout = dout.reshape(np.sum(self.data, axis=axes, keepdims=True).shape)
            return np.broadcast_to(dout, shape)

        out = squeezed if not keepdims else np.expand_dims(squeezed, axes)
        return Tensor(out, ways=[(self, way)])

    def mean(self, axis=None, keepdims=False):
        total = self.sum(axis, keepdims)
        return total * (total.data.size / self.data.size)

    def __neg__(self):
        return Tensor(-self.data, ways=[(self, np.negative)])


def as_tensor(operand):
    return operand if isinstance(operand, Tensor) else Tensor(operand)


def elementwise(value, of_a, of_b):
    """A function of two tensors from its value and its two slopes times the upstream gradient."""

    def op(a, b):
        a, b = as_tensor(a), as_tensor(b)

        def way(slope, operand):
            return operand, lambda dout: unbroadcast(slope(dout, a.data, b.data), operand.data.shape)

        return Tensor(value(a.data, b.data), ways=[way(of_a, a), way(of_b, b)])

    return op


def unary(value_and_slope):
    """A function of one tensor from its value and slope."""

    def op(a):
        value, slope = value_and_slope(a.data)
        return Tensor(value, ways=[(a, lambda dout: dout * slope)])

    return op


add = elementwise(np.add, lambda g, a, b: g, lambda g, a, b: g)
sub = elementwise(np.subtract, lambda g, a, b: g, lambda g, a, b: -g)
mul = elementwise(np.multiply, lambda g, a, b: g * b, lambda g, a, b: a * g)
div = elementwise(np.true_divide, lambda g, a, b: g / b, lambda g, a, b: -(g / b) * (a / b))
square = unary(lambda a: (a**2, a + a))
exp = unary(lambda a: (np.exp(a), np.exp(a)))
log = unary(lambda a: (np.log2(a) * np.log(2.0), np.reciprocal(a)))
relu = unary(lambda a: (np.where(a < 0, 0.0, a), (np.sign(a) + 1) / 2))


@unary
def sigmoid(a):
    p = np.exp(-np.logaddexp(0, -a))
    return p, p * np.exp(-np.logaddexp(0, a))


@unary
def tanh(a):
    e = np.expm1(-2 * np.abs(a))
    return -np.sign(a) * e / (2 + e), 4 * (1 + e) / (2 + e) ** 2


def matmul(a, b):
    a, b = as_tensor(a), as_tensor(b)

    def of_a(dout):
        return np.einsum("nm,dm->nd", dout, b.data)

    def of_b(dout):
        return np.einsum("nm,nd->dm", dout, a.data)

    return Tensor(np.einsum("nd,dm->nm", a.data, b.data), ways=[(a, of_a), (b, of_b)])


for name, function in {"add": add, "sub": sub, "mul": mul, "truediv": div, "matmul": matmul}.items():
    setattr(Tensor, f"__{name}__", lambda self, other, op=function: op(self, other))
    setattr(Tensor, f"__r{name}__", lambda self, other, op=function: op(other, self))


def softmax_cross_entropy(scores, labels):
    log_sums = np.logaddexp.reduce(scores.data, axis=1, keepdims=True)
    is_right = np.equal.outer(labels, np.arange(scores.data.shape[1]))

    def way(dout):
        return (np.exp(scores.data - log_sums) - is_right) * dout / len(is_right)

    return Tensor(np.mean(log_sums[:, 0] - scores.data[is_right]), ways=[(scores, way)])


class MLP:
    """Weights and biases in one list; a layer takes two from its front."""

    def __init__(self, sizes, activation="relu", seed=0):
        rng = np.random.default_rng(seed)
        self.between = globals()[activation]
        self.learned = []
        for rows, columns in pairwise(sizes):
            self.learned.append(Tensor(rng.normal(0, (2 / rows) ** 0.5, (rows, columns)), True))
            self.learned.append(Tensor([0.0] * columns, True))

    def parameters(self):
        return self.learned[:]

    def __call__(self, x):
        waiting = self.parameters()
        scores = matmul(x, waiting.pop(0)) + waiting.pop(0)
        while waiting:
            scores = matmul(self.between(scores), waiting.pop(0)) + waiting.pop(0)
        return scores


def train(net, x, y, epochs, batch_size=32, learning_rate=0.1, seed=0):
    """The steps of all epochs as rows of numbers first."""
    rng = np.random.default_rng(seed)
    orders = [rng.permutation(len(y)) for _ in range(epochs)]
    batches = [b for order in orders for b in np.split(order, range(batch_size, len(y), batch_size))]
    losses = []
    for batch in batches:
        loss = softmax_cross_entropy(net(x[batch]), y[batch])
        losses.append(loss.data[()])
        for w in net.parameters():
            w.zero_grad()
        loss.backward()
        for w in net.parameters():
            np.subtract(w.data, learning_rate * w.grad, out=w.data)
    return losses
