"""Captions as numbers: words, a vocabulary, and arrays of token numbers padded to one length."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

NULL, START, END, UNKNOWN = "<NULL>", "<START>", "<END>", "<UNK>"
SPECIAL = (NULL, START, END, UNKNOWN)
"""The first four tokens of every vocabulary: 0 pads, 1 begins, 2 ends, 3 stands for a rare word."""

_WORD = re.compile(r"[a-z0-9]+(?:'[a-z]+)?")


def words(caption: str) -> list[str]:
    """The words of a caption in lower case, without punctuation: "A dog's ball." -> a, dog's, ball."""
    return _WORD.findall(caption.lower())


def build_vocabulary(captions: Iterable[Sequence[str]], min_count: int = 1) -> tuple[str, ...]:
    """The special tokens, then every word that occurs at least `min_count` times, frequent ones first."""
    counts = Counter(word for caption in captions for word in caption)
    kept = sorted((word for word in counts if counts[word] >= min_count), key=lambda w: (-counts[w], w))
    return (*SPECIAL, *kept)


def encode(
    captions: Sequence[Sequence[Sequence[str]]], vocabulary: Sequence[str], length: int
) -> npt.NDArray[np.int64]:
    """Token numbers of shape (N, K, length) for K captions of each of N pictures.

    Each caption is <START>, its words, <END>, then <NULL> to the full length; of one that is too long the
    first length - 2 words are kept.
    """
    number = {word: index for index, word in enumerate(vocabulary)}
    tokens = np.zeros((len(captions), len(captions[0]) if captions else 0, length), dtype=np.int64)
    for n, of_one in enumerate(captions):
        for k, caption in enumerate(of_one):
            inner = [number.get(word, number[UNKNOWN]) for word in caption[: length - 2]]
            tokens[n, k, : len(inner) + 2] = [number[START], *inner, number[END]]
    return tokens


def decode(tokens: npt.ArrayLike, vocabulary: Sequence[str]) -> list[str]:
    """The words of one caption, (T,), up to the first <END>; <START> and <NULL> are left out."""
    found = []
    for token in np.asarray(tokens).tolist():
        word = vocabulary[token]
        if word == END:
            break
        if word not in (START, NULL):
            found.append(word)
    return found
