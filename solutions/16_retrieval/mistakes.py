"""What goes wrong when pictures are searched: one wrong function each."""

import math
import random

import torch
import torch.nn.functional as F
from torch import nn

from autograder.checking import mistake

# The right versions, under names that a mistake does not replace.
right_l2_normalize = l2_normalize
right_euclidean_distances = euclidean_distances
right_cosine_distances = cosine_distances
right_top_k = top_k
right_knn_predict = knn_predict
right_mean_average_precision = mean_average_precision
right_split_by_group = split_by_group
right_build_embedder = build_embedder
right_proxy_loss = proxy_loss


def unit(x):
    """Each row divided by its length."""
    return x / x.norm(dim=1, keepdim=True).clamp(min=1e-12)


# --- l2_normalize


@mistake("l2_normalize", "A row of zeros becomes NaN: 0 is divided by 0.", family="unstable")
def normalize_zero_by_zero(x):
    return x / x.norm(dim=1, keepdim=True)


@mistake("l2_normalize", "Each row is divided by its squared length: the root is missing.")
def normalize_by_square(x):
    return x / x.square().sum(dim=1, keepdim=True).clamp(min=1e-24)


@mistake("l2_normalize", "The rows are divided by the sum of absolute values, which is not Euclid's length.")
def normalize_by_sum(x):
    return x / x.abs().sum(dim=1, keepdim=True).clamp(min=1e-12)


@mistake("l2_normalize", "The length is taken along dim=0: columns are normalised, not rows.")
def normalize_columns(x):
    return x / x.norm(dim=0, keepdim=True).clamp(min=1e-12)


@mistake("l2_normalize", "Everything is divided by the length of the whole tensor: one number for all rows.")
def normalize_all_together(x):
    return x / x.norm().clamp(min=1e-12)


@mistake("l2_normalize", "The length is detached: the gradient does not know that it depends on x.")
def normalize_detached(x):
    return x / x.norm(dim=1, keepdim=True).clamp(min=1e-12).detach()


@mistake("l2_normalize", "Something is added to the length, so that short rows come out too short.")
def normalize_with_large_epsilon(x):
    return x / (x.norm(dim=1, keepdim=True) + 1e-3)


@mistake("l2_normalize", "The input itself is divided: it should not be modified.")
def normalize_in_place(x):
    x /= x.norm(dim=1, keepdim=True).clamp(min=1e-12)
    return x


# --- euclidean_distances


@mistake("euclidean_distances", "The root is missing: these are squared distances.", family="function")
def euclid_squared(queries, gallery):
    return right_euclidean_distances(queries, gallery).square()


@mistake("euclidean_distances", "The matrix is transposed: rows belong to queries.", family="transposed")
def euclid_transposed(queries, gallery):
    return right_euclidean_distances(queries, gallery).T


@mistake("euclidean_distances", "In float32 large numbers cancel: the distances of twins are noise.")
def euclid_in_float32(queries, gallery):
    squares = (queries**2).sum(dim=1)[:, None] + (gallery**2).sum(dim=1) - 2 * queries @ gallery.T
    return squares.clamp(min=0).sqrt()


@mistake("euclidean_distances", "Rounding makes some squares negative, and their root NaN: clamp at 0 first.")
def euclid_without_clamp(queries, gallery):
    squares = (queries**2).sum(dim=1)[:, None] + (gallery**2).sum(dim=1) - 2 * queries @ gallery.T
    return squares.sqrt()


@mistake("euclidean_distances", "The product is subtracted once: (a - b)² has 2ab in the middle.")
def euclid_single_product(queries, gallery):
    q, g = queries.double(), gallery.double()
    squares = (q**2).sum(dim=1)[:, None] + (g**2).sum(dim=1) - q @ g.T
    return squares.clamp(min=0).sqrt().to(queries.dtype)


@mistake("euclidean_distances", "These are sums of absolute differences (Manhattan): square, sum, root.")
def euclid_manhattan(queries, gallery):
    return torch.cdist(queries, gallery, p=1)


