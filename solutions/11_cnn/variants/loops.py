"""Loops over places, groups and images where the solution has one product; another plan for training."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn


class Swish(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        s = 1 / (1 + torch.exp(-x))
        out = x * s
        ctx.save_for_backward(out, s)
        return out

    @staticmethod
    def backward(ctx, dout):
        out, s = ctx.saved_tensors
        return (out + s * (1 - out)) * dout


swish = Swish.apply


def output_size(size, kernel, stride=1, padding=0, dilation=1):
    return len(range(0, size + 2 * padding - dilation * (kernel - 1), stride))


def conv2d_unfold(x, w, b, stride=1, padding=0, dilation=1, groups=1):
    outputs = []
    for part, filters in zip(x.chunk(groups, dim=1), w.chunk(groups, dim=0), strict=True):
        windows = F.pad(part, (padding,) * 4)
        for axis, kernel in ((2, w.shape[2]), (3, w.shape[3])):
            windows = windows.unfold(axis, dilation * (kernel - 1) + 1, stride)
        windows = windows[..., ::dilation, ::dilation]  # (N, C / G, H_out, W_out, kh, kw)
        outputs.append(torch.tensordot(windows, filters, dims=([1, 4, 5], [1, 2, 3])).permute(0, 3, 1, 2))
    return torch.cat(outputs, dim=1) + b.reshape(1, -1, 1, 1)


class Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, w, b, stride, padding):
        padded = F.pad(x, (padding,) * 4)
        ctx.save_for_backward(padded, w)
        ctx.options = stride, padding
        return F.conv2d(padded, w, b, stride)

    @staticmethod
    def backward(ctx, dout):
        padded, w = ctx.saved_tensors
        stride, padding = ctx.options
        kh, kw = w.shape[2:]
        dx, dw = torch.zeros_like(padded), torch.zeros_like(w)
        for i in range(dout.shape[2]):
            for j in range(dout.shape[3]):
                rows, columns = slice(i * stride, i * stride + kh), slice(j * stride, j * stride + kw)
                dx[:, :, rows, columns] += torch.tensordot(dout[:, :, i, j], w, dims=([1], [0]))
                dw += torch.tensordot(dout[:, :, i, j], padded[:, :, rows, columns], dims=([0], [0]))
        height, width = padded.shape[2] - 2 * padding, padded.shape[3] - 2 * padding
        dx = dx[:, :, padding : padding + height, padding : padding + width]
        return dx, dw, dout.sum(dim=3).sum(dim=2).sum(dim=0), None, None


def conv2d(x, w, b, stride=1, padding=0):
    return Convolution.apply(x, w, b, stride, padding)


class Block(nn.Module):
    def __init__(self, before, after, last):
        super().__init__()
        self.conv = nn.Conv2d(before, after, kernel_size=3, padding="same", bias=False)
        self.norm = nn.BatchNorm2d(after)
        self.last = last

    def forward(self, x):
        x = self.norm(self.conv(x)).clamp(min=0)
        return x if self.last else F.max_pool2d(x, 2)


class Net(nn.Module):
    def __init__(self, channels, num_classes, pool, in_channels):
        super().__init__()
        sizes = [in_channels, *channels]
        count = len(channels)
        self.blocks = nn.ModuleList(Block(sizes[k], sizes[k + 1], k == count - 1) for k in range(count))
        self.head = nn.Linear(sizes[-1], num_classes)
        self.pool = pool

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return self.head(x.amax(dim=(-2, -1)) if self.pool == "max" else x.mean(dim=(-2, -1)))


def build_cnn(channels, num_classes, pool="mean", in_channels=1):
    return Net(channels, num_classes, pool, in_channels)


def train(model, train_loader, val_loader, rates, augment=None):
    history = {"train_loss": [], "val_accuracy": []}
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=1.0)
    for epoch in range(len(rates)):
        optimizer.param_groups[0]["lr"] = rates[epoch]
        losses = []
        for x, y in train_loader:
            model.train()
            optimizer.zero_grad()
            if augment:
                x = augment(x)
            loss = F.cross_entropy(model(x), y, reduction="none")
            loss.mean().backward()
            optimizer.step()
            losses += loss.tolist()
        history["train_loss"].append(sum(losses) / len(losses))
        model.eval()
        hits = []
        for x, y in val_loader:
            hits += (model(x).max(dim=1)[1] == y).tolist()
        history["val_accuracy"].append(sum(hits) / len(hits))
    return history


def random_shift(images, most, generator):
    moved = torch.zeros_like(images)
    H, W = images.shape[2:]
    for n in range(len(images)):
        down = int(torch.randint(-most, most + 1, (), generator=generator))
        right = int(torch.randint(-most, most + 1, (), generator=generator))
        moved[n, :, max(down, 0) : H + min(down, 0), max(right, 0) : W + min(right, 0)] = images[
            n, :, max(-down, 0) : H + min(-down, 0), max(-right, 0) : W + min(-right, 0)
        ]
    return moved


def affine_matrices(angles, scales, shifts):
    theta = torch.empty(len(angles), 2, 3, dtype=angles.dtype)
    for n, (angle, scale, (right, down)) in enumerate(
        zip(angles.tolist(), scales.tolist(), shifts.tolist(), strict=True)
    ):
        c, s = math.cos(angle) / scale, math.sin(angle) / scale
        theta[n] = torch.tensor(
            [[c, -s, s * down - c * right], [s, c, -s * right - c * down]], dtype=angles.dtype
        )
    return theta


def augment(images, generator):
    def draw(low, high):
        return torch.empty(len(images), dtype=images.dtype).uniform_(low, high, generator=generator)

    shifts = torch.stack([draw(-MAX_SHIFT, MAX_SHIFT), draw(-MAX_SHIFT, MAX_SHIFT)], dim=1)
    return warp(images, affine_matrices(draw(-MAX_ANGLE, MAX_ANGLE), draw(*SCALES), shifts))


def digit_cnn(images, labels, seed):
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    x, y = torch.from_numpy(images)[:, None], torch.from_numpy(labels)
    model = nn.Sequential(
        nn.Conv2d(1, 20, 5, stride=2, padding=2), nn.GELU(), nn.MaxPool2d(2),
        nn.Conv2d(20, 40, 3, padding=1), nn.GELU(), nn.AdaptiveMaxPool2d(4), nn.Flatten(),
        nn.Dropout(0.2), nn.Linear(640, 64), nn.GELU(), nn.Linear(64, int(labels.max() + 1)),
    )  # fmt: skip
    optimizer = torch.optim.NAdam(model.parameters())
    steps = max(100, 11 * len(x) // 40)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 6e-3 * (1 - step / steps)
        batch = rng.integers(len(x), size=40)
        pixels = x[batch].roll(tuple(rng.integers(-2, 3, size=2).tolist()), dims=(2, 3))
        optimizer.zero_grad()
        F.cross_entropy(model(pixels), y[batch], label_smoothing=0.05).backward()
        optimizer.step()
    return model
