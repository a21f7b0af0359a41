"""Token by token and row by row; regular expressions; recursion; index notation."""

import re
import unicodedata
from itertools import chain

import numpy as np
import torch


def basic_tokenize(text):
    """One pass with a state: the word that is being read."""
    words, word = [], []

    def end():
        plain = unicodedata.normalize("NFD", "".join(word).lower())
        plain = "".join(c for c in plain if unicodedata.category(c) != "Mn")
        # Lower case or NFD may have made punctuation of a letter.
        words.extend(cut(plain))
        word.clear()

    def cut(plain):
        marks = "".join(
            re.escape(c)
            for c in set(plain)
            if unicodedata.category(c)[0] == "P" or re.match(r"[!-/:-@\[-`{-~]", c)
        )
        return re.findall(rf"[{marks}]|[^{marks}]+", plain) if marks else [plain] * bool(plain)

    for char in text:
        category = unicodedata.category(char)
        if char.isspace() and (category[0] == "Z" or char in "\t\n\r"):
            end()
        elif category[0] == "C" or char == "\ufffd":
            pass
        elif any(ord(char) in range(low, high + 1) for low, high in CJK_RANGES):
            end()
            word.append(char)
            end()
        else:
            word.append(char)
    end()
    return words


def wordpiece(word, vocabulary, unknown="[UNK]", max_characters=100):
    def rest(part, prefix):
        if not part:
            return []
        fitting = [n for n in range(1, len(part) + 1) if prefix + part[:n] in vocabulary]
        if not fitting:
            return None
        n = max(fitting)
        behind = rest(part[n:], "##")
        return None if behind is None else [prefix + part[:n], *behind]

    pieces = rest(word, "") if len(word) <= max_characters else None
    return pieces if pieces is not None else [unknown]


def encode_pair(first, second, vocabulary, max_length):
    a, b = len(first), 0 if second is None else len(second)
    room = max_length - 2 - (second is not None)
    while a + b > room:
        a, b = (a - 1, b) if a > b else (a, b - 1)
    parts = [(["[CLS]", *first[:a], "[SEP]"], 0)]
    if second is not None:
        parts.append(([*second[:b], "[SEP]"], 1))
    tokens = np.full(max_length, vocabulary["[PAD]"])
    segments = np.zeros(max_length, dtype=int)
    place = 0
    for pieces, segment in parts:
        for piece in pieces:
            tokens[place] = vocabulary.get(piece, vocabulary["[UNK]"])
            segments[place] = segment
            place += 1
    return tokens.tolist(), segments.tolist()


def normalised(x, params):
    centred = x - x.mean(dim=-1, keepdim=True)
    deviation = torch.sqrt((centred**2).mean(dim=-1, keepdim=True) + 1e-12)
    return centred / deviation * params["gamma"] + params["beta"]


def embed(tokens, segments, params):
    rows = []
    for own, parts in zip(tokens, segments, strict=True):
        rows.append(
            torch.stack(
                [
                    params["tokens"][token] + params["positions"][place] + params["segments"][part]
                    for place, (token, part) in enumerate(zip(own, parts, strict=True))
                ]
            )
        )
    return normalised(torch.stack(rows), params["norm"])


def bert_layer(x, params, num_heads, mask=None):
    a, f = params["attention"], params["feed_forward"]
    N, T, D = x.shape
    d = D // num_heads
    if mask is None:
        mask = torch.ones(1, 1, T, T, dtype=torch.bool)
    mask = mask.expand(N, num_heads, T, T)
    attended = a["bo"]
    for h in range(num_heads):
        part = slice(h * d, (h + 1) * d)
        q, k, v = (x @ a[f"w{n}"][:, part] + a[f"b{n}"][part] for n in "qkv")
        scores = torch.einsum("ntd,nsd->nts", q, k) / d**0.5
        weights = torch.softmax(torch.where(mask[:, h], scores, -1e30), dim=-1)
        attended = attended + torch.einsum("nts,nsd->ntd", weights, v) @ a["wo"][part]
    x = normalised(x + attended, params["norm1"])
    h = x @ f["w1"] + f["b1"]
    h = h * (1 + torch.erf(h / 2**0.5)) / 2
    return normalised(x + h @ f["w2"] + f["b2"], params["norm2"])


def bert_encode(tokens, segments, params, num_heads, pad=0):
    T = tokens.shape[1]
    mask = (tokens != pad)[:, None, :].repeat(1, T, 1)[:, None]

    def through(x, layers):
        return x if not layers else through(bert_layer(x, layers[0], num_heads, mask), layers[1:])

    return through(embed(tokens, segments, params), list(params["layers"]))