@mistake("euclidean_distances", "The vectors are normalised first: their lengths count here.")
def euclid_normalised(queries, gallery):
    return right_euclidean_distances(unit(queries), unit(gallery))


@mistake("euclidean_distances", "The result is float64: it should have the dtype of the embeddings.")
def euclid_stays_double(queries, gallery):
    return right_euclidean_distances(queries.double(), gallery.double())


# --- cosine_distances


@mistake(
    "cosine_distances",
    "This is the cosine, which is large for what is near: take one minus it.",
    family="function",
)
def cosine_similarity_itself(queries, gallery):
    return unit(queries) @ unit(gallery).T


@mistake("cosine_distances", "The gallery is not normalised: long vectors come out nearer.")
def cosine_gallery_as_it_is(queries, gallery):
    return (1 - unit(queries) @ gallery.T).clamp(min=0, max=2)


@mistake("cosine_distances", "The queries are not normalised.")
def cosine_queries_as_they_are(queries, gallery):
    return (1 - queries @ unit(gallery).T).clamp(min=0, max=2)


@mistake("cosine_distances", "Rounding leads out of the range from 0 to 2: clamp the result.")
def cosine_without_clamp(queries, gallery):
    return 1 - unit(queries) @ unit(gallery).T


@mistake("cosine_distances", "The result is limited to 1: opposite directions are at distance 2.")
def cosine_clamped_at_one(queries, gallery):
    return (1 - unit(queries) @ unit(gallery).T).clamp(min=0, max=1)


@mistake("cosine_distances", "This is half of it: one minus the cosine goes from 0 to 2.", family="scaled")
def cosine_halved(queries, gallery):
    return right_cosine_distances(queries, gallery) / 2


@mistake("cosine_distances", "This is the angle in radians, not one minus its cosine.")
def cosine_angle(queries, gallery):
    return (unit(queries) @ unit(gallery).T).clamp(-1, 1).arccos()


@mistake(
    "cosine_distances",
    "A row of zeros gives NaN: it has no direction, and is at distance 1.",
    family="unstable",
)
def cosine_nan(queries, gallery):
    q, g = (x / x.norm(dim=1, keepdim=True) for x in (queries, gallery))
    return (1 - q @ g.T).clamp(min=0, max=2)


# --- top_k


@mistake("top_k", "The farthest pictures come: small distances are near.")
def top_k_farthest(distances, k, own=None):
    return right_top_k(-distances, k, own)


@mistake("top_k", "Of equal distances the larger index comes first.")
def top_k_larger_index(distances, k, own=None):
    G = distances.shape[1]
    flipped = None if own is None else G - 1 - own
    return G - 1 - right_top_k(distances.flip(1), k, flipped)


@mistake("top_k", "Equal distances come in whatever order the sorting leaves them: it is not stable.")
def top_k_unstable(distances, k, own=None):
    shuffled = torch.randperm(distances.shape[1], generator=torch.Generator().manual_seed(1))
    place = torch.argsort(shuffled)
    return shuffled[right_top_k(distances[:, shuffled], k, None if own is None else place[own])]


@mistake("top_k", "`own` is ignored: each query finds itself first.")
def top_k_with_itself(distances, k, own=None):
    right_top_k(distances, k, own)
    return right_top_k(distances, k)


@mistake("top_k", "The first place is skipped: a twin of the query with a smaller index stands there.")
def top_k_skips_first(distances, k, own=None):
    right_top_k(distances, k, own)
    return right_top_k(distances, k) if own is None else right_top_k(distances, k + 1)[:, 1:]


@mistake("top_k", "Query i leaves out picture i, whatever `own` says.")
def top_k_leaves_out_diagonal(distances, k, own=None):
    right_top_k(distances, k, own)
    if own is None:
        return right_top_k(distances, k)
    return right_top_k(distances, k, torch.arange(len(distances)) % distances.shape[1])


