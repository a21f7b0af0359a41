"""Convolutions as products of Fourier transforms; pools by sorting the pixels of each window."""

import numpy as np


def spectrum(maps, size):
    return np.fft.rfft2(maps, s=size, axes=(2, 3))


def spread(dout, stride, size):
    """The upstream gradient where its windows begin, zeros elsewhere."""
    N, F, height, width = dout.shape
    out = np.zeros((N, F, *size), dtype=dout.dtype)
    out[:, :, : stride * height : stride, : stride * width : stride][:, :, :height, :width] = dout
    return out


def conv_forward_fast(x, w, b, conv_param):
    """A correlation is a product with the conjugate; of its places every stride-th is wanted."""
    s, p = conv_param["stride"], conv_param["pad"]
    size = x.shape[2] + 2 * p, x.shape[3] + 2 * p
    # Zeros behind the picture wrap round to zeros before it.
    big = np.roll(np.pad(x, ((0, 0), (0, 0), (0, 2 * p), (0, 2 * p))), (p, p), axis=(2, 3))
    of_x, of_w = spectrum(big, size), spectrum(w, size)
    everywhere = np.fft.irfft2(np.einsum("ncuv,fcuv->nfuv", of_x, of_w.conj()), s=size, axes=(2, 3))
    valid = everywhere[:, :, : size[0] - w.shape[2] + 1 : s, : size[1] - w.shape[3] + 1 : s]
    return valid + b[:, None, None], {"of_x": of_x, "of_w": of_w, "s": s, "p": p, "size": size, "w": w.shape}


def conv_backward_fast(dout, cache):
    size, p, (_, _, HH, WW) = cache["size"], cache["p"], cache["w"]
    of_dout = spectrum(spread(dout, cache["s"], size), size)
    of_dw = np.einsum("ncuv,nfuv->fcuv", cache["of_x"], of_dout.conj())
    dw = np.fft.irfft2(of_dw, s=size, axes=(2, 3))[:, :, :HH, :WW]
    of_dx = np.einsum("nfuv,fcuv->ncuv", of_dout, cache["of_w"])
    dx = np.fft.irfft2(of_dx, s=size, axes=(2, 3))[:, :, p : size[0] - p, p : size[1] - p]
    return dx, dw, dout.sum(axis=(0, 2, 3))


def conv_forward(x, w, b, conv_param):
    return conv_forward_fast(x, w, b, conv_param)


def conv_backward(dout, cache):
    return conv_backward_fast(dout, cache)


def max_pool_forward(x, pool_param):
    """The windows' pixels one behind the other, sorted."""
    height, width, s = pool_param["pool_height"], pool_param["pool_width"], pool_param["stride"]
    rows = np.arange(0, x.shape[2] - height + 1, s)[:, None, None, None] + np.arange(height)[:, None]
    columns = np.arange(0, x.shape[3] - width + 1, s)[:, None, None] + np.arange(width)
    pixels = (rows * x.shape[3] + columns).reshape(len(rows), len(columns), height * width)
    values = x.reshape(*x.shape[:2], -1)[..., pixels]
    last = np.argsort(values, axis=-1)[..., -1:]
    winners = np.take_along_axis(np.broadcast_to(pixels, values.shape), last, axis=-1)[..., 0]
    return np.sort(values, axis=-1)[..., -1], [winners, x.shape]


def max_pool_backward(dout, cache):
    winners, shape = cache
    dx = np.zeros((*shape[:2], shape[2] * shape[3]), dtype=dout.dtype)
    n, c = np.ogrid[: shape[0], : shape[1]]
    np.add.at(dx, (n[..., None, None], c[..., None, None], winners), dout)
    return dx.reshape(shape)
