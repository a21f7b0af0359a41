"""Transfer to photographs of signed digits: a head on frozen features, and fine-tuning.

By EfficientNet-Lite0, as in the assignment, and by VGG16, as in the lesson that it descends from, where the
weights of its convolutions are in the data root. The figures to beat are those of that lesson.

`run` is called by `autograder accuracy`; a shortened run: python accuracy.py --each 20 --epochs 5.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset

from autograder.audit.accuracy import Figure
from autograder.checking.namespace import Namespace, load_cells
from autograder.datasets import data_root, load_dataset
from autograder.notebook.percent import read_source

SOURCE = Path(__file__).with_name("transfer_learning.py")
SIZE, CLASSES = 160, 10
DECAYS = (1e-3, 1e-2, 1e-1, 1.0)
RATE, FACTOR, EPOCHS, PATIENCE, BATCH = 1e-3, 0.3, 8, 4, 32
VGG_SIZE, VGG_RATE, VGG_EPOCHS, VGG_DECAY, BLOCK = 128, 5e-5, 4, 1.0, 24
"""Pixels; of the fine-tuning of VGG16's last block of convolutions, which begins with module BLOCK."""
FROZEN, TUNED = 0.94, 0.98
"""The figures to reach."""


Parts = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
"""Training, validation and test."""


