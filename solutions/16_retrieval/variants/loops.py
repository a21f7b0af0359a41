"""Query by query, as one would write it first."""

import random

import torch


def l2_normalize(x):
    rows = []
    for row in x.unbind(0):
        length = row.pow(2).sum()
        rows.append(row / length.sqrt() if length > 0 else row * 1.0)
    return torch.stack(rows)


def euclidean_distances(queries, gallery):
    rows = [((query - gallery) ** 2).sum(dim=1).sqrt() for query in queries]
    return torch.stack(rows)


def cosine_distances(queries, gallery):
    result = torch.ones(len(queries), len(gallery), dtype=queries.dtype)
    for i, q in enumerate(queries):
        for j, g in enumerate(gallery):
            lengths = q.norm() * g.norm()
            if lengths > 0:
                result[i, j] = 1 - max(-1.0, min(1.0, float(q @ g / lengths)))
    return result


def top_k(distances, k, own=None):
    rows = []
    for i, row in enumerate(distances.tolist()):
        places = list(range(len(row)))
        if own is not None:
            places.remove(int(own[i]))
        if k > len(places):
            raise ValueError(k)
        rows.append(sorted(places, key=row.__getitem__)[:k])
    return torch.tensor(rows)


def knn_predict(neighbours, labels):
    results = []
    for row in neighbours:
        counts = {}
        for j in row.tolist():
            label = int(labels[j])
            counts[label] = counts.get(label, 0) + 1
        results.append(max(counts, key=counts.get))  # the first of the largest: dicts remember their order
    return torch.tensor(results)


def recall_at_k(neighbours, labels, query_labels, ks):
    results = []
    for k in ks:
        served = 0
        for row, label in zip(neighbours, query_labels, strict=True):
            served += int(any(labels[j] == label for j in row[:k]))
        results.append(served / len(neighbours))
    return results


def mean_average_precision(ranking, labels, query_labels):
    averages = []
    for row, label in zip(ranking.tolist(), query_labels.tolist(), strict=True):
        precisions = []
        for place, j in enumerate(row):
            if labels[j].item() == label:
                precisions.append((len(precisions) + 1) / (place + 1))
        if precisions:
            averages.append(sum(precisions) / len(precisions))
    if averages:
        return sum(averages) / len(averages)
    raise ValueError("no class occurs in the gallery")


def split_by_group(groups, fraction, seed):
    names = sorted(set(groups.tolist()))
    chosen = set(random.Random(seed).sample(names, round(len(names) * fraction)))
    sides = [], []
    for i, group in enumerate(groups.tolist()):
        sides[group in chosen].append(i)
    return tuple(torch.tensor(side, dtype=torch.int64) for side in sides)


def proxy_loss(embeddings, proxies, labels, scale=16.0):
    directions = l2_normalize(proxies)
    losses = []
    for f, label in zip(l2_normalize(embeddings), labels, strict=True):
        z = scale * (directions @ f)
        losses.append(-torch.log_softmax(z, dim=0)[label])
    return torch.stack(losses).mean()
