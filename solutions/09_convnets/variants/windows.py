"""Strided views and einsum; statistics over several axes at once; caches of all sorts."""

import numpy as np
from numpy.lib.stride_tricks import as_strided, sliding_window_view


class Cache:
    """A cache may be any object."""

    def __init__(self, **values):
        self.__dict__.update(values)


def conv_forward(x, w, b, conv_param):
    s, p = conv_param["stride"], conv_param["pad"]
    xp = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)), mode="constant")
    views = sliding_window_view(xp, w.shape[2:], axis=(2, 3))[:, :, ::s, ::s]
    out = np.einsum("ncijkl,fckl->nfij", views, w) + b.reshape(1, -1, 1, 1)
    return out, Cache(views=views, w=w, s=s, p=p, padded=xp.shape, shape=x.shape)


def conv_backward(dout, cache):
    """dx as a full correlation of the dilated upstream gradient with flipped filters."""
    w, s, p = cache.w, cache.s, cache.p
    HH, WW = w.shape[2:]
    N, F, Ho, Wo = dout.shape
    dilated = np.zeros((N, F, cache.padded[2] + HH - 1, cache.padded[3] + WW - 1))
    dilated[:, :, HH - 1 : HH - 1 + s * Ho : s, WW - 1 : WW - 1 + s * Wo : s][:, :, :Ho, :Wo] = dout
    views = sliding_window_view(dilated, (HH, WW), axis=(2, 3))
    dxp = np.einsum("nfijkl,fckl->ncij", views, w[:, :, ::-1, ::-1])
    dx = dxp[:, :, p : p + cache.shape[2], p : p + cache.shape[3]]
    return dx, np.einsum("nfij,ncijkl->fckl", dout, cache.views), np.einsum("nfij->f", dout)


def max_pool_forward(x, pool_param):
    ph, pw, s = (pool_param[key] for key in ("pool_height", "pool_width", "stride"))
    N, C, H, W = x.shape
    Ho, Wo = 1 + (H - ph) // s, 1 + (W - pw) // s
    sn, sc, sh, sw = x.strides
    views = as_strided(x, (N, C, Ho, Wo, ph, pw), (sn, sc, s * sh, s * sw, sh, sw), writeable=False)
    flat = views.reshape(N, C, Ho, Wo, -1)
    winner = flat.argmax(axis=-1)
    return np.take_along_axis(flat, winner[..., None], -1)[..., 0], [winner, x.shape, pool_param]


def max_pool_backward(dout, cache):
    winner, shape, pool_param = cache
    n, c, i, j = np.indices(winner.shape)
    row = i * pool_param["stride"] + winner // pool_param["pool_width"]
    column = j * pool_param["stride"] + winner % pool_param["pool_width"]
    dx = np.zeros(shape, dtype=dout.dtype)
    np.add.at(dx, (n, c, row, column), dout)
    return dx


def batchnorm_forward(x, gamma, beta, bn_param):
    eps = bn_param.get("eps", 1e-5)
    if bn_param["mode"] == "test":
        mean, var = bn_param.get("running_mean", 0.0), bn_param.get("running_var", 0.0)
        return gamma * (x - mean) / (var + eps) ** 0.5 + beta, {}
    m = bn_param.get("momentum", 0.9)
    mean, var = np.mean(x, axis=0), np.var(x, axis=0)
    bn_param.update(
        running_mean=m * bn_param.get("running_mean", 0.0) + (1 - m) * mean,
        running_var=m * bn_param.get("running_var", 0.0) + (1 - m) * var,
    )
    return gamma * (x - mean) / np.sqrt(var + eps) + beta, {"x": x, "gamma": gamma, "eps": eps}


def batchnorm_backward(dout, cache):
    """The closed form in sums, with everything computed again from x."""
    x, gamma = cache["x"], cache["gamma"]
    N = x.shape[0]
    inv_std = (x.var(axis=0) + cache["eps"]) ** -0.5
    x_hat = (x - x.mean(axis=0)) * inv_std
    dgamma, dbeta = np.einsum("nd,nd->d", dout, x_hat), dout.sum(axis=0)
    return gamma * inv_std / N * (N * dout - dbeta - x_hat * dgamma), dgamma, dbeta


def spatial_batchnorm_forward(x, gamma, beta, bn_param):
    N, C, H, W = x.shape
    flat = np.moveaxis(x, 1, -1).reshape(-1, C)
    out, cache = batchnorm_forward(flat, gamma, beta, bn_param)
    return np.moveaxis(out.reshape(N, H, W, C), -1, 1), cache


def spatial_batchnorm_backward(dout, cache):
    flat = np.swapaxes(dout, 0, 1).reshape(dout.shape[1], -1)  # (C, N*H*W)
    dx, dgamma, dbeta = batchnorm_backward(flat.T, cache)
    back = dx.T.reshape(dout.shape[1], dout.shape[0], *dout.shape[2:])
    return np.swapaxes(back, 0, 1), dgamma, dbeta


