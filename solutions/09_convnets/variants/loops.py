"""Everything by hand: loops, and backward passes that walk the computational graph step by step."""

import numpy as np


def conv_forward(x, w, b, conv_param):
    s, p = conv_param["stride"], conv_param["pad"]
    xp = np.zeros((x.shape[0], x.shape[1], x.shape[2] + 2 * p, x.shape[3] + 2 * p))
    xp[:, :, p : p + x.shape[2], p : p + x.shape[3]] = x
    Ho = (xp.shape[2] - w.shape[2]) // s + 1
    Wo = (xp.shape[3] - w.shape[3]) // s + 1
    out = np.empty((len(x), len(w), Ho, Wo))
    for i in range(Ho):
        for j in range(Wo):
            window = xp[:, :, i * s : i * s + w.shape[2], j * s : j * s + w.shape[3]]
            for f in range(len(w)):
                out[:, f, i, j] = (window * w[f]).sum(axis=(1, 2, 3)) + b[f]
    return out, {"xp": xp, "w": w, "s": s, "p": p, "shape": x.shape}


def conv_backward(dout, cache):
    xp, w, s, p = cache["xp"], cache["w"], cache["s"], cache["p"]
    dxp, dw, db = np.zeros(xp.shape), np.zeros(w.shape), np.zeros(len(w))
    for f in range(len(w)):
        db[f] = dout[:, f].sum()
        for i in range(dout.shape[2]):
            for j in range(dout.shape[3]):
                rows, cols = slice(i * s, i * s + w.shape[2]), slice(j * s, j * s + w.shape[3])
                g = dout[:, f, i, j].reshape(-1, 1, 1, 1)
                dw[f] += (g * xp[:, :, rows, cols]).sum(axis=0)
                dxp[:, :, rows, cols] += g * w[f]
    return [dxp[:, :, p : p + cache["shape"][2], p : p + cache["shape"][3]], dw, db]


def max_pool_forward(x, pool_param):
    ph, pw, s = pool_param["pool_height"], pool_param["pool_width"], pool_param["stride"]
    N, C, H, W = x.shape
    Ho, Wo = (H - ph) // s + 1, (W - pw) // s + 1
    out, where = np.zeros((N, C, Ho, Wo)), {}
    for n in range(N):
        for c in range(C):
            for i in range(Ho):
                for j in range(Wo):
                    window = x[n, c, i * s : i * s + ph, j * s : j * s + pw]
                    row, column = np.unravel_index(np.argmax(window), window.shape)
                    where[n, c, i, j] = (i * s + row, j * s + column)
                    out[n, c, i, j] = window[row, column]
    return out, (where, x.shape)


def max_pool_backward(dout, cache):
    where, shape = cache
    dx = np.zeros(shape)
    for (n, c, i, j), (row, column) in where.items():
        dx[n, c, row, column] += dout[n, c, i, j]
    return dx


def batchnorm_forward(x, gamma, beta, bn_param):
    eps, momentum = bn_param.get("eps", 1e-5), bn_param.get("momentum", 0.9)
    for name in ("running_mean", "running_var"):
        bn_param.setdefault(name, np.zeros(x.shape[1]))
    if bn_param["mode"] == "train":
        mu = 1 / len(x) * np.sum(x, axis=0)
        xmu = x - mu
        sq = xmu**2
        var = 1 / len(x) * np.sum(sq, axis=0)
        sqrtvar = np.sqrt(var + eps)
        ivar = 1 / sqrtvar
        xhat = xmu * ivar
        bn_param["running_mean"] = momentum * bn_param["running_mean"] + (1 - momentum) * mu
        bn_param["running_var"] = momentum * bn_param["running_var"] + (1 - momentum) * var
        return gamma * xhat + beta, (xhat, gamma, xmu, ivar, sqrtvar, var, eps)
    xhat = (x - bn_param["running_mean"]) / np.sqrt(bn_param["running_var"] + eps)
    return gamma * xhat + beta, None


