"""The pretrained network on one photograph of each ImageNet class, with the solution's own functions.

`run` is called by `autograder accuracy`; a shortened run: python accuracy.py --photographs 100.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch

from autograder.audit.accuracy import Figure
from autograder.checking.namespace import Namespace, load_cells
from autograder.datasets import load_dataset
from autograder.notebook.percent import read_source

SOURCE = Path(__file__).with_name("pretrained_models.py")
RECIPE = "from -1 to 1"
HEADLINE = 0.85


def run(seed: int = 0, device: str = "cpu", *, photographs: int | None = None) -> list[Figure]:
    """Prepare, classify, count; fit a temperature on the first half and measure on the second.

    Args:
        seed: nothing is random here.
        device: where torch computes.
        photographs: of each half; all 500 by default.

    Returns:
        Top-1 and top-5 accuracy on both halves together; the calibration error of the second, before and
        after.
    """
    del seed
    solution = Namespace(load_cells(read_source(SOURCE)))
    samples = load_dataset("imagenet_samples", num_train=photographs, num_test=photographs)
    start = time.perf_counter()
    model, recipe = solution.backbone.to(device), solution.RECIPES[RECIPE]
    logits, labels = [], []
    for images, classes in ((samples.x_train, samples.y_train), (samples.x_test, samples.y_test)):
        # The photographs are squares of 224 pixels already, which resize_and_crop leaves alone.
        squares = [solution.resize_and_crop(image.transpose(1, 2, 0), 224, 224) for image in images]
        parts = [
            solution.classify(model, solution.standardize(torch.stack(some), recipe).to(device))
            for some in (squares[k : k + 50] for k in range(0, len(squares), 50))
        ]
        logits.append(torch.cat(parts).cpu())
        labels.append(torch.tensor(classes))
    seconds = time.perf_counter() - start
    everything, truth = torch.cat(logits), torch.cat(labels)
    T = solution.fit_temperature(logits[0], labels[0])

    def error(scaled: torch.Tensor) -> float:
        confidence, answers = scaled.softmax(dim=1).max(dim=1)
        return float(solution.expected_calibration_error(confidence, answers == labels[1]))

    sizes = f"{len(truth):,} photographs, one of each class"
    half = f"{len(labels[1]):,} photographs, temperature from {len(labels[0]):,} others"
    what = "EfficientNet-Lite0, ImageNet samples"
    values = {
        f"{what}, top-1": (solution.top_k_accuracy(everything, truth, 1), HEADLINE, sizes),
        f"{what}, top-5": (solution.top_k_accuracy(everything, truth, 5), None, sizes),
    }
    figures = [
        Figure(what=name, ours=value, headline=headline, sizes=text, seconds=seconds)
        for name, (value, headline, text) in values.items()
    ]
    before, after = error(logits[1]), error(logits[1] / T)
    return [
        *figures,
        Figure(what=f"{what}, calibration error as it is", ours=before, sizes=half, seconds=0.0),
        Figure(
            what=f"{what}, calibration error with a temperature; to beat: as it is",
            ours=after,
            headline=before,
            sizes=half,
            seconds=0.0,
            smaller_is_better=True,
        ),
    ]


def main() -> None:
    """A run of any length from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photographs", type=int, default=None, help="of each half")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    for figure in run(0, options.device, photographs=options.photographs):
        print(f"{figure.what}: {figure.shown(figure.ours)} ({figure.shown(figure.headline)})")


if __name__ == "__main__":
    main()