def layernorm_forward(x, gamma, beta, ln_param):
    xt = x.T
    mean, var = xt.mean(axis=0), xt.var(axis=0)
    inv_std = 1.0 / np.sqrt(var + ln_param.get("eps", 1e-5))
    x_hat = ((xt - mean) * inv_std).T
    return x_hat * gamma + beta, Cache(x_hat=x_hat, inv_std=inv_std, gamma=gamma)


def layernorm_backward(dout, cache):
    D = dout.shape[1]
    g = dout * cache.gamma
    total, product = g.sum(axis=1, keepdims=True), np.einsum("nd,nd->n", g, cache.x_hat)[:, None]
    dx = cache.inv_std[:, None] / D * (D * g - total - cache.x_hat * product)
    return dx, np.einsum("nd,nd->d", dout, cache.x_hat), np.einsum("nd->d", dout)


def groupnorm_forward(x, gamma, beta, G, gn_param):
    N, C, H, W = x.shape
    grouped = x.reshape(N, G, C // G, H, W)
    axes = (2, 3, 4)
    mean, var = grouped.mean(axis=axes, keepdims=True), grouped.var(axis=axes, keepdims=True)
    std = np.sqrt(var + gn_param.get("eps", 1e-5))
    x_hat = ((grouped - mean) / std).reshape(N, C, H, W)
    return gamma * x_hat + beta, (G, x_hat, std, gamma)


def groupnorm_backward(dout, cache):
    G, x_hat, std, gamma = cache
    N, C, H, W = dout.shape
    shape, axes = (N, G, C // G, H, W), (2, 3, 4)
    g, normal = (dout * gamma).reshape(shape), x_hat.reshape(shape)
    M = C // G * H * W
    dvar = np.sum(g * normal * std * -0.5 * std**-3, axis=axes, keepdims=True)
    dmean = np.sum(-g / std, axis=axes, keepdims=True)
    dx = g / std + dvar * 2 * normal * std / M + dmean / M
    dgamma = np.einsum("nchw,nchw->c", dout, x_hat)[None, :, None, None]
    return dx.reshape(N, C, H, W), dgamma, np.einsum("nchw->c", dout)[None, :, None, None]


def kaiming_init(shape, rng):
    """He's uniform distribution, with the same variance."""
    rng = np.random.default_rng(rng)
    receptive = np.prod(shape[2:])
    channels = shape[0] if len(shape) == 2 else shape[1]
    bound = np.sqrt(6.0 / (channels * receptive))
    return rng.uniform(-bound, bound, shape)


def conv_forward_fast(x, w, b, conv_param):
    s, p = conv_param["stride"], conv_param["pad"]
    xp = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    views = sliding_window_view(xp, w.shape[2:], axis=(2, 3))[:, :, ::s, ::s]
    out = np.tensordot(views, w, axes=((1, 4, 5), (1, 2, 3)))
    return np.moveaxis(out + b, -1, 1), (views, w, s, p, x.shape)


def conv_backward_fast(dout, cache):
    views, w, s, p, (N, C, H, W) = cache
    dw = np.tensordot(dout, views, axes=((0, 2, 3), (0, 2, 3)))
    dviews = np.tensordot(dout, w, axes=(1, 0))  # (N, H', W', C, HH, WW)
    pixels = np.arange((H + 2 * p) * (W + 2 * p)).reshape(H + 2 * p, W + 2 * p)
    seen = sliding_window_view(pixels, w.shape[2:])[::s, ::s]  # (H', W', HH, WW): the pixels of each window
    dxp = np.zeros((N, C, pixels.size))
    np.add.at(dxp, (slice(None), slice(None), seen), dviews.transpose(0, 3, 1, 2, 4, 5))
    dxp = dxp.reshape(N, C, *pixels.shape)
    return dxp[:, :, p : p + H, p : p + W], dw, dout.sum(axis=0).sum(axis=(1, 2))


class ThreeLayerConvNet:
    """With everything inline but convolution and pool."""

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
        self.reg, self.dtype = reg, dtype
        rng = np.random.default_rng(seed)
        C, H, W = input_dim
        sizes = [
            ((num_filters, C, filter_size, filter_size), num_filters),
            ((num_filters * H * W // 4, hidden_dim), hidden_dim),
            ((hidden_dim, num_classes), num_classes),
        ]
        self.params = {}
        for layer, (shape, units) in enumerate(sizes, start=1):
            self.params[f"b{layer}"] = np.zeros(units, dtype)
            self.params[f"W{layer}"] = (rng.standard_normal(shape) * weight_scale).astype(dtype)

    def loss(self, X, y=None):
        W1, b1, W2, b2, W3, b3 = (self.params[k] for k in ("W1", "b1", "W2", "b2", "W3", "b3"))
        pool_param = {"pool_height": 2, "pool_width": 2, "stride": 2}
        z1, conv_cache = conv_forward_fast(X, W1, b1, {"stride": 1, "pad": W1.shape[-1] // 2})
        # Pooling and ReLU commute.
        pooled, pool_cache = max_pool_forward(z1, pool_param)
        h1 = np.maximum(pooled, 0).reshape(len(X), -1)
        z2 = h1 @ W2 + b2
        h2 = z2 * (z2 > 0)
        scores = h2 @ W3 + b3
        if y is None:
            return scores
        exp = np.exp(scores - scores.max(axis=1, keepdims=True))
        P = exp / exp.sum(axis=1, keepdims=True)
        loss = -np.mean(np.log(P[range(len(y)), y]))
        loss += self.reg / 2 * sum(np.linalg.norm(W) ** 2 for W in (W1, W2, W3))
        d3 = (P - np.eye(len(b3))[y]) / len(y)
        d2 = d3 @ W3.T * (z2 > 0)
        d1 = (d2 @ W2.T).reshape(pooled.shape) * (pooled > 0)
        _, dW1, db1 = conv_backward_fast(max_pool_backward(d1, pool_cache), conv_cache)
        return np.float64(loss), {
            "W1": dW1 + self.reg * W1,
            "b1": db1,
            "W2": h1.T @ d2 + self.reg * W2,
            "b2": d2.sum(0),
            "W3": h2.T @ d3 + self.reg * W3,
            "b3": d3.sum(0),
        }


class DeepConvNet:
    """A list of layers, each a pair of closures."""

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
        self.reg, self.dtype, self.pools = reg, dtype, set(pools)
        self.depth, self.batchnorm = len(num_filters), batchnorm
        self.bn_params = [{"mode": "train"} for _ in range(self.depth)] if batchnorm else []
        rng = np.random.default_rng(seed)
        draw = (
            (lambda shape: kaiming_init(shape, rng))
            if weight_scale is None
            else (lambda shape: rng.normal(scale=weight_scale, size=shape))
        )
        self.params = {}
        maps = np.empty((input_dim[0], *input_dim[1:]))
        for block, F in enumerate(num_filters, start=1):
            self.params[f"W{block}"] = draw((F, len(maps), filter_size, filter_size)).astype(dtype)
            self.params[f"b{block}"] = np.zeros(F, dtype)
            if batchnorm:
                self.params[f"gamma{block}"], self.params[f"beta{block}"] = (
                    np.ones(F, dtype),
                    np.zeros(F, dtype),
                )
            step = 2 if block in self.pools else 1
            maps = np.empty((F, maps.shape[1] // step, maps.shape[2] // step))
        self.params[f"W{self.depth + 1}"] = draw((maps.size, num_classes)).astype(dtype)
        self.params[f"b{self.depth + 1}"] = np.zeros(num_classes, dtype)

    def loss(self, X, y=None):
        mode = "test" if y is None else "train"
        tape, out = [], X.astype(self.dtype)

        def step(result, backward, *names):
            tape.append((backward, result[1], names))
            return result[0]

        for block in range(1, self.depth + 1):
            W, b = self.params[f"W{block}"], self.params[f"b{block}"]
            conv_param = {"stride": 1, "pad": (W.shape[3] - 1) // 2}
            out = step(conv_forward_fast(out, W, b, conv_param), conv_backward_fast, f"W{block}", f"b{block}")
            if self.batchnorm:
                names = f"gamma{block}", f"beta{block}"
                scale_shift = [self.params[name] for name in names]
                self.bn_params[block - 1]["mode"] = mode
                normal = spatial_batchnorm_forward(out, *scale_shift, self.bn_params[block - 1])
                out = step(normal, spatial_batchnorm_backward, *names)
            out = step(relu_forward(out), relu_backward)
            if block in self.pools:
                pool_param = {"pool_height": 2, "pool_width": 2, "stride": 2}
                out = step(max_pool_forward(out, pool_param), max_pool_backward)
        names = f"W{self.depth + 1}", f"b{self.depth + 1}"
        out = step(affine_forward(out, *(self.params[name] for name in names)), affine_backward, *names)
        if y is None:
            return out

        loss, upstream = softmax_loss(out, y)
        grads = {}
        for backward, cache, names in reversed(tape):
            result = backward(upstream, cache)
            if names:
                upstream, *parts = result
                grads.update(zip(names, parts, strict=True))
            else:
                upstream = result
        for name, value in self.params.items():
            if name.startswith("W"):
                loss += 0.5 * self.reg * np.vdot(value, value)
                grads[name] = grads[name] + self.reg * value
        return loss, grads
