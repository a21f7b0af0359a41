"""As the original code has it: small functions for the tokenizer, PyTorch's own pieces for the rest."""

import math
import random
import unicodedata

import torch
import torch.nn.functional as F


def is_white(char):
    return char in (" ", "\t", "\n", "\r") or unicodedata.category(char) == "Zs"


def is_control(char):
    return char not in "\t\n\r" and unicodedata.category(char).startswith("C")


def is_punctuation(char):
    code = ord(char)
    if 33 <= code <= 47 or 58 <= code <= 64 or 91 <= code <= 96 or 123 <= code <= 126:
        return True
    return unicodedata.category(char).startswith("P")


def is_chinese(char):
    return any(low <= ord(char) <= high for low, high in CJK_RANGES)


def strip_accents(word):
    return "".join(c for c in unicodedata.normalize("NFD", word) if unicodedata.category(c) != "Mn")


def split_punctuation(word):
    parts, new = [], True
    for char in word:
        if is_punctuation(char):
            parts.append([char])
            new = True
        else:
            if new:
                parts.append([])
            parts[-1].append(char)
            new = False
    return ["".join(part) for part in parts]


def basic_tokenize(text):
    text = "".join(c for c in text if ord(c) not in (0, 0xFFFD) and not is_control(c))
    text = "".join(" " if is_white(c) else f" {c} " if is_chinese(c) else c for c in text)
    words = []
    for word in text.strip().split():
        words += split_punctuation(strip_accents(word.lower()))
    return " ".join(words).split()


def wordpiece(word, vocabulary, unknown="[UNK]", max_characters=100):
    if len(word) > max_characters:
        return [unknown]
    found, start, bad = [], 0, False
    while start < len(word):
        end, current = len(word), None
        while start < end:
            piece = word[start:end]
            if start > 0:
                piece = "##" + piece
            if piece in vocabulary:
                current = piece
                break
            end -= 1
        if current is None:
            bad = True
            break
        found.append(current)
        start = end
    return [unknown] if bad else found


def encode_pair(first, second, vocabulary, max_length):
    a, b = first[:], second[:] if second is not None else []
    special = 3 if second is not None else 2
    while len(a) + len(b) > max_length - special:
        if len(a) > len(b):
            a.pop()
        else:
            b.pop()
    tokens = [vocabulary[p] if p in vocabulary else vocabulary["[UNK]"] for p in ["[CLS]", *a, "[SEP]"]]
    segments = [0 for _ in tokens]
    if second is not None:
        tail = [vocabulary[p] if p in vocabulary else vocabulary["[UNK]"] for p in [*b, "[SEP]"]]
        tokens, segments = tokens + tail, segments + [1] * len(tail)
    while len(tokens) < max_length:
        tokens.append(vocabulary["[PAD]"])
        segments.append(0)
    return tokens, segments


def embed(tokens, segments, params):
    x = F.embedding(tokens, params["tokens"])
    x = x + F.embedding(torch.arange(tokens.size(1)), params["positions"])
    x = x + F.embedding(segments, params["segments"])
    return F.layer_norm(x, (x.size(-1),), params["norm"]["gamma"], params["norm"]["beta"], eps=1e-12)


def linear(x, params, name):
    return F.linear(x, params["w" + name].t(), params["b" + name])


def bert_layer(x, params, num_heads, mask=None):
    N, T, D = x.shape
    d = D // num_heads
    q, k, v = (
        linear(x, params["attention"], n).view(N, T, num_heads, d).permute(0, 2, 1, 3)
        for n in ("q", "k", "v")
    )
    scores = q @ k.transpose(-1, -2) / math.sqrt(d)
    if mask is not None:
        scores = scores + (~mask).to(x.dtype) * torch.finfo(x.dtype).min
    context = (scores.softmax(-1) @ v).permute(0, 2, 1, 3).reshape(N, T, D)
    x = norm(linear(context, params["attention"], "o") + x, params["norm1"])
    return norm(
        linear(F.gelu(linear(x, params["feed_forward"], "1")), params["feed_forward"], "2") + x,
        params["norm2"],
    )


def bert_encode(tokens, segments, params, num_heads, pad=0):
    mask = tokens.ne(pad).view(len(tokens), 1, 1, -1)
    hidden = embed(tokens, segments, params)
    for block in params["layers"]:
        hidden = bert_layer(hidden, block, num_heads, mask)
    return hidden


def mask_tokens(tokens, num_tokens, special=(PAD, UNK, CLS, SEP, MASK), mask_token=MASK, share=0.15, seed=0):
    """As widely used data collators do it: three draws one after the other."""
    g = torch.Generator().manual_seed(seed)
    hidden, labels = tokens.clone(), tokens.clone()
    p = torch.full(tokens.shape, share)
    for token in special:
        p[tokens == token] = 0.0
    chosen = torch.bernoulli(p, generator=g).bool()
    labels[~chosen] = -100
    replaced = torch.bernoulli(torch.full(tokens.shape, 0.8), generator=g).bool() & chosen
    hidden[replaced] = mask_token
    random_ones = torch.bernoulli(torch.full(tokens.shape, 0.5), generator=g).bool() & chosen & ~replaced
    hidden[random_ones] = torch.randint(num_tokens, tokens.shape, generator=g)[random_ones]
    return hidden, labels


