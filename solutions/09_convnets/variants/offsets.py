"""Channels last, one matrix product for each offset within a window; each normalisation built on another one;
a network as a list of steps.
"""

import numpy as np


def at_offset(maps, k, m, stride, height, width):
    """The pixels at offset (k, m) of each window, for maps (N, H, W, C)."""
    return maps[:, k : k + stride * height : stride, m : m + stride * width : stride]


def conv_forward(x, w, b, conv_param):
    s, p = conv_param["stride"], conv_param["pad"]
    maps = np.pad(np.moveaxis(x, 1, 3), ((0, 0), (p, p), (p, p), (0, 0)))
    F, _, HH, WW = w.shape
    height, width = 1 + (maps.shape[1] - HH) // s, 1 + (maps.shape[2] - WW) // s
    out = np.tile(b, (len(x), height, width, 1)).astype(np.result_type(x, w))
    for k, m in np.ndindex(HH, WW):
        out += at_offset(maps, k, m, s, height, width) @ w[:, :, k, m].T
    assert out.shape[3] == F
    return np.moveaxis(out, 3, 1), (maps, w, s, p)


def conv_backward(dout, cache):
    maps, w, s, p = cache
    upstream = np.ascontiguousarray(np.moveaxis(dout, 1, 3))
    _, height, width, F = upstream.shape
    dmaps, dw = np.zeros(maps.shape, dtype=dout.dtype), np.empty_like(w)
    rows = upstream.reshape(-1, F)
    for k, m in np.ndindex(*w.shape[2:]):
        seen = at_offset(maps, k, m, s, height, width)
        dw[:, :, k, m] = rows.T @ seen.reshape(len(rows), -1)
        at_offset(dmaps, k, m, s, height, width)[...] += upstream @ w[:, :, k, m]
    inner = slice(p, -p) if p else slice(None)
    return np.moveaxis(dmaps[:, inner, inner], 3, 1), dw, rows.sum(axis=0)


conv_forward_fast, conv_backward_fast = conv_forward, conv_backward


