"""The solution's network on photographs of fruit. `run` is called by `autograder accuracy`.

Two splits: the distributor's, in which most test pictures have a copy among the training pictures, for the
figure to beat was measured on it; and the one by photograph, which says more about fruit.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from autograder.audit.accuracy import Figure
from autograder.checking.namespace import Namespace, load_cells
from autograder.datasets import load_dataset
from autograder.notebook.percent import read_source

SOURCE = Path(__file__).with_name("fruit_capstone.py")
EPOCHS = 40
PLANS = {
    "parts": ("test accuracy, the distributor's split", 0.92),
    "photographs": ("test accuracy, split by photograph", None),
}


def run(seed: int = 0) -> list[Figure]:
    """Train on 2,300 photographs of 32 x 32 pixels, once for each split, with augmentation.

    Args:
        seed: of the split, the weights, the order and the augmentation.

    Returns:
        The accuracy of the best epoch's weights on the test photographs.
    """
    solution = Namespace(load_cells(read_source(SOURCE)))
    figures = []
    for held_out, (what, headline) in PLANS.items():
        start = time.perf_counter()
        fruits = load_dataset("fruits", held_out=held_out)
        model, _ = solution.train_fruit_model(fruits.x_train, fruits.y_train, seed, EPOCHS)
        accuracy = float(np.mean(solution.predict(model, fruits.x_test) == fruits.y_test))
        train, val = solution.split_indices(fruits.y_train, 0.15, seed)
        sizes = f"{len(train):,} training, {len(val):,} validation, {len(fruits.y_test):,} test"
        seconds = time.perf_counter() - start
        figures.append(Figure(what=what, ours=accuracy, headline=headline, sizes=sizes, seconds=seconds))
    return figures
