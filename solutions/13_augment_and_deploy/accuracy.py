"""The solution's networks on photographs of hands that training has not seen. `run` is called by `autograder
accuracy`.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

import torch

from autograder.audit.accuracy import Figure
from autograder.checking.namespace import Namespace, load_cells
from autograder.datasets import load_dataset
from autograder.notebook.percent import read_source

SOURCE = Path(__file__).with_name("augment_and_deploy.py")
RUNS = 3
"""Trainings of each network, of which the mean counts: 480 photographs are 96 bursts of five."""
PLANS = {
    "dense network (256, 128)": ("dense", False, 30, 2e-3),
    "CNN (16, 32, 64)": ("cnn", False, 24, 5e-3),
    "the CNN with augmentation": ("cnn", True, 24, 5e-3),
}


def run(seed: int = 0, device: str = "cpu") -> list[Figure]:
    """Train three kinds of network on two hands and test them on three others.

    Args:
        seed: of the first training; the others follow.
        device: where torch computes.

    Returns:
        The accuracy on unseen hands, which has to beat that of the network before, and on other pictures of
        the training hands; and by how much a saved and loaded model's logits differ from the model's own.
    """
    solution = Namespace(load_cells(read_source(SOURCE)))
    solution.fit.__globals__["device"] = torch.device(device)
    parts = {}
    for name in ("hands", "images"):
        photographs = load_dataset("asl_letters", held_out=name)
        parts[name] = torch.tensor(photographs.x_test), torch.tensor(photographs.y_test)
    train = torch.tensor(photographs.x_train), torch.tensor(photographs.y_train)
    K = len(photographs.classes)
    sizes = f"{len(train[1])} training, {len(parts['hands'][1])} of unseen hands"
    figures: list[Figure] = []
    before = None
    for what, (kind, augmented, epochs, peak) in PLANS.items():
        start = time.perf_counter()
        reached: dict[str, list[float]] = {name: [] for name in parts}
        for number in range(RUNS):
            torch.manual_seed(seed + number)
            build = solution.build_dense if kind == "dense" else solution.build_cnn
            model = build(K).to(device)
            transform = solution.make_augmentation() if augmented else None
            history = solution.fit(model, train, parts, transform, epochs, peak)
            for name in parts:
                reached[name].append(history[name][-1])
        seconds = time.perf_counter() - start
        unseen = statistics.fmean(reached["hands"])
        figures.append(
            Figure(
                what=f"{what}, ASL letters, unseen hands, mean of {RUNS}", ours=unseen, headline=before,
                sizes=sizes, seconds=seconds,
            )
        )  # fmt: skip
        figures.append(
            Figure(
                what="the same, other pictures of the training hands",
                ours=statistics.fmean(reached["images"]),
                sizes=f"{len(train[1])} training, {len(parts['images'][1])} held out by image",
                seconds=seconds,
            )
        )
        before = unseen
    figures.append(
        Figure(
            what="largest difference of a loaded model's logits from the saved one's",
            ours=round_trip(solution, model, parts["hands"][0], photographs.classes),
            headline=0.0,
            sizes=f"{len(parts['hands'][1])} photographs",
            seconds=0.0,
            unit="number",
            smaller_is_better=True,
        )
    )
    return figures


def round_trip(
    solution: Namespace, model: torch.nn.Module, pictures: torch.Tensor, classes: tuple[str, ...]
) -> float:
    """The largest difference in the logits of a model and of the one that is read from its file."""
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "letters.pt")
        solution.save_model(path, model, {"num_classes": len(classes)}, classes)
        loaded, names = solution.load_model(path)
    assert names == list(classes)
    with torch.inference_mode():
        ours = model.cpu().eval()(pictures / 255)
        return float((loaded(pictures / 255) - ours).abs().max())
