"""Broadcasting and einsum: hat functions, sorting by keys, sums over a list of places."""

import math

import torch
import torch.nn.functional as F
from torch.nn.utils.rnn import pad_sequence


def hats(old, new, dtype):
    """How much each old pixel counts for each new one: 1 at its own place, 0 one pixel further."""
    u = (torch.arange(new, dtype=dtype).add(0.5) * (old / new) - 0.5).clamp(0, old - 1)
    return F.relu(1 - (u[:, None] - torch.arange(old, dtype=dtype)).abs())


def resize_bilinear(images, height, width):
    down, right = hats(images.size(2), height, images.dtype), hats(images.size(3), width, images.dtype)
    return torch.einsum("ih,nchw,jw->ncij", down, images, right)


def count_parameters(channels, num_classes, in_channels=1, side=None):
    if not len(channels):
        features = in_channels * (1 if side is None else side**2)
        return num_classes * (features + 1)
    first, *others = channels
    behind = count_parameters(others, num_classes, first, None if side is None else side >> 1)
    return first * (9 * in_channels + 2) + behind


def batches_by_size(sizes, batch_size, generator):
    _, group, counts = torch.unique(torch.tensor(sizes), dim=0, return_inverse=True, return_counts=True)
    keys = torch.rand(len(sizes), dtype=torch.float64, generator=generator)
    order = torch.argsort(group + keys).split(counts.tolist())
    batches = [part for same in order for part in same.split(batch_size)]
    places = torch.argsort(torch.rand(len(batches), dtype=torch.float64, generator=generator))
    return [batches[k].tolist() for k in places]


def pad_batch(images):
    def padded(pictures):
        """Pictures (H, W, C): first all rows of all of them, then their columns of rows."""
        rows = pad_sequence([row for picture in pictures for row in picture], batch_first=True)
        return pad_sequence(rows.split([len(picture) for picture in pictures]), batch_first=True)

    images = [image.permute(1, 2, 0) for image in images]
    batch = padded(images).permute(0, 3, 1, 2)
    return batch, padded([torch.ones(*image.shape[:2], dtype=torch.bool) for image in images])


def masked_pool(maps, mask, kind="mean"):
    n, row, column = mask.nonzero(as_tuple=True)
    values = maps[n, :, row, column]  # (places inside, C)
    index = n[:, None].expand_as(values)
    start = maps.new_zeros(maps.shape[:2])
    return start.scatter_reduce(0, index, values, {"mean": "mean", "max": "amax"}[kind], include_self=False)


@torch.inference_mode()
def accuracy_by_size(model, images, labels, batch_size=100):
    groups = {}
    for image, label in zip(images, labels, strict=True):
        groups.setdefault(tuple(image.shape[1:]), []).append((image, label))
    was_training = model.training
    model.eval()
    shares = {}
    for size, pairs in groups.items():
        pictures, answers = (torch.stack(each) for each in zip(*pairs, strict=True))
        logits = [
            model(pictures[k * batch_size : (k + 1) * batch_size])
            for k in range(math.ceil(len(pairs) / batch_size))
        ]
        shares[size] = torch.cat(logits).argmax(dim=-1).eq(answers).double().mean()
    model.train(was_training)
    return shares