@mistake("top_k", "The query's own entry is overwritten in the distances that were given.")
def top_k_overwrites(distances, k, own=None):
    if own is not None:
        distances[torch.arange(len(distances)), own] = torch.inf
    return right_top_k(distances, k, own)


@mistake("top_k", "With fewer than k pictures, fewer are returned: a ValueError was asked for.")
def top_k_returns_fewer(distances, k, own=None):
    return right_top_k(distances, min(k, distances.shape[1] - (own is not None)), own)


@mistake("top_k", "The distances are returned, not the indices.")
def top_k_values(distances, k, own=None):
    return distances.gather(1, right_top_k(distances, k, own))


@mistake(
    "top_k", "The ranks are returned, argsort of the sorted: where each picture stands, not which ones do."
)
def top_k_ranks(distances, k, own=None):
    right_top_k(distances, k, own)
    return distances.argsort(dim=1, stable=True).argsort(dim=1)[:, :k]


@mistake("top_k", "The k nearest come in the order of their indices, not of their distances.")
def top_k_by_index(distances, k, own=None):
    return right_top_k(distances, k, own).sort(dim=1).values


# --- knn_predict


def _vote(neighbours, labels, choose):
    return torch.stack([choose(labels[row]) for row in neighbours])


def _most(found):
    values, counts = found.unique(return_counts=True)
    return values[counts == counts.max()]


@mistake("knn_predict", "Of several classes with equally many votes the smallest label wins.")
def knn_smallest_label(neighbours, labels):
    return _vote(neighbours, labels, lambda found: _most(found).min())


@mistake("knn_predict", "Of several classes with equally many votes the largest label wins.")
def knn_largest_label(neighbours, labels):
    return _vote(neighbours, labels, lambda found: _most(found).max())


@mistake("knn_predict", "Only the nearest neighbour is asked: the others vote as well.")
def knn_first_only(neighbours, labels):
    return labels[neighbours[:, 0]]


@mistake("knn_predict", "The indices of neighbours are counted, not their labels.")
def knn_votes_on_indices(neighbours, labels):
    return right_knn_predict(neighbours, torch.arange(len(labels)))


@mistake("knn_predict", "The median of the labels is taken: labels are names, not quantities.")
def knn_median(neighbours, labels):
    return labels[neighbours].median(dim=1).values


@mistake("knn_predict", "The rarest class among the neighbours wins.")
def knn_rarest(neighbours, labels):
    found = labels[neighbours]
    votes = (found[:, :, None] == found[:, None, :]).sum(dim=2)
    return found.gather(1, votes.argmin(dim=1, keepdim=True))[:, 0]


@mistake("knn_predict", "The last of the equally frequent classes wins, whose neighbour is the farthest.")
def knn_last_of_equals(neighbours, labels):
    return right_knn_predict(neighbours.flip(1), labels)


# --- recall_at_k


@mistake("recall_at_k", "This is the share of hits among the first k (precision): a query counts once.")
def recall_is_precision(neighbours, labels, query_labels, ks):
    hits = labels[neighbours] == query_labels[:, None]
    return [float(hits[:, :k].double().mean()) for k in ks]


@mistake("recall_at_k", "All of the first k have to be of the class: one is enough.")
def recall_wants_all(neighbours, labels, query_labels, ks):
    hits = labels[neighbours] == query_labels[:, None]
    return [float(hits[:, :k].all(dim=1).double().mean()) for k in ks]


@mistake("recall_at_k", "Only the neighbour in place k is looked at, not the ones before it.")
def recall_at_place_k(neighbours, labels, query_labels, ks):
    hits = labels[neighbours] == query_labels[:, None]
    return [float(hits[:, k - 1].double().mean()) for k in ks]


@mistake("recall_at_k", "One neighbour too few is looked at: [:k - 1] ends before place k.", family="offset")
def recall_one_too_few(neighbours, labels, query_labels, ks):
    hits = labels[neighbours] == query_labels[:, None]
    return [float(hits[:, : k - 1].any(dim=1).double().mean()) for k in ks]