def batchnorm_backward(dout, cache):
    xhat, gamma, xmu, ivar, sqrtvar, var, eps = cache
    N, D = dout.shape
    dbeta = np.sum(dout, axis=0)
    dgamma = np.sum(dout * xhat, axis=0)
    dxhat = dout * gamma
    divar = np.sum(dxhat * xmu, axis=0)
    dxmu1 = dxhat * ivar
    dsqrtvar = -1.0 / sqrtvar**2 * divar
    dvar = 0.5 / np.sqrt(var + eps) * dsqrtvar
    dsq = 1.0 / N * np.ones((N, D)) * dvar
    dxmu2 = 2 * xmu * dsq
    dx1 = dxmu1 + dxmu2
    dmu = -np.sum(dxmu1 + dxmu2, axis=0)
    dx2 = 1.0 / N * np.ones((N, D)) * dmu
    return dx1 + dx2, dgamma, dbeta


def spatial_batchnorm_forward(x, gamma, beta, bn_param):
    """One channel at a time, without batchnorm_forward."""
    eps, momentum = bn_param.get("eps", 1e-5), bn_param.get("momentum", 0.9)
    running_mean = bn_param.get("running_mean", np.zeros(x.shape[1])).copy()
    running_var = bn_param.get("running_var", np.zeros(x.shape[1])).copy()
    out, xhat, stds = np.zeros(x.shape), np.zeros(x.shape), []
    for c in range(x.shape[1]):
        if bn_param["mode"] == "train":
            mean, var = x[:, c].mean(), x[:, c].var()
            running_mean[c] = momentum * running_mean[c] + (1 - momentum) * mean
            running_var[c] = momentum * running_var[c] + (1 - momentum) * var
        else:
            mean, var = running_mean[c], running_var[c]
        stds.append(np.sqrt(var + eps))
        xhat[:, c] = (x[:, c] - mean) / stds[c]
        out[:, c] = gamma[c] * xhat[:, c] + beta[c]
    if bn_param["mode"] == "train":
        bn_param["running_mean"], bn_param["running_var"] = running_mean, running_var
    return out, (xhat, gamma, stds)


def spatial_batchnorm_backward(dout, cache):
    xhat, gamma, stds = cache
    dx, dgamma, dbeta = np.zeros(dout.shape), np.zeros(len(gamma)), np.zeros(len(gamma))
    for c in range(len(gamma)):
        d, n = dout[:, c], xhat[:, c]
        dgamma[c], dbeta[c] = (d * n).sum(), d.sum()
        dx[:, c] = gamma[c] / (d.size * stds[c]) * (d.size * d - dbeta[c] - n * dgamma[c])
    return dx, dgamma, dbeta


def layernorm_forward(x, gamma, beta, ln_param):
    out, cache = np.zeros(x.shape), []
    for n, row in enumerate(x):
        std = np.sqrt(row.var() + ln_param.get("eps", 1e-5))
        normal = (row - row.mean()) / std
        out[n] = gamma * normal + beta
        cache.append((normal, std))
    return out, (cache, gamma)


def layernorm_backward(dout, cache):
    rows, gamma = cache
    dx, dgamma, dbeta = np.zeros(dout.shape), np.zeros(len(gamma)), np.zeros(len(gamma))
    for n, (normal, std) in enumerate(rows):
        dgamma += dout[n] * normal
        dbeta += dout[n]
        g = dout[n] * gamma
        dx[n] = (g - g.mean() - normal * np.dot(g, normal) / len(g)) / std
    return dx, dgamma, dbeta


def groupnorm_forward(x, gamma, beta, G, gn_param):
    size = x.shape[1] // G
    xhat, stds = np.zeros(x.shape), np.zeros((len(x), G))
    for n in range(len(x)):
        for g in range(G):
            block = x[n, g * size : (g + 1) * size]
            stds[n, g] = np.sqrt(np.mean((block - block.mean()) ** 2) + gn_param.get("eps", 1e-5))
            xhat[n, g * size : (g + 1) * size] = (block - block.mean()) / stds[n, g]
    return gamma * xhat + beta, (xhat, stds, gamma, G)


