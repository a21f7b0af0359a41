"""The contract of a layer with several outputs and several arguments that hold a batch: an LSTM has them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from autograder.checking import CheckFailure, LayerContract, StudentError
from autograder.checking.namespace import Namespace
from autograder.checking.proxy import local_student

ASPECTS = (
    *("check_values", "check_batch_of_one", "check_float32", "check_inputs_unchanged"),
    *("check_gradients", "check_gradients_batch_of_one", "check_gradients_float32"),
    *("check_upstream_unchanged", "check_interleaved"),
)
CASES = [(4, 3), (2, 5)]


def draw(rng: np.random.Generator, case: tuple[int, int]) -> tuple[Any, ...]:
    N, D = case
    return np.arange(N), rng.normal(size=(N, D)), rng.normal(size=(N, D))


PRODUCT = LayerContract(
    "forward",
    "backward",
    ("da", "db"),
    draw,
    outputs=("product", "total", "parity"),
    upstreams=2,
    batch=(0, 1, 2),
    arguments=("numbers", "a", "b"),
    hints={"total": "Add them."},
)


# Outputs a * b, a + b, and whether each number is odd, which has no gradient.
def forward(numbers: Any, a: Any, b: Any) -> Any:
    return a * b, a + b, numbers % 2.0, (a, b)


def backward(dproduct: Any, dtotal: Any, cache: Any) -> Any:
    a, b = cache
    return dproduct * b + dtotal, dproduct * a + dtotal


REFERENCE = Namespace({"forward": forward, "backward": backward})


def failing(**functions: Any) -> dict[str, str]:
    """The aspects that a layer with these functions fails, and what each says."""
    found = {}
    namespace = {"forward": forward, "backward": backward, **functions}
    with local_student(namespace, lambda _: True, seed=0) as student:
        for aspect in ASPECTS:
            try:
                getattr(PRODUCT, aspect)(student, REFERENCE, np.random.default_rng(5), CASES)
            except (CheckFailure, StudentError) as failure:
                found[aspect] = str(failure)
    return found


def test_a_right_layer_passes_every_aspect() -> None:
    assert failing() == {}


@pytest.mark.parametrize("position", [0, 1, 2])
def test_each_output_is_compared(position: int) -> None:
    def wrong(*arguments: Any) -> Any:
        outputs = list(forward(*arguments))
        outputs[position] = outputs[position] * 1.01 + 0.01
        return tuple(outputs)

    found = failing(forward=wrong)
    assert set(found) == {"check_values", "check_batch_of_one", "check_float32"}
    assert PRODUCT.outputs[position] in found["check_values"]


def test_each_upstream_gradient_counts() -> None:
    found = failing(backward=lambda dproduct, dtotal, cache: backward(dproduct, 0 * dtotal, cache))
    assert set(found) == {aspect for aspect in ASPECTS if "gradients" in aspect or "interleaved" in aspect}


def test_outputs_that_are_missing_are_named() -> None:
    found = failing(forward=lambda numbers, a, b: (a * b, (a, b)))
    assert set(found) == set(ASPECTS)
    assert "product, total, parity, cache" in found["check_values"]


def test_every_argument_of_a_batch_of_one_is_cut() -> None:
    def strict(numbers: Any, a: Any, b: Any) -> Any:
        assert len(numbers) == len(a) == len(b)
        return forward(numbers, a, b)

    assert failing(forward=strict) == {}


def test_arguments_and_upstreams_that_are_changed_are_named() -> None:
    def writes(numbers: Any, a: Any, b: Any) -> Any:
        result = forward(numbers, a.copy(), b.copy())
        b += 1
        return result

    def overwrites(dproduct: Any, dtotal: Any, cache: Any) -> Any:
        gradients = backward(dproduct.copy(), dtotal.copy(), cache)
        dtotal[:] = 0
        return gradients

    assert "b after forward" in failing(forward=writes)["check_inputs_unchanged"]
    assert "dtotal after backward" in failing(backward=overwrites)["check_upstream_unchanged"]
