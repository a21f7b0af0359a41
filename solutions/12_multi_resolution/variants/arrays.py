"""NumPy and the standard library; torch only where a gradient or a model needs it."""

import operator
from collections import defaultdict
from functools import reduce
from itertools import groupby
from typing import NamedTuple

import numpy as np
import torch


def resize_bilinear(images, height, width):
    values = images.numpy()
    for axis, new in ((2, height), (3, width)):
        old = values.shape[axis]
        middles = (np.arange(new) + 0.5) * old / new  # in old pixels whose left edges have whole numbers
        values = np.apply_along_axis(
            lambda line, old=old, middles=middles: np.interp(middles, np.arange(old) + 0.5, line),
            axis, values,
        )  # fmt: skip
    return torch.from_numpy(values).to(images.dtype)


def count_parameters(channels, num_classes, in_channels=1, side=None):
    after = np.array(channels)
    before = np.concatenate([[in_channels], after[:-1]])
    blocks = 9 * np.dot(before, after) + 2 * after.sum()
    if side is not None:
        for _ in channels:
            side = (side - side % 2) // 2
    places = side**2 if side is not None else 1
    return int(blocks + num_classes * (after[-1] * places) + num_classes)


def batches_by_size(sizes, batch_size, generator):
    def shuffle(items):
        """Each place gets one of those that are still there (Fisher and Yates)."""
        for last in range(len(items) - 1, 0, -1):
            other = torch.randint(0, last + 1, (1,), generator=generator).item()
            items[last], items[other] = items[other], items[last]

    batches = []
    for _, group in groupby(sorted(range(len(sizes)), key=sizes.__getitem__), key=sizes.__getitem__):
        same = list(np.fromiter(group, dtype=np.int64))
        shuffle(same)
        while same:
            batches.append(same[:batch_size])
            del same[:batch_size]
    shuffle(batches)
    return batches


class Padded(NamedTuple):
    batch: torch.Tensor
    mask: torch.Tensor


def pad_batch(images):
    arrays = [image.numpy() for image in images]
    sizes = np.array([array.shape[1:] for array in arrays])
    height, width = sizes.max(axis=0)
    batch = np.stack([
        np.pad(array, ((0, 0), (0, height - rows), (0, width - columns)))
        for array, (rows, columns) in zip(arrays, sizes, strict=True)
    ])  # fmt: skip
    places = np.indices((height, width))  # (2, H, W)
    mask = (places < sizes[:, :, None, None]).all(axis=1)
    return Padded(torch.from_numpy(batch), torch.from_numpy(mask))


def masked_pool(maps, mask, kind="mean"):
    m = mask.reshape(len(mask), 1, -1)
    flat = maps.reshape(*maps.shape[:2], -1)
    if kind == "mean":
        shares = m.to(maps.dtype) / m.sum(dim=2, keepdim=True)
        kept = torch.where(m, flat, torch.zeros((), dtype=maps.dtype))
        return torch.matmul(kept, shares.transpose(1, 2)).squeeze(2)
    lowest = torch.full_like(flat[..., 0], -torch.inf)
    return reduce(
        torch.maximum, (torch.where(m[..., k], flat[..., k], lowest) for k in range(flat.shape[2])), lowest
    )


def accuracy_by_size(model, images, labels, batch_size=100):
    model.eval()
    queues, hits = defaultdict(list), defaultdict(list)

    def answer(size):
        """The images that wait at this size go through the model."""
        waiting = queues.pop(size)
        with torch.no_grad():
            logits = model(torch.stack(operator.itemgetter(*waiting, waiting[0])(images))[: len(waiting)])
        hits[size].extend(np.argmax(logits.numpy(), axis=1) == labels.numpy()[waiting])

    for i, image in enumerate(images):
        size = image.shape[1:]
        queues[size].append(i)
        if len(queues[size]) == batch_size:
            answer(size)
    for size in list(queues):
        answer(size)
    return {size: np.mean(each) for size, each in hits.items()}