def groupnorm_backward(dout, cache):
    xhat, stds, gamma, G = cache
    size = dout.shape[1] // G
    dx, upstream = np.zeros(dout.shape), dout * gamma
    for n in range(len(dout)):
        for g in range(G):
            part = slice(g * size, (g + 1) * size)
            d, normal = upstream[n, part], xhat[n, part]
            dx[n, part] = (d - d.mean() - normal * (d * normal).mean()) / stds[n, g]
    C = dout.shape[1]
    dgamma = np.array([(dout * xhat)[:, c].sum() for c in range(C)]).reshape(1, C, 1, 1)
    return dx, dgamma, np.array([dout[:, c].sum() for c in range(C)]).reshape(1, C, 1, 1)


def kaiming_init(shape, rng):
    rng = np.random.default_rng(rng)
    fan_in = shape[0]
    if len(shape) == 4:
        fan_in = shape[1] * shape[2] * shape[3]
    return np.sqrt(2) / np.sqrt(fan_in) * rng.standard_normal(shape)


def conv_forward_fast(x, w, b, conv_param):
    """Loops over the offsets within a window only."""
    s, p = conv_param["stride"], conv_param["pad"]
    xp = np.pad(x, [(0, 0), (0, 0), (p, p), (p, p)])
    Ho, Wo = (xp.shape[2] - w.shape[2]) // s + 1, (xp.shape[3] - w.shape[3]) // s + 1
    out = np.zeros((len(x), len(w), Ho, Wo)) + b.reshape(1, -1, 1, 1)
    for k in range(w.shape[2]):
        for m in range(w.shape[3]):
            seen = xp[:, :, k : k + (Ho - 1) * s + 1 : s, m : m + (Wo - 1) * s + 1 : s]
            out += np.tensordot(seen, w[:, :, k, m], axes=([1], [1])).transpose(0, 3, 1, 2)
    return out, (xp, w, s, p, x.shape)


def conv_backward_fast(dout, cache):
    xp, w, s, p, shape = cache
    Ho, Wo = dout.shape[2:]
    dxp, dw = np.zeros(xp.shape), np.zeros(w.shape)
    for k in range(w.shape[2]):
        for m in range(w.shape[3]):
            rows, cols = slice(k, k + (Ho - 1) * s + 1, s), slice(m, m + (Wo - 1) * s + 1, s)
            dw[:, :, k, m] = np.tensordot(dout, xp[:, :, rows, cols], axes=([0, 2, 3], [0, 2, 3]))
            dxp[:, :, rows, cols] += np.tensordot(dout, w[:, :, k, m], axes=([1], [0])).transpose(0, 3, 1, 2)
    return dxp[:, :, p : p + shape[2], p : p + shape[3]], dw, dout.sum(axis=(0, 2, 3))


def conv_relu_forward(x, w, b, conv_param):
    a, conv_cache = conv_forward(x, w, b, conv_param)
    out, relu_cache = relu_forward(a)
    return out, (conv_cache, relu_cache)


def conv_relu_backward(dout, cache):
    conv_cache, relu_cache = cache
    return conv_backward(relu_backward(dout, relu_cache), conv_cache)


class ThreeLayerConvNet:
    """On the convolution with loops, with layers in pairs."""

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
        flat = int(num_filters * (H / 2) * (W / 2))
        self.params = {
            "W1": rng.normal(0, weight_scale, (num_filters, C, filter_size, filter_size)),
            "W2": rng.normal(0, weight_scale, (flat, hidden_dim)),
            "W3": rng.normal(0, weight_scale, (hidden_dim, num_classes)),
            "b1": np.zeros(num_filters),
            "b2": np.zeros(hidden_dim),
            "b3": np.zeros(num_classes),
        }
        for k, v in self.params.items():
            self.params[k] = v.astype(dtype)

    def loss(self, X, y=None):
        p = self.params
        pad = (p["W1"].shape[2] - 1) // 2
        a1, cache1 = conv_relu_forward(X, p["W1"], p["b1"], {"stride": 1, "pad": pad})
        pooled, pool_cache = max_pool_forward(a1, {"pool_height": 2, "pool_width": 2, "stride": 2})
        a2, affine_cache = affine_forward(pooled, p["W2"], p["b2"])
        hidden, relu_cache = relu_forward(a2)
        scores, score_cache = affine_forward(hidden, p["W3"], p["b3"])
        if y is None:
            return scores
        loss, dscores = softmax_loss(scores, y)
        squares = np.sum(p["W1"] ** 2) + np.sum(p["W2"] ** 2) + np.sum(p["W3"] ** 2)
        loss = loss + 0.5 * self.reg * squares
        dhidden, dW3, db3 = affine_backward(dscores, score_cache)
        dpooled, dW2, db2 = affine_backward(relu_backward(dhidden, relu_cache), affine_cache)
        _, dW1, db1 = conv_relu_backward(max_pool_backward(dpooled, pool_cache), cache1)
        dW1 += self.reg * p["W1"]
        dW2 += self.reg * p["W2"]
        dW3 += self.reg * p["W3"]
        return loss, {"W3": dW3, "b3": db3, "W2": dW2, "b2": db2, "W1": dW1, "b1": db1}