@mistake("recall_at_k", "The first neighbour is skipped, as if it were the query: that has been left out.")
def recall_skips_first(neighbours, labels, query_labels, ks):
    hits = labels[neighbours] == query_labels[:, None]
    return [float(hits[:, 1 : k + 1].any(dim=1).double().mean()) for k in ks]


@mistake("recall_at_k", "The number of queries is returned: divide by how many there are.", family="scaled")
def recall_counts(neighbours, labels, query_labels, ks):
    hits = labels[neighbours] == query_labels[:, None]
    return [float(hits[:, :k].any(dim=1).sum()) for k in ks]


@mistake("recall_at_k", "Indices are compared with labels: look up the label of each neighbour.")
def recall_of_indices(neighbours, labels, query_labels, ks):
    hits = neighbours == query_labels[:, None]
    return [float(hits[:, :k].any(dim=1).double().mean()) for k in ks]


@mistake("recall_at_k", "Queries that are never served are left out of the mean.")
def recall_of_the_served(neighbours, labels, query_labels, ks):
    hits = labels[neighbours] == query_labels[:, None]
    hits = hits[hits.any(dim=1)]
    return [float(hits[:, :k].any(dim=1).double().sum() / max(len(hits), 1)) for k in ks]


@mistake("recall_at_k", "The figures come in ascending order of k: `ks` gives the order.")
def recall_sorted(neighbours, labels, query_labels, ks):
    hits = labels[neighbours] == query_labels[:, None]
    return [float(hits[:, :k].any(dim=1).double().mean()) for k in sorted(ks)]


# --- mean_average_precision


def _precisions(ranking, labels, query_labels):
    hits = (labels[ranking] == query_labels[:, None]).double()
    if not hits.any():
        raise ValueError("no hits")
    return hits, hits.cumsum(dim=1) / torch.arange(1, hits.shape[1] + 1)


@mistake("mean_average_precision", "A query without anything to find counts as 0: it is to be left out.")
def map_zero_for_unanswerable(ranking, labels, query_labels):
    hits, precisions = _precisions(ranking, labels, query_labels)
    return float(((precisions * hits).sum(dim=1) / hits.sum(dim=1).clamp(min=1)).mean())


@mistake(
    "mean_average_precision",
    "A query without anything to find makes the result NaN: 0 divided by 0.",
    family="unstable",
)
def map_nan_for_unanswerable(ranking, labels, query_labels):
    hits, precisions = _precisions(ranking, labels, query_labels)
    return float(((precisions * hits).sum(dim=1) / hits.sum(dim=1)).mean())


@mistake("mean_average_precision", "The precision is averaged over all places: only those of hits count.")
def map_over_all_places(ranking, labels, query_labels):
    hits, precisions = _precisions(ranking, labels, query_labels)
    return float(precisions.mean(dim=1)[hits.any(dim=1)].mean())


@mistake("mean_average_precision", "The sum is divided by the length of the ranking: divide by the hits.")
def map_divided_by_length(ranking, labels, query_labels):
    hits, precisions = _precisions(ranking, labels, query_labels)
    return float((precisions * hits).mean(dim=1)[hits.any(dim=1)].mean())


@mistake("mean_average_precision", "Places are counted from 0: the first hit is divided by too little.")
def map_from_zero(ranking, labels, query_labels):
    hits, _ = _precisions(ranking, labels, query_labels)
    precisions = hits.cumsum(dim=1) / torch.arange(hits.shape[1]).clamp(min=1)
    some = hits.any(dim=1)
    return float(((precisions * hits).sum(dim=1)[some] / hits.sum(dim=1)[some]).mean())


@mistake("mean_average_precision", "Each hit counts 1 / place: the hits before it are forgotten.")
def map_reciprocal_places(ranking, labels, query_labels):
    hits, _ = _precisions(ranking, labels, query_labels)
    some = hits.any(dim=1)
    values = (hits / torch.arange(1, hits.shape[1] + 1)).sum(dim=1)[some] / hits.sum(dim=1)[some]
    return float(values.mean())


