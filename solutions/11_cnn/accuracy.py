"""The solution's network on all of MNIST, without and with augmentation. `run` is called by `autograder
accuracy`.
"""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

import torch
from torch.utils.data import DataLoader, TensorDataset

from autograder.audit.accuracy import Figure
from autograder.checking.namespace import Namespace, load_cells
from autograder.datasets import load_dataset
from autograder.notebook.percent import read_source

SOURCE = Path(__file__).with_name("cnn.py")
CHANNELS, POOL = (24, 48, 96), "max"
NUM_VAL, BATCH_SIZE = 2000, 96
PLANS = {"as they are": (6, 0.992), "augmented": (11, 0.994)}
"""Epochs, and the figure to reach."""


def run(seed: int = 0, device: str = "cpu") -> list[Figure]:
    """Train the same network twice on 58,000 digits.

    Args:
        seed: of the weights, the order of the digits, and the augmentation.
        device: where torch computes.

    Returns:
        The test accuracy after the last epoch, for training images as they are and augmented ones.
    """
    solution = Namespace(load_cells(read_source(SOURCE)))
    digits = load_dataset("mnist")
    x, y = torch.tensor(digits.x_train)[:, None], torch.tensor(digits.y_train)
    x_test, y_test = torch.tensor(digits.x_test)[:, None], torch.tensor(digits.y_test)
    val_loader = DataLoader(TensorDataset(x[:NUM_VAL], y[:NUM_VAL]), 500)
    test_loader = DataLoader(TensorDataset(x_test, y_test), 500)
    sizes = f"{len(x) - NUM_VAL:,} training, {NUM_VAL:,} validation, {len(x_test):,} test"
    figures = []
    for what, (epochs, headline) in PLANS.items():
        start = time.perf_counter()
        torch.manual_seed(seed)
        order = torch.Generator().manual_seed(seed)
        draws = torch.Generator().manual_seed(seed + 1)
        loader = DataLoader(
            TensorDataset(x[NUM_VAL:], y[NUM_VAL:]), BATCH_SIZE, shuffle=True, generator=order
        )
        model = solution.build_cnn(CHANNELS, 10, POOL).to(device)
        change = partial(solution.augment, generator=draws) if what == "augmented" else None
        solution.train(model, loader, val_loader, solution.rates_for(epochs), change)
        model.eval()
        with torch.inference_mode():
            right = sum(
                int((model(images.to(device)).argmax(dim=1).cpu() == labels).sum())
                for images, labels in test_loader
            )
        figures.append(
            Figure(
                what=f"three blocks of convolution, MNIST test, digits {what}",
                ours=right / len(x_test),
                headline=headline,
                sizes=sizes,
                seconds=time.perf_counter() - start,
            )
        )
    return figures
