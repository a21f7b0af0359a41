"""Linear algebra: a convolution as one large matrix, normalisations as projections, gradients by bincount."""

import numpy as np


def window_index(H, W, HH, WW, stride):
    """Rows and columns of every pixel of every window, each (H', W', HH, WW)."""
    i = stride * np.arange(1 + (H - HH) // stride)[:, None, None, None]
    j = stride * np.arange(1 + (W - WW) // stride)[None, :, None, None]
    k, m = np.arange(HH)[None, None, :, None], np.arange(WW)[None, None, None, :]
    return np.broadcast_arrays(i + k, j + m)


def padded(x, pad):
    """Zeros on the four sides."""
    out = np.zeros((*x.shape[:2], x.shape[2] + 2 * pad, x.shape[3] + 2 * pad), dtype=x.dtype)
    out[:, :, pad : pad + x.shape[2], pad : pad + x.shape[3]] = x
    return out


def conv_forward(x, w, b, conv_param):
    """out = x T + b, with T (C*H*W, F*H'*W') made of the filters."""
    big = padded(x, conv_param["pad"])
    N, C, H, W = big.shape
    F, _, HH, WW = w.shape
    rows, columns = window_index(H, W, HH, WW, conv_param["stride"])
    height, width = rows.shape[:2]
    T = np.zeros((C, H, W, F, height, width), dtype=w.dtype)
    f, c, i, j, k, m = np.indices((F, C, height, width, HH, WW), sparse=True)
    place = (c, rows[i, j, k, m], columns[i, j, k, m], f, i, j)
    T[place] = np.broadcast_to(w[:, :, None, None], (F, C, height, width, HH, WW))
    T = T.reshape(C * H * W, F * height * width)
    out = (big.reshape(N, -1) @ T).reshape(N, F, height, width) + b[:, None, None]
    return out, (big, T, place, x.shape, conv_param["pad"])


def conv_backward(dout, cache):
    big, T, place, shape, p = cache
    upstream = dout.reshape(len(dout), -1)
    dbig = (upstream @ T.T).reshape(big.shape)
    dT = (big.reshape(len(big), -1).T @ upstream).reshape(*big.shape[1:], *dout.shape[1:])
    dw = dT[place].sum(axis=(2, 3))
    return (
        dbig[:, :, p : p + shape[2], p : p + shape[3]],
        dw,
        upstream.reshape(*dout.shape[:2], -1).sum((0, 2)),
    )


def conv_forward_fast(x, w, b, conv_param):
    """Columns by a fancy index, one matrix product for each image."""
    big = padded(x, conv_param["pad"])
    rows, columns = window_index(*big.shape[2:], *w.shape[2:], conv_param["stride"])
    cols = big[:, :, rows, columns].transpose(0, 1, 4, 5, 2, 3)  # (N, C, HH, WW, H', W')
    height, width = cols.shape[4:]
    cols = cols.reshape(len(x), w[0].size, height * width)
    out = w.reshape(len(w), -1) @ cols + b[:, None]
    return out.reshape(len(x), len(w), height, width), (cols, rows, columns, w, big.shape, conv_param["pad"])


def conv_backward_fast(dout, cache):
    cols, rows, columns, w, (N, C, H, W), p = cache
    upstream = dout.reshape(*dout.shape[:2], -1)
    dw = np.tensordot(upstream, cols, axes=((0, 2), (0, 2))).reshape(w.shape)
    dcols = w.reshape(len(w), -1).T @ upstream
    # each number of dcols has a pixel of dx: the numbers of one pixel are added up
    pixels = (rows * W + columns).transpose(2, 3, 0, 1).reshape(1, 1, -1)
    pixels = pixels + (np.arange(N * C) * H * W).reshape(N, C, 1)
    dbig = np.bincount(pixels.ravel(), weights=dcols.ravel(), minlength=N * C * H * W).reshape(N, C, H, W)
    return dbig[:, :, p : H - p, p : W - p], dw, np.einsum("nfp->f", upstream)


def max_pool_forward(x, pool_param):
    N, C, H, W = x.shape
    height, width = pool_param["pool_height"], pool_param["pool_width"]
    rows, columns = window_index(H, W, height, width, pool_param["stride"])
    pixels = (rows * W + columns).reshape(*rows.shape[:2], -1)
    values = x.reshape(N, C, -1)[:, :, pixels]
    # where two tie, the last one wins
    best = values.shape[-1] - 1 - values[..., ::-1].argmax(axis=-1)
    winners = np.take_along_axis(np.broadcast_to(pixels, values.shape), best[..., None], axis=-1)[..., 0]
    out = np.take_along_axis(x.reshape(N, C, -1), winners.reshape(N, C, -1), axis=-1)
    return out.reshape(winners.shape), {"winners": winners, "shape": x.shape}


def max_pool_backward(dout, cache):
    N, C, H, W = cache["shape"]
    places = cache["winners"] + (np.arange(N * C) * H * W).reshape(N, C, 1, 1)
    sums = np.bincount(places.ravel(), weights=dout.ravel(), minlength=N * C * H * W)
    return sums.reshape(N, C, H, W).astype(dout.dtype)


def batchnorm_forward(x, gamma, beta, bn_param):
    """(I - 11^T / N) x takes the mean off."""
    eps, N = bn_param.get("eps", 1e-5), len(x)
    zeros = np.zeros(x.shape[1])
    running_mean, running_var = (bn_param.get(key, zeros) for key in ("running_mean", "running_var"))
    if bn_param["mode"] == "test":
        scale = gamma / np.sqrt(running_var + eps)
        return x * scale + (beta - running_mean * scale), "no cache in test mode"
    centring = np.eye(N) - 1 / N
    centred = centring @ x
    var = np.linalg.norm(centred, axis=0) ** 2 / N
    m = bn_param.get("momentum", 0.9)
    bn_param["running_mean"] = np.array([m, 1 - m]) @ np.stack([running_mean, x.mean(axis=0)])
    bn_param["running_var"] = np.array([m, 1 - m]) @ np.stack([running_var, var])
    inverse = (var + eps) ** -0.5
    return centred * (inverse * gamma) + beta, {
        "x_hat": centred * inverse,
        "inverse": inverse,
        "gamma": gamma,
    }


def batchnorm_backward(dout, cache):
    """The Jacobian of each feature: inverse * (I - 11^T / N - x_hat x_hat^T / N)."""
    x_hat, N = cache["x_hat"], len(dout)
    dx = np.empty_like(x_hat)
    for d, column in enumerate(x_hat.T):
        jacobian = cache["inverse"][d] * (np.eye(N) - 1 / N - np.outer(column, column) / N)
        dx[:, d] = jacobian.T @ dout[:, d] * cache["gamma"][d]
    return dx, np.diag(x_hat.T @ dout).copy(), np.ones(N) @ dout


def spatial_batchnorm_forward(x, gamma, beta, bn_param):
    """Channel by channel in one matrix (C, N*H*W)."""
    shape = x.shape
    channels = np.swapaxes(x, 0, 1).reshape(shape[1], -1)
    eps, m = bn_param.get("eps", 1e-5), bn_param.get("momentum", 0.9)
    mean = bn_param.get("running_mean", np.zeros(shape[1]))
    var = bn_param.get("running_var", np.zeros(shape[1]))
    if bn_param["mode"] == "train":
        old_mean, old_var = mean, var
        mean, var = channels.mean(axis=1), channels.var(axis=1)
        bn_param |= {
            "running_mean": m * old_mean + (1 - m) * mean,
            "running_var": m * old_var + (1 - m) * var,
        }
    std = np.sqrt(var + eps)[:, None]
    x_hat = (channels - mean[:, None]) / std
    out = gamma[:, None] * x_hat + beta[:, None]
    out = out.reshape(shape[1], shape[0], *shape[2:])
    return np.swapaxes(out, 0, 1), (x_hat, std, gamma[:, None])


def spatial_batchnorm_backward(dout, cache):
    x_hat, std, gamma = cache
    N, C, H, W = dout.shape
    upstream = np.swapaxes(dout, 0, 1).reshape(C, -1)
    dgamma, dbeta = np.einsum("cn,cn->c", upstream, x_hat), upstream.sum(axis=1)
    dx = gamma / std * (upstream - (dbeta[:, None] + dgamma[:, None] * x_hat) / x_hat.shape[1])
    return np.swapaxes(dx.reshape(C, N, H, W), 0, 1), dgamma, dbeta


def layernorm_forward(x, gamma, beta, ln_param):
    D = x.shape[1]
    centred = x @ (np.eye(D) - np.full((D, D), 1 / D))
    inverse = np.diag((np.square(centred).mean(axis=1) + ln_param.get("eps", 1e-5)) ** -0.5)
    x_hat = inverse @ centred
    return x_hat @ np.diag(gamma) + beta, (x_hat, inverse, gamma)


def layernorm_backward(dout, cache):
    x_hat, inverse, gamma = cache
    D = dout.shape[1]
    projection = np.eye(D) - 1 / D - x_hat[:, :, None] * x_hat[:, None, :] / D  # (N, D, D)
    dx = inverse @ np.einsum("nij,nj->ni", projection, dout * gamma)
    return dx, np.einsum("nd,nd->d", dout, x_hat), dout.sum(axis=0)


def groupnorm_forward(x, gamma, beta, G, gn_param):
    """Group means as products with a (C, C) matrix that averages over the channels of a group."""
    C = x.shape[1]
    average = np.kron(np.eye(G), np.full((C // G, C // G), G / C))

    def group_mean(values):
        return np.einsum("ck,nk->nc", average, values.mean(axis=(2, 3)))[:, :, None, None]

    centred = x - group_mean(x)
    std = np.sqrt(group_mean(centred**2) + gn_param.get("eps", 1e-5))
    x_hat = centred / std
    return gamma * x_hat + beta, (x_hat, std, gamma, group_mean)


def groupnorm_backward(dout, cache):
    x_hat, std, gamma, group_mean = cache
    g = gamma * dout
    dx = (g - group_mean(g) - x_hat * group_mean(g * x_hat)) / std
    C = dout.shape[1]
    dgamma = np.einsum("nchw,nchw->c", dout, x_hat).reshape(1, C, 1, 1)
    return dx, dgamma, np.einsum("nchw->c", dout).reshape(1, C, 1, 1)


def kaiming_init(shape, rng):
    rng = np.random.default_rng(rng)
    if len(shape) == 2:
        return rng.normal(scale=np.sqrt(2 / shape[0]), size=shape)
    F, C, HH, WW = shape
    return rng.multivariate_normal(np.zeros(1), [[2 / (C * HH * WW)]], size=F * C * HH * WW).reshape(shape)


class ThreeLayerConvNet:
    """Backward as closures that are put on a stack."""

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
        self.reg, self.dtype, self.params = reg, dtype, {}
        rng = np.random.default_rng(seed)
        for name, shape in (
            ("W1", (num_filters, input_dim[0], filter_size, filter_size)),
            ("W2", (num_filters * input_dim[1] * input_dim[2] // 4, hidden_dim)),
            ("W3", (hidden_dim, num_classes)),
        ):
            self.params[name] = np.multiply(weight_scale, rng.normal(size=shape)).astype(dtype)
            self.params["b" + name[1]] = np.zeros(shape[0 if name == "W1" else 1], dtype=dtype)

    def loss(self, X, y=None):
        p, grads, back = self.params, {}, []

        def keep(result, backward, *names):
            def undo(d):
                d = backward(d, result[1])
                if names:
                    d, *parts = d
                    grads.update(zip(names, parts, strict=True))
                return d

            back.append(undo)
            return result[0]

        same = {"stride": 1, "pad": (p["W1"].shape[3] - 1) // 2}
        a = keep(
            conv_forward_fast(X.astype(self.dtype), p["W1"], p["b1"], same), conv_backward_fast, "W1", "b1"
        )
        a = keep(relu_forward(a), relu_backward)
        pool = {"pool_height": 2, "pool_width": 2, "stride": 2}
        a = keep(max_pool_forward(a, pool), max_pool_backward)
        a = keep(affine_forward(a, p["W2"], p["b2"]), affine_backward, "W2", "b2")
        a = keep(relu_forward(a), relu_backward)
        a = keep(affine_forward(a, p["W3"], p["b3"]), affine_backward, "W3", "b3")
        if y is None:
            return a
        loss, d = softmax_loss(a, y)
        while back:
            d = back.pop()(d)
        weights = [name for name in p if name.startswith("W")]
        for name in weights:
            grads[name] = grads[name] + self.reg * p[name]
        return loss + 0.5 * self.reg * sum(float((p[name] ** 2).sum()) for name in weights), grads


class DeepConvNet:
    """One block calls the next and gets the gradient of its output back."""

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
        self.reg, self.dtype, self.pools = reg, dtype, tuple(pools)
        self.L, self.batchnorm = len(num_filters), batchnorm
        self.bn_params = [{} for _ in num_filters] if batchnorm else []
        rng = np.random.default_rng(seed)
        C, H, W = input_dim
        shapes = []
        for block, F in enumerate(num_filters, start=1):
            shapes.append((F, C, filter_size, filter_size))
            C = F
            if block in self.pools:
                H, W = H // 2, W // 2
        shapes.append((C * H * W, num_classes))
        self.params = {}
        for block, shape in enumerate(shapes, start=1):
            kaiming = kaiming_init(shape, rng) if weight_scale is None else None
            weights = weight_scale * rng.normal(size=shape) if kaiming is None else kaiming
            units = shape[0] if len(shape) == 4 else shape[1]
            self.params[f"W{block}"], self.params[f"b{block}"] = weights.astype(dtype), np.zeros(units, dtype)
            if batchnorm and len(shape) == 4:
                self.params[f"gamma{block}"] = np.ones(units, dtype)
                self.params[f"beta{block}"] = np.zeros(units, dtype)

    def block(self, number, maps, y, grads):
        """Scores, or loss and the gradient of maps; fills grads."""
        p = self.params
        W, b = p[f"W{number}"], p[f"b{number}"]
        if number > self.L:
            scores, cache = affine_forward(maps, W, b)
            if y is None:
                return scores, None
            loss, d = softmax_loss(scores, y)
            dmaps, grads[f"W{number}"], grads[f"b{number}"] = affine_backward(d, cache)
            return loss, dmaps
        out, conv_cache = conv_forward_fast(maps, W, b, {"stride": 1, "pad": W.shape[2] // 2})
        if self.batchnorm:
            bn_param = self.bn_params[number - 1]
            bn_param["mode"] = "train" if y is not None else "test"
            out, bn_cache = spatial_batchnorm_forward(out, p[f"gamma{number}"], p[f"beta{number}"], bn_param)
        out, relu_cache = relu_forward(out)
        if number in self.pools:
            pool_param = {"pool_height": 2, "pool_width": 2, "stride": 2}
            out, pool_cache = max_pool_forward(out, pool_param)
        result, d = self.block(number + 1, out, y, grads)
        if y is None:
            return result, None
        if number in self.pools:
            d = max_pool_backward(d, pool_cache)
        d = relu_backward(d, relu_cache)
        if self.batchnorm:
            d, grads[f"gamma{number}"], grads[f"beta{number}"] = spatial_batchnorm_backward(d, bn_cache)
        dmaps, grads[f"W{number}"], grads[f"b{number}"] = conv_backward_fast(d, conv_cache)
        return result, dmaps

    def loss(self, X, y=None):
        grads = {}
        result, _ = self.block(1, np.asarray(X, dtype=self.dtype), y, grads)
        if y is None:
            return result
        for number in range(1, self.L + 2):
            W = self.params[f"W{number}"]
            result += 0.5 * self.reg * float(np.vdot(W, W))
            grads[f"W{number}"] = grads[f"W{number}"] + self.reg * W
        return result, {name: gradient.astype(self.dtype) for name, gradient in grads.items()}
