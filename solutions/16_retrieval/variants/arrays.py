"""NumPy where no gradient is needed, classes for networks, gradient descent with momentum."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn


def l2_normalize(x):
    length = torch.sqrt((x * x).sum(dim=1, keepdim=True))
    return x / torch.where(length == 0, torch.ones_like(length), length)


def euclidean_distances(queries, gallery):
    q, g = queries.numpy().astype(np.float64), gallery.numpy().astype(np.float64)
    middle = g.mean(axis=0)
    q, g = q - middle, g - middle
    squares = np.einsum("id,id->i", q, q)[:, None] + np.einsum("jd,jd->j", g, g) - 2 * q.dot(g.T)
    return torch.from_numpy(np.sqrt(np.maximum(squares, 0))).type(queries.dtype)


def cosine_distances(queries, gallery):
    q, g = queries.numpy().astype(np.float64), gallery.numpy().astype(np.float64)
    lengths = np.outer(np.linalg.norm(q, axis=1), np.linalg.norm(g, axis=1))
    cosines = np.divide(q @ g.T, lengths, out=np.zeros_like(lengths), where=lengths > 0)
    return torch.from_numpy(1 - np.clip(cosines, -1, 1)).type(queries.dtype)


def top_k(distances, k, own=None):
    d = distances.numpy()
    available = d.shape[1] - (0 if own is None else 1)
    if k > available:
        raise ValueError("not enough pictures")
    columns = np.broadcast_to(np.arange(d.shape[1]), d.shape)
    keys = [columns, d]
    if own is not None:
        keys.append(columns == own.numpy()[:, None])  # the query itself comes last of all
    return torch.from_numpy(np.lexsort(keys, axis=1)[:, :k].copy())


def knn_predict(neighbours, labels):
    results = []
    for found in labels.numpy()[neighbours.numpy()]:
        values, first, counts = np.unique(found, return_index=True, return_counts=True)
        best = np.flatnonzero(counts == counts.max())
        results.append(values[best[np.argmin(first[best])]])
    return torch.tensor(np.array(results))


def recall_at_k(neighbours, labels, query_labels, ks):
    hits = labels.numpy()[neighbours.numpy()] == query_labels.numpy()[:, None]
    first = np.where(hits.any(axis=1), hits.argmax(axis=1), hits.shape[1])
    return [float(np.mean(first < k)) for k in ks]


def mean_average_precision(ranking, labels, query_labels):
    hits = labels.numpy()[ranking.numpy()] == query_labels.numpy()[:, None]
    averages = []
    for row in hits:
        places = np.flatnonzero(row) + 1
        if len(places):
            averages.append(np.mean(np.arange(1, len(places) + 1) / places))
    if not averages:
        raise ValueError("nothing to find")
    return float(np.mean(averages))


def split_by_group(groups, fraction, seed):
    g = groups.numpy()
    names = np.unique(g)
    chosen = np.random.default_rng(seed).choice(names, size=round(fraction * len(names)), replace=False)
    test = np.isin(g, chosen)
    return torch.from_numpy(np.flatnonzero(~test)), torch.from_numpy(np.flatnonzero(test))


class Block(nn.Module):
    def __init__(self, before, after):
        super().__init__()
        self.conv = nn.Conv2d(before, after, 3, padding="same", bias=False)
        self.norm = nn.BatchNorm2d(after)

    def forward(self, x):
        return F.max_pool2d(self.norm(self.conv(x)).clamp(min=0), 2)


class Embedder(nn.Module):
    def __init__(self, dim, channels):
        super().__init__()
        sizes = [3, *channels]
        self.blocks = nn.ModuleList(Block(sizes[k], sizes[k + 1]) for k in range(len(channels)))
        self.out = nn.Linear(sizes[-1], dim)

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return self.out(x.mean(dim=(2, 3)))


def build_embedder(dim=64, channels=(16, 32, 64, 128)):
    return Embedder(dim, channels)


def proxy_loss(embeddings, proxies, labels, scale=16.0):
    z = scale * l2_normalize(embeddings) @ l2_normalize(proxies).T
    return (torch.logsumexp(z, dim=1) - z[torch.arange(len(z)), labels]).mean()


def train_embedder(model, proxies, pictures, labels, transform, epochs, rate=0.005, batch_size=32):
    optimizer = torch.optim.NAdam(
        [{"params": list(model.parameters())}, {"params": [proxies.weight]}], lr=rate
    )
    steps, step, losses = epochs * math.ceil(len(pictures) / batch_size), 0, []
    model.train()
    for _ in range(epochs):
        order, seen = torch.randperm(len(pictures)), []
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            for group in optimizer.param_groups:
                group["lr"] = rate * (0.5 + 0.5 * math.cos(math.pi * step / steps))
            step += 1
            model.zero_grad()
            proxies.zero_grad()
            loss = proxy_loss(model(transform(pictures[rows])), proxies.weight, labels[rows])
            loss.backward()
            optimizer.step()
            seen += [loss.item()] * len(rows)
        losses.append(sum(seen) / len(seen))
    return losses
