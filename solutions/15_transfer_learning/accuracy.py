"""Transfer to photographs of signed digits: a head on frozen features, and fine-tuning.

By EfficientNet-Lite0, as in the assignment, and by VGG16, as in the lesson that it descends from, where the
weights of its convolutions are in the data root. The figures to beat are those of that lesson.

`run` is called by `autograder accuracy`; a shortened run: python accuracy.py --each 20 --epochs 5.
"""

from __future__ import annotations

import argparse
import math
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
VGG_SIZE, VGG_EPOCHS, VGG_DECAY, DROP = 128, 8, 1.0, 0.5
FOURTH, FIFTH = 17, 24
"""The modules with which the fourth and the fifth block of VGG16's convolutions begin: these are trained."""
FOURTH_RATE, FIFTH_RATE = 2e-5, 5e-5
TURN, GROWTH, SHIFT, LIGHT = math.radians(12), 0.1, 0.08, 0.2
"""How far a photograph is changed at most in training: radians, share of its size, of its side, of its
light."""
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's photographs, which VGG16 was trained on."""
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
        The accuracy on the 411 test photographs, frozen and fine-tuned, of each network. VGG16 is fine-tuned
        on the validation part as well, with rates set beforehand.
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
    """As in the original lesson: features keep their places on the map; here two blocks are trained."""
    from safetensors.torch import load_file
    from torchvision.models import vgg16 as build

    start = time.perf_counter()
    convolutions = build().features.eval()
    convolutions.load_state_dict(
        {name.removeprefix("features."): value.float() for name, value in load_file(weights).items()}
    )
    inputs = tuple(part.to(device) for part in images)
    frozen = torch.nn.Sequential(Enlarged(), convolutions, torch.nn.Flatten()).to(device)
    f = each_part(Halved(frozen).eval(), inputs)
    mu, sigma = f[0].mean(dim=0), f[0].std(dim=0) + 1e-2
    standard = tuple((part - mu) / sigma for part in f)
    _, reached = best_head(solution, standard, labels, DECAYS)
    figures = [figure("VGG16, a head on frozen features", reached, FROZEN, VGG_SIZE, labels, start)]

    # A head with a large penalty leaves errors to learn from.
    head, _ = best_head(solution, standard, labels, [VGG_DECAY])
    last = torch.nn.Linear(head.in_features, CLASSES)
    with torch.no_grad():
        last.weight.copy_(head.weight / sigma.cpu())
        last.bias.copy_(head.bias - head.weight @ (mu / sigma).cpu())
    tail = torch.nn.Sequential(convolutions[FOURTH:], torch.nn.Flatten(), torch.nn.Dropout(DROP), last)
    whole = Halved(torch.nn.Sequential(Enlarged(), convolutions[:FOURTH].requires_grad_(False), tail))
    groups = [
        {"params": list(convolutions[FOURTH:FIFTH].parameters()), "lr": FOURTH_RATE},
        {"params": [*convolutions[FIFTH:].parameters(), *last.parameters()], "lr": FIFTH_RATE},
    ]
    annealed(whole.to(device), torch.optim.Adam(groups), inputs, labels, seed, epochs)
    reached = accuracy(each_part(whole.eval(), inputs)[2], labels[2])
    learned = (torch.cat(labels[:2]), labels[1][:0], labels[2])
    return [*figures, figure("VGG16, two blocks fine-tuned", reached, TUNED, VGG_SIZE, learned, start)]


def annealed(
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    inputs: Parts,
    labels: Parts,
    seed: int,
    epochs: int,
) -> None:
    """Train with rates that fall along half a cosine to nothing, on the validation part as well.

    With such rates there is no epoch to choose: the last weights are the ones to take, and the part that
    decided on the penalty can be learned from.
    """
    torch.manual_seed(seed)
    x, y = (torch.cat(parts[:2]) for parts in (inputs, labels))
    order = torch.Generator().manual_seed(seed)
    loader = DataLoader(TensorDataset(x, y.to(x.device)), BATCH, shuffle=True, generator=order)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * len(loader))
    model.train()
    for _ in range(epochs):
        for batch, answers in loader:
            loss = F.cross_entropy(model(batch), answers)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()


class Halved(torch.nn.Module):
    """Computes in bfloat16 where that is quicker: on a GPU and on processors with AVX-512. On two cores with
    avx512_bf16 it takes half the time.
    """

    def __init__(self, inner: torch.nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        fit = images.is_cuda or torch.backends.cpu.get_cpu_capability().startswith("AVX512")
        with torch.autocast(images.device.type, torch.bfloat16, enabled=fit):
            return self.inner(images).float()


class Enlarged(torch.nn.Module):
    """Photographs (N, 3, H, W), from 0 to 1, as VGG16 wants them. In training each is turned, scaled, moved
    and lit a little, at random. It is not mirrored: with mirroring the same network did worse.
    """

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if self.training:
            larger = self.moved(images)
        else:
            size = (VGG_SIZE, VGG_SIZE)
            larger = F.interpolate(images, size=size, mode="bilinear", antialias=True, align_corners=False)
        mean, std = (torch.tensor(three, device=images.device)[:, None, None] for three in (MEAN, STD))
        return (larger - mean) / std

    def moved(self, images: torch.Tensor) -> torch.Tensor:
        """Other views, in the larger size: (N, 3, VGG_SIZE, VGG_SIZE)."""

        def between(most: float, *shape: int) -> torch.Tensor:
            return most * (2 * torch.rand(len(images), *shape, device=images.device) - 1)

        angle, growth = between(TURN), 1 + between(GROWTH)
        cos, sin = growth * angle.cos(), growth * angle.sin()
        turn = torch.stack((cos, -sin, sin, cos), dim=1).reshape(-1, 2, 2)
        # A grid's coordinates run from -1 to 1: a share of the side is twice as much there.
        theta = torch.cat((turn, between(2 * SHIFT, 2, 1)), dim=2)
        grid = F.affine_grid(theta, [len(images), 3, VGG_SIZE, VGG_SIZE], align_corners=False)
        views = F.grid_sample(images, grid, padding_mode="border", align_corners=False)
        return (views * (1 + between(LIGHT, 1, 1, 1))).clamp(0, 1)


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
    counts = f"{train:,} training, " + (f"{val} validation, " if val else "") + f"{test} test"
    return Figure(
        what=f"{what}, signed digits, test",
        ours=ours,
        headline=headline,
        sizes=f"{counts}, {size} x {size} pixels",
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
