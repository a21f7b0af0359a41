"""What goes wrong in convolutional networks: small wrong versions of one function each, with explanations.

A wrong forward pass still returns the right cache, so that it costs its own question only.
"""

import numpy as np

from autograder.checking import mistake

# The right versions, under names that a mistake does not replace.
right_conv_forward = conv_forward
right_conv_backward = conv_backward
right_conv_forward_fast = conv_forward_fast
right_conv_backward_fast = conv_backward_fast
right_max_pool_forward = max_pool_forward
right_max_pool_backward = max_pool_backward
right_batchnorm_forward = batchnorm_forward
right_batchnorm_backward = batchnorm_backward
right_spatial_forward = spatial_batchnorm_forward
right_spatial_backward = spatial_batchnorm_backward
right_layernorm_forward = layernorm_forward
right_layernorm_backward = layernorm_backward
right_groupnorm_forward = groupnorm_forward
right_groupnorm_backward = groupnorm_backward
right_kaiming_init = kaiming_init
right_three_layer_loss = ThreeLayerConvNet.loss
right_three_layer_init = ThreeLayerConvNet.__init__
right_deep_loss = DeepConvNet.loss
right_deep_init = DeepConvNet.__init__


# --- conv_forward


def windows_of(padded, w, out_shape, row_step, column_step):
    """The windows under a filter, (N, C, H', W', HH, WW), for any step; zeros beyond the edge."""
    (_, _, H_out, W_out), (HH, WW) = out_shape, w.shape[2:]
    below, right = H_out * row_step + HH, W_out * column_step + WW
    padded = np.pad(padded, ((0, 0), (0, 0), (0, below), (0, right)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (HH, WW), axis=(2, 3))
    return windows[:, :, ::row_step, ::column_step][:, :, :H_out, :W_out]


def correlate(padded, w, out_shape, row_step, column_step):
    """Windows times filters, without the bias."""
    return np.einsum("ncijkl,fckl->nfij", windows_of(padded, w, out_shape, row_step, column_step), w)


def pad_image(x, pad):
    """Zeros on all four sides."""
    return np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))


@mistake(
    "conv_forward",
    "The stride is used for the size of the output but not for where each window starts: output (i, j) "
    "must read the window at (i * stride, j * stride).",
)
def conv_windows_without_stride(x, w, b, conv_param):
    out, cache = right_conv_forward(x, w, b, conv_param)
    return correlate(pad_image(x, conv_param["pad"]), w, out.shape, 1, 1) + b[:, None, None], cache


@mistake(
    "conv_forward",
    "The filter is flipped: that is the convolution of mathematics. In deep learning the filter is laid "
    "on the window as it is.",
)
def conv_flipped(x, w, b, conv_param):
    _, cache = right_conv_forward(x, w, b, conv_param)
    return right_conv_forward(x, w[:, :, ::-1, ::-1], b, conv_param)[0], cache


@mistake(
    "conv_forward",
    "The bias is added once for each channel of the image. It belongs outside the sum over channels: once "
    "per output.",
    family="shifted",
)
def conv_bias_per_channel(x, w, b, conv_param):
    out, cache = right_conv_forward(x, w, b, conv_param)
    return out + (x.shape[1] - 1) * b[:, None, None], cache


@mistake("conv_forward", "The bias is missing: add b[f] to every output of filter f.", family="shifted")
def conv_without_bias(x, w, b, conv_param):
    out, cache = right_conv_forward(x, w, b, conv_param)
    return out - b[:, None, None], cache


@mistake(
    "conv_forward",
    "All of the padding is at the top and on the left: pad zeros belong on each of the four sides.",
)
def conv_padded_on_one_side(x, w, b, conv_param):
    out, cache = right_conv_forward(x, w, b, conv_param)
    pad, stride = conv_param["pad"], conv_param["stride"]
    padded = np.pad(x, ((0, 0), (0, 0), (2 * pad, 0), (2 * pad, 0)))
    return correlate(padded, w, out.shape, stride, stride) + b[:, None, None], cache


@mistake("conv_forward", "The padding repeats the edge of the image; it should be zeros.")
def conv_padded_with_edge(x, w, b, conv_param):
    out, cache = right_conv_forward(x, w, b, conv_param)
    pad, stride = conv_param["pad"], conv_param["stride"]
    padded = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)), mode="edge")
    return correlate(padded, w, out.shape, stride, stride) + b[:, None, None], cache


@mistake(
    "conv_forward",
    "The image is not padded: only the size of the output takes the padding into account.",
)
def conv_without_padding(x, w, b, conv_param):
    out, cache = right_conv_forward(x, w, b, conv_param)
    return correlate(x, w, out.shape, conv_param["stride"], conv_param["stride"]) + b[:, None, None], cache


@mistake("conv_forward", "The products of a window are averaged; a convolution sums them.")
def conv_averaged(x, w, b, conv_param):
    out, cache = right_conv_forward(x, w, b, conv_param)
    return (out - b[:, None, None]) / w[0].size + b[:, None, None], cache


@mistake(
    "conv_forward",
    "The height of the output is used for its width as well: that is right for square images and square "
    "filters only.",
    family="offset",
)
def conv_square_output(x, w, b, conv_param):
    out, cache = right_conv_forward(x, w, b, conv_param)
    square = np.zeros((*out.shape[:2], out.shape[2], out.shape[2]))
    width = min(out.shape[2:])
    square[:, :, :, :width] = out[:, :, :, :width]
    return square, cache