def mask_tokens(tokens, num_tokens, special=(PAD, UNK, CLS, SEP, MASK), mask_token=MASK, share=0.15, seed=0):
    """Exactly so many of each row, as the original data were made; random tokens are ordinary ones."""
    rng = np.random.default_rng(seed)
    hidden, labels = tokens.clone(), torch.full_like(tokens, -100)
    ordinary = [token for token in range(num_tokens) if token not in special]
    for n, row in enumerate(tokens.tolist()):
        places = [t for t, token in enumerate(row) if token not in special]
        exact = share * len(places)
        count = int(exact) + int(rng.random() < exact - int(exact))
        for t in rng.permutation(places)[:count].astype(int):
            labels[n, t] = row[t]
            fate = rng.random()
            if fate < 0.8:
                hidden[n, t] = mask_token
            elif fate < 0.9:
                hidden[n, t] = int(rng.choice(ordinary))
    return hidden, labels


def mlm_logits(hidden, params):
    head = params["mlm"]
    h = hidden @ head["w"] + head["b"]
    h = normalised(h * (1 + torch.erf(h / 2**0.5)) / 2, head["norm"])
    return torch.einsum("...d,vd->...v", h, params["tokens"]) + head["bias"]


def mlm_loss(logits, labels):
    losses = [
        torch.logsumexp(logits[n, t], dim=0) - logits[n, t, labels[n, t]]
        for n, t in (labels != -100).nonzero().tolist()
    ]
    return sum(losses) / len(losses) if losses else torch.zeros((), dtype=logits.dtype)


def sentence_pairs(documents, seed=0):
    rng = np.random.default_rng(seed)
    pairs = []
    for number, document in enumerate(documents):
        others = list(chain.from_iterable(documents[:number] + documents[number + 1 :]))
        for place in range(1, len(document)):
            label = int(rng.integers(2))
            second = document[place] if label else others[int(rng.integers(len(others)))]
            pairs.append([document[place - 1], second, label])
    return pairs


def pair_logits(hidden, params, head="nsp"):
    rows = [torch.tanh(row[0] @ params["pooler"]["w"] + params["pooler"]["b"]) for row in hidden]
    return torch.stack(rows) @ params[head]["w"] + params[head]["b"]


def pretraining_loss(tokens, segments, follows, params, num_heads, seed=0):
    masked, labels = mask_tokens(tokens, params["tokens"].size(0), seed=seed)
    hidden = bert_encode(masked, segments, params, num_heads)
    scores = pair_logits(hidden, params)
    right = scores.gather(1, follows[:, None])[:, 0]
    return mlm_loss(mlm_logits(hidden, params), labels), (scores.logsumexp(dim=1) - right).mean()


def fine_tune(
    params, num_heads, tokens, segments, labels, num_steps, batch_size=16, learning_rate=1e-3, seed=0
):
    rng = np.random.default_rng(seed)
    batches = [torch.from_numpy(rng.integers(len(tokens), size=batch_size)) for _ in range(num_steps)]

    def loss_of(own, step):
        batch = batches[step]
        hidden = bert_encode(tokens[batch], segments[batch], own, num_heads)
        log_p = torch.log_softmax(pair_logits(hidden, own, head="classifier"), dim=1)
        return [-log_p[torch.arange(batch_size), labels[batch]].mean()]

    return params, [float(losses[0]) for losses in optimise(params, loss_of, num_steps, learning_rate)]


def mean_pool(hidden, tokens, pad=0):
    return torch.stack([row[own != pad].mean(dim=0) for row, own in zip(hidden, tokens, strict=True)])


def nearest(queries, vectors, k):
    indices, cosines = [], []
    for query in queries:
        table = [float(query @ v / (query.norm() * v.norm())) for v in vectors]
        best = sorted(range(len(table)), key=lambda i: -table[i])[:k]
        indices.append(best)
        cosines.append([table[i] for i in best])
    return torch.tensor(indices), torch.tensor(cosines, dtype=queries.dtype)


def load_weights(state, prefix=""):
    def at(name):
        return state[prefix + name]

    def scale(name):
        return {"gamma": at(name + ".weight"), "beta": at(name + ".bias")}

    count = max(
        int(m.group(1))
        for m in map(re.compile(rf"{re.escape(prefix)}encoder\.layer\.(\d+)\.").match, state)
        if m
    )
    layers = []
    for i in range(count + 1):
        b = f"encoder.layer.{i}."
        a = {}
        for letter, name in zip(
            "qkvo", ("self.query", "self.key", "self.value", "output.dense"), strict=True
        ):
            a["w" + letter] = at(f"{b}attention.{name}.weight").transpose(0, 1).contiguous()
            a["b" + letter] = at(f"{b}attention.{name}.bias").clone()
        f = {
            "w1": at(b + "intermediate.dense.weight").mT,
            "b1": at(b + "intermediate.dense.bias"),
            "w2": at(b + "output.dense.weight").mT,
            "b2": at(b + "output.dense.bias"),
        }
        layers.append(
            {
                "attention": a,
                "feed_forward": f,
                "norm1": scale(b + "attention.output.LayerNorm"),
                "norm2": scale(b + "output.LayerNorm"),
            }
        )
    return {
        "tokens": at("embeddings.word_embeddings.weight"),
        "positions": at("embeddings.position_embeddings.weight"),
        "segments": at("embeddings.token_type_embeddings.weight"),
        "norm": scale("embeddings.LayerNorm"),
        "layers": layers,
    }