@mistake("mean_average_precision", "This is the mean reciprocal rank: only the first hit is looked at.")
def map_first_hit_only(ranking, labels, query_labels):
    hits, _ = _precisions(ranking, labels, query_labels)
    some = hits.any(dim=1)
    return float((1 / (hits[some].argmax(dim=1) + 1).double()).mean())


@mistake(
    "mean_average_precision", "All hits of all queries are averaged together: frequent classes count more."
)
def map_over_all_hits(ranking, labels, query_labels):
    hits, precisions = _precisions(ranking, labels, query_labels)
    return float((precisions * hits).sum() / hits.sum())


@mistake(
    "mean_average_precision", "Where no query can be answered, 0 is returned: a ValueError was asked for."
)
def map_zero_for_nothing(ranking, labels, query_labels):
    try:
        return right_mean_average_precision(ranking, labels, query_labels)
    except ValueError:
        return 0.0


# --- split_by_group


def _split(held_out):
    return torch.nonzero(~held_out).flatten(), torch.nonzero(held_out).flatten()


@mistake("split_by_group", "Pictures are held out, not groups: copies of one photograph are on both sides.")
def split_by_picture(groups, fraction, seed):
    return right_split_by_group(torch.arange(len(groups)), fraction, seed)


@mistake("split_by_group", "The groups with the smallest numbers are held out: nothing is random in it.")
def split_first_groups(groups, fraction, seed):
    names = groups.unique()
    return _split(torch.isin(groups, names[: round(fraction * len(names))]))


@mistake("split_by_group", "The seed is not used: every split is the same one.")
def split_ignores_seed(groups, fraction, seed):
    return right_split_by_group(groups, fraction, 0)


@mistake("split_by_group", "Torch's own generator is seeded, which changes whatever is drawn afterwards.")
def split_seeds_torch(groups, fraction, seed):
    torch.manual_seed(seed)
    names = groups.unique()
    return _split(torch.isin(groups, names[torch.randperm(len(names))[: round(fraction * len(names))]]))


@mistake("split_by_group", "Torch's own generator is used: the seed does not repeat the split.")
def split_unseeded(groups, fraction, seed):
    return right_split_by_group(groups, fraction, int(torch.randint(2**31, ())))


@mistake("split_by_group", "Training and test part are exchanged.")
def split_exchanged(groups, fraction, seed):
    return right_split_by_group(groups, fraction, seed)[::-1]


@mistake("split_by_group", "The number of groups is rounded down.")
def split_rounded_down(groups, fraction, seed):
    names = groups.unique()
    order = torch.randperm(len(names), generator=torch.Generator().manual_seed(seed))
    return _split(torch.isin(groups, names[order[: int(fraction * len(names) - 1e-9)]]))


@mistake(
    "split_by_group", "Groups are added until the share of pictures is reached: groups are counted here."
)
def split_counts_pictures(groups, fraction, seed):
    names = groups.unique()
    held_out = torch.zeros(len(groups), dtype=torch.bool)
    for name in names[torch.randperm(len(names), generator=torch.Generator().manual_seed(seed))]:
        if held_out.sum() < fraction * len(groups):
            held_out |= groups == name
    return _split(held_out)


@mistake("split_by_group", "A picture is drawn, and its group held out: large groups are drawn more often.")
def split_prefers_large_groups(groups, fraction, seed):
    wanted = round(fraction * len(groups.unique()))
    chosen = []
    for i in torch.randperm(len(groups), generator=torch.Generator().manual_seed(seed)):
        if len(chosen) < wanted and int(groups[i]) not in chosen:
            chosen.append(int(groups[i]))
    return _split(torch.isin(groups, torch.tensor(chosen, dtype=groups.dtype)))


