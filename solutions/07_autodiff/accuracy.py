"""The engine on the whole: every op against central differences, and networks that learn real digits.

`run` is called by `autograder accuracy`.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from autograder.audit.accuracy import Figure
from autograder.checking import numerical_gradient
from autograder.checking.namespace import load_cells
from autograder.datasets import load_dataset
from autograder.notebook.percent import read_source

SETTINGS: dict[str, dict[str, Any]] = {
    "digits": {"hidden": (64,), "epochs": 60, "batch_size": 32, "learning_rate": 0.1},
    "mnist": {"hidden": (128, 64), "epochs": 12, "batch_size": 64, "learning_rate": 0.15},
}
HEADLINES = {"mnist": 0.963}
"""What the network written by hand in assignment 6 has to beat. On the small digits it is a linear classifier
that was trained in the same way.
"""


def run(seed: int = 0) -> list[Figure]:
    """Check every op, then train a network on the embedded digits and on MNIST; test accuracies.

    The seed is that of the points, the weights and the mini-batches.
    """
    solution = load_cells(read_source(Path(__file__).with_name("autodiff.py")))
    start = time.perf_counter()
    error, count = largest_difference(solution, np.random.default_rng(seed))
    ops = Figure(
        what="largest difference of any gradient from central differences", ours=error, headline=1e-7,
        sizes=f"{count} gradients", seconds=time.perf_counter() - start,
        unit="number", smaller_is_better=True,
    )  # fmt: skip
    return [ops, *(test_accuracy(solution, name, seed) for name in SETTINGS)]


def test_accuracy(solution: dict[str, Any], name: str, seed: int) -> Figure:
    """A network with ReLU on pictures from 0 to 1."""
    data = load_dataset(name)
    x, x_test = (pixels.reshape(len(pixels), -1) for pixels in (data.x_train, data.x_test))
    setting = dict(SETTINGS[name])
    sizes = (x.shape[1], *setting.pop("hidden"), len(data.classes))

    def trained(net: Any) -> float:
        solution["train"](net, x, data.y_train, seed=seed, **setting)
        return float(np.mean(net(x_test).data.argmax(axis=1) == data.y_test))

    start = time.perf_counter()
    ours = trained(solution["MLP"](sizes, "relu", seed))
    seconds = time.perf_counter() - start
    headline = HEADLINES.get(name)
    if headline is None:
        headline = trained(solution["LinearClassifier"](sizes[0], sizes[-1]))
    return Figure(
        what=f"MLP {'-'.join(map(str, sizes))}, {name} test", ours=ours, headline=headline,
        sizes=f"{len(x):,} training, {len(x_test):,} test", seconds=seconds,
    )  # fmt: skip


def largest_difference(solution: dict[str, Any], rng: np.random.Generator) -> tuple[float, int]:
    """The largest difference of any op's gradient from central differences, and how many were compared.

    Every op, with every pattern of broadcasting and every axis; points stay away from 0, where relu has its
    kink and a quotient its pole.
    """

    def points(*shape: int) -> np.ndarray:
        return np.asarray(rng.choice([-1.0, 1.0], size=shape) * rng.uniform(0.5, 2, size=shape))

    shapes = [((3, 4), (3, 4)), ((3, 4), (4,)), ((3, 1), (1, 4)), ((), (2, 3)), ((2, 1, 4), (3, 1))]
    cases: list[tuple[tuple[Any, ...], dict[str, np.ndarray]]] = []
    for op in ("add", "sub", "mul", "div"):
        cases += [((op, "a", "b"), {"a": points(*a), "b": points(*b)}) for a, b in shapes]
    cases += [(("matmul", "a", "b"), {"a": points(3, 4), "b": points(4, 2)})]
    for op in ("sum", "mean"):
        for axis in (None, 0, 1, -1, (0, 2)):
            for keep in (False, True):
                cases += [((op, "a", {"axis": axis, "keepdims": keep}), {"a": points(2, 3, 4)})]
    cases += [((op, "a"), {"a": points(3, 4)}) for op in ("exp", "relu", "sigmoid", "tanh")]
    cases += [(("log", "a"), {"a": np.abs(points(3, 4))})]
    labels = rng.integers(4, size=5)
    cases += [(("softmax_cross_entropy", "a", labels), {"a": 3 * points(5, 4)})]

    evaluate = solution["evaluate"]
    worst, count = 0.0, 0
    for step, inputs in cases:
        dout = rng.normal(size=evaluate([("out", *step)], inputs)["out"].shape)
        asked = [(f"d{name}", "grad", name) for name in inputs]
        results = evaluate([("out", *step), ("", "backward", "out", dout), *asked], inputs)
        for name in inputs:

            def along(value: Any, name: str = name, step: Any = step, inputs: Any = inputs) -> Any:
                return evaluate([("out", *step)], {**inputs, name: value})["out"]

            expected = numerical_gradient(along, inputs[name], dout)
            worst = max(worst, float(np.abs(results[f"d{name}"] - expected).max()))
            count += 1
    return worst, count