def mlm_logits(hidden, params):
    head = params["mlm"]
    h = F.gelu(F.linear(hidden, head["w"].T, head["b"]))
    return F.linear(norm(h, head["norm"]), params["tokens"], head["bias"])


def mlm_loss(logits, labels):
    chosen = labels != -100
    if not chosen.any():
        return logits.sum() * 0.0
    return F.cross_entropy(logits[chosen], labels[chosen])


def sentence_pairs(documents, seed=0):
    rng = random.Random(seed)
    pairs = []
    for document in documents:
        for place in range(len(document) - 1):
            if rng.random() >= 0.5:
                pairs.append((document[place], document[place + 1], 1))
                continue
            other = document
            while other is document:
                other = rng.choice(documents)
            pairs.append((document[place], rng.choice(other), 0))
    return pairs


def pair_logits(hidden, params, head="nsp"):
    cls = hidden.select(1, 0)
    pooled = F.linear(cls, params["pooler"]["w"].T, params["pooler"]["b"]).tanh()
    return F.linear(pooled, params[head]["w"].T, params[head]["b"])


def pretraining_loss(tokens, segments, follows, params, num_heads, seed=0):
    """Scores of the chosen positions alone: the others are not needed."""
    hidden_tokens, labels = mask_tokens(tokens, params["tokens"].shape[0], seed=seed)
    hidden = bert_encode(hidden_tokens, segments, params, num_heads, 0)
    chosen = labels != -100
    scores = mlm_logits(hidden[chosen], params)
    mlm = mlm_loss(scores[None], labels[chosen][None])
    log_p = F.log_softmax(pair_logits(hidden, params), dim=1)
    return mlm, F.nll_loss(log_p, follows)


def fine_tune(
    params, num_heads, tokens, segments, labels, num_steps, batch_size=16, learning_rate=1e-3, seed=0
):
    """A loop of its own."""
    weights = leaves(params)
    for tensor in weights:
        tensor.requires_grad_(True)
    optimizer = torch.optim.Adam(weights, lr=learning_rate)
    g = torch.Generator().manual_seed(seed)
    order, losses = torch.empty(0, dtype=torch.long), []
    for _ in range(num_steps):
        while len(order) < batch_size:
            order = torch.cat([order, torch.randperm(len(tokens), generator=g)])
        batch, order = order[:batch_size], order[batch_size:]
        logits = pair_logits(
            bert_encode(tokens[batch], segments[batch], params, num_heads), params, "classifier"
        )
        loss = F.cross_entropy(logits, labels[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    for tensor in weights:
        tensor.requires_grad_(False)
    return params, losses


def mean_pool(hidden, tokens, pad=0):
    mask = tokens.ne(pad).unsqueeze(-1).expand(hidden.size()).to(hidden.dtype)
    return torch.sum(hidden * mask, 1) / torch.clamp(mask.sum(1), min=1e-9)


def nearest(queries, vectors, k):
    table = F.cosine_similarity(queries[:, None, :], vectors[None, :, :], dim=-1)
    cosines, indices = table.sort(dim=1, descending=True)
    return indices[:, :k], cosines[:, :k]


def load_weights(state, prefix=""):
    own = {name[len(prefix) :]: tensor for name, tensor in state.items() if name.startswith(prefix)}
    numbers = {int(name.split(".")[2]) for name in own if name.startswith("encoder.layer.")}
    layers = [{"attention": {}, "feed_forward": {}, "norm1": {}, "norm2": {}} for _ in numbers]
    places = {
        "attention.self.query": ("attention", "q"),
        "attention.self.key": ("attention", "k"),
        "attention.self.value": ("attention", "v"),
        "attention.output.dense": ("attention", "o"),
        "intermediate.dense": ("feed_forward", "1"),
        "output.dense": ("feed_forward", "2"),
    }
    for name, tensor in own.items():
        parts = name.split(".")
        if parts[:2] != ["encoder", "layer"]:
            continue
        number, rest, kind = int(parts[2]), ".".join(parts[3:-1]), parts[-1]
        if rest in places:
            part, letter = places[rest]
            layers[number][part][("w" if kind == "weight" else "b") + letter] = (
                tensor.T if kind == "weight" else tensor
            )
        elif rest.endswith("LayerNorm"):
            which = "norm1" if rest.startswith("attention") else "norm2"
            layers[number][which]["gamma" if kind == "weight" else "beta"] = tensor
    return {
        "tokens": own["embeddings.word_embeddings.weight"],
        "positions": own["embeddings.position_embeddings.weight"],
        "segments": own["embeddings.token_type_embeddings.weight"],
        "norm": {"gamma": own["embeddings.LayerNorm.weight"], "beta": own["embeddings.LayerNorm.bias"]},
        "layers": layers,
    }
