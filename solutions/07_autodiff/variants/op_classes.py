"""Ops as classes with a context, in PyTorch's manner; the way back by counting the users of each tensor."""

from collections import deque
from itertools import pairwise

import numpy as np


def unbroadcast(gradient, shape):
    padded = (1,) * (np.ndim(gradient) - len(shape)) + tuple(shape)
    axes = tuple(i for i, size in enumerate(padded) if size < np.shape(gradient)[i])
    return np.sum(gradient, axis=axes, keepdims=True).reshape(shape)


class Tensor:
    __array_ufunc__ = None

    def __init__(self, data, requires_grad=False, op=None):
        self.data = np.asarray(data, dtype="float64")
        self.requires_grad = requires_grad
        self.grad = None
        self.op = op

    def backward(self, gradient=None):
        users, queue = {self: 0}, deque([self])
        while queue:
            tensor = queue.popleft()
            for operand in tensor.op.tensors if tensor.op else ():
                if operand not in users:
                    users[operand] = 0
                    queue.append(operand)
                users[operand] += 1
        arrived = {tensor: np.zeros_like(tensor.data) for tensor in users}
        arrived[self] = arrived[self] + (1.0 if gradient is None else gradient)
        ready = [self]
        while ready:
            tensor = ready.pop()
            total = arrived.pop(tensor)
            if tensor.requires_grad:
                tensor.grad = total.copy() if tensor.grad is None else tensor.grad + total
            if tensor.op is None:
                continue
            for operand, part in zip(tensor.op.tensors, tensor.op.gradients(total), strict=True):
                arrived[operand] = arrived[operand] + part
                users[operand] -= 1
                if users[operand] == 0:
                    ready.append(operand)

    def zero_grad(self):
        self.grad = None

    def __add__(self, other):
        return Add.apply(self, other)

    def __radd__(self, other):
        return Add.apply(other, self)

    def __sub__(self, other):
        return self + Neg.apply(other)

    def __rsub__(self, other):
        return other + Neg.apply(self)

    def __mul__(self, other):
        return Mul.apply(self, other)

    def __rmul__(self, other):
        return Mul.apply(other, self)

    def __truediv__(self, other):
        return self * Reciprocal.apply(other)

    def __rtruediv__(self, other):
        return other * Reciprocal.apply(self)

    def __neg__(self):
        return Neg.apply(self)

    def __matmul__(self, other):
        return MatMul.apply(self, other)

    def __rmatmul__(self, other):
        return MatMul.apply(other, self)

    def sum(self, axis=None, keepdims=False):
        return Sum.apply(self, axis=axis, keepdims=keepdims)

    def mean(self, axis=None, keepdims=False):
        total = self.sum(axis, keepdims)
        return total * (total.data.size / self.data.size)


class Op:
    """One step that was carried out."""

    @classmethod
    def apply(cls, *values, **settings):
        op = cls()
        op.tensors = [v if isinstance(v, Tensor) else Tensor(v) for v in values]
        out = op.forward(*(t.data for t in op.tensors), **settings)
        wanted = any(t.requires_grad for t in op.tensors)
        return Tensor(out, wanted, op if wanted else None)

    def gradients(self, g):
        parts = self.backward(g)
        return parts if isinstance(parts, list) else [parts]


class Add(Op):
    def forward(self, a, b):
        self.shapes = np.shape(a), np.shape(b)
        return a + b

    def backward(self, g):
        return [unbroadcast(g, shape) for shape in self.shapes]


class Neg(Op):
    def forward(self, a):
        return -a

    def backward(self, g):
        return -g


class Mul(Op):
    def forward(self, a, b):
        self.a, self.b = a, b
        return a * b

    def backward(self, g):
        return [unbroadcast(self.b * g, self.a.shape), unbroadcast(self.a * g, self.b.shape)]


class Reciprocal(Op):
    def forward(self, a):
        self.out = 1 / a
        return self.out

    def backward(self, g):
        return -g * self.out**2


class MatMul(Op):
    def forward(self, a, b):
        self.a, self.b = a, b
        return np.dot(a, b)

    def backward(self, g):
        return [np.einsum("nm,dm->nd", g, self.b), np.einsum("nd,nm->dm", self.a, g)]


