"""Tables of zeros and ones, sums over axes; pieces of the gallery at a time."""

import torch
from torch import nn


def l2_normalize(x):
    length = torch.linalg.vector_norm(x, ord=2, dim=-1)
    return x * torch.where(length > 0, 1 / length.clamp_min(1e-20), 0.0)[:, None]


def euclidean_distances(queries, gallery):
    pieces = []
    for part in gallery.split(50):
        difference = queries[:, None, :].double() - part[None, :, :].double()
        pieces.append(difference.square_().sum(dim=-1).sqrt_())
    return torch.cat(pieces, dim=1).to(queries)


def cosine_distances(queries, gallery):
    # Half the squared distance of the directions is one minus the cosine.
    q, g = (
        each.double() / each.double().norm(dim=1, keepdim=True).clamp(min=1e-30)
        for each in (queries, gallery)
    )
    return torch.clamp(1 - torch.einsum("id,jd->ij", q, g), 0.0, 2.0).to(queries.dtype)


def top_k(distances, k, own=None):
    Q, G = distances.shape
    if k > G - (own is not None):
        raise ValueError(f"k = {k}")
    d = distances.clone()
    if own is not None:
        d[torch.arange(Q), own] = torch.inf
    columns = []
    for _ in range(k):
        nearest = (d == d.amin(dim=1, keepdim=True)).int().argmax(dim=1)
        columns.append(nearest)
        d[torch.arange(Q), nearest] = torch.inf
    return torch.stack(columns, dim=1)


def knn_predict(neighbours, labels):
    found = labels[neighbours]
    same = found.unsqueeze(2) == found.unsqueeze(1)
    k = found.shape[1]
    score = same.sum(dim=2) * (k + 1) - torch.arange(k)
    return found[torch.arange(len(found)), score.argmax(dim=1)]


def recall_at_k(neighbours, labels, query_labels, ks):
    hits = torch.eq(labels[neighbours], query_labels.view(-1, 1))
    found = hits.cumsum(dim=1).clamp(max=1).sum(dim=0)
    return [int(found[k - 1]) / len(hits) for k in ks]


def mean_average_precision(ranking, labels, query_labels):
    hits = (labels[ranking] == query_labels.view(-1, 1)).to(torch.float64)
    R = hits.shape[1]
    before = torch.tril(torch.ones(R, R, dtype=torch.float64)) / torch.arange(1, R + 1).view(-1, 1)
    precisions = hits @ before.T  # precision at each place
    count = hits.sum(dim=1)
    averages = torch.nanmean((precisions * hits).sum(dim=1) / count)
    if averages.isnan():
        raise ValueError("all queries are unanswerable")
    return averages.item()


def split_by_group(groups, fraction, seed):
    names = torch.unique(groups)
    keep = torch.random.get_rng_state()
    torch.manual_seed(seed)
    order = torch.randperm(names.numel())
    torch.random.set_rng_state(keep)
    test_names = names[order][: round(fraction * names.numel())].tolist()
    side = torch.tensor([name in test_names for name in groups.tolist()])
    everything = torch.arange(len(groups))
    return everything[~side], everything[side]


class Network(nn.Module):
    def __init__(self, dim, channels):
        super().__init__()
        self.convolutions, self.norms = nn.ModuleList(), nn.ModuleList()
        for before, after in zip((3, *channels), channels, strict=False):
            self.convolutions.append(nn.Conv2d(before, after, kernel_size=3, padding=1, bias=False))
            self.norms.append(nn.BatchNorm2d(num_features=after))
        self.linear = nn.Linear(channels[-1], dim)

    def forward(self, x):
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            x = nn.functional.max_pool2d(norm(convolution(x)).relu(), kernel_size=2, stride=2)
        return self.linear(x.flatten(2).mean(dim=2))


def build_embedder(dim=64, channels=(16, 32, 64, 128)):
    return Network(dim, list(channels))


def proxy_loss(embeddings, proxies, labels, scale=16.0):
    f, p = l2_normalize(embeddings), l2_normalize(proxies)
    table = torch.eye(len(proxies), dtype=f.dtype)[labels]
    return -((scale * f @ p.T).log_softmax(dim=1) * table).sum(dim=1).mean()
