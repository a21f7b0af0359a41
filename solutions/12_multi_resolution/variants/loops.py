"""Loops and slices, one image and one size at a time."""

import math
import random

import torch
import torch.nn.functional as F
from torch import nn


def resize_bilinear(images, height, width):
    def along(x, new):  # the last axis
        old = x.shape[-1]
        columns = []
        for i in range(new):
            u = min(max((i + 0.5) * old / new - 0.5, 0.0), old - 1.0)
            low = math.floor(u)
            high = min(low + 1, old - 1)
            columns.append(x[..., low] * (1 - (u - low)) + x[..., high] * (u - low))
        return torch.stack(columns, dim=-1)

    return along(along(images, width).transpose(2, 3), height).transpose(2, 3)


def count_parameters(channels, num_classes, in_channels=1, side=None):
    numbers = [in_channels, *channels]
    count = 0
    for level in range(len(channels)):
        count += numbers[level + 1] * (3 * 3 * numbers[level] + 1 + 1)
        side = side // 2 if side is not None else None
    features = numbers[-1] if side is None else numbers[-1] * side * side
    return count + features * num_classes + num_classes


def batches_by_size(sizes, batch_size, generator):
    source = random.Random(int(torch.randint(2**31, (), generator=generator)))
    waiting, batches = {}, []
    order = list(range(len(sizes)))
    source.shuffle(order)
    for i in order:
        waiting.setdefault(sizes[i], []).append(i)
        if len(waiting[sizes[i]]) == batch_size:
            batches.append(waiting.pop(sizes[i]))
    batches.extend(waiting.values())
    source.shuffle(batches)
    return batches


def pad_batch(images):
    height = max(len(image[0]) for image in images)
    width = max(len(image[0][0]) for image in images)
    batch, masks = [], []
    for image in images:
        right, below = width - image.size(2), height - image.size(1)
        batch.append(F.pad(image, (0, right, 0, below)))
        masks.append(F.pad(torch.ones_like(image[0], dtype=torch.bool), (0, right, 0, below)))
    return torch.stack(batch), torch.stack(masks)


def masked_pool(maps, mask, kind="mean"):
    rows = []
    for image, inside in zip(maps, mask, strict=True):
        values = image[:, inside]  # (C, number of places inside)
        rows.append(values.mean(dim=1) if kind == "mean" else values.max(dim=1).values)
    return torch.stack(rows)


class MixedCNN(nn.Module):
    """Each image of a mixed batch by itself: slow, and right by construction."""

    def __init__(self, channels, num_classes, in_channels=1):
        super().__init__()
        layers = []
        for c in channels:
            layers += [nn.Conv2d(in_channels, c, 3, padding=1, bias=False), nn.BatchNorm2d(c)]
            layers += [nn.ReLU(), nn.MaxPool2d(2)]
            in_channels = c
        self.body = nn.Sequential(*layers)
        self.last = nn.Linear(in_channels, num_classes)

    def forward(self, images, mask=None):
        if mask is None:
            return self.last(self.body(images).mean(dim=(2, 3)))
        rows = []
        for image, inside in zip(images, mask, strict=True):
            height, width = int(inside.any(dim=1).sum()), int(inside.any(dim=0).sum())
            rows.append(self.body(image[None, :, :height, :width]).mean(dim=(2, 3)))
        return self.last(torch.cat(rows))


@torch.no_grad()
def accuracy_by_size(model, images, labels, batch_size=100):
    model.eval()
    results = {}
    for image, label in zip(images, labels.tolist(), strict=True):
        logits = model(image.unsqueeze(0))[0].tolist()
        results.setdefault((image.shape[1], image.shape[2]), []).append(logits.index(max(logits)) == label)
    return {size: sum(hits) / len(hits) for size, hits in results.items()}
