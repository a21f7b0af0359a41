"""The solution's loops on real data: MNIST with three hidden layers, photographs of ten signs with a small
convolutional network. `run` is called by `autograder accuracy`.
"""

from __future__ import annotations

import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader

from autograder.audit.accuracy import Figure
from autograder.checking.namespace import Namespace, load_cells
from autograder.datasets import load_dataset
from autograder.notebook.percent import read_source

SOURCE = Path(__file__).with_name("pytorch_training.py")
SIZES, DROPOUT = (784, 128, 128, 128, 10), 0.35
MNIST = {"num_epochs": 36, "peak": 3e-3, "patience": 36, "batch_size": 128, "num_val": 5000}
SIGNS = {"num_epochs": 90, "peak": 4e-3, "patience": 90, "batch_size": 32, "num_val": 280}
WARMUP = 4


def run(seed: int = 0, device: str = "cpu") -> list[Figure]:
    """Train on MNIST and on the sign-language digits.

    Args:
        seed: of the split, the batches and the weights.
        device: where torch computes.

    Returns:
        Training and test accuracy on MNIST of the network 784-128-128-128-10, and validation and test
        accuracy on the signs of a network with four convolutions. The weights are in each case those of the
        epoch with the lowest validation loss.
    """
    solution = Namespace(load_cells(read_source(SOURCE)))
    return [*mnist(solution, seed, device), *signs(solution, seed, device)]


def mnist(solution: Namespace, seed: int, device: str) -> list[Figure]:
    """784-128-128-128-10 with Adam."""
    start = time.perf_counter()
    digits = load_dataset("mnist")
    mean, std = float(digits.x_train.mean()), float(digits.x_train.std())
    train = solution.ImageDataset(digits.x_train, digits.y_train, mean, std)
    torch.manual_seed(seed)
    model = solution.build_mlp(SIZES, DROPOUT).to(device)
    loaders, _ = fitted(solution, model, train, MNIST, seed)
    test = DataLoader(solution.ImageDataset(digits.x_test, digits.y_test, mean, std), 500)
    _, train_accuracy = solution.evaluate(model, loaders[0], F.cross_entropy)
    _, test_accuracy = solution.evaluate(model, test, F.cross_entropy)
    seconds = time.perf_counter() - start
    count = len(digits.x_train) - int(MNIST["num_val"])
    sizes = f"{count:,} training, {MNIST['num_val']:,} validation, {len(digits.x_test):,} test"
    return [
        Figure(
            what=f"784-128-128-128-10 with Adam, MNIST {part}",
            ours=ours, headline=headline, sizes=sizes, seconds=seconds,
        )
        for part, ours, headline in (("training", train_accuracy, 0.994), ("test", test_accuracy, 0.978))
    ]  # fmt: skip


def signs(solution: Namespace, seed: int, device: str) -> list[Figure]:
    """A small convolutional network on photographs of 64 x 64 pixels."""
    start = time.perf_counter()
    hands = load_dataset("sign_digits")
    mean, std = float(hands.x_train.mean()), float(hands.x_train.std())
    train = solution.ImageDataset(hands.x_train, hands.y_train, mean, std)
    torch.manual_seed(seed)
    model = convolutional().to(device)
    _, history = fitted(solution, model, train, SIGNS, seed)
    test = DataLoader(solution.ImageDataset(hands.x_test, hands.y_test, mean, std), 100)
    _, test_accuracy = solution.evaluate(model, test, F.cross_entropy)
    seconds = time.perf_counter() - start
    num_val = int(SIGNS["num_val"])
    sizes = f"{len(hands.x_train) - num_val:,} training, {num_val} validation, {len(hands.x_test)} test"
    validation = history["val_accuracy"][history["best_epoch"]]
    return [
        Figure(
            what=f"four convolutions, ten signs, {part}",
            ours=ours, headline=headline, sizes=sizes, seconds=seconds,
        )
        for part, ours, headline in (("validation", validation, 0.9893), ("test", test_accuracy, None))
    ]  # fmt: skip


def fitted(
    solution: Namespace, model: nn.Module, train: object, plan: dict[str, float], seed: int
) -> tuple[tuple[DataLoader, DataLoader], dict]:
    """Fit the model with Adam and early stopping; the loaders and the history."""
    loaders = solution.make_loaders(train, int(plan["num_val"]), int(plan["batch_size"]), seed)
    optimizer = torch.optim.Adam(model.parameters())
    history = solution.fit(
        model,
        optimizer,
        lambda: solution.train_epoch(model, loaders[0], F.cross_entropy, optimizer),
        lambda: solution.evaluate(model, loaders[1], F.cross_entropy),
        solution.warmup_cosine(int(plan["num_epochs"]), WARMUP, plan["peak"]),
        int(plan["patience"]),
    )
    return loaders, history


class Moved(nn.Module):
    """In training, each image of a batch is turned, scaled and shifted at random; in eval mode nothing is."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x (N, 1, H, W)."""
        if not self.training:
            return x
        noise = torch.rand(4, len(x), device=x.device) * 2 - 1
        angle, zoom, shift = 0.26 * noise[0], torch.exp(0.15 * noise[1]), 0.16 * noise[2:]
        cosine, sine = zoom * angle.cos(), zoom * angle.sin()
        rows = [torch.stack([cosine, -sine, shift[0]], dim=1), torch.stack([sine, cosine, shift[1]], dim=1)]
        grid = F.affine_grid(torch.stack(rows, dim=1), list(x.shape), align_corners=False)
        return F.grid_sample(x, grid, padding_mode="border", align_corners=False)


def convolutional() -> nn.Sequential:
    """Four blocks of convolution, batch normalisation, ReLU and pooling, then the mean over all places."""
    layers: list[nn.Module] = [Moved()]
    for inputs, outputs in ((1, 16), (16, 32), (32, 64), (64, 128)):
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers, nn.Dropout2d(0.1), nn.Flatten(), nn.Dropout(0.4), nn.Linear(2048, 10))
