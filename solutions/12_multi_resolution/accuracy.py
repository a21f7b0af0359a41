"""The solution's network on MNIST in three resolutions. `run` is called by `autograder accuracy`."""

from __future__ import annotations

import time
from pathlib import Path

import torch

from autograder.audit.accuracy import Figure
from autograder.checking.namespace import Namespace, load_cells
from autograder.datasets import load_dataset
from autograder.notebook.percent import read_source

SOURCE = Path(__file__).with_name("multi_resolution.py")
CHANNELS, SIDES, EPOCHS = (16, 32, 64, 64), (32, 48, 64), 4
HEADLINE = 0.9769


def run(seed: int = 0, device: str = "cpu") -> list[Figure]:
    """Train on 60,000 digits, each batch in one of three sizes.

    Args:
        seed: of the weights, the order of the digits and the sizes.
        device: where torch computes.

    Returns:
        The accuracy on the 10,000 test digits, a third in each size (mixed in one list), and in a size
        that training has not seen.
    """
    solution = Namespace(load_cells(read_source(SOURCE)))
    solution.train_sizes.__globals__["device"] = torch.device(device)
    digits = load_dataset("mnist")
    x, y = torch.tensor(digits.x_train)[:, None], torch.tensor(digits.y_train)
    x_test, y_test = torch.tensor(digits.x_test)[:, None], torch.tensor(digits.y_test)
    start = time.perf_counter()
    torch.manual_seed(seed)
    model = solution.MixedCNN(CHANNELS, 10).to(device)
    solution.train_sizes(model, x, y, SIDES, EPOCHS, peak=1e-2, batch_size=96, seed=seed)
    mixed = accuracy(solution, model, x_test, y_test, SIDES, device)
    unseen = accuracy(solution, model, x_test, y_test, (40,), device)
    seconds = time.perf_counter() - start
    sizes = f"{len(x):,} training, {len(x_test):,} test"
    return [
        Figure(
            what="one network, MNIST test in 32, 48 and 64 pixels", ours=mixed, headline=HEADLINE,
            sizes=sizes, seconds=seconds,
        ),
        Figure(
            what="the same in 40 pixels, a size not trained on", ours=unseen, sizes=sizes, seconds=seconds
        ),
    ]  # fmt: skip


def accuracy(
    solution: Namespace,
    model: torch.nn.Module,
    x: torch.Tensor,
    y: torch.Tensor,
    sides: tuple[int, ...],
    device: str,
) -> float:
    """The share of right answers where image i has the size number i % len(sides)."""
    images: list[torch.Tensor] = []
    labels: list[torch.Tensor] = []
    for k, side in enumerate(sides):
        part = solution.resize_bilinear(x[k :: len(sides)], side, side).to(device)
        images.extend(part)
        labels.append(y[k :: len(sides)])
    truth = torch.cat(labels).to(device)
    by_size = solution.accuracy_by_size(model, images, truth, 250)
    counts = {(side, side): len(part) for side, part in zip(sides, labels, strict=True)}
    return sum(by_size[size] * count for size, count in counts.items()) / len(images)
