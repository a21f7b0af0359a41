"""Transfer to photographs of signed digits: a head on frozen features, and fine-tuning.

`run` is called by `autograder accuracy`; a shortened run: python accuracy.py --each 20 --epochs 5.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, TensorDataset

from autograder.audit.accuracy import Figure
from autograder.checking.namespace import Namespace, load_cells
from autograder.datasets import load_dataset
from autograder.notebook.percent import read_source

SOURCE = Path(__file__).with_name("transfer_learning.py")
SIZE, CLASSES = 96, 10
DECAYS = (1e-3, 1e-2, 1e-1, 1.0)
RATE, FACTOR, EPOCHS, PATIENCE, BATCH = 1e-3, 0.3, 8, 4, 32
FROZEN, TUNED = 0.94, 0.98
"""The figures to reach."""


def run(seed: int = 0, device: str = "cpu", *, each: int | None = None, epochs: int = EPOCHS) -> list[Figure]:
    """Fit a head on frozen features of the training photographs, then train the last blocks on.

    Args:
        seed: of the validation part and of the order of the batches.
        device: where torch computes.
        each: training photographs of each digit; all by default. An eighth of them decides on the penalty and
            on when to stop.
        epochs: of fine-tuning, at most.

    Returns:
        The accuracy on the 411 test photographs, frozen and fine-tuned.
    """
    solution = Namespace(load_cells(read_source(SOURCE)))
    hands = load_dataset("sign_digits", size=SIZE, color=True)
    random = np.random.default_rng(seed)
    rows = [random.permutation(np.flatnonzero(hands.y_train == digit))[:each] for digit in range(CLASSES)]
    val_rows = np.concatenate([part[: len(part) // 8] for part in rows])
    train_rows = np.concatenate([part[len(part) // 8 :] for part in rows])
    start = time.perf_counter()
    model = solution.load_backbone().to(device)

    def maps_of(images: np.ndarray) -> torch.Tensor:
        x = solution.prepare(torch.tensor(np.rint(images * 255).astype(np.uint8)), SIZE)
        return torch.cat([solution.front(model, part.to(device)) for part in x.split(200)])

    maps, maps_val, maps_test = map(
        maps_of, (hands.x_train[train_rows], hands.x_train[val_rows], hands.x_test)
    )
    y, y_val, y_test = (
        torch.tensor(labels, device=device)
        for labels in (hands.y_train[train_rows], hands.y_train[val_rows], hands.y_test)
    )

    def accuracy(logits: torch.Tensor, labels: torch.Tensor) -> float:
        return float((logits.argmax(dim=1) == labels).double().mean())

    def through(network: torch.nn.Module, inputs: torch.Tensor) -> torch.Tensor:
        network.eval()
        with torch.no_grad():
            return torch.cat([network(part) for part in inputs.split(100)])

    whole = solution.Rest(model)
    body = torch.nn.Sequential(*whole.blocks, *list(whole.last)[:-1])  # everything but the head
    f, f_val, f_test = (through(body, part) for part in (maps, maps_val, maps_test))
    mu, sigma = f.mean(dim=0), f.std(dim=0) + 1e-3
    heads = [
        solution.fit_head(((f - mu) / sigma).cpu(), y.cpu(), CLASSES, decay).to(device) for decay in DECAYS
    ]
    best = max(heads, key=lambda head: accuracy(head((f_val - mu) / sigma), y_val))
    frozen = accuracy(best((f_test - mu) / sigma), y_test)
    seconds = time.perf_counter() - start

    tuned = solution.with_head(best.cpu(), mu.cpu(), sigma.cpu()).to(device)
    solution.set_trainable(tuned, [name for stage in solution.TAIL for name in stage])
    groups = solution.parameter_groups(tuned, solution.TAIL, RATE, FACTOR)
    rest = solution.Rest(tuned)
    order = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    solution.fine_tune(
        rest,
        torch.optim.Adam(groups),
        DataLoader(TensorDataset(maps, y), BATCH, shuffle=True, generator=order),
        DataLoader(TensorDataset(maps_val, y_val), 100),
        epochs,
        PATIENCE,
    )
    reached = accuracy(through(rest, maps_test), y_test)
    sizes = f"{len(y):,} training, {len(y_val)} validation, {len(y_test)} test, {SIZE} x {SIZE} pixels"
    return [
        Figure(
            what="EfficientNet-Lite0, a head on frozen features, signed digits, test",
            ours=frozen,
            headline=FROZEN,
            sizes=sizes,
            seconds=seconds,
        ),
        Figure(
            what="EfficientNet-Lite0, fine-tuned, signed digits, test",
            ours=reached,
            headline=TUNED,
            sizes=sizes,
            seconds=time.perf_counter() - start,
        ),
    ]


def main() -> None:
    """A run of any length from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--each", type=int, default=None, help="training photographs of each digit")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    for figure in run(0, options.device, each=options.each, epochs=options.epochs):
        values = f"{figure.shown(figure.ours)} ({figure.shown(figure.headline)})"
        print(f"{figure.what}: {values}, {figure.seconds:.0f} s")


if __name__ == "__main__":
    main()