@mistake(
    "conv_forward",
    "The size of the output is rounded up: a window that reaches beyond the padded image does not count.",
)
def conv_rounded_up(x, w, b, conv_param):
    out, cache = right_conv_forward(x, w, b, conv_param)
    pad, stride = conv_param["pad"], conv_param["stride"]
    size = [1 + -(-(n + 2 * pad - k) // stride) for n, k in zip(x.shape[2:], w.shape[2:], strict=True)]
    return correlate(pad_image(x, pad), w, (*out.shape[:2], *size), stride, stride) + b[:, None, None], cache


# --- conv_backward, with loops and fast


@mistake(
    "conv_backward",
    "Where windows overlap, dx keeps the contribution of the last one only: add to it with +=.",
)
def conv_dx_assigned(dout, cache):
    x, w, _, conv_param = cache
    stride, pad = conv_param["stride"], conv_param["pad"]
    padded = pad_image(np.zeros(x.shape), pad)
    for i in range(dout.shape[2]):
        for j in range(dout.shape[3]):
            rows, columns = (
                slice(i * stride, i * stride + w.shape[2]),
                slice(j * stride, j * stride + w.shape[3]),
            )
            padded[:, :, rows, columns] = np.einsum("nf,fckl->nckl", dout[:, :, i, j], w)
    dx = padded[:, :, pad : pad + x.shape[2], pad : pad + x.shape[3]]
    return dx, *right_conv_backward(dout, cache)[1:]


@mistake(
    "conv_backward",
    "The padding of dx is cut off with [pad:-pad], which is empty when pad is 0: count from the front, "
    "pad : pad + H.",
)
def conv_dx_cut_with_minus_pad(dout, cache):
    dx, dw, db = right_conv_backward(dout, cache)
    return (dx if cache[3]["pad"] else dx[:, :, 0:0, 0:0]), dw, db


@mistake("conv_backward", "dx still has the padding: cut it off, so that dx has the shape of x.")
def conv_dx_padded(dout, cache):
    dx, dw, db = right_conv_backward(dout, cache)
    return pad_image(dx, cache[3]["pad"]), dw, db


@mistake(
    "conv_backward",
    "The filter is flipped where dx is filled: each output adds dout * w to its window with w as it is.",
)
def conv_dx_flipped(dout, cache):
    x, w, b, conv_param = cache
    _, dw, db = right_conv_backward(dout, cache)
    return right_conv_backward(dout, (x, w[:, :, ::-1, ::-1], b, conv_param))[0], dw, db


@mistake(
    "conv_backward",
    "The stride is ignored in the backward pass: output (i, j) was computed from the window at (i * "
    "stride, j * stride).",
)
def conv_gradients_without_stride(dout, cache):
    x, w, b, conv_param = cache
    return right_conv_backward(dout, (x, w, b, {**conv_param, "stride": 1}))


@mistake(
    "conv_backward",
    "dw reads windows of the image without its padding, so that they are shifted by pad pixels.",
)
def conv_dw_from_unpadded(dout, cache):
    x, w, _, conv_param = cache
    dx, _, db = right_conv_backward(dout, cache)
    windows = windows_of(x, w, dout.shape, conv_param["stride"], conv_param["stride"])
    return dx, np.einsum("nfij,ncijkl->fckl", dout, windows), db


@mistake("conv_backward", "dw holds the contribution of the last image only: it is a sum over the batch.")
def conv_dw_last_image(dout, cache):
    x, w, b, conv_param = cache
    dx, _, db = right_conv_backward(dout, cache)
    return dx, right_conv_backward(dout[-1:], (x[-1:], w, b, conv_param))[1], db


@mistake(
    "conv_backward",
    "db averages over the batch; the gradient is the sum over all images and positions.",
    family="scaled",
)
def conv_db_averaged(dout, cache):
    dx, dw, db = right_conv_backward(dout, cache)
    return dx, dw, db / len(dout)


@mistake(
    "conv_backward",
    "db sums over the batch only: a bias takes part in every position of its feature map, so sum over "
    "these too.",
    family="reduced",
)
def conv_db_per_position(dout, cache):
    dx, dw, _ = right_conv_backward(dout, cache)
    return dx, dw, dout.sum(axis=0)


@mistake(
    "conv_forward_fast",
    "The rows of the matrix of windows list height, width, channel, the rows of the filters channel, "
    "height, width: both need the same order.",
)
def fast_columns_in_other_order(x, w, b, conv_param):
    out, cache = right_conv_forward_fast(x, w, b, conv_param)
    stride = conv_param["stride"]
    windows = windows_of(pad_image(x, conv_param["pad"]), w, out.shape, stride, stride)
    columns = windows.transpose(0, 2, 3, 4, 5, 1).reshape(-1, w[0].size)
    product = columns @ w.reshape(len(w), -1).T + b
    return product.reshape(len(x), *out.shape[2:], len(w)).transpose(0, 3, 1, 2), cache


@mistake(
    "conv_forward_fast",
    "The product has one row per position and one column per filter; reshaping it to (N, F, H', W') mixes "
    "them. Reshape to (N, H', W', F), then move the filters with transpose.",
    family="transposed",
)
def fast_reshaped_without_transpose(x, w, b, conv_param):
    out, cache = right_conv_forward_fast(x, w, b, conv_param)
    return out.transpose(0, 2, 3, 1).reshape(out.shape), cache


@mistake(
    "conv_forward_fast",
    "The stride is used for rows only: take every stride-th window in both directions.",
)
def fast_stride_of_rows_only(x, w, b, conv_param):
    out, cache = right_conv_forward_fast(x, w, b, conv_param)
    padded = pad_image(x, conv_param["pad"])
    size = (*out.shape[:3], 1 + padded.shape[3] - w.shape[3])
    return correlate(padded, w, size, conv_param["stride"], 1) + b[:, None, None], cache


@mistake("conv_forward_fast", "The bias is missing: add b, one number per filter.", family="shifted")
def fast_without_bias(x, w, b, conv_param):
    out, cache = right_conv_forward_fast(x, w, b, conv_param)
    return out - b[:, None, None], cache


@mistake("conv_forward_fast", "The filter is flipped: in deep learning it is laid on the window as it is.")
def fast_flipped(x, w, b, conv_param):
    _, cache = right_conv_forward_fast(x, w, b, conv_param)
    return right_conv_forward_fast(x, w[:, :, ::-1, ::-1], b, conv_param)[0], cache


@mistake(
    "conv_forward_fast",
    "The windows are taken from the image without its padding: the feature map comes out too small.",
)
def fast_without_padding(x, w, b, conv_param):
    _, cache = right_conv_forward_fast(x, w, b, conv_param)
    stride = conv_param["stride"]
    size = [max(0, 1 + (n - k) // stride) for n, k in zip(x.shape[2:], w.shape[2:], strict=True)]
    return correlate(x, w, (len(x), len(w), *size), stride, stride) + b[:, None, None], cache


@mistake(
    "conv_backward_fast",
    "The columns are written into dx instead of added: pixels that lie in several windows keep the last "
    "one only.",
)
def fast_dx_assigned(dout, cache):
    x, w, _, conv_param = cache
    stride, pad = conv_param["stride"], conv_param["pad"]
    padded = pad_image(np.zeros(x.shape), pad)
    for k in range(w.shape[2]):
        for m in range(w.shape[3]):
            rows = slice(k, k + stride * dout.shape[2], stride)
            columns = slice(m, m + stride * dout.shape[3], stride)
            padded[:, :, rows, columns] = np.einsum("nfij,fc->ncij", dout, w[:, :, k, m])
    dx = padded[:, :, pad : pad + x.shape[2], pad : pad + x.shape[3]]
    return dx, *right_conv_backward_fast(dout, cache)[1:]


@mistake(
    "conv_backward_fast",
    "dout is reshaped to one row per position without moving the filters to the last axis first: use "
    "transpose(0, 2, 3, 1).",
)
def fast_dout_not_transposed(dout, cache):
    mixed = dout.reshape(len(dout), *dout.shape[2:], dout.shape[1]).transpose(0, 3, 1, 2)
    dx, dw, _ = right_conv_backward_fast(mixed, cache)
    return dx, dw, dout.sum(axis=(0, 2, 3))


@mistake(
    "conv_backward_fast",
    "The padding of dx is cut off with [pad:-pad], which is empty when pad is 0: count from the front, "
    "pad : pad + H.",
)
def fast_dx_cut_with_minus_pad(dout, cache):
    dx, dw, db = right_conv_backward_fast(dout, cache)
    return (dx if cache[3]["pad"] else dx[:, :, 0:0, 0:0]), dw, db


@mistake(
    "conv_backward_fast",
    "dx is the convolution of dout with the filters as they are; going backward along a cross-correlation "
    "they must be flipped (or each row of columns added into its own window).",
)
def fast_dx_not_turned(dout, cache):
    x, w, b, conv_param = cache
    _, dw, db = right_conv_backward_fast(dout, cache)
    return right_conv_backward_fast(dout, (x, w[:, :, ::-1, ::-1], b, conv_param))[0], dw, db


@mistake(
    "conv_backward_fast",
    "The stride is ignored in the backward pass: window (i, j) starts at (i * stride, j * stride).",
)
def fast_gradients_without_stride(dout, cache):
    x, w, _, conv_param = cache
    pad = conv_param["pad"]
    room = np.zeros((*x.shape[:2], x.shape[2] + 2 * pad + w.shape[2], x.shape[3] + 2 * pad + w.shape[3]))
    for k in range(w.shape[2]):
        for m in range(w.shape[3]):
            moved = np.einsum("nfij,fc->ncij", dout, w[:, :, k, m])
            room[:, :, k : k + dout.shape[2], m : m + dout.shape[3]] += moved
    dw = np.einsum("nfij,ncijkl->fckl", dout, windows_of(pad_image(x, pad), w, dout.shape, 1, 1))
    return room[:, :, pad : pad + x.shape[2], pad : pad + x.shape[3]], dw, dout.sum(axis=(0, 2, 3))


@mistake(
    "conv_backward_fast",
    "db averages over the batch; the gradient is the sum over all images and positions.",
    family="scaled",
)
def fast_db_averaged(dout, cache):
    dx, dw, db = right_conv_backward_fast(dout, cache)
    return dx, dw, db / len(dout)


# --- pooling


def pool_windows(x, height, width, stride, size):
    """The windows of a pool, (N, C, H', W', height, width), for any size of output; -inf beyond the edge."""
    below, right = size[0] * stride + height, size[1] * stride + width
    x = np.pad(x, ((0, 0), (0, 0), (0, below), (0, right)), constant_values=-np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(x, (height, width), axis=(2, 3))
    return windows[:, :, ::stride, ::stride][:, :, : size[0], : size[1]]


def read_pool(pool_param):
    """Height, width, stride."""
    return pool_param["pool_height"], pool_param["pool_width"], pool_param["stride"]


@mistake("max_pool_forward", "The windows are averaged; max pooling takes the largest value of each.")
def pool_mean(x, pool_param):
    out, cache = right_max_pool_forward(x, pool_param)
    return pool_windows(x, *read_pool(pool_param), out.shape[2:]).mean(axis=(4, 5)), cache


@mistake(
    "max_pool_forward",
    "The running maximum starts at 0, so that a window of negative values gives 0: start from the first "
    "value.",
)
def pool_from_zero(x, pool_param):
    out, cache = right_max_pool_forward(x, pool_param)
    return np.maximum(out, 0), cache


@mistake(
    "max_pool_forward",
    "Windows start at multiples of the window's size; they start at multiples of the stride.",
)
def pool_steps_of_its_size(x, pool_param):
    out, cache = right_max_pool_forward(x, pool_param)
    height, width, _ = read_pool(pool_param)
    stepped = np.zeros_like(out)
    for i in range(out.shape[2]):
        for j in range(out.shape[3]):
            window = x[:, :, i * height : (i + 1) * height, j * width : (j + 1) * width]
            if window.size:
                stepped[:, :, i, j] = window.max(axis=(2, 3))
    return stepped, cache


@mistake("max_pool_forward", "Height and width of the window are exchanged: rows go with pool_height.")
def pool_height_for_width(x, pool_param):
    _, cache = right_max_pool_forward(x, pool_param)
    height, width, stride = read_pool(pool_param)
    size = [max(0, 1 + (x.shape[2] - width) // stride), max(0, 1 + (x.shape[3] - height) // stride)]
    return pool_windows(x, width, height, stride, size).max(axis=(4, 5)), cache


@mistake(
    "max_pool_forward",
    "The output has one row and one column too few: its height is 1 + (H - pool_height) // stride.",
    family="partial, offset",
)
def pool_without_last_window(x, pool_param):
    out, cache = right_max_pool_forward(x, pool_param)
    return out[:, :, :-1, :-1], cache


@mistake(
    "max_pool_forward",
    "The size of the output is rounded up: a window that reaches beyond the edge does not count.",
    family="offset",
)
def pool_rounded_up(x, pool_param):
    _, cache = right_max_pool_forward(x, pool_param)
    height, width, stride = read_pool(pool_param)
    size = [1 + -(-(n - k) // stride) for n, k in zip(x.shape[2:], (height, width), strict=True)]
    return pool_windows(x, height, width, stride, size).max(axis=(4, 5)), cache


@mistake(
    "max_pool_forward",
    "The maximum is taken over all channels together; each channel is pooled by itself.",
    family="broadcast",
)
def pool_over_channels(x, pool_param):
    out, cache = right_max_pool_forward(x, pool_param)
    return np.broadcast_to(out.max(axis=1, keepdims=True), out.shape).copy(), cache


def pool_backward(dout, cache, share, add=True, step=None):
    """dx of a pool whose windows pass on share(window) of their upstream gradient."""
    x, pool_param = cache
    height, width, stride = read_pool(pool_param)
    row_step, column_step = step or (stride, stride)
    dx = np.zeros(x.shape)
    for i in range(dout.shape[2]):
        for j in range(dout.shape[3]):
            rows, columns = (
                slice(i * row_step, i * row_step + height),
                slice(j * column_step, j * column_step + width),
            )
            window = x[:, :, rows, columns]
            if window.size == 0:
                continue
            passed = share(window) * dout[:, :, i, j][:, :, None, None]
            dx[:, :, rows, columns] = passed + (dx[:, :, rows, columns] if add else 0)
    return dx


def winner(window):
    """1 at the largest value, 0 elsewhere."""
    return window == window.max(axis=(2, 3), keepdims=True)


@mistake(
    "max_pool_backward",
    "Where windows overlap, the gradient of an earlier window is overwritten: add to dx with +=.",
)
def pool_gradient_assigned(dout, cache):
    return pool_backward(dout, cache, winner, add=False)


@mistake(
    "max_pool_backward",
    "The gradient is shared out equally within each window: that is average pooling. It goes to the "
    "largest value, whole.",
)
def pool_gradient_shared(dout, cache):
    return pool_backward(dout, cache, lambda window: np.full(window.shape, 1 / window[0, 0].size))


@mistake(
    "max_pool_backward",
    "Every pixel of a window gets the upstream gradient; only the largest value should.",
)
def pool_gradient_to_all(dout, cache):
    return pool_backward(dout, cache, lambda window: np.ones(window.shape))


@mistake(
    "max_pool_backward",
    "Windows are looked up at multiples of their size; they start at multiples of the stride.",
)
def pool_gradient_steps_of_its_size(dout, cache):
    return pool_backward(dout, cache, winner, step=read_pool(cache[1])[:2])


@mistake(
    "max_pool_backward",
    "dx marks the largest values with 1 but does not multiply by the upstream gradient.",
)
def pool_gradient_without_upstream(dout, cache):
    return pool_backward(np.ones(dout.shape), cache, winner)


@mistake(
    "max_pool_backward",
    "The winner's position is divided by the height of the window; to turn it into row and column divide "
    "by its width.",
)
def pool_winner_by_height(dout, cache):
    def misplaced(window):
        height, width = window.shape[2:]
        row, column = np.divmod(window.reshape(*window.shape[:2], -1).argmax(axis=2), height)
        rows, columns = np.arange(height)[:, None], np.arange(width)
        return (rows == row[:, :, None, None]) & (columns == column[:, :, None, None])

    return pool_backward(dout, cache, misplaced)


@mistake(
    "max_pool_backward",
    "The largest value is looked for over all channels of a window; each channel has its own.",
)
def pool_winner_over_channels(dout, cache):
    return pool_backward(dout, cache, lambda window: window == window.max(axis=(1, 2, 3), keepdims=True))


# --- batch normalisation


def normalise(x, bn_param, mean, var):
    """x_hat for given statistics."""
    return (x - mean) / np.sqrt(var + bn_param.get("eps", 1e-5))


def is_test(bn_param):
    """Whether bn_param asks for test mode."""
    return bn_param["mode"] == "test"


@mistake(
    "batchnorm_forward",
    "eps is added to the standard deviation; it belongs under the root: sqrt(var + eps).",
)
def batchnorm_eps_outside_root(x, gamma, beta, bn_param):
    out, cache = right_batchnorm_forward(x, gamma, beta, bn_param)
    if is_test(bn_param):
        return out, cache
    return gamma * (x - x.mean(axis=0)) / (x.std(axis=0) + bn_param.get("eps", 1e-5)) + beta, cache


@mistake(
    "batchnorm_forward",
    "The variance divides by N - 1; batch normalisation uses the biased variance, which divides by N.",
)
def batchnorm_unbiased(x, gamma, beta, bn_param):
    momentum, before = bn_param.get("momentum", 0.9), bn_param.get("running_var", 0)
    out, cache = right_batchnorm_forward(x, gamma, beta, bn_param)
    if is_test(bn_param) or len(x) == 1:
        return out, cache
    var = x.var(axis=0, ddof=1)
    bn_param["running_var"] = momentum * before + (1 - momentum) * var
    return gamma * normalise(x, bn_param, x.mean(axis=0), var) + beta, cache


@mistake(
    "batchnorm_forward",
    "The momentum is on the wrong side: running = momentum * running + (1 - momentum) * batch, so that a "
    "large momentum changes the averages slowly.",
    family="scaled",
)
def batchnorm_momentum_exchanged(x, gamma, beta, bn_param):
    momentum = bn_param.get("momentum", 0.9)
    bn_param["momentum"] = 1 - momentum
    result = right_batchnorm_forward(x, gamma, beta, bn_param)
    bn_param["momentum"] = momentum
    return result


@mistake(
    "batchnorm_forward",
    "Test mode normalises with the statistics of the batch; it should use running_mean and running_var.",
)
def batchnorm_test_by_batch(x, gamma, beta, bn_param):
    if is_test(bn_param):
        return right_batchnorm_forward(x, gamma, beta, {**bn_param, "mode": "train"})
    return right_batchnorm_forward(x, gamma, beta, bn_param)


@mistake("batchnorm_forward", "Test mode updates the running averages; they are learned in train mode only.")
def batchnorm_test_updates(x, gamma, beta, bn_param):
    result = right_batchnorm_forward(x, gamma, beta, bn_param)
    if is_test(bn_param):
        bn_param["mode"] = "train"
        right_batchnorm_forward(x, gamma, beta, bn_param)
        bn_param["mode"] = "test"
    return result


@mistake(
    "batchnorm_forward",
    "The running averages are computed but not written back into bn_param: the next call cannot find them.",
)
def batchnorm_not_written_back(x, gamma, beta, bn_param):
    return right_batchnorm_forward(x, gamma, beta, dict(bn_param))


@mistake("batchnorm_forward", "running_var averages the standard deviation; it should average the variance.")
def batchnorm_running_std(x, gamma, beta, bn_param):
    momentum, before = bn_param.get("momentum", 0.9), bn_param.get("running_var", 0)
    result = right_batchnorm_forward(x, gamma, beta, bn_param)
    if not is_test(bn_param):
        bn_param["running_var"] = momentum * before + (1 - momentum) * x.std(axis=0)
    return result


@mistake(
    "batchnorm_forward",
    "The statistics run over the features of each row; batch normalisation takes them over the batch, "
    "axis 0.",
)
def batchnorm_over_features(x, gamma, beta, bn_param):
    out, cache = right_batchnorm_forward(x, gamma, beta, bn_param)
    if is_test(bn_param):
        return out, cache
    mean, var = x.mean(axis=1, keepdims=True), x.var(axis=1, keepdims=True)
    return gamma * normalise(x, bn_param, mean, var) + beta, cache


@mistake(
    "batchnorm_forward",
    "One mean and one variance serve all features together; each feature needs its own: use axis=0.",
)
def batchnorm_over_everything(x, gamma, beta, bn_param):
    out, cache = right_batchnorm_forward(x, gamma, beta, bn_param)
    if is_test(bn_param):
        return out, cache
    return gamma * normalise(x, bn_param, x.mean(), x.var()) + beta, cache


@mistake("batchnorm_forward", "x is divided by the variance; divide by its root, the standard deviation.")
def batchnorm_divided_by_variance(x, gamma, beta, bn_param):
    out, cache = right_batchnorm_forward(x, gamma, beta, bn_param)
    if is_test(bn_param):
        return out, cache
    eps = bn_param.get("eps", 1e-5)
    return gamma * (x - x.mean(axis=0)) / (x.var(axis=0) + eps) + beta, cache


@mistake("batchnorm_forward", "gamma and beta are not used: the output should be gamma * x_hat + beta.")
def batchnorm_without_gamma_and_beta(x, gamma, beta, bn_param):
    out, cache = right_batchnorm_forward(x, gamma, beta, bn_param)
    return (out - beta) / gamma, cache


@mistake("batchnorm_forward", 'The eps of bn_param is ignored: read it with bn_param.get("eps", 1e-5).')
def batchnorm_eps_ignored(x, gamma, beta, bn_param):
    _, cache = right_batchnorm_forward(x, gamma, beta, dict(bn_param))
    eps = bn_param.pop("eps", None)
    out, _ = right_batchnorm_forward(x, gamma, beta, bn_param)
    if eps is not None:
        bn_param["eps"] = eps
    return out, cache


@mistake(
    "batchnorm_forward",
    "The variance is computed as mean(x**2) - mean(x)**2, the difference of two large numbers when the "
    "mean is large: take the mean of (x - mean)**2.",
    family="precision, unstable",
)
def batchnorm_one_pass_variance(x, gamma, beta, bn_param):
    out, cache = right_batchnorm_forward(x, gamma, beta, bn_param)
    if is_test(bn_param):
        return out, cache
    var = np.maximum((x**2).mean(axis=0) - x.mean(axis=0) ** 2, 0)
    return gamma * normalise(x, bn_param, x.mean(axis=0), var) + beta, cache


def norm_backward(dout, cache, axis, through_mean=1.0, through_variance=1.0):
    """dx of a normalisation over `axis`, with weights on its second and third term."""
    x_hat, inv_std, gamma = cache
    g = dout * gamma
    mean_g, mean_gx = g.mean(axis=axis, keepdims=True), (g * x_hat).mean(axis=axis, keepdims=True)
    return inv_std * (g - through_mean * mean_g - through_variance * x_hat * mean_gx)


@mistake(
    "batchnorm_backward",
    "dx treats mean and variance as constants. Both depend on every row of the batch, which adds two more "
    "terms.",
)
def batchnorm_constant_statistics(dout, cache):
    return norm_backward(dout, cache, 0, 0, 0), *right_batchnorm_backward(dout, cache)[1:]


@mistake(
    "batchnorm_backward",
    "dx lacks the way through the variance: the term with x_hat times the mean of g * x_hat.",
)
def batchnorm_without_variance_term(dout, cache):
    return norm_backward(dout, cache, 0, 1, 0), *right_batchnorm_backward(dout, cache)[1:]


@mistake(
    "batchnorm_backward",
    "dx lacks the way through the mean: subtract the mean of dout * gamma.",
    family="shifted",
)
def batchnorm_without_mean_term(dout, cache):
    return norm_backward(dout, cache, 0, 0, 1), *right_batchnorm_backward(dout, cache)[1:]


@mistake(
    "batchnorm_backward",
    "The two sums in dx are not divided by N: with the way through mean and variance they become means.",
)
def batchnorm_sums_for_means(dout, cache):
    N = len(dout)
    return norm_backward(dout, cache, 0, N, N), *right_batchnorm_backward(dout, cache)[1:]


@mistake("batchnorm_backward", "dx lacks gamma: the gradient of x_hat is dout * gamma.", family="scaled")
def batchnorm_dx_without_gamma(dout, cache):
    dx, dgamma, dbeta = right_batchnorm_backward(dout, cache)
    return dx / cache[2], dgamma, dbeta


@mistake("batchnorm_backward", "dx is not divided by the standard deviation.", family="scaled")
def batchnorm_dx_without_std(dout, cache):
    dx, dgamma, dbeta = right_batchnorm_backward(dout, cache)
    return dx / cache[1], dgamma, dbeta


@mistake("batchnorm_backward", "dgamma sums dout alone; gamma was multiplied by x_hat, so sum dout * x_hat.")
def batchnorm_dgamma_without_x_hat(dout, cache):
    dx, _, dbeta = right_batchnorm_backward(dout, cache)
    return dx, dbeta.copy(), dbeta


@mistake(
    "batchnorm_backward",
    "dgamma uses x - mean, which has not been divided by the standard deviation: use x_hat.",
)
def batchnorm_dgamma_from_centred(dout, cache):
    dx, dgamma, dbeta = right_batchnorm_backward(dout, cache)
    return dx, dgamma / cache[1], dbeta


@mistake(
    "batchnorm_backward",
    "dgamma and dbeta are averages over the batch; the gradients are sums.",
    family="scaled",
)
def batchnorm_averaged_gradients(dout, cache):
    dx, dgamma, dbeta = right_batchnorm_backward(dout, cache)
    return dx, dgamma / len(dout), dbeta / len(dout)


# --- spatial batch normalisation


@mistake(
    "spatial_batchnorm_forward",
    "reshape(-1, C) alone puts neighbouring pixels of one channel into different columns. Move the "
    "channels to the last axis first: transpose(0, 2, 3, 1).",
)
def spatial_without_transpose(x, gamma, beta, bn_param):
    if is_test(bn_param):
        return right_spatial_forward(x, gamma, beta, bn_param)
    _, cache = right_spatial_forward(x, gamma, beta, bn_param)
    out, _ = batchnorm_forward(x.reshape(-1, x.shape[1]), gamma, beta, dict(bn_param))
    return out.reshape(x.shape), cache


@mistake(
    "spatial_batchnorm_forward",
    "The way back is a reshape to (N, C, H, W), which scatters the channels: reshape to (N, H, W, C), "
    "then transpose.",
    family="transposed",
)
def spatial_reshaped_back(x, gamma, beta, bn_param):
    out, cache = right_spatial_forward(x, gamma, beta, bn_param)
    return out.transpose(0, 2, 3, 1).reshape(x.shape), cache


@mistake(
    "spatial_batchnorm_forward",
    "Each pixel has statistics of its own, over the batch only; all positions of a channel share one mean "
    "and variance.",
)
def spatial_per_pixel(x, gamma, beta, bn_param):
    out, cache = right_spatial_forward(x, gamma, beta, bn_param)
    if is_test(bn_param):
        return out, cache
    x_hat = normalise(x, bn_param, x.mean(axis=0), x.var(axis=0))
    return gamma[:, None, None] * x_hat + beta[:, None, None], cache


@mistake(
    "spatial_batchnorm_forward",
    "Each image is normalised by itself, over its positions only: that is instance normalisation. Include "
    "the batch.",
)
def spatial_per_image(x, gamma, beta, bn_param):
    out, cache = right_spatial_forward(x, gamma, beta, bn_param)
    if is_test(bn_param):
        return out, cache
    x_hat = normalise(x, bn_param, x.mean(axis=(2, 3), keepdims=True), x.var(axis=(2, 3), keepdims=True))
    return gamma[:, None, None] * x_hat + beta[:, None, None], cache


@mistake(
    "spatial_batchnorm_forward",
    "All channels share one mean and one variance; each channel has its own.",
)
def spatial_over_channels(x, gamma, beta, bn_param):
    out, cache = right_spatial_forward(x, gamma, beta, bn_param)
    if is_test(bn_param):
        return out, cache
    x_hat = normalise(x, bn_param, x.mean(), x.var())
    return gamma[:, None, None] * x_hat + beta[:, None, None], cache


@mistake(
    "spatial_batchnorm_forward",
    "A copy of bn_param is handed on, so that the caller's running averages are never updated.",
)
def spatial_copied_bn_param(x, gamma, beta, bn_param):
    return right_spatial_forward(x, gamma, beta, dict(bn_param))


@mistake(
    "spatial_batchnorm_backward",
    "dout is reshaped to (-1, C) without moving the channels to the last axis first: transpose(0, 2, 3, 1).",
)
def spatial_dout_without_transpose(dout, cache):
    N, C, H, W = dout.shape
    dx, dgamma, dbeta = batchnorm_backward(dout.reshape(-1, C), cache)
    return dx.reshape(N, H, W, C).transpose(0, 3, 1, 2), dgamma, dbeta


@mistake(
    "spatial_batchnorm_backward",
    "dx is reshaped straight to (N, C, H, W), which scatters the channels: reshape to (N, H, W, C), then "
    "transpose.",
    family="transposed",
)
def spatial_dx_reshaped_back(dout, cache):
    dx, dgamma, dbeta = right_spatial_backward(dout, cache)
    return dx.transpose(0, 2, 3, 1).reshape(dout.shape), dgamma, dbeta


@mistake(
    "spatial_batchnorm_backward",
    "dgamma and dbeta sum over the batch but average over the positions: sum over both.",
    family="scaled",
)
def spatial_gradients_averaged(dout, cache):
    dx, dgamma, dbeta = right_spatial_backward(dout, cache)
    positions = dout.shape[2] * dout.shape[3]
    return dx, dgamma / positions, dbeta / positions


@mistake("spatial_batchnorm_backward", "dgamma and dbeta are returned in the wrong order.")
def spatial_gradients_exchanged(dout, cache):
    dx, dgamma, dbeta = right_spatial_backward(dout, cache)
    return dx, dbeta, dgamma


@mistake(
    "spatial_batchnorm_backward",
    "dx treats mean and variance as constants: both depend on every pixel of the channel.",
)
def spatial_constant_statistics(dout, cache):
    N, C, H, W = dout.shape
    _, dgamma, dbeta = right_spatial_backward(dout, cache)
    dx = norm_backward(dout.transpose(0, 2, 3, 1).reshape(-1, C), cache, 0, 0, 0)
    return dx.reshape(N, H, W, C).transpose(0, 3, 1, 2), dgamma, dbeta


# --- layer normalisation


@mistake(
    "layernorm_forward",
    "The statistics run over the batch: that is batch normalisation. Take them over the features of each "
    "row, axis 1.",
)
def layernorm_over_batch(x, gamma, beta, ln_param):
    _, cache = right_layernorm_forward(x, gamma, beta, ln_param)
    return gamma * normalise(x, ln_param, x.mean(axis=0), x.var(axis=0)) + beta, cache


@mistake("layernorm_forward", "One mean and one variance serve the whole batch; each row has its own.")
def layernorm_over_everything(x, gamma, beta, ln_param):
    _, cache = right_layernorm_forward(x, gamma, beta, ln_param)
    return gamma * normalise(x, ln_param, x.mean(), x.var()) + beta, cache


@mistake("layernorm_forward", "The variance divides by D - 1; use the biased variance, which divides by D.")
def layernorm_unbiased(x, gamma, beta, ln_param):
    _, cache = right_layernorm_forward(x, gamma, beta, ln_param)
    mean, var = x.mean(axis=1, keepdims=True), x.var(axis=1, ddof=1, keepdims=True)
    return gamma * normalise(x, ln_param, mean, var) + beta, cache


@mistake(
    "layernorm_forward",
    "eps is added to the standard deviation; it belongs under the root: sqrt(var + eps).",
)
def layernorm_eps_outside_root(x, gamma, beta, ln_param):
    _, cache = right_layernorm_forward(x, gamma, beta, ln_param)
    std = x.std(axis=1, keepdims=True)
    return gamma * (x - x.mean(axis=1, keepdims=True)) / (std + ln_param.get("eps", 1e-5)) + beta, cache


@mistake("layernorm_forward", 'The eps of ln_param is ignored: read it with ln_param.get("eps", 1e-5).')
def layernorm_eps_ignored(x, gamma, beta, ln_param):
    _, cache = right_layernorm_forward(x, gamma, beta, ln_param)
    return right_layernorm_forward(x, gamma, beta, {})[0], cache


@mistake("layernorm_forward", "gamma and beta are not used: the output should be gamma * x_hat + beta.")
def layernorm_without_gamma_and_beta(x, gamma, beta, ln_param):
    out, cache = right_layernorm_forward(x, gamma, beta, ln_param)
    return (out - beta) / gamma, cache


@mistake(
    "layernorm_backward",
    "gamma is taken out of the means, as in batch normalisation. Here it differs within a row, so the "
    "means are those of dout * gamma.",
)
def layernorm_gamma_outside(dout, cache):
    x_hat, inv_std, gamma = cache
    _, dgamma, dbeta = right_layernorm_backward(dout, cache)
    return gamma * norm_backward(dout, (x_hat, inv_std, 1.0), 1), dgamma, dbeta


@mistake(
    "layernorm_backward",
    "The means in dx run over the batch, as in batch normalisation; here the statistics are those of a "
    "row, axis 1.",
)
def layernorm_means_over_batch(dout, cache):
    return norm_backward(dout, cache, 0), *right_layernorm_backward(dout, cache)[1:]


@mistake(
    "layernorm_backward",
    "dx treats mean and variance as constants. Both depend on every feature of the row, which adds two "
    "more terms.",
)
def layernorm_constant_statistics(dout, cache):
    return norm_backward(dout, cache, 1, 0, 0), *right_layernorm_backward(dout, cache)[1:]


@mistake(
    "layernorm_backward",
    "dx lacks the way through the variance: the term with x_hat times the mean of g * x_hat.",
)
def layernorm_without_variance_term(dout, cache):
    return norm_backward(dout, cache, 1, 1, 0), *right_layernorm_backward(dout, cache)[1:]


@mistake(
    "layernorm_backward",
    "dgamma and dbeta are summed over the features; gamma and beta are shared by the rows, so sum over "
    "axis 0.",
)
def layernorm_gradients_per_row(dout, cache):
    dx, _, _ = right_layernorm_backward(dout, cache)
    return dx, (dout * cache[0]).sum(axis=1), dout.sum(axis=1)


@mistake("layernorm_backward", "dgamma sums dout alone; gamma was multiplied by x_hat, so sum dout * x_hat.")
def layernorm_dgamma_without_x_hat(dout, cache):
    dx, _, dbeta = right_layernorm_backward(dout, cache)
    return dx, dbeta.copy(), dbeta


# --- group normalisation


def groupnorm_with(x, gamma, beta, groups, gn_param, ddof=0):
    """Group normalisation of x seen as `groups`, whose last axis is normalised."""
    seen = x.reshape(groups)
    mean, var = seen.mean(axis=-1, keepdims=True), seen.var(axis=-1, ddof=ddof, keepdims=True)
    return gamma * normalise(seen, gn_param, mean, var).reshape(x.shape) + beta


@mistake(
    "groupnorm_forward",
    "The channels of a group are G apart (c % G); a group consists of C/G neighbouring channels.",
)
def groupnorm_every_gth_channel(x, gamma, beta, G, gn_param):
    _, cache = right_groupnorm_forward(x, gamma, beta, G, gn_param)
    N, C, H, W = x.shape
    dealt = x.reshape(N, C // G, G, H, W).transpose(0, 2, 1, 3, 4)
    one, zero = np.ones((1, C, 1, 1)), np.zeros((1, C, 1, 1))
    normal = groupnorm_with(dealt.reshape(x.shape), one, zero, (N, G, -1), gn_param)
    back = normal.reshape(N, G, C // G, H, W).transpose(0, 2, 1, 3, 4).reshape(x.shape)
    return gamma * back + beta, cache


@mistake("groupnorm_forward", "G is used as the number of channels in a group; it is the number of groups.")
def groupnorm_groups_of_g(x, gamma, beta, G, gn_param):
    _, cache = right_groupnorm_forward(x, gamma, beta, G, gn_param)
    return groupnorm_with(x, gamma, beta, (len(x), x.shape[1] // G, -1), gn_param), cache


@mistake(
    "groupnorm_forward",
    "Each channel is normalised by itself: that is instance normalisation. All channels of a group share "
    "one mean.",
)
def groupnorm_per_channel(x, gamma, beta, G, gn_param):
    _, cache = right_groupnorm_forward(x, gamma, beta, G, gn_param)
    return groupnorm_with(x, gamma, beta, (*x.shape[:2], -1), gn_param), cache


@mistake(
    "groupnorm_forward",
    "All channels of an image are normalised together: that is layer normalisation. Split them into G "
    "groups.",
)
def groupnorm_one_group(x, gamma, beta, G, gn_param):
    _, cache = right_groupnorm_forward(x, gamma, beta, G, gn_param)
    return groupnorm_with(x, gamma, beta, (len(x), -1), gn_param), cache


@mistake(
    "groupnorm_forward",
    "The statistics include the other images of the batch; each image is normalised by itself.",
)
def groupnorm_over_batch(x, gamma, beta, G, gn_param):
    _, cache = right_groupnorm_forward(x, gamma, beta, G, gn_param)
    groups = x.reshape(len(x), G, -1)
    mean, var = groups.mean(axis=(0, 2), keepdims=True), groups.var(axis=(0, 2), keepdims=True)
    return gamma * normalise(groups, gn_param, mean, var).reshape(x.shape) + beta, cache


@mistake("groupnorm_forward", "The variance is the unbiased one; use the biased variance.")
def groupnorm_unbiased(x, gamma, beta, G, gn_param):
    _, cache = right_groupnorm_forward(x, gamma, beta, G, gn_param)
    return groupnorm_with(x, gamma, beta, (len(x), G, -1), gn_param, ddof=1), cache


@mistake(
    "groupnorm_forward",
    "eps is added to the standard deviation; it belongs under the root: sqrt(var + eps).",
)
def groupnorm_eps_outside_root(x, gamma, beta, G, gn_param):
    _, cache = right_groupnorm_forward(x, gamma, beta, G, gn_param)
    groups = x.reshape(len(x), G, -1)
    std = groups.std(axis=2, keepdims=True) + gn_param.get("eps", 1e-5)
    return gamma * ((groups - groups.mean(axis=2, keepdims=True)) / std).reshape(x.shape) + beta, cache


def groupnorm_dx(dout, cache, **terms):
    """dx of group normalisation, with weights on its second and third term."""
    x_hat, inv_std, gamma = cache
    N, G, _ = inv_std.shape
    upstream = (dout * gamma).reshape(N, G, -1)
    return norm_backward(upstream, (x_hat.reshape(N, G, -1), inv_std, 1.0), 2, **terms).reshape(dout.shape)


@mistake(
    "groupnorm_backward",
    "gamma is taken out of the means. It differs between the channels of a group, so the means are those "
    "of dout * gamma.",
)
def groupnorm_gamma_outside(dout, cache):
    x_hat, inv_std, gamma = cache
    _, dgamma, dbeta = right_groupnorm_backward(dout, cache)
    return gamma * groupnorm_dx(dout, (x_hat, inv_std, 1.0)), dgamma, dbeta


@mistake(
    "groupnorm_backward",
    "dx treats mean and variance as constants. Both depend on every value of the group, which adds two "
    "more terms.",
)
def groupnorm_constant_statistics(dout, cache):
    dx = groupnorm_dx(dout, cache, through_mean=0, through_variance=0)
    return dx, *right_groupnorm_backward(dout, cache)[1:]


@mistake(
    "groupnorm_backward",
    "dx lacks the way through the variance: the term with x_hat times the mean of g * x_hat.",
)
def groupnorm_without_variance_term(dout, cache):
    return groupnorm_dx(dout, cache, through_variance=0), *right_groupnorm_backward(dout, cache)[1:]


@mistake(
    "groupnorm_backward",
    "The means in dx run over each channel alone; the channels of a group share their statistics.",
)
def groupnorm_means_per_channel(dout, cache):
    x_hat, inv_std, gamma = cache
    C = dout.shape[1]
    per_channel = np.repeat(inv_std[:, :, 0], C // inv_std.shape[1], axis=1)[:, :, None, None]
    _, dgamma, dbeta = right_groupnorm_backward(dout, cache)
    return norm_backward(dout, (x_hat, per_channel, gamma), (2, 3)), dgamma, dbeta


@mistake(
    "groupnorm_backward",
    "dgamma and dbeta have the shape (C,); gamma and beta have (1, C, 1, 1), and so do their gradients: "
    "keepdims=True.",
    family="reshaped",
)
def groupnorm_gradients_flat(dout, cache):
    dx, dgamma, dbeta = right_groupnorm_backward(dout, cache)
    return dx, dgamma.ravel(), dbeta.ravel()


@mistake("groupnorm_backward", "dgamma sums dout alone; gamma was multiplied by x_hat, so sum dout * x_hat.")
def groupnorm_dgamma_without_x_hat(dout, cache):
    dx, _, dbeta = right_groupnorm_backward(dout, cache)
    return dx, dbeta.copy(), dbeta


@mistake(
    "groupnorm_backward",
    "dgamma and dbeta sum over positions but average over the batch: sum over both.",
    family="scaled",
)
def groupnorm_gradients_averaged(dout, cache):
    dx, dgamma, dbeta = right_groupnorm_backward(dout, cache)
    return dx, dgamma / len(dout), dbeta / len(dout)


# --- kaiming_init


def fan_in_of(shape):
    """Inputs of one output unit."""
    return shape[0] if len(shape) == 2 else int(np.prod(shape[1:]))


@mistake(
    "kaiming_init",
    "fan_out is used, what one input feeds; fan_in counts what one output adds up.",
    family="scaled",
)
def kaiming_fan_out(shape, rng):
    fan_out = shape[1] if len(shape) == 2 else shape[0] * int(np.prod(shape[2:]))
    return right_kaiming_init(shape, rng) * np.sqrt(fan_in_of(shape) / fan_out)


@mistake(
    "kaiming_init",
    "The variance is 1 / fan_in, Xavier's choice; ReLU halves the mean square, so Kaiming's is 2 / fan_in.",
    family="scaled",
)
def kaiming_without_two(shape, rng):
    return right_kaiming_init(shape, rng) / np.sqrt(2)


@mistake(
    "kaiming_init",
    "2 / fan_in is used as the standard deviation; it is the variance: take the root.",
    family="function, scaled",
)
def kaiming_without_root(shape, rng):
    return right_kaiming_init(shape, rng) * np.sqrt(2 / fan_in_of(shape))


@mistake(
    "kaiming_init",
    "fan_in is the number of channels; an output of a convolution adds up C * HH * WW products.",
    family="scaled",
)
def kaiming_without_window(shape, rng):
    weights = right_kaiming_init(shape, rng)
    return weights if len(shape) == 2 else weights * np.sqrt(shape[2] * shape[3])


@mistake(
    "kaiming_init",
    "The first entry of the shape is used as fan_in for filters too, where it is the number of filters.",
    family="scaled",
)
def kaiming_fan_in_first(shape, rng):
    return right_kaiming_init(shape, rng) * np.sqrt(fan_in_of(shape) / shape[0])


@mistake(
    "kaiming_init",
    "A uniform distribution between -b and b has the standard deviation b / sqrt(3): with b = sqrt(2 / "
    "fan_in) the weights are too small. Draw from a normal distribution, or use b = sqrt(6 / fan_in).",
)
def kaiming_uniform(shape, rng):
    bound = np.sqrt(2 / fan_in_of(shape))
    return np.random.default_rng(rng).uniform(-bound, bound, size=shape)


# --- ThreeLayerConvNet


def three_layer_pass(self, X, y, *, relu1=True, relu2=True, relu1_back=True, relu2_back=True):
    """The network's loss with parts left out."""
    p = self.params
    conv_param = {"stride": 1, "pad": (p["W1"].shape[2] - 1) // 2}
    a, conv_cache = conv_forward_fast(X, p["W1"], p["b1"], conv_param)
    before1 = a
    a = np.maximum(a, 0) if relu1 else a
    a, pool_cache = max_pool_forward(a, {"pool_height": 2, "pool_width": 2, "stride": 2})
    a, cache2 = affine_forward(a, p["W2"], p["b2"])
    before2 = a
    a = np.maximum(a, 0) if relu2 else a
    scores, cache3 = affine_forward(a, p["W3"], p["b3"])
    if y is None:
        return scores
    loss, d = softmax_loss(scores, y)
    grads = {}
    d, grads["W3"], grads["b3"] = affine_backward(d, cache3)
    d = relu_backward(d, before2) if relu2 and relu2_back else d
    d, grads["W2"], grads["b2"] = affine_backward(d, cache2)
    d = max_pool_backward(d, pool_cache)
    d = relu_backward(d, before1) if relu1 and relu1_back else d
    _, grads["W1"], grads["b1"] = conv_backward_fast(d, conv_cache)
    for name in ("W1", "W2", "W3"):
        loss += 0.5 * self.reg * float(np.sum(p[name] ** 2))
        grads[name] = grads[name] + self.reg * p[name]
    return loss, grads


@mistake(
    "three_layer_convnet",
    "The last layer is not regularised: W3 belongs into the penalty and its gradient too.",
    replaces="ThreeLayerConvNet.loss",
    family="term",
)
def three_layer_last_layer_free(self, X, y=None):
    if y is None:
        return right_three_layer_loss(self, X)
    loss, grads = right_three_layer_loss(self, X, y)
    W3 = self.params["W3"]
    grads["W3"] = grads["W3"] - self.reg * W3
    return loss - 0.5 * self.reg * float(np.sum(W3**2)), grads


@mistake(
    "three_layer_convnet",
    "The penalty is in the loss but not in the gradients: add reg * W to the gradient of each W.",
    replaces="ThreeLayerConvNet.loss",
    family="term",
)
def three_layer_penalty_in_loss_only(self, X, y=None):
    if y is None:
        return right_three_layer_loss(self, X)
    loss, grads = right_three_layer_loss(self, X, y)
    return loss, {n: g - self.reg * self.params[n] if n[0] == "W" else g for n, g in grads.items()}


@mistake(
    "three_layer_convnet",
    "The penalty is in the gradients but not in the loss: add 1/2 * reg * sum(W**2) for each W.",
    replaces="ThreeLayerConvNet.loss",
    family="term",
)
def three_layer_penalty_in_gradients_only(self, X, y=None):
    if y is None:
        return right_three_layer_loss(self, X)
    loss, grads = right_three_layer_loss(self, X, y)
    return loss - 0.5 * self.reg * sum(float(np.sum(self.params[n] ** 2)) for n in ("W1", "W2", "W3")), grads


@mistake(
    "three_layer_convnet",
    "The penalty lacks its factor 1/2: the loss adds 1/2 * reg * sum(W**2), whose gradient is reg * W.",
    replaces="ThreeLayerConvNet.loss",
    family="term",
)
def three_layer_penalty_without_half(self, X, y=None):
    if y is None:
        return right_three_layer_loss(self, X)
    loss, grads = right_three_layer_loss(self, X, y)
    return loss + 0.5 * self.reg * sum(float(np.sum(self.params[n] ** 2)) for n in ("W1", "W2", "W3")), grads


@mistake(
    "three_layer_convnet",
    "The gradient of the penalty is 2 * reg * W; with the factor 1/2 in the loss it is reg * W.",
    replaces="ThreeLayerConvNet.loss",
    family="term",
)
def three_layer_penalty_gradient_doubled(self, X, y=None):
    if y is None:
        return right_three_layer_loss(self, X)
    loss, grads = right_three_layer_loss(self, X, y)
    return loss, {n: g + self.reg * self.params[n] if n[0] == "W" else g for n, g in grads.items()}


@mistake(
    "three_layer_convnet",
    "The biases are regularised too; the penalty is on W1, W2 and W3 only.",
    replaces="ThreeLayerConvNet.loss",
    family="term",
)
def three_layer_biases_penalised(self, X, y=None):
    if y is None:
        return right_three_layer_loss(self, X)
    loss, grads = right_three_layer_loss(self, X, y)
    for name in ("b1", "b2", "b3"):
        loss += 0.5 * self.reg * float(np.sum(self.params[name] ** 2))
        grads[name] = grads[name] + self.reg * self.params[name]
    return loss, grads


@mistake(
    "three_layer_convnet",
    "There is no ReLU between the two affine layers, which makes them one linear layer.",
    replaces="ThreeLayerConvNet.loss",
)
def three_layer_without_second_relu(self, X, y=None):
    return three_layer_pass(self, X, y, relu2=False)


@mistake(
    "three_layer_convnet",
    "There is no ReLU between the convolution and the pool.",
    replaces="ThreeLayerConvNet.loss",
)
def three_layer_without_first_relu(self, X, y=None):
    return three_layer_pass(self, X, y, relu1=False)


@mistake(
    "three_layer_convnet",
    "The backward pass skips the ReLU after the convolution: its gradient is zero where the convolution "
    "was negative.",
    replaces="ThreeLayerConvNet.loss",
)
def three_layer_relu_backward_skipped(self, X, y=None):
    return three_layer_pass(self, X, y, relu1_back=False)


@mistake(
    "three_layer_convnet",
    "The backward pass skips the ReLU between the affine layers.",
    replaces="ThreeLayerConvNet.loss",
)
def three_layer_second_relu_backward_skipped(self, X, y=None):
    return three_layer_pass(self, X, y, relu2_back=False)


@mistake(
    "three_layer_convnet",
    "The loss is summed over the batch; softmax_loss gives the mean already, and so are its gradients.",
    replaces="ThreeLayerConvNet.loss",
    family="scaled",
)
def three_layer_summed_loss(self, X, y=None):
    if y is None:
        return right_three_layer_loss(self, X)
    reg, self.reg = self.reg, 0.0
    loss, grads = right_three_layer_loss(self, X, y)
    self.reg = reg
    loss, grads = loss * len(y), {name: gradient * len(y) for name, gradient in grads.items()}
    for name in ("W1", "W2", "W3"):
        loss += 0.5 * reg * float(np.sum(self.params[name] ** 2))
        grads[name] = grads[name] + reg * self.params[name]
    return loss, grads


@mistake(
    "three_layer_convnet",
    "Ten classes are written into the code; their number is num_classes.",
    replaces="ThreeLayerConvNet.__init__",
)
def three_layer_ten_classes(self, *args, **sizes):
    right_three_layer_init(self, *args, **{**sizes, "num_classes": 10})


@mistake(
    "three_layer_convnet",
    "W2 is made for feature maps as large as the image; the pool has halved their height and width.",
    replaces="ThreeLayerConvNet.__init__",
)
def three_layer_pool_forgotten(self, input_dim=(3, 32, 32), **sizes):
    C, H, W = input_dim
    right_three_layer_init(self, input_dim, **sizes)
    large = right_three_layer_init.__get__(ThreeLayerConvNet.__new__(ThreeLayerConvNet))
    large((C, 2 * H, 2 * W), **sizes)
    self.params["W2"] = large.__self__.params["W2"]


@mistake(
    "three_layer_convnet",
    "weight_scale is used as the variance of the weights; it is their standard deviation.",
    replaces="ThreeLayerConvNet.__init__",
    family="function, scaled",
)
def three_layer_scale_as_variance(self, *args, weight_scale=1e-3, **sizes):
    right_three_layer_init(self, *args, weight_scale=np.sqrt(weight_scale), **sizes)


@mistake(
    "three_layer_convnet",
    "The biases start at random values; they start at zero.",
    replaces="ThreeLayerConvNet.__init__",
)
def three_layer_random_biases(self, *args, weight_scale=1e-3, seed=0, **sizes):
    right_three_layer_init(self, *args, weight_scale=weight_scale, seed=seed, **sizes)
    rng = np.random.default_rng(seed)
    for name in ("b1", "b2", "b3"):
        self.params[name] = self.params[name] + weight_scale * rng.normal(size=self.params[name].shape)


# --- DeepConvNet


def change_penalty(self, loss, grads, change):
    """Loss and gradients with `change`, a factor for each name, more (or less) of the penalty."""
    for name, factor in change.items():
        p = self.params[name]
        loss += 0.5 * factor * self.reg * float(np.sum(p * p))
        grads[name] = grads[name] + factor * self.reg * p
    return loss, grads


@mistake(
    "deep_convnet",
    "The last layer is not regularised: the loop over the weights ends one layer too early.",
    replaces="DeepConvNet.loss",
    family="term",
)
def deep_last_layer_free(self, X, y=None):
    if y is None:
        return right_deep_loss(self, X)
    return change_penalty(self, *right_deep_loss(self, X, y), {f"W{self.num_blocks + 1}": -1})


@mistake(
    "deep_convnet",
    "gamma and beta are regularised too; the penalty is on W only.",
    replaces="DeepConvNet.loss",
    family="term",
)
def deep_gamma_penalised(self, X, y=None):
    if y is None:
        return right_deep_loss(self, X)
    names = [name for name in self.params if name.startswith(("gamma", "beta"))]
    return change_penalty(self, *right_deep_loss(self, X, y), dict.fromkeys(names, 1))


@mistake(
    "deep_convnet",
    "The biases are regularised too; the penalty is on W only.",
    replaces="DeepConvNet.loss",
    family="term",
)
def deep_biases_penalised(self, X, y=None):
    if y is None:
        return right_deep_loss(self, X)
    names = [f"b{block}" for block in range(1, self.num_blocks + 2)]
    return change_penalty(self, *right_deep_loss(self, X, y), dict.fromkeys(names, 1))


@mistake(
    "deep_convnet",
    "The penalty lacks its factor 1/2: the loss adds 1/2 * reg * sum(W**2), whose gradient is reg * W.",
    replaces="DeepConvNet.loss",
    family="term, scaled",
)
def deep_penalty_without_half(self, X, y=None):
    if y is None:
        return right_deep_loss(self, X)
    _, grads = right_deep_loss(self, X, y)
    weights = dict.fromkeys([name for name in self.params if name[0] == "W"], 1)
    return change_penalty(self, *right_deep_loss(self, X, y), weights)[0], grads


@mistake(
    "deep_convnet",
    "The penalty is in the loss but not in the gradients: add reg * W to the gradient of each W.",
    replaces="DeepConvNet.loss",
    family="term",
)
def deep_penalty_in_loss_only(self, X, y=None):
    if y is None:
        return right_deep_loss(self, X)
    loss, grads = right_deep_loss(self, X, y)
    return loss, {n: g - self.reg * self.params[n] if n[0] == "W" else g for n, g in grads.items()}


@mistake(
    "deep_convnet",
    "One bn_param serves all blocks, so that they overwrite each other's running averages: each needs its "
    "own.",
    replaces="DeepConvNet.loss",
)
def deep_shared_bn_param(self, X, y=None):
    self.bn_params = self.bn_params[:1] * self.num_blocks
    return right_deep_loss(self, X, y)


@mistake(
    "deep_convnet",
    "A new bn_param is made at each call, so that the running averages are forgotten: keep one per block.",
    replaces="DeepConvNet.loss",
)
def deep_new_bn_params(self, X, y=None):
    self.bn_params = [{"mode": "train"} for _ in self.bn_params]
    return right_deep_loss(self, X, y)


def deep_pass(self, X, y, *, pools=None, norm_first=True, relu_back=True, test_by_batch=False):
    """The network's loss with parts moved or left out."""
    p, last = self.params, self.num_blocks + 1
    pools = self.pools if pools is None else pools
    pool_param = {"pool_height": 2, "pool_width": 2, "stride": 2}
    backs = []

    def normalise_block(maps, block):
        bn_param = self.bn_params[block - 1]
        if test_by_batch:
            bn_param = {**bn_param, "mode": "train"}
        maps, cache = spatial_batchnorm_forward(maps, p[f"gamma{block}"], p[f"beta{block}"], bn_param)
        backs.append((spatial_batchnorm_backward, cache, (f"gamma{block}", f"beta{block}")))
        return maps

    def relu_block(maps):
        backs.append((relu_backward if relu_back else lambda d, _: d, maps, None))
        return np.maximum(maps, 0)

    maps = X
    for block in range(1, last):
        W, b = p[f"W{block}"], p[f"b{block}"]
        maps, cache = conv_forward_fast(maps, W, b, {"stride": 1, "pad": (W.shape[2] - 1) // 2})
        backs.append((conv_backward_fast, cache, (f"W{block}", f"b{block}")))
        maps = normalise_block(maps, block) if self.batchnorm and norm_first else maps
        maps = relu_block(maps)
        maps = normalise_block(maps, block) if self.batchnorm and not norm_first else maps
        if block in pools:
            maps, cache = max_pool_forward(maps, pool_param)
            backs.append((max_pool_backward, cache, None))
    scores, cache = affine_forward(maps, p[f"W{last}"], p[f"b{last}"])
    backs.append((affine_backward, cache, (f"W{last}", f"b{last}")))
    if y is None:
        return scores
    loss, d = softmax_loss(scores, y)
    grads = {}
    for back, cache, names in reversed(backs):
        if names is None:
            d = back(d, cache)
        else:
            d, grads[names[0]], grads[names[1]] = back(d, cache)
    return change_penalty(self, loss, grads, dict.fromkeys([name for name in p if name[0] == "W"], 1))


@mistake(
    "deep_convnet",
    "Without labels the network still normalises with the batch: test mode must use the running averages.",
    replaces="DeepConvNet.loss",
)
def deep_always_training(self, X, y=None):
    return deep_pass(self, X, y, test_by_batch=y is None)


@mistake(
    "deep_convnet",
    "The ReLU comes before batch normalisation; the order of a block is conv, batch normalisation, ReLU, "
    "pool.",
    replaces="DeepConvNet.loss",
)
def deep_norm_after_relu(self, X, y=None):
    return deep_pass(self, X, y, norm_first=False)


@mistake(
    "deep_convnet",
    "The backward pass skips the ReLU: the gradient is zero where its input was negative.",
    replaces="DeepConvNet.loss",
)
def deep_relu_backward_skipped(self, X, y=None):
    return deep_pass(self, X, y, relu_back=False)


@mistake(
    "deep_convnet",
    "The pools are counted from 0: pools=(1,) means after the first block.",
    replaces="DeepConvNet.loss",
)
def deep_pools_from_zero(self, X, y=None):
    return deep_pass(self, X, y, pools=[block + 1 for block in self.pools])


@mistake(
    "deep_convnet",
    "The last layer is made for feature maps as large as the image; each pool halves their height and width.",
    replaces="DeepConvNet.__init__",
)
def deep_pools_forgotten(self, *args, pools=(2, 4), **sizes):
    right_deep_init(self, *args, pools=(), **sizes)
    self.pools = tuple(pools)


@mistake(
    "deep_convnet",
    "weight_scale is ignored: weights get Kaiming's scale whatever was asked for.",
    replaces="DeepConvNet.__init__",
    family="scaled",
)
def deep_scale_ignored(self, *args, weight_scale=None, **sizes):
    right_deep_init(self, *args, **sizes)


@mistake(
    "deep_convnet",
    "gamma starts at 0, which silences every block: it starts at 1.",
    replaces="DeepConvNet.__init__",
    family="zeros",
)
def deep_gamma_from_zero(self, *args, **sizes):
    right_deep_init(self, *args, **sizes)
    self.params = {n: np.zeros_like(v) if n.startswith("gamma") else v for n, v in self.params.items()}
