"""Blocks inside of each other, pooling by reshaping, Adam written out."""

import math

import torch
import torch.nn.functional as F
from torch import nn


class Nested(nn.Module):
    def __init__(self, before, channels, dim):
        super().__init__()
        after, *more = channels
        self.conv = nn.Conv2d(before, after, 3, 1, 1, bias=False)
        self.norm = nn.BatchNorm2d(after)
        self.inner = Nested(after, more, dim) if more else nn.Linear(after, dim)

    def forward(self, x):
        x = self.norm(self.conv(x))
        N, C, height, width = x.shape
        h, w = height // 2, width // 2
        x = F.relu(x[:, :, : 2 * h, : 2 * w].reshape(N, C, h, 2, w, 2).amax(dim=(3, 5)))
        return self.inner(x if isinstance(self.inner, Nested) else x.sum(dim=(2, 3)) / (h * w))


def build_embedder(dim=64, channels=(16, 32, 64, 128)):
    return Nested(3, channels, dim)


def train_embedder(model, proxies, pictures, labels, transform, epochs, rate=0.005, batch_size=32):
    model.train()
    parameters = [*model.parameters(), proxies.weight]
    first = [torch.zeros_like(p) for p in parameters]
    second = [torch.zeros_like(p) for p in parameters]
    steps, step, losses = epochs * math.ceil(len(pictures) / batch_size), 0, []
    for _ in range(epochs):
        left, total = torch.randperm(len(pictures)), 0.0
        while len(left):
            rows, left = left[:batch_size], left[batch_size:]
            loss = proxy_loss(model(transform(pictures[rows])), proxies.weight, labels[rows])
            slopes = torch.autograd.grad(loss, parameters)
            step += 1
            share = step / steps
            now = rate * min(share / 0.2, (1 - share) / 0.8)
            with torch.no_grad():
                for p, slope, m, v in zip(parameters, slopes, first, second, strict=True):
                    m.lerp_(slope, 0.1)
                    v.lerp_(slope**2, 0.001)
                    p -= now * m / (1 - 0.9**step) / ((v / (1 - 0.999**step)).sqrt() + 1e-8)
            total += len(rows) * float(loss.detach())
        losses.append(total / len(pictures))
    return losses