@mistake(
    "split_by_group", "Neighbouring groups are held out together: a random start is not a random choice."
)
def split_neighbouring_groups(groups, fraction, seed):
    names = groups.unique()
    start = random.Random(seed).randrange(len(names))
    return _split(torch.isin(groups, names.roll(-start)[: round(fraction * len(names))]))


@mistake("split_by_group", "Masks are returned: indices were asked for.")
def split_masks(groups, fraction, seed):
    _, test = right_split_by_group(groups, fraction, seed)
    held_out = torch.zeros(len(groups), dtype=torch.bool)
    held_out[test] = True
    return ~held_out, held_out


# --- build_embedder


def _network(dim, channels, *, bias=False, norm=True, order="cbrp", pool=nn.MaxPool2d, tail=None):
    layers, before = [], 3
    for after in channels:
        parts = {
            "c": nn.Conv2d(before, after, 3, padding=1, bias=bias),
            "b": nn.BatchNorm2d(after) if norm else nn.Identity(),
            "r": nn.ReLU(),
            "p": pool(2),
        }
        layers += [parts[letter] for letter in order]
        before = after
    mean = tail or nn.AdaptiveAvgPool2d(1)
    return nn.Sequential(*layers, mean, nn.Flatten(), nn.Linear(before, dim))


@mistake("build_embedder", "The convolutions have a bias, which the normalisation takes away again.")
def embedder_with_bias(dim=64, channels=(16, 32, 64, 128)):
    return _network(dim, channels, bias=True)


@mistake("build_embedder", "The batch normalisations are missing.")
def embedder_without_norm(dim=64, channels=(16, 32, 64, 128)):
    return _network(dim, channels, norm=False)


@mistake("build_embedder", "The ReLU stands before the normalisation, not behind it.")
def embedder_relu_first(dim=64, channels=(16, 32, 64, 128)):
    return _network(dim, channels, order="crbp")


@mistake("build_embedder", "The ReLUs are missing.")
def embedder_without_relu(dim=64, channels=(16, 32, 64, 128)):
    return _network(dim, channels, order="cbp")


@mistake("build_embedder", "The blocks pool by the mean: the maximum was asked for.")
def embedder_mean_blocks(dim=64, channels=(16, 32, 64, 128)):
    return _network(dim, channels, pool=nn.AvgPool2d)


@mistake("build_embedder", "In the end the maximum over all places is taken: the mean was asked for.")
def embedder_max_in_the_end(dim=64, channels=(16, 32, 64, 128)):
    return _network(dim, channels, tail=nn.AdaptiveMaxPool2d(1))


@mistake("build_embedder", "There is a ReLU behind the linear layer: an embedding may point anywhere.")
def embedder_relu_last(dim=64, channels=(16, 32, 64, 128)):
    return nn.Sequential(*_network(dim, channels), nn.ReLU())


@mistake(
    "build_embedder",
    "The embeddings are normalised here already, and then again in the loss.",
    family="scaled",
)
def embedder_normalises(dim=64, channels=(16, 32, 64, 128)):
    class Unit(nn.Module):
        def forward(self, x):
            return F.normalize(x, dim=1)

    return nn.Sequential(*_network(dim, channels), Unit())


@mistake("build_embedder", "The linear layer is missing: the means of the last maps come out.")
def embedder_without_linear(dim=64, channels=(16, 32, 64, 128)):
    return _network(dim, channels)[:-1]


@mistake("build_embedder", "The number of blocks is fixed: there is one for each of `channels`.")
def embedder_of_four_blocks(dim=64, channels=(16, 32, 64, 128)):
    return right_build_embedder(dim, (*channels, 32, 64, 128)[:4])


# --- proxy_loss


@mistake("proxy_loss", "The embeddings are not normalised: long ones get a smaller loss.")
def loss_of_raw_embeddings(embeddings, proxies, labels, scale=16.0):
    return F.cross_entropy(scale * embeddings @ unit(proxies).T, labels)


@mistake("proxy_loss", "The proxies are not normalised: the longest attracts everything.")
def loss_of_raw_proxies(embeddings, proxies, labels, scale=16.0):
    return F.cross_entropy(scale * unit(embeddings) @ proxies.T, labels)


