"""What the solution's own tokenizer and model reach on the addresses of the presidents. `run` is called by
`autograder accuracy`.
"""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from autograder.audit.accuracy import Figure
from autograder.checking.namespace import load_cells
from autograder.datasets import DatasetMissing, data_root, load_dataset
from autograder.notebook.percent import read_source

LINES = 1000
NUM_WORDS, LENGTH, WIDTH, HEADS, LAYERS = 4000, 64, 128, 4, 3
STEPS, BATCH, TESTED = 2500, 32, 2000
BEGINS = re.compile(r"(?<=[.?!]) (?=[A-Z])")
"""Between two sentences."""


def run(seed: int = 0) -> list[Figure]:
    """Compare the tokenizer with the published one, then pre-train a small BERT.

    Args:
        seed: of the pairs, the weights, the masks and the batches.

    Returns:
        The share of lines that are cut as by the published tokenizer; masked words guessed on held-out
        addresses beside a bigram's guess, and next sentences recognised beside a coin.
    """
    torch.set_num_threads(2)
    solution = load_cells(read_source(Path(__file__).with_name("bert.py")))
    addresses = load_dataset("speeches")
    train, test = ([BEGINS.split(text) for text in part] for part in (addresses.x_train, addresses.x_test))
    return [tokenizer(solution, test, seed), *pretraining(solution, train, test, seed)]


def tokenizer(solution: dict[str, Any], documents: list[list[str]], seed: int) -> Figure:
    """With the vocabulary of bert-base-uncased, beside the library `tokenizers`."""
    from tokenizers import BertWordPieceTokenizer

    start = time.perf_counter()
    path = data_root() / "weights" / "bert_uncased_vocab.txt"
    if not path.is_file():
        raise DatasetMissing(f"There is no {path}: the vocabulary of bert-base-uncased, one piece in a line.")
    pieces = path.read_text(encoding="utf-8").splitlines()
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    published = BertWordPieceTokenizer(str(path), lowercase=True)
    lines = [sentence for document in documents for sentence in document]
    chosen = np.random.default_rng(seed).choice(len(lines), LINES, replace=False)
    same = [
        solution["tokenize"](lines[i], vocabulary)
        == published.encode(lines[i], add_special_tokens=False).tokens
        for i in chosen
    ]
    return Figure(
        what="sentences cut as the published tokenizer cuts them",
        ours=float(np.mean(same)),
        headline=1.0,
        sizes=f"{LINES:,} sentences, {len(vocabulary):,} pieces",
        seconds=time.perf_counter() - start,
    )


def pretraining(
    solution: dict[str, Any], train: list[list[str]], test: list[list[str]], seed: int
) -> list[Figure]:
    """Masked words and next sentences, with a vocabulary of the training part."""
    start = time.perf_counter()
    words = [word for text in train for sentence in text for word in solution["basic_tokenize"](sentence)]
    vocabulary = solution["build_vocabulary"](words, NUM_WORDS)
    special = len(solution["SPECIAL"])

    def encoded(documents: list[list[str]], seed: int) -> tuple[torch.Tensor, ...]:
        cut = [[solution["tokenize"](sentence, vocabulary) for sentence in text] for text in documents]
        pairs = solution["sentence_pairs"](cut, seed=seed)
        rows = [solution["encode_pair"](first, second, vocabulary, LENGTH) for first, second, _ in pairs]
        tokens, segments = (torch.tensor([row[part] for row in rows]) for part in (0, 1))
        return tokens, segments, torch.tensor([label for _, _, label in pairs])

    pairs, held_out = encoded(train, seed), encoded(test, seed + 1)
    chosen = torch.from_numpy(np.random.default_rng(seed).choice(len(held_out[0]), TESTED, replace=False))
    tokens, segments, follows = (part[chosen] for part in held_out)
    params = solution["init_bert"](len(vocabulary), LENGTH, WIDTH, LAYERS, seed=seed)
    params, _ = solution["pretrain"](
        params, HEADS, *pairs, num_steps=STEPS, batch_size=BATCH, learning_rate=2e-3, seed=seed
    )

    hidden, labels = solution["mask_tokens"](tokens, len(vocabulary), seed=seed + 2)
    asked = labels != -100
    right, recognised = [], []
    with torch.no_grad():
        for rows in torch.arange(TESTED).split(100):
            vectors = solution["bert_encode"](hidden[rows], segments[rows], params, HEADS)
            logits = solution["mlm_logits"](vectors[asked[rows]], params)
            right.append(logits.argmax(-1) == labels[rows][asked[rows]])
            vectors = solution["bert_encode"](tokens[rows], segments[rows], params, HEADS)
            recognised.append(solution["pair_logits"](vectors, params).argmax(-1) == follows[rows])
    followed = np.zeros((len(vocabulary),) * 2, dtype=np.float32)
    np.add.at(followed, (pairs[0][:, :-1].flatten().numpy(), pairs[0][:, 1:].flatten().numpy()), 1)
    followed[:, :special] = 0
    before = torch.roll(hidden, 1, dims=1)[asked]
    bigram = (labels[asked] == torch.from_numpy(followed.argmax(1))[before]).double().mean().item()
    unigram = (labels[asked] == int(followed.sum(0).argmax())).double().mean().item()
    sizes = f"{len(pairs[0]):,} pairs of sentences, {STEPS:,} steps; {TESTED:,} pairs of other addresses"
    seconds = time.perf_counter() - start
    guessed, nsp = (float(torch.cat(part).double().mean()) for part in (right, recognised))
    return [
        Figure(what="masked words guessed; to beat: a bigram's guess", ours=guessed, headline=bigram,
               sizes=sizes, seconds=seconds),
        Figure(what="the most frequent word for every mask, for comparison", ours=unigram, sizes=sizes,
               seconds=seconds),
        Figure(what="next sentence recognised; to beat: a coin", ours=nsp, headline=0.5, sizes=sizes,
               seconds=seconds),
    ]  # fmt: skip
