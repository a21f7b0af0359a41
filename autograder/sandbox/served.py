"""Gradients through a function that the grader serves: PyTorch's graph cannot cross the wire, so a served
call becomes one node of it, whose backward pass is a second call to the grader.

Loaded inside the sandbox; imports nothing of the engine.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

GRADIENT = "'"
"""Behind a served function's name: asks for the derivative, with (args, kwargs, wanted, upstream)."""


def tensors_in(tree: Any) -> list[Any]:
    """The tensors in nested lists, tuples and dictionaries, in order."""
    if isinstance(tree, list | tuple):
        return [tensor for item in tree for tensor in tensors_in(item)]
    if isinstance(tree, dict):
        return [tensor for item in tree.values() for tensor in tensors_in(item)]
    return [tree] if _is_tensor(tree) else []


def with_tensors(tree: Any, replace: Callable[[Any], Any]) -> Any:
    """The same tree with `replace(tensor)` in place of each tensor, asked in the order of `tensors_in`."""
    if type(tree) in (list, tuple):
        return type(tree)(with_tensors(item, replace) for item in tree)
    if type(tree) is dict:
        return {key: with_tensors(item, replace) for key, item in tree.items()}
    return replace(tree) if _is_tensor(tree) else tree


def same_tensors(before: Any, after: Any) -> Any:
    """`after`, with the very tensors of `before` where their numbers are the same: an optimiser holds on to
    those.
    """
    if type(after) is dict and type(before) is dict:
        return {key: same_tensors(before.get(key), item) for key, item in after.items()}
    if type(after) in (list, tuple) and type(before) is type(after) and len(before) == len(after):
        return type(after)(same_tensors(*pair) for pair in zip(before, after, strict=True))
    if _is_tensor(after) and _is_tensor(before) and before.shape == after.shape:
        return before if before.dtype == after.dtype and bool((before == after).all()) else after
    return after


def differentiable(args: Any, kwargs: Any) -> bool:
    """Whether a call must leave a trace for the backward pass."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.is_grad_enabled():
        return False
    return any(tensor.requires_grad for tensor in tensors_in((args, kwargs)))


def call_with_gradient(
    upcall: Callable[..., Any], name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """The served function's result, through which gradients flow to the tensors among its arguments.

    What it does to dictionaries among its arguments is not seen here.
    """
    torch = sys.modules["torch"]
    tensors = tensors_in((args, kwargs))
    wanted = [place for place, tensor in enumerate(tensors) if tensor.requires_grad]
    args, kwargs = with_tensors((args, kwargs), lambda tensor: tensor.detach())
    result: Any = None

    class Served(torch.autograd.Function):  # type: ignore[misc, name-defined]
        @staticmethod
        def forward(context: Any, *inputs: Any) -> tuple[Any, ...]:
            nonlocal result
            result, _ = upcall(name, args, kwargs)
            return tuple(out for out in tensors_in(result) if out.is_floating_point())

        @staticmethod
        def backward(context: Any, *upstream: Any) -> tuple[Any, ...]:
            gradients, _ = upcall(name + GRADIENT, (args, kwargs, wanted, list(upstream)), {})
            return tuple(gradients)

    outputs = iter(Served.apply(*(tensors[place] for place in wanted)))
    return with_tensors(result, lambda out: next(outputs) if out.is_floating_point() else out)


def gradients_of(
    function: Callable[..., Any], args: Any, kwargs: Any, wanted: list[int], upstream: list[Any]
) -> list[Any]:
    """The grader's side: the gradients with respect to the tensors of `wanted` (places in `tensors_in`), for
    the upstream gradients of the floating-point tensors in the result.
    """
    import torch

    inputs = [tensor.detach() for tensor in tensors_in((args, kwargs))]
    chosen = [inputs[place].requires_grad_() for place in wanted]
    each = iter(inputs)
    args, kwargs = with_tensors((args, kwargs), lambda _: next(each))
    with torch.enable_grad():
        result = function(*args, **kwargs)
    outputs = [out for out in tensors_in(result) if out.is_floating_point()]
    pairs = [pair for pair in zip(outputs, upstream, strict=True) if pair[0].requires_grad]
    if not pairs:
        return [torch.zeros_like(tensor) for tensor in chosen]
    found = torch.autograd.grad(
        [out for out, _ in pairs], chosen, [gradient for _, gradient in pairs], allow_unused=True
    )
    return [
        torch.zeros_like(tensor) if gradient is None else gradient
        for tensor, gradient in zip(chosen, found, strict=True)
    ]


def _is_tensor(value: Any) -> bool:
    kind = type(value)
    return kind.__module__ in ("torch", "torch.nn.parameter") and kind.__name__ in ("Tensor", "Parameter")