class Sum(Op):
    def forward(self, a, axis, keepdims):
        self.shape = a.shape
        kept = np.sum(a, axis=axis, keepdims=True)
        self.kept_shape = kept.shape
        return kept if keepdims else np.sum(a, axis=axis)

    def backward(self, g):
        repeats = [size // kept for size, kept in zip(self.shape, self.kept_shape, strict=True)]
        return np.tile(np.reshape(g, self.kept_shape), repeats)


class Square(Op):
    def forward(self, a):
        self.a = a
        return a**2

    def backward(self, g):
        return g * self.a + g * self.a


class Exp(Op):
    def forward(self, a):
        self.a = a
        return np.e**a

    def backward(self, g):
        return g * np.exp(self.a)


class Log(Op):
    def forward(self, a):
        self.a = a
        return np.log2(a) * np.log(2)

    def backward(self, g):
        return g * self.a**-1


class ReLU(Op):
    def forward(self, a):
        self.on = a > 0
        return a * self.on

    def backward(self, g):
        da = np.array(g)
        da[~self.on] = 0
        return da


class Sigmoid(Op):
    def forward(self, a):
        self.out = np.exp(-np.logaddexp(0, -a))
        return self.out

    def backward(self, g):
        return g * (self.out - self.out**2)


class Tanh(Op):
    def forward(self, a):
        self.out = np.tanh(a)
        return self.out

    def backward(self, g):
        return (1 - self.out) * (1 + self.out) * g


class SoftmaxCrossEntropy(Op):
    def forward(self, s, labels):
        high = s.max(axis=1)
        norm = high + np.log(np.exp(s - high[:, None]).sum(axis=1))
        self.p = np.exp(s - norm[:, None])
        self.hot = np.eye(s.shape[1])[labels]
        return np.mean(norm - np.take_along_axis(s, labels[:, None], axis=1)[:, 0])

    def backward(self, g):
        return g * (self.p - self.hot) / len(self.p)


def square(t):
    return Square.apply(t)


def exp(t):
    return Exp.apply(t)


def log(t):
    return Log.apply(t)


def relu(t):
    return ReLU.apply(t)


def sigmoid(t):
    return Sigmoid.apply(t)


def tanh(t):
    return Tanh.apply(t)


def softmax_cross_entropy(scores, labels):
    return SoftmaxCrossEntropy.apply(scores, labels=labels)


class Linear:
    def __init__(self, D, M, rng):
        self.W = Tensor(rng.normal(0, np.sqrt(2 / D), (D, M)), requires_grad=True)
        self.b = Tensor([0.0] * M, requires_grad=True)

    def __call__(self, h):
        return h @ self.W + self.b


class MLP:
    def __init__(self, sizes, activation="relu", seed=0):
        rng = np.random.default_rng(seed)
        self.activation = globals()[activation]
        self.hidden = [Linear(D, M, rng) for D, M in pairwise(sizes[:-1])]
        self.last = Linear(sizes[-2], sizes[-1], rng)

    def parameters(self):
        return tuple(p for layer in [*self.hidden, self.last] for p in (layer.W, layer.b))

    def __call__(self, x):
        for layer in self.hidden:
            x = self.activation(layer(x))
        return self.last(x)


def train(net, x, y, epochs, batch_size=32, learning_rate=0.1, seed=0):
    rng = np.random.default_rng(seed)
    N = x.shape[0]
    steps_per_epoch = int(np.ceil(N / batch_size))
    losses = np.zeros(epochs * steps_per_epoch)
    for step in range(len(losses)):
        i = step % steps_per_epoch
        if i == 0:
            shuffled = rng.choice(N, N, replace=False)
        batch = shuffled[i * batch_size : min(N, (i + 1) * batch_size)]
        for p in net.parameters():
            p.grad = np.zeros_like(p.data)
        loss = softmax_cross_entropy(net(x[batch]), y[batch])
        loss.backward()
        losses[step] = loss.data
        for p in net.parameters():
            p.data = p.data - p.grad * learning_rate
    return losses
