"""What the solution's own models reach on signed arithmetic and on the addresses of the presidents. `run` is
called by `autograder accuracy`.
"""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from autograder.audit.accuracy import Figure
from autograder.checking.namespace import load_cells
from autograder.datasets import load_dataset
from autograder.notebook.percent import read_source

HEADLINE = 0.7383
EXERCISES, TESTED = 60_000, 5_000
HEADS, WIDTH, STEPS, BATCH = 4, 128, 1500, 32


def run(seed: int = 0) -> list[Figure]:
    """Train the encoder-decoder on signed two-digit arithmetic, and a small GPT on the addresses.

    Args:
        seed: of the exercises, the weights and the batches.

    Returns:
        The share of exact answers on exercises that were not trained on, and the bits per character of the
        held-out addresses beside those of a trigram model.
    """
    torch.set_num_threads(2)
    solution = load_cells(read_source(Path(__file__).with_name("transformer.py")))
    return [arithmetic(solution, seed), language(solution, seed)]


def arithmetic(solution: dict[str, Any], seed: int) -> Figure:
    """Numbers from -99 to 99, added and subtracted."""
    start = time.perf_counter()
    source, target = solution["draw_exercises"](EXERCISES + TESTED, seed, signed=True)
    params = solution["init_transformer"](15, 15, D=64, num_blocks=2, seed=seed)
    params, _ = solution["train"](
        params, solution["calculate"], source[:EXERCISES], target[:EXERCISES], 2500, 256, 3e-3, seed=seed
    )
    answers = solution["greedy_decode"](source[EXERCISES:], params, HEADS, 5)
    return Figure(
        what="signed two-digit arithmetic, exact answers",
        ours=float((answers == target[EXERCISES:]).all(dim=1).float().mean()),
        headline=HEADLINE,
        sizes=f"{EXERCISES:,} training, {TESTED:,} test",
        seconds=time.perf_counter() - start,
    )


def language(solution: dict[str, Any], seed: int) -> Figure:
    """Bits per character on addresses that were held out."""
    start = time.perf_counter()
    addresses = load_dataset("speeches")
    train_text, test_text = ("\n".join(texts) for texts in (addresses.x_train, addresses.x_test))
    characters = sorted(set(train_text) | set(test_text))
    number_of = {character: number for number, character in enumerate(characters)}
    train_tokens, test_tokens = (
        np.array([number_of[c] for c in text], dtype=np.int64) for text in (train_text, test_text)
    )
    rng = np.random.default_rng(seed)
    gpt = solution["init_gpt"](len(characters), WIDTH, D=128, num_blocks=3, seed=seed)
    weights = [tensor.requires_grad_() for tensor in solution["leaves"](gpt)]
    optimizer = torch.optim.AdamW(weights, lr=3e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=STEPS, pct_start=0.1)

    def windows(tokens: Any, starts: Any) -> Any:
        return torch.from_numpy(np.stack([tokens[begin : begin + WIDTH + 1] for begin in starts]))

    def loss_of(cut: Any) -> Any:
        return solution["sequence_loss"](solution["gpt_forward"](cut[:, :-1], gpt, HEADS), cut[:, 1:], pad=-1)

    for _ in range(STEPS):
        loss = loss_of(windows(train_tokens, rng.integers(len(train_tokens) - WIDTH - 1, size=BATCH)))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        schedule.step()
    starts = rng.choice(len(test_tokens) - WIDTH - 1, size=1024, replace=False)
    with torch.no_grad():
        nats = [float(loss_of(windows(test_tokens, starts[i : i + 64]))) for i in range(0, len(starts), 64)]
    return Figure(
        what="State of the Union addresses, GPT, bits per character (to beat: a trigram model)",
        ours=float(np.mean(nats)) / math.log(2),
        headline=solution["trigram_bits"](train_tokens, test_tokens, len(characters)),
        sizes=f"{len(train_tokens):,} characters for training, {len(test_tokens):,} held out",
        seconds=time.perf_counter() - start,
        unit="number",
        smaller_is_better=True,
    )