@mistake("proxy_loss", "The scale is missing: a cosine is at most 1, which is not enough for a softmax.")
def loss_without_scale(embeddings, proxies, labels, scale=16.0):
    return F.cross_entropy(unit(embeddings) @ unit(proxies).T, labels)


@mistake("proxy_loss", "The cosines are divided by the scale: it is a factor, not a temperature.")
def loss_divided_by_scale(embeddings, proxies, labels, scale=16.0):
    return F.cross_entropy(unit(embeddings) @ unit(proxies).T / scale, labels)


@mistake("proxy_loss", "The losses are summed over the pictures: the mean was asked for.", family="scaled")
def loss_summed(embeddings, proxies, labels, scale=16.0):
    return right_proxy_loss(embeddings, proxies, labels, scale) * len(labels)


@mistake("proxy_loss", "The softmax is taken twice: cross_entropy has one in it.")
def loss_softmax_twice(embeddings, proxies, labels, scale=16.0):
    return F.cross_entropy((scale * unit(embeddings) @ unit(proxies).T).softmax(dim=1), labels)


@mistake("proxy_loss", "Distances are taken for cosines: the right proxy is pushed away.")
def loss_of_distances(embeddings, proxies, labels, scale=16.0):
    return F.cross_entropy(scale * (1 - unit(embeddings) @ unit(proxies).T), labels)


@mistake("proxy_loss", "The proxies are detached: they get no gradient, and never move.")
def loss_detaches_proxies(embeddings, proxies, labels, scale=16.0):
    return right_proxy_loss(embeddings, proxies.detach(), labels, scale)


@mistake(
    "proxy_loss", "The lengths are detached: the gradient has a part along the embedding, which is none."
)
def loss_detaches_lengths(embeddings, proxies, labels, scale=16.0):
    f, p = (x / x.norm(dim=1, keepdim=True).clamp(min=1e-12).detach() for x in (embeddings, proxies))
    return F.cross_entropy(scale * f @ p.T, labels)


@mistake("proxy_loss", "Rows of zeros give NaN.", family="unstable")
def loss_nan_for_zeros(embeddings, proxies, labels, scale=16.0):
    f, p = (x / x.norm(dim=1, keepdim=True) for x in (embeddings, proxies))
    return F.cross_entropy(scale * f @ p.T, labels)


# --- train_embedder


def _train(
    model, proxies, pictures, labels, transform, epochs, rate, batch_size, *,
    with_proxies=True, with_model=True, mode=True, shuffle="epoch", drop=False, step=True,
    average="pictures", paired=True, loss_of=proxy_loss,
):  # fmt: skip
    N = len(pictures)
    trained = [*(model.parameters() if with_model else ()), *(proxies.parameters() if with_proxies else ())]
    optimizer = torch.optim.Adam(trained or [nn.Parameter(torch.zeros(1))], rate)
    batches = math.ceil(N / batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, epochs=epochs, steps_per_epoch=batches)
    losses, order = [], torch.randperm(N)
    model.train(mode)
    for _ in range(epochs):
        if shuffle == "epoch":
            order = torch.randperm(N)
        elif shuffle == "never":
            order = torch.arange(N)
        parts = order.split(batch_size)
        if drop and len(parts) > 1 and len(parts[-1]) < batch_size:
            parts = parts[:-1]
        total = 0.0
        for place, rows in enumerate(parts):
            targets = labels[rows] if paired else labels[place * batch_size :][: len(rows)]
            loss = loss_of(model(transform(pictures[rows])), proxies.weight, targets)
            optimizer.zero_grad()
            loss.backward()
            if step:
                optimizer.step()
            schedule.step()
            total += loss.item() * (1 if average == "batches" else len(rows))
        losses.append(total / {"pictures": N, "batches": len(parts), "sum": 1}[average])
    return losses


