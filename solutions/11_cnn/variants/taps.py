"""NumPy where torch need not be, and one place of the filter after the other."""

import math
from collections import OrderedDict

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn


class Swish(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.x = x.detach().numpy()
        return torch.as_tensor(ctx.x * (1 + np.tanh(ctx.x / 2)) / 2)

    @staticmethod
    def backward(ctx, dout):
        s = (1 + np.tanh(ctx.x / 2)) / 2
        return dout * torch.as_tensor(s - ctx.x * np.square(s) + ctx.x * s)


def swish(x):
    return Swish.apply(x)


def output_size(size, kernel, stride=1, padding=0, dilation=1):
    free = size + 2 * padding - dilation * (kernel - 1)
    return math.ceil(free / stride)


def taps(w, out_size, stride, dilation=1):
    """For each place of the filter its two indices, and what of the padded image meets it."""
    for i, j in np.ndindex(*w.shape[2:]):
        rows, columns = (
            slice(first * dilation, first * dilation + (number - 1) * stride + 1, stride)
            for first, number in zip((i, j), out_size, strict=True)
        )
        yield i, j, (..., rows, columns)


def conv2d_unfold(x, w, b, stride=1, padding=0, dilation=1, groups=1):
    N, C, *size = x.shape
    out_size = [output_size(size[k], w.shape[2 + k], stride, padding, dilation) for k in (0, 1)]
    padded = x.new_zeros(N, C, *(each + 2 * padding for each in size))
    padded[:, :, padding : padding + size[0], padding : padding + size[1]] = x
    split = w.view(groups, -1, *w.shape[1:]) if w.is_contiguous() else w.unflatten(0, (groups, -1))
    out = b.view(1, -1, 1, 1).expand(N, -1, *out_size)
    for i, j, seen in taps(w, out_size, stride, dilation):
        pixels = padded[seen].reshape(N, groups, C // groups, -1)
        out = out + (split[..., i, j] @ pixels).reshape(out.shape)
    return out


class Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, w, b, stride, padding):
        x, w, b = (each.detach().numpy() for each in (x, w, b))
        padded = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, w.shape[2:], axis=(2, 3))
        windows = windows[:, :, ::stride, ::stride]
        ctx.kept = padded, w, x.shape, stride, padding
        out = np.einsum("nchwij,fcij->nfhw", windows, w, optimize=True) + b[:, np.newaxis, np.newaxis]
        return torch.from_numpy(np.ascontiguousarray(out))

    @staticmethod
    def backward(ctx, dout):
        padded, w, shape, stride, padding = ctx.kept
        upstream = dout.detach().numpy()
        dpadded, dw = np.zeros_like(padded), np.empty_like(w)
        for i, j, seen in taps(w, upstream.shape[2:], stride):
            dw[:, :, i, j] = np.tensordot(upstream, padded[seen], axes=((0, 2, 3), (0, 2, 3)))
            dpadded[seen] += np.einsum("nfhw,fc->nchw", upstream, w[:, :, i, j])
        dx = dpadded[:, :, padding : padding + shape[2], padding : padding + shape[3]]
        db = np.add.reduce(upstream, axis=(0, 2, 3))
        return torch.from_numpy(dx), torch.from_numpy(dw), torch.from_numpy(db), None, None


def conv2d(x, w, b, stride=1, padding=0):
    return Convolution.apply(x, w, b, stride, padding)


def build_cnn(channels, num_classes, pool="mean", in_channels=1):
    def block(before, rest):
        if not rest:
            return [
                ("global", nn.AdaptiveMaxPool2d(1) if pool == "max" else nn.AdaptiveAvgPool2d(1)),
                ("flat", nn.Flatten()),
                ("linear", nn.Linear(before, num_classes)),
            ]
        after, *others = rest
        level = len(others)
        layers = [
            (f"conv{level}", nn.Conv2d(before, after, 3, stride=1, padding=1, bias=False)),
            (f"bn{level}", nn.BatchNorm2d(after)),
            (f"relu{level}", nn.ReLU()),
        ]
        halved = [(f"half{level}", nn.MaxPool2d(2))] if others else []
        return layers + halved + block(after, others)

    return nn.Sequential(OrderedDict(block(in_channels, list(channels))))


def train(model, train_loader, val_loader, rates, augment=None):
    optimizer = torch.optim.Adam([{"params": [p]} for p in model.parameters()])

    def one_pass(loader, training):
        model.train(training)
        for images, labels in loader:
            if not training:
                yield np.equal(model(images).argmax(dim=1).numpy(), labels.numpy())
                continue
            optimizer.zero_grad()
            logits = model(images if augment is None else augment(images))
            losses = F.nll_loss(F.log_softmax(logits, dim=-1), labels, reduction="none")
            torch.mean(losses).backward()
            optimizer.step()
            yield losses.detach().numpy()

    history = {"train_loss": [], "val_accuracy": []}
    for rate in rates:
        for group in optimizer.param_groups:
            group.update(lr=float(rate))
        history["train_loss"].append(np.concatenate(list(one_pass(train_loader, True))).mean())
        with torch.no_grad():
            history["val_accuracy"].append(np.concatenate(list(one_pass(val_loader, False))).mean())
    return history


def random_shift(images, most, generator):
    def axis_matrices(size):
        """Ones on a diagonal beside the main one: each moves an axis by a number of its own."""
        steps = torch.floor((2 * most + 1) * torch.rand(len(images), generator=generator)) - most
        place = torch.arange(size)
        return (place[:, None] - place == steps[:, None, None]).to(images.dtype)[:, None]

    H, W = images.shape[-2:]
    return axis_matrices(H) @ images @ axis_matrices(W).mT


def affine_matrices(angles, scales, shifts):
    phi, s, t = (each.double().numpy() for each in (angles, scales, shifts))
    theta = np.zeros((len(phi), 2, 3))
    theta[:, 0, 0] = theta[:, 1, 1] = np.cos(phi) / s
    theta[:, 1, 0] = np.sin(phi) / s
    theta[:, 0, 1] = -theta[:, 1, 0]
    theta[:, :, 2] = -np.einsum("nij,nj->ni", theta[:, :, :2], t)
    return torch.from_numpy(theta).to(angles.dtype)


def augment(images, generator):
    rng = np.random.default_rng(int(torch.randint(2**62, (), generator=generator)))
    low = np.array([-MAX_ANGLE, SCALES[0], -MAX_SHIFT, -MAX_SHIFT])
    high = np.array([MAX_ANGLE, SCALES[1], MAX_SHIFT, MAX_SHIFT])
    drawn = torch.from_numpy(rng.uniform(low, high, size=(len(images), 4))).to(images)
    theta = affine_matrices(drawn[:, 0], drawn[:, 1], drawn[:, 2:])
    return warp(images, theta).clamp(0, 1)