def run(seed: int = 0, device: str = "cpu", *, each: int | None = None, epochs: int = EPOCHS) -> list[Figure]:
    """Fit a head on frozen features of the training photographs, then train the last blocks on.

    Args:
        seed: of the validation part and of the order of the batches.
        device: where torch computes.
        each: training photographs of each digit; all by default. An eighth of them decides on the penalty and
            on when to stop.
        epochs: of fine-tuning, at most.

    Returns:
        The accuracy on the 411 test photographs, frozen and fine-tuned, of each network.
    """
    solution = Namespace(load_cells(read_source(SOURCE)))
    hands = load_dataset("sign_digits", size=100, color=True)
    random = np.random.default_rng(seed)
    rows = [random.permutation(np.flatnonzero(hands.y_train == digit))[:each] for digit in range(CLASSES)]
    val_rows = np.concatenate([part[: len(part) // 8] for part in rows])
    train_rows = np.concatenate([part[len(part) // 8 :] for part in rows])
    images, labels = (
        tuple(torch.tensor(part) for part in (whole_train[train_rows], whole_train[val_rows], whole_test))
        for whole_train, whole_test in ((hands.x_train, hands.x_test), (hands.y_train, hands.y_test))
    )
    figures = efficientnet(solution, images, labels, seed, device, epochs)
    weights = data_root() / "weights" / "vgg16_features_fp16.safetensors"
    if weights.exists():
        figures += vgg16(solution, weights, images, labels, seed, device, min(epochs, VGG_EPOCHS))
    return figures


def efficientnet(
    solution: Namespace, images: Parts, labels: Parts, seed: int, device: str, epochs: int
) -> list[Figure]:
    """As in the assignment: features are averaged over the map; the tail is trained, stage by stage."""
    start = time.perf_counter()
    model = solution.load_backbone().to(device)
    maps = each_part(
        lambda part: solution.front(model, solution.prepare((255 * part).round().byte(), SIZE).to(device)),
        images,
    )
    whole = solution.Rest(model)
    body = torch.nn.Sequential(*whole.blocks, *list(whole.last)[:-1])  # everything but the head
    f = each_part(body.eval(), maps)
    mu, sigma = f[0].mean(dim=0), f[0].std(dim=0) + 1e-3
    head, frozen = best_head(solution, tuple((part - mu) / sigma for part in f), labels, DECAYS)
    figures = [figure("EfficientNet-Lite0, a head on frozen features", frozen, FROZEN, SIZE, labels, start)]

    tuned = solution.with_head(head, mu.cpu(), sigma.cpu()).to(device)
    solution.set_trainable(tuned, [name for stage in solution.TAIL for name in stage])
    optimizer = torch.optim.Adam(solution.parameter_groups(tuned, solution.TAIL, RATE, FACTOR))
    reached = trained_on(solution, solution.Rest(tuned), optimizer, maps, labels, seed, epochs)
    return [*figures, figure("EfficientNet-Lite0, fine-tuned", reached, TUNED, SIZE, labels, start)]


def vgg16(
    solution: Namespace, weights: Path, images: Parts, labels: Parts, seed: int, device: str, epochs: int
) -> list[Figure]:
    """As in the original lesson: features keep their places on the map; the last block is trained."""
    from safetensors.torch import load_file
    from torchvision.models import vgg16 as build

    start = time.perf_counter()
    convolutions = build().features.eval().to(device)
    convolutions.load_state_dict(
        {name.removeprefix("features."): value.float() for name, value in load_file(weights).items()}
    )
    mean, std = (
        torch.tensor(three, device=device)[:, None, None]
        for three in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    )

    def first_blocks(part: torch.Tensor) -> torch.Tensor:
        larger = F.interpolate(
            part.to(device), size=(VGG_SIZE, VGG_SIZE), mode="bilinear", antialias=True, align_corners=False
        )
        return convolutions[:BLOCK]((larger - mean) / std)

    maps = each_part(first_blocks, images)
    f = each_part(torch.nn.Sequential(convolutions[BLOCK:], torch.nn.Flatten()), maps)
    mu, sigma = f[0].mean(dim=0), f[0].std(dim=0) + 1e-2
    standard = tuple((part - mu) / sigma for part in f)
    _, frozen = best_head(solution, standard, labels, DECAYS)
    figures = [figure("VGG16, a head on frozen features", frozen, FROZEN, VGG_SIZE, labels, start)]

    # A head with a large penalty leaves errors to learn from.
    head, _ = best_head(solution, standard, labels, [VGG_DECAY])
    last = torch.nn.Linear(head.in_features, CLASSES)
    with torch.no_grad():
        last.weight.copy_(head.weight / sigma.cpu())
        last.bias.copy_(head.bias - head.weight @ (mu / sigma).cpu())
    rest = torch.nn.Sequential(convolutions[BLOCK:], torch.nn.Flatten(), torch.nn.Dropout(0.5), last).to(
        device
    )
    optimizer = torch.optim.Adam(rest.parameters(), VGG_RATE)
    reached = trained_on(solution, rest, optimizer, maps, labels, seed, epochs)
    return [*figures, figure("VGG16, its last block fine-tuned", reached, TUNED, VGG_SIZE, labels, start)]


def each_part(function: Callable[[torch.Tensor], torch.Tensor], parts: Parts) -> Parts:
    """`function` of each part, 50 examples at a time, without a record of gradients."""
    with torch.no_grad():
        train, val, test = (torch.cat([function(some) for some in part.split(50)]) for part in parts)
    return train, val, test


def accuracy(logits: torch.Tensor, labels: torch.Tensor) -> float:
    """The share of right answers."""
    return float((logits.argmax(dim=1).cpu() == labels).double().mean())


def best_head(
    solution: Namespace, features: tuple[torch.Tensor, ...], labels: Parts, decays: Sequence[float]
) -> tuple[torch.nn.Linear, float]:
    """The head whose penalty does best on the validation part, and its accuracy on the test part."""
    f, f_val, f_test = (part.cpu() for part in features)
    heads = [solution.fit_head(f, labels[0], CLASSES, decay) for decay in decays]
    best = max(heads, key=lambda head: accuracy(head(f_val), labels[1]))
    return best, accuracy(best(f_test), labels[2])


def trained_on(
    solution: Namespace,
    rest: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    maps: Parts,
    labels: Parts,
    seed: int,
    epochs: int,
) -> float:
    """The test accuracy after fine-tuning what comes behind the maps."""
    order = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    train, val = (TensorDataset(maps[k], labels[k].to(maps[k].device)) for k in (0, 1))
    loader = DataLoader(train, BATCH, shuffle=True, generator=order)
    solution.fine_tune(rest, optimizer, loader, DataLoader(val, 100), epochs, PATIENCE)
    return accuracy(each_part(rest.eval(), maps)[2], labels[2])


def figure(what: str, ours: float, headline: float, size: int, labels: Parts, start: float) -> Figure:
    """A row of the table."""
    train, val, test = map(len, labels)
    return Figure(
        what=f"{what}, signed digits, test",
        ours=ours,
        headline=headline,
        sizes=f"{train:,} training, {val} validation, {test} test, {size} x {size} pixels",
        seconds=time.perf_counter() - start,
    )


def main() -> None:
    """A run of any length from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--each", type=int, default=None, help="training photographs of each digit")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    for each in run(0, options.device, each=options.each, epochs=options.epochs):
        values = f"{each.shown(each.ours)} ({each.shown(each.headline)})"
        print(f"{each.what}: {values}, {each.seconds:.0f} s")


if __name__ == "__main__":
    main()
