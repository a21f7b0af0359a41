"""Torch's own functions where there are some, and other ways to write a mask."""

import math
from collections import Counter

import torch
import torch.nn.functional as F
from torch import nn


def resize_bilinear(images, height, width):
    return F.interpolate(images, (height, width), mode="bilinear")


def count_parameters(channels, num_classes, in_channels=1, side=None):
    layers = []
    for before, after in zip((in_channels, *channels), channels, strict=False):
        layers.append(nn.Conv2d(before, after, 3, bias=False, device="meta"))
        layers.append(nn.BatchNorm2d(after, device="meta"))
    places = 1 if side is None else math.floor(side / 2 ** len(channels)) ** 2
    layers.append(nn.Linear(channels[-1] * places, num_classes, device="meta"))
    return sum(p.numel() for p in nn.Sequential(*layers).parameters() if p.requires_grad)


def batches_by_size(sizes, batch_size, generator):
    order = torch.randperm(len(sizes), generator=generator).tolist()
    order.sort(key=lambda i: sizes[i])  # stable: within a size the order stays random
    batches = [[]]
    for i in order:
        last = batches[-1]
        if last and (len(last) == batch_size or sizes[last[0]] != sizes[i]):
            batches.append([])
        batches[-1].append(i)
    keys = torch.rand(len(batches), generator=generator).tolist()
    return [batch for _, batch in sorted(zip(keys, batches, strict=True))]


def pad_batch(images):
    shapes = torch.tensor([image.shape for image in images])
    channels, height, width = shapes.amax(dim=0).tolist()
    batch = images[0].new_zeros(len(images), channels, height, width)
    for place, image in zip(batch, images, strict=True):
        place[:, : image.shape[1], : image.shape[2]].copy_(image)
    rows = torch.arange(height)[None, :, None] < shapes[:, 1, None, None]
    columns = torch.arange(width)[None, None, :] < shapes[:, 2, None, None]
    return batch, rows & columns


def masked_pool(maps, mask, kind="mean"):
    m = mask.unsqueeze(1).expand_as(maps)
    if kind == "max":
        lowest = torch.finfo(maps.dtype).min
        return torch.where(m, maps, lowest).flatten(2).max(dim=2)[0]
    return torch.where(m, maps, torch.nan).flatten(2).nanmean(dim=2)


class MixedCNN(nn.Module):
    def __init__(self, channels, num_classes, in_channels=1):
        super().__init__()
        self.convolutions, self.norms = nn.ModuleList(), nn.ModuleList()
        for c in channels:
            self.convolutions.append(nn.Conv2d(in_channels, c, (3, 3), padding="same", bias=False))
            self.norms.append(nn.BatchNorm2d(c))
            in_channels = c
        self.linear = nn.Linear(in_channels, num_classes)

    def forward(self, images, mask=None):
        if mask is None:
            mask = torch.ones_like(images[:, 0], dtype=torch.bool)
        inside = mask.unsqueeze(1).to(images.dtype)
        maps = torch.where(mask.unsqueeze(1), images, torch.zeros_like(images))
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            maps = F.max_pool2d(F.relu(norm(convolution(maps)) * inside), 2)
            inside = 1 - F.max_pool2d(1 - inside, 2)  # inside only where all four were
            maps = maps * inside
        return self.linear(maps.sum(dim=(2, 3)) / inside.sum(dim=(2, 3)))


def accuracy_by_size(model, images, labels, batch_size=100):
    sizes = [tuple(image.shape[-2:]) for image in images]
    right = Counter()
    model.train(False)
    for size in set(sizes):
        places = torch.tensor([i for i, each in enumerate(sizes) if each == size])
        for part in places.split(batch_size):
            with torch.inference_mode():
                logits = model(torch.stack([images[i] for i in part]))
            right[size] += int(torch.sum(logits.max(dim=1).indices == labels[part]))
    return {size: right[size] / count for size, count in Counter(sizes).items()}
