"""Gradients flow through a function that the grader serves in place of the student's."""

from __future__ import annotations

from typing import Any

import pytest

from autograder.checking.namespace import upcall_to
from autograder.checking.proxy import local_student

torch = pytest.importorskip("torch")

REFERENCE = """
import torch
def layer(x, params, scale=1.0):
    h = x @ params["w"] + params["b"]
    return {"out": torch.tanh(h) * scale, "largest": h.argmax(-1), "unused": x.sum()}, [h * h]
"""
WRONG = REFERENCE.replace("x @ params", "0 * x @ params")
STUDENT = """
def gradients(x, w, b):
    params = {"w": w.requires_grad_(), "b": b.requires_grad_()}
    doubled = x.requires_grad_() * 2  # not a leaf
    first, (square,) = layer(doubled, params, scale=3.0)
    again, _ = layer(x, params)
    loss = (first["out"] * torch.arange(2.0)).sum() + square.mean() + again["out"].sum()
    loss.backward()
    with torch.no_grad():
        shape = layer(x, params)[0]["largest"]
    return x.grad, w.grad, b.grad, params["w"] is w, shape
"""


def answers(given: list[str], own: str) -> Any:
    torch.manual_seed(0)
    arguments = torch.randn(4, 3), torch.randn(3, 2), torch.randn(2)
    reference: dict[str, Any] = {}
    exec(REFERENCE, reference)
    namespace: dict[str, Any] = {}
    exec(own + STUDENT, namespace)
    upcall = upcall_to(reference)
    with local_student(namespace, lambda _: False, seed=0, upcall=upcall, given=given) as student:
        return student.gradients(*arguments)


def test_a_served_function_is_differentiable() -> None:
    expected = answers([], REFERENCE)
    for got, wanted in zip(answers(["layer"], WRONG)[:3], expected, strict=False):
        torch.testing.assert_close(got, wanted)
    with pytest.raises(AssertionError):
        torch.testing.assert_close(answers([], WRONG)[1], expected[1])


def test_parameters_stay_the_tensors_that_are_optimised() -> None:
    x, w, b, same, largest = answers(["layer"], WRONG)
    assert (tuple(x.shape), tuple(w.shape), tuple(b.shape)) == ((4, 3), (3, 2), (2,))
    assert largest.dtype == torch.int64
    assert same is True
