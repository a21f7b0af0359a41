"""The course's WordPiece tokenizer beside the library that is used with the published models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autograder.checking.namespace import load_cells
from autograder.course import load_course
from autograder.notebook.percent import read_source

tokenizers = pytest.importorskip("tokenizers")

ROOT = Path(__file__).parents[2]
# Without Greek capital letters: str.lower gives the final sigma where the library lowers letter by letter.
CHARACTERS = [
    *"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789      .,;:!?'\"$%&()*+-/<=>@[]^_`{|}~#",
    *"éÉüÑçÅøßİậﬁŉйЖאשअ한ㄱあツ中文«»…–—’“¿。、€£½²№°×😀",
    *("e\u0301", "\u0301", "\u3400", "\U00020000", "\uf900", "\t", "\n", "\r", "\u00a0", "\u2003", "\u3000"),
    *("\u200b", "\u200d", "\u00ad", "\ufeff", "\x00", "\x07", "\x7f", "\u0085", "\ufffd", "\ue000", "\u2028"),
]
WORDS = ["the", "play", "##ing", "##er", "##s", "un", "##aff", "##able", "straße", "caf", "##e", "한"]


def test_a_thousand_awkward_lines() -> None:
    solution: dict[str, Any] = load_cells(read_source(load_course(ROOT).assignment("21_bert").source))
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    letters = "abcdefghijklmnopqrstuvwxyz0123456789.,;:!?'$中"
    pieces += [*letters, *(f"##{c}" for c in letters)]
    vocabulary = {piece: number for number, piece in enumerate(dict.fromkeys(pieces))}
    library = tokenizers.BertWordPieceTokenizer(vocabulary, lowercase=True)
    random = np.random.RandomState(0)
    lines = ["".join(random.choice(CHARACTERS, size=random.randint(0, 40))) for _ in range(900)]
    lines += [" ".join(random.choice([w.removeprefix("##") for w in WORDS], size=4)) for _ in range(99)]
    lines.append("a" * 100 + " " + "a" * 101)
    for line in lines:
        expected = library.encode(line, add_special_tokens=False).tokens
        assert solution["tokenize"](line, vocabulary) == expected, repr(line)
