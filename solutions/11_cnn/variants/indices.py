"""Index arithmetic, flat addresses, complex numbers; Adam by hand."""

import math

import torch
import torch.nn.functional as F
from torch import nn
from torch.autograd.function import once_differentiable


class Swish(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        small = torch.exp(-x.abs())
        s = torch.where(x >= 0, 1 / (1 + small), small / (1 + small))
        # s (1 - s), which is even, without taking a difference
        ctx.save_for_backward(s + x * small / (1 + small) ** 2)
        return x * s

    @staticmethod
    @once_differentiable
    def backward(ctx, dout):
        return ctx.saved_tensors[0] * dout


def swish(x):
    return Swish.apply(x)


def output_size(size, kernel, stride=1, padding=0, dilation=1):
    count, last = 0, dilation * (kernel - 1)
    while last < size + 2 * padding:
        count, last = count + 1, last + stride
    return count


def window_indices(size, kernel, stride, dilation=1):
    """Which pixel of a padded axis is under place k of the filter at output place o: (kernel, out)."""
    starts = torch.arange(0, size - dilation * (kernel - 1), stride)
    return dilation * torch.arange(kernel).unsqueeze(1) + starts


def conv2d_unfold(x, w, b, stride=1, padding=0, dilation=1, groups=1):
    padded = F.pad(x, [padding] * 4)
    filters, channels, kh, kw = w.shape
    rows = window_indices(padded.shape[2], kh, stride, dilation)
    columns = window_indices(padded.shape[3], kw, stride, dilation)
    windows = padded[:, :, rows[:, None, :, None], columns[None, :, None, :]]  # (N, C, kh, kw, H_out, W_out)
    # One matrix for all groups: a filter is 0 on the channels that it doesn't see.
    matrix = torch.block_diag(*w.reshape(groups, filters // groups, channels * kh * kw))
    out = F.linear(windows.flatten(1, 3).movedim(1, 3), matrix, b)
    return out.permute(0, 3, 1, 2)


class Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, w, b, stride, padding):
        N, C, H, W = x.shape
        F_, _, kh, kw = w.shape
        height, width = H + 2 * padding, W + 2 * padding
        rows, columns = window_indices(height, kh, stride), window_indices(width, kw, stride)
        planes = torch.arange(C).view(C, 1, 1, 1, 1) * height * width
        addresses = planes + rows.view(1, kh, 1, -1, 1) * width + columns.view(1, 1, kw, 1, -1)
        ctx.sizes = N, C, H, W, padding
        out_size = addresses.shape[3:]
        addresses = addresses.reshape(C * kh * kw, -1)
        ctx.save_for_backward(F.pad(x, [padding] * 4).flatten(1), w, addresses)
        out = w.reshape(F_, -1) @ ctx.to_save[0][:, addresses] + b.unsqueeze(1)
        return out.reshape(N, F_, *out_size)

    @staticmethod
    def backward(ctx, dout):
        flat, w, addresses = ctx.saved_tensors
        N, C, H, W, padding = ctx.sizes
        upstream = dout.reshape(*dout.shape[:2], -1)
        dw = sum(upstream[n] @ flat[n][addresses].T for n in range(N)).reshape(w.shape)
        to_windows = torch.matmul(w.reshape(len(w), -1).T, upstream)
        dx = torch.zeros_like(flat).index_add_(1, addresses.reshape(-1), to_windows.reshape(N, -1))
        dx = dx.reshape(N, C, H + 2 * padding, W + 2 * padding).narrow(2, padding, H).narrow(3, padding, W)
        return dx, dw, upstream.transpose(0, 1).flatten(1).sum(dim=1), None, None


def conv2d(x, w, b, stride=1, padding=0):
    return Convolution.apply(x, w, b, stride, padding)


class Blocks(nn.Sequential):
    """The layers get names; what is at the end is decided when it is called."""

    def __init__(self, channels, in_channels):
        super().__init__()
        for k, number in enumerate(channels):
            self.add_module(f"convolution{k}", nn.Conv2d(in_channels, number, (3, 3), padding=1, bias=False))
            self.add_module(f"norm{k}", nn.BatchNorm2d(number))
            self.add_module(f"relu{k}", nn.ReLU())
            if k < len(channels) - 1:
                self.add_module(f"pool{k}", nn.MaxPool2d(2))
            in_channels = number


class Classifier(nn.Module):
    def __init__(self, blocks, head, pooling):
        super().__init__()
        self.blocks, self.head, self.pooling = blocks, head, pooling

    def forward(self, x):
        return self.head(self.pooling(self.blocks(x).flatten(2)))


def build_cnn(channels, num_classes, pool="mean", in_channels=1):
    poolings = {"mean": lambda maps: maps.mean(dim=2), "max": lambda maps: maps.max(dim=2).values}
    head = nn.Linear(list(channels)[-1], num_classes)
    return Classifier(Blocks(channels, in_channels), head, poolings[pool])


class HandmadeAdam:
    def __init__(self, parameters):
        self.state = [(p, torch.zeros_like(p), torch.zeros_like(p)) for p in parameters if p.requires_grad]
        self.steps = 0

    @torch.no_grad()
    def step(self, gradients, rate):
        self.steps += 1
        for (p, m, v), gradient in zip(self.state, gradients, strict=True):
            m += 0.1 * (gradient - m)
            v += 0.001 * (gradient**2 - v)
            first, second = m / (1 - 0.9**self.steps), v / (1 - 0.999**self.steps)
            p -= rate * first / (second.sqrt() + 1e-8)


def train(model, train_loader, val_loader, rates, augment=None):
    adam = HandmadeAdam(model.parameters())
    history = {"train_loss": [], "val_accuracy": []}
    for rate in rates:
        model.train()
        sums = []
        for images, labels in train_loader:
            logits = model(augment(images) if augment is not None else images)
            losses = torch.logsumexp(logits, dim=1) - logits.gather(1, labels[:, None])[:, 0]
            adam.step(torch.autograd.grad(losses.mean(), [p for p, _, _ in adam.state]), float(rate))
            sums.append((losses.sum().item(), len(losses)))
        history["train_loss"].append(sum(part for part, _ in sums) / sum(n for _, n in sums))
        model.eval()
        with torch.no_grad():
            answers = torch.cat([model(images).argmax(dim=1) == labels for images, labels in val_loader])
        history["val_accuracy"].append(answers.double().mean().item())
    return history


def random_shift(images, most, generator):
    N, _, H, W = images.shape
    sides = 2 * most + 1
    place = torch.randint(sides * sides, (N,), generator=generator)
    windows = F.pad(images, [most] * 4).unfold(2, H, 1).unfold(3, W, 1)  # (N, C, sides, sides, H, W)
    return windows[torch.arange(N), :, place // sides, place % sides]


def affine_matrices(angles, scales, shifts):
    # A point is x + iy, and A is a multiplication with exp(i phi) / s.
    a = torch.polar(1 / scales, angles)
    t = torch.complex(shifts[:, 0].contiguous(), shifts[:, 1].contiguous())
    columns = torch.stack([a, 1j * a, -a * t], dim=1)
    return torch.view_as_real(columns).to(angles.dtype).mT


def augment(images, generator):
    changed = []
    for image in images:
        u = [float(torch.rand((), dtype=torch.float64, generator=generator)) for _ in range(4)]
        angle, right, down = (
            most * math.fsum([2 * v, -1])
            for v, most in zip((u[0], u[2], u[3]), (MAX_ANGLE, MAX_SHIFT, MAX_SHIFT), strict=True)
        )
        scale = u[1] * SCALES[1] + (1 - u[1]) * SCALES[0]
        theta = affine_matrices(
            *(torch.tensor([each], dtype=image.dtype) for each in (angle, scale, (right, down)))
        )
        changed.append(warp(image.unsqueeze(0), theta))
    return torch.cat(changed)