@mistake("train_embedder", "The proxies are not given to the optimiser: they stay where they were drawn.")
def train_without_proxies(model, proxies, pictures, labels, transform, epochs, rate=0.005, batch_size=32):
    return _train(model, proxies, pictures, labels, transform, epochs, rate, batch_size, with_proxies=False)


@mistake("train_embedder", "The network is not given to the optimiser: only the proxies learn.")
def train_without_model(model, proxies, pictures, labels, transform, epochs, rate=0.005, batch_size=32):
    return _train(model, proxies, pictures, labels, transform, epochs, rate, batch_size, with_model=False)


@mistake("train_embedder", "It trains in eval mode: batch normalisation never learns its averages.")
def train_in_eval_mode(model, proxies, pictures, labels, transform, epochs, rate=0.005, batch_size=32):
    return _train(model, proxies, pictures, labels, transform, epochs, rate, batch_size, mode=False)


@mistake("train_embedder", "The pictures come in the same order in every epoch of every training.")
def train_never_shuffles(model, proxies, pictures, labels, transform, epochs, rate=0.005, batch_size=32):
    return _train(model, proxies, pictures, labels, transform, epochs, rate, batch_size, shuffle="never")


@mistake("train_embedder", "The order is drawn once, and is the same in every epoch.")
def train_shuffles_once(model, proxies, pictures, labels, transform, epochs, rate=0.005, batch_size=32):
    return _train(model, proxies, pictures, labels, transform, epochs, rate, batch_size, shuffle="once")


@mistake("train_embedder", "The last batch is left out where it is not full.")
def train_drops_last(model, proxies, pictures, labels, transform, epochs, rate=0.005, batch_size=32):
    return _train(model, proxies, pictures, labels, transform, epochs, rate, batch_size, drop=True)


@mistake("train_embedder", "The labels stay in their order when the pictures are shuffled.")
def train_unpaired(model, proxies, pictures, labels, transform, epochs, rate=0.005, batch_size=32):
    return _train(model, proxies, pictures, labels, transform, epochs, rate, batch_size, paired=False)


@mistake("train_embedder", "There is no step: gradients are computed and not used.")
def train_without_steps(model, proxies, pictures, labels, transform, epochs, rate=0.005, batch_size=32):
    return _train(model, proxies, pictures, labels, transform, epochs, rate, batch_size, step=False)


@mistake("train_embedder", "Batches are averaged, large or small: a picture of a small one counts more.")
def train_averages_batches(model, proxies, pictures, labels, transform, epochs, rate=0.005, batch_size=32):
    return _train(model, proxies, pictures, labels, transform, epochs, rate, batch_size, average="batches")


@mistake(
    "train_embedder", "The losses are summed over the pictures: the mean was asked for.", family="scaled"
)
def train_sums_losses(model, proxies, pictures, labels, transform, epochs, rate=0.005, batch_size=32):
    return _train(model, proxies, pictures, labels, transform, epochs, rate, batch_size, average="sum")


@mistake("train_embedder", "Only the last epoch's loss is returned: there is one for each epoch.")
def train_returns_last(model, proxies, pictures, labels, transform, epochs, rate=0.005, batch_size=32):
    return _train(model, proxies, pictures, labels, transform, epochs, rate, batch_size)[-1:]


@mistake("train_embedder", "The views are made once, before the training: there is nothing new in any epoch.")
def train_transforms_once(model, proxies, pictures, labels, transform, epochs, rate=0.005, batch_size=32):
    inputs = transform(pictures)
    return _train(model, proxies, inputs, labels, nn.Identity(), epochs, rate, batch_size)


@mistake("train_embedder", "The loss has another scale than proxy_loss by default.")
def train_with_other_scale(model, proxies, pictures, labels, transform, epochs, rate=0.005, batch_size=32):
    def loss_of(f, p, y):
        return proxy_loss(f, p, y, 1.0)

    return _train(model, proxies, pictures, labels, transform, epochs, rate, batch_size, loss_of=loss_of)