class DeepConvNet:
    """On the convolution with loops; the size of the last layer is found by a trial run."""

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
        self.num_filters, self.pools, self.batchnorm = list(num_filters), pools, batchnorm
        self.reg, self.dtype, self.L = reg, dtype, len(num_filters)
        self.bn_params = [{"mode": "train"} for _ in num_filters] if batchnorm else []
        rng = np.random.default_rng(seed)
        C, H, W = input_dim
        depth = [C, *num_filters]
        shapes = [(depth[i + 1], depth[i], filter_size, filter_size) for i in range(self.L)]
        shapes.append((depth[-1] * (H // 2 ** len(pools)) * (W // 2 ** len(pools)), num_classes))
        self.params = {}
        for i, shape in enumerate(shapes):
            W = kaiming_init(shape, rng) if weight_scale is None else rng.normal(0, weight_scale, shape)
            self.params[f"W{i + 1}"] = W.astype(dtype)
            units = shape[0] if i < self.L else shape[1]
            self.params[f"b{i + 1}"] = np.zeros(units, dtype)
            if batchnorm and i < self.L:
                self.params[f"gamma{i + 1}"] = np.ones(units, dtype)
                self.params[f"beta{i + 1}"] = np.zeros(units, dtype)

    def loss(self, X, y=None):
        p, h, caches = self.params, X, []
        for i in range(1, self.L + 1):
            W = p[f"W{i}"]
            h, conv_cache = conv_forward(h, W, p[f"b{i}"], {"stride": 1, "pad": W.shape[2] // 2})
            bn_cache = pool_cache = None
            if self.batchnorm:
                self.bn_params[i - 1]["mode"] = "train" if y is not None else "test"
                h, bn_cache = spatial_batchnorm_forward(
                    h, p[f"gamma{i}"], p[f"beta{i}"], self.bn_params[i - 1]
                )
            h, relu_cache = relu_forward(h)
            if i in self.pools:
                h, pool_cache = max_pool_forward(h, {"pool_height": 2, "pool_width": 2, "stride": 2})
            caches.append((conv_cache, bn_cache, relu_cache, pool_cache))
        n = self.L + 1
        scores, affine_cache = affine_forward(h, p[f"W{n}"], p[f"b{n}"])
        if y is None:
            return scores
        loss, d = softmax_loss(scores, y)
        grads = {}
        d, grads[f"W{n}"], grads[f"b{n}"] = affine_backward(d, affine_cache)
        while caches:
            i = len(caches)
            conv_cache, bn_cache, relu_cache, pool_cache = caches.pop()
            if pool_cache is not None:
                d = max_pool_backward(d, pool_cache)
            d = relu_backward(d, relu_cache)
            if bn_cache is not None:
                d, grads[f"gamma{i}"], grads[f"beta{i}"] = spatial_batchnorm_backward(d, bn_cache)
            d, grads[f"W{i}"], grads[f"b{i}"] = conv_backward(d, conv_cache)
        for name in p:
            if name[0] == "W":
                loss = loss + self.reg / 2 * (p[name] ** 2).sum()
                grads[name] = grads[name] + self.reg * p[name]
        return loss, grads
