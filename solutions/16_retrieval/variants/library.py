"""What torch brings along for each of it; AdamW and a loader of its own."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def l2_normalize(x):
    return F.normalize(x, dim=1)


def euclidean_distances(queries, gallery):
    return torch.cdist(queries, gallery, compute_mode="donot_use_mm_for_euclid_dist")


def cosine_distances(queries, gallery):
    rows = [1 - F.cosine_similarity(query[None], gallery, dim=1, eps=1e-30) for query in queries]
    return torch.stack(rows).clip(0, 2)


def top_k(distances, k, own=None):
    if own is None:
        if k > distances.size(1):
            raise ValueError("k is too large")
        return distances.sort(dim=1, stable=True).indices[:, :k]
    others = torch.ones_like(distances, dtype=torch.bool).scatter(1, own[:, None], False)
    places = torch.arange(distances.size(1)).expand(len(distances), -1)[others].view(len(distances), -1)
    return places.gather(1, top_k(distances[others].view(len(distances), -1), k))


def knn_predict(neighbours, labels):
    K = int(labels.max()) + 1
    votes = F.one_hot(labels[neighbours], K).double()  # (Q, k, K)
    k = neighbours.shape[1]
    # A vote counts 1; the nearer one's counts a little more, too little to outweigh another vote.
    bonus = 0.5 ** torch.arange(1, k + 1).double() / (k + 1)
    return (votes * (1 + bonus[:, None])).sum(dim=1).argmax(dim=1)


def recall_at_k(neighbours, labels, query_labels, ks):
    hits = (labels[neighbours] == query_labels.unsqueeze(1)).float()
    curve = hits.cummax(dim=1).values.mean(dim=0)
    return [curve[k - 1].item() for k in ks]


def mean_average_precision(ranking, labels, query_labels):
    hits = labels[ranking] == query_labels.unsqueeze(1)
    hits = hits[hits.any(dim=1)]
    if not len(hits):
        raise ValueError("there is nothing to be found")
    query, place = hits.nonzero(as_tuple=True)
    precisions = hits.cumsum(dim=1)[query, place].double() / (place + 1)
    totals = torch.zeros(len(hits), dtype=torch.float64).index_add(0, query, precisions)
    return (totals / hits.sum(dim=1)).mean().item()


def split_by_group(groups, fraction, seed):
    random = torch.Generator()
    random.manual_seed(seed)
    names = groups.unique()
    score = torch.rand(len(names), generator=random)
    chosen = names[score.topk(round(fraction * len(names))).indices]
    test = (groups[:, None] == chosen).any(dim=1)
    return (~test).nonzero(as_tuple=True)[0], test.nonzero(as_tuple=True)[0]


def build_embedder(dim=64, channels=(16, 32, 64, 128)):
    model = nn.Sequential()
    before = 3
    for number, after in enumerate(channels):
        block = nn.Sequential(
            nn.Conv2d(before, after, (3, 3), (1, 1), (1, 1), bias=False), nn.BatchNorm2d(after),
            nn.MaxPool2d(2, 2), nn.ReLU(inplace=True),
        )  # fmt: skip
        model.add_module(f"block{number}", block)
        before = after
    model.add_module("pool", nn.AdaptiveAvgPool2d((1, 1)))
    model.add_module("flat", nn.Flatten(1))
    model.add_module("out", nn.Linear(before, dim))
    return model


def proxy_loss(embeddings, proxies, labels, scale=16.0):
    return nn.CrossEntropyLoss()(F.linear(F.normalize(embeddings), F.normalize(proxies)) * scale, labels)


def train_embedder(model, proxies, pictures, labels, transform, epochs, rate=0.005, batch_size=32):
    loader = DataLoader(TensorDataset(pictures, labels), batch_size, shuffle=True)
    optimizer = torch.optim.AdamW(nn.ModuleList([model, proxies]).parameters(), lr=rate, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * len(loader))
    losses = []
    model.train(True)
    for _ in range(epochs):
        total = torch.tensor(0.0)
        for x, y in loader:
            optimizer.zero_grad(set_to_none=False)
            loss = proxy_loss(model(transform(x)), proxies.weight, y)
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.detach() * len(y)
        losses.append(float(total / len(pictures)))
    return losses
