"""Makes the weights of the variant `compact`, which has a network of its own:

    python solutions/17_fruit_capstone/weights.py

(The solution's own weights are what its notebook saves; `autograder build` puts them beside it.)
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from autograder.checking.namespace import Namespace, load_cells
from autograder.datasets import load_dataset
from autograder.notebook.percent import read_source

HERE = Path(__file__).parent
VARIANT = HERE / "variants" / "compact.py"


def main() -> None:
    """Train, say how good it is elsewhere, save."""
    extra = [("<solution variant compact>", VARIANT.read_text(encoding="utf-8"))]
    solution = Namespace(load_cells(read_source(HERE / "fruit_capstone.py"), extra))
    fruit = load_dataset("fruit", num_train=4000, num_test=0)
    elsewhere = load_dataset("fruit", num_train=0, num_test=1200, shift=0.5)
    model, history = solution.train_fruit_model(fruit.x_train, fruit.y_train, epochs=30)
    target = VARIANT.with_suffix("") / "model.safetensors"
    target.parent.mkdir(exist_ok=True)
    solution.save_model(model, target)
    right = np.mean(solution.predict(solution.load_model(target), elsewhere.x_test) == elsewhere.y_test)
    print(
        f"validation {max(history['val_accuracy']):.1%}, elsewhere {right:.1%}, {target.stat().st_size} bytes"
    )


if __name__ == "__main__":
    main()