def max_pool_forward(x, pool_param):
    s = pool_param["stride"]
    window = pool_param["pool_height"], pool_param["pool_width"]
    maps = x.transpose(0, 2, 3, 1)
    height, width = ((size - part) // s + 1 for size, part in zip(x.shape[2:], window, strict=True))
    out = np.full((len(x), height, width, x.shape[1]), -np.inf, dtype=x.dtype)
    for k, m in np.ndindex(*window):
        np.maximum(out, at_offset(maps, k, m, s, height, width), out=out)
    return out.transpose(0, 3, 1, 2), {"maps": maps, "out": out, "window": window, "stride": s}


def max_pool_backward(dout, cache):
    """The gradient goes to the first offset that holds the maximum."""
    maps, out, s = cache["maps"], cache["out"], cache["stride"]
    upstream, dmaps = dout.transpose(0, 2, 3, 1), np.zeros(maps.shape, dtype=dout.dtype)
    still_free = np.ones(out.shape, dtype=bool)
    for k, m in np.ndindex(*cache["window"]):
        wins = still_free & (at_offset(maps, k, m, s, *out.shape[1:3]) == out)
        at_offset(dmaps, k, m, s, *out.shape[1:3])[...] += wins * upstream
        still_free &= ~wins
    return dmaps.transpose(0, 3, 1, 2)


def batchnorm_forward(x, gamma, beta, bn_param):
    """In place on a copy, which ends up as x_hat."""
    training = bn_param["mode"] == "train"
    momentum, eps = bn_param.get("momentum", 0.9), bn_param.get("eps", 1e-5)
    running_mean = bn_param.get("running_mean", np.zeros_like(x[0]))
    running_var = bn_param.get("running_var", np.zeros_like(x[0]))
    x_hat = np.array(x)
    mean = np.average(x_hat, axis=0) if training else running_mean
    x_hat -= mean
    var = np.einsum("nd,nd->d", x_hat, x_hat) / len(x) if training else running_var
    std = np.sqrt(var + eps)
    x_hat /= std
    if training:
        bn_param["running_mean"] = running_mean + (1 - momentum) * (mean - running_mean)
        bn_param["running_var"] = running_var + (1 - momentum) * (var - running_var)
    return x_hat * gamma + beta, (x_hat, std, gamma)


def batchnorm_backward(dout, cache):
    """What is constant and what is along x_hat is taken out of the gradient, one after the other."""
    x_hat, std, gamma = cache
    dx = dout * gamma
    dx -= dx.mean(axis=0)
    dx -= x_hat * np.mean(dx * x_hat, axis=0)
    dx /= std
    return dx, np.sum(dout * x_hat, axis=0), np.sum(dout, axis=0)


def spatial_batchnorm_forward(x, gamma, beta, bn_param):
    last = np.transpose(x, (0, 2, 3, 1))
    out, cache = batchnorm_forward(last.reshape((-1, last.shape[3])), gamma, beta, bn_param)
    return np.transpose(out.reshape(last.shape), (0, 3, 1, 2)), cache


def spatial_batchnorm_backward(dout, cache):
    last = np.transpose(dout, (0, 2, 3, 1))
    dx, dgamma, dbeta = batchnorm_backward(last.reshape((-1, last.shape[3])), cache)
    return np.transpose(dx.reshape(last.shape), (0, 3, 1, 2)), dgamma, dbeta


def layernorm_forward(x, gamma, beta, ln_param):
    """The transpose of a batch normalisation that leaves scale and shift alone."""
    N = len(x)
    settings = {"mode": "train", "eps": ln_param.get("eps", 1e-5)}
    turned, cache = batchnorm_forward(x.T, np.ones(N), np.zeros(N), settings)
    return gamma * turned.T + beta, (turned.T, cache, gamma)


def layernorm_backward(dout, cache):
    x_hat, turned, gamma = cache
    dx, _, _ = batchnorm_backward((dout * gamma).T, turned)
    return dx.T, (x_hat * dout).sum(axis=0), dout.sum(axis=0)


def groupnorm_forward(x, gamma, beta, G, gn_param):
    """A layer normalisation whose rows are the groups of all images."""
    rows = np.reshape(x, (len(x) * G, -1))
    D = rows.shape[1]
    normal, cache = layernorm_forward(rows, np.ones(D), np.zeros(D), gn_param)
    normal = normal.reshape(x.shape)
    return normal * gamma + beta, {"normal": normal, "rows": rows.shape, "inner": cache, "gamma": gamma}


def groupnorm_backward(dout, cache):
    rows = (dout * cache["gamma"]).reshape(cache["rows"])
    dx, _, _ = layernorm_backward(rows, cache["inner"])
    sums = {"axis": (0, 2, 3), "keepdims": True}
    return dx.reshape(dout.shape), np.sum(dout * cache["normal"], **sums), np.sum(dout, **sums)


def kaiming_init(shape, rng):
    generator = np.random.default_rng(rng)
    weights = generator.standard_normal(shape)
    inputs = weights[:, 0].size if weights.ndim == 2 else weights[0].size
    weights *= (2.0 / inputs) ** 0.5
    return weights


class Steps:
    """A list of steps, (forward, backward, names of parameters, further arguments)."""

    def run(self, steps, X, y):
        out, tape = X.astype(self.dtype), []
        for forward, backward, names, more in steps:
            out, cache = forward(out, *(self.params[name] for name in names), *more)
            tape.append((backward, cache, names))
        if y is None:
            return out
        loss, gradient = softmax_loss(out, y)
        grads = {}
        for backward, cache, names in tape[::-1]:
            gradient = backward(gradient, cache)
            if names:
                gradient, *parts = gradient
                grads |= dict(zip(names, parts, strict=True))
        for name in grads:
            if name[0] == "W":
                loss += self.reg * np.sum(np.square(self.params[name])) / 2
                grads[name] = grads[name] + self.reg * self.params[name]
        return float(loss), grads


RELU = (relu_forward, relu_backward, (), ())
POOL = (max_pool_forward, max_pool_backward, (), ({"pool_height": 2, "pool_width": 2, "stride": 2},))


class ThreeLayerConvNet(Steps):
    """The steps are written down once, at the start."""

    def __init__(
        self,
        input_dim=(3, 32, 32),
        num_filters=32,
        filter_size=7,
        hidden_dim=100,
        num_classes=10,
        weight_scale=1e-3,
        reg=0.0,
        seed=0,
        dtype=np.float64,
    ):
        C, H, W = input_dim
        self.reg, self.dtype = reg, np.dtype(dtype)
        generator = np.random.default_rng(seed)
        self.params = {
            "W1": generator.normal(0, weight_scale, (num_filters, C, filter_size, filter_size)),
            "b1": np.zeros(num_filters),
            "W2": generator.normal(0, weight_scale, (num_filters * (H // 2) * (W // 2), hidden_dim)),
            "b2": np.zeros(hidden_dim),
            "W3": generator.normal(0, weight_scale, (hidden_dim, num_classes)),
            "b3": np.zeros(num_classes),
        }
        self.params = {name: value.astype(dtype) for name, value in self.params.items()}
        same = {"stride": 1, "pad": filter_size // 2}
        self.steps = [(conv_forward, conv_backward, ("W1", "b1"), (same,)), RELU, POOL]
        self.steps += [(affine_forward, affine_backward, ("W2", "b2"), ()), RELU]
        self.steps += [(affine_forward, affine_backward, ("W3", "b3"), ())]

    def loss(self, X, y=None):
        return self.run(self.steps, X, y)


class DeepConvNet(Steps):
    """The steps are made anew for each call, from the shapes of the parameters."""

    def __init__(
        self,
        input_dim=(3, 32, 32),
        num_filters=(16, 16, 32, 32),
        pools=(2, 4),
        batchnorm=True,
        filter_size=3,
        num_classes=10,
        weight_scale=None,
        reg=0.0,
        seed=0,
        dtype=np.float64,
    ):
        self.reg, self.dtype, self.pools, self.depth = reg, np.dtype(dtype), pools, len(num_filters)
        self.batchnorm = batchnorm
        self.bn_params = [dict(mode="train") for _ in num_filters] if batchnorm else []  # noqa: C408
        generator = np.random.default_rng(seed)
        before, size = input_dim[0], np.array(input_dim[1:])
        self.params = {}
        for block, F in enumerate(num_filters, start=1):
            self.params[f"W{block}"] = self.draw(
                (F, before, filter_size, filter_size), weight_scale, generator
            )
            self.params[f"b{block}"] = np.zeros(F)
            if batchnorm:
                self.params |= {f"gamma{block}": np.ones(F), f"beta{block}": np.zeros(F)}
            before = F
            size = size // (2 if block in pools else 1)
        self.params[f"W{self.depth + 1}"] = self.draw(
            (before * size.prod(), num_classes), weight_scale, generator
        )
        self.params[f"b{self.depth + 1}"] = np.zeros(num_classes)
        for name in self.params:
            self.params[name] = self.params[name].astype(dtype)

    @staticmethod
    def draw(shape, weight_scale, generator):
        """Weights of the given scale, or Kaiming's."""
        if weight_scale is None:
            return kaiming_init(shape, generator)
        return weight_scale * generator.standard_normal(shape)

    def loss(self, X, y=None):
        steps = []
        for block in range(1, self.depth + 1):
            same = {"stride": 1, "pad": self.params[f"W{block}"].shape[-1] // 2}
            steps.append((conv_forward_fast, conv_backward_fast, (f"W{block}", f"b{block}"), (same,)))
            if self.batchnorm:
                bn_param = self.bn_params[block - 1]
                bn_param["mode"] = "test" if y is None else "train"
                names = (f"gamma{block}", f"beta{block}")
                steps.append((spatial_batchnorm_forward, spatial_batchnorm_backward, names, (bn_param,)))
            steps.append(RELU)
            if block in self.pools:
                steps.append(POOL)
        names = (f"W{self.depth + 1}", f"b{self.depth + 1}")
        return self.run([*steps, (affine_forward, affine_backward, names, ())], X, y)
