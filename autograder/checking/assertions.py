"""Assertions for suites. Each failure says what was called, what was expected, what came, and where it
differs most.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from autograder.checking.describe import brief, excerpt, full, is_tensor, shape_text
from autograder.checking.failure import CheckFailure, current_student, fail
from autograder.checking.families import relate, relate_lists
from autograder.checking.named_numbers import NamedNumbers, named_numbers
from autograder.checking.proxy import Function, Margin
from autograder.checking.relation import Relation
from autograder.sandbox.wire import Handle

MAP_SIZE = 32
FloatArray = NDArray[np.float64]


def assert_close(
    actual: Any,
    expected: Any,
    *,
    rtol: float = 1e-7,
    atol: float = 1e-9,
    what: str = "the result",
    hint: str = "",
) -> None:
    """`actual` equals `expected`: structure, exact shape, finite where finite is expected, and values.

    An element passes when |actual - expected| <= atol * max(1, max|expected|) + rtol * |expected|. Integers,
    booleans and strings compare exactly, whatever their dtype. A Python number, a NumPy scalar and an array
    of shape () are the same scalar; an array of shape (1,) is not one. A tuple may stand for a list and the
    reverse.
    """
    if isinstance(expected, dict):
        _assert_dict(actual, expected, rtol=rtol, atol=atol, what=what, hint=hint)
    elif isinstance(expected, list | tuple):
        if not isinstance(actual, list | tuple):
            fail(
                f"A {type(expected).__name__} of {len(expected)} was expected for {what}, "
                f"but {brief(actual)} came.",
                expected=brief(expected), got=brief(actual), hint=hint, value=actual,
            )  # fmt: skip
        if len(actual) != len(expected):
            fail(
                f"{len(expected)} elements were expected in {what}, but {len(actual)} came.",
                expected=brief(expected), got=brief(actual), hint=hint, value=actual,
                relation=relate_lists(list(actual), list(expected), rtol, atol),
            )  # fmt: skip
        for position, (item, wanted) in enumerate(zip(actual, expected, strict=True)):
            try:
                element = f"element {position} of {what}"
                assert_close(item, wanted, rtol=rtol, atol=atol, what=element, hint=hint)
            except CheckFailure as failure:
                # A list of numbers (a history) says more as a whole than its first wrong element.
                failure.relation = relate_lists(list(actual), list(expected), rtol, atol) or failure.relation
                raise
    elif expected is None or isinstance(expected, str | bytes):
        same = actual is None if expected is None else type(actual) is type(expected) and actual == expected
        if not same:
            fail(
                f"{brief(expected)} was expected for {what}, but {brief(actual)} came.",
                expected=brief(expected), got=brief(actual), hint=hint, value=actual,
            )  # fmt: skip
    else:
        _assert_array(actual, expected, rtol=rtol, atol=atol, what=what, hint=hint)


def assert_stable(
    actual: Any, expected: Any = None, *, what: str = "the result", hint: str = "", **close: float
) -> None:
    """`actual` is finite everywhere; close to `expected` when it is given."""
    array = _as_array(actual, what, hint)
    bad = ~np.isfinite(array)
    if bad.any():
        index = tuple(int(i) for i in np.argwhere(bad)[0])
        fail(
            f"{int(bad.sum())} of {array.size} elements of {what} are inf or NaN.",
            got=full(array),
            where=f"at {_index(index)}: {array[index]}" if index else "",
            hint=hint
            or "Large inputs overflow in exp: subtract the maximum, or use a form that cannot overflow.",
            value=actual,
            relation=_relation(actual, array, expected, **close) if expected is not None else None,
            nonfinite=True,
        )
    if expected is not None:
        assert_close(actual, expected, what=what, hint=hint, **close)


def assert_unchanged(function: Function, *args: Any, **kwargs: Any) -> Any:
    """Call `function` and fail when it modified one of its positional arguments in place. Returns the call's
    result.
    """
    result, after = function.after(*args, **kwargs)
    if result is None or isinstance(result, Handle):
        # A function that answers nothing modifies nothing either, and must not earn anything by that.
        fail(f"{function.name} returned {brief(result)}.", got=brief(result), value=result)
    for position, (before, now) in enumerate(zip(args, after, strict=True)):
        if not _identical(before, now):
            fail(
                f"{function.name} changed its argument number {position + 1} in place.",
                expected=full(before),
                got=full(now),
                hint="Work on a copy: the caller still needs the original.",
                value=result,
            )
    return result


def assert_learns(
    losses: Sequence[float] | ArrayLike,
    *,
    to_below: float | None = None,
    by_factor: float | None = None,
    what: str = "the loss",
    hint: str = "",
) -> None:
    """A loss curve that falls: its last tenth is, on average, at most `to_below`, and at most its first value
    divided by `by_factor`; with neither, below its first value.
    """
    curve = np.asarray(_as_array(losses, what, hint), dtype=float).ravel()
    if curve.size < 2 or not np.isfinite(curve).all():
        fail(
            f"Finite numbers were expected for {what}.", got=full(curve), hint=hint, value=losses,
        )  # fmt: skip
    last = float(curve[-max(1, curve.size // 10) :].mean())
    limits = [to_below] if to_below is not None else []
    if by_factor is not None:
        limits.append(float(curve[0]) / by_factor)
    limit = min(limits, default=float(curve[0]))
    if last > limit or (not limits and last == limit):
        fail(
            f"{_subject(what)} goes from {curve[0]:.4g} to {last:.4g}.",
            expected=f"{'at most' if limits else 'less than'} {limit:.4g} at the end",
            got=f"{last:.4g} after {curve.size} values",
            hint=hint or "Are the gradients used with the right sign, and is every parameter updated?",
            value=losses,
        )
    if limits:
        # On a logarithmic scale a loss spreads evenly about its mean, however small it gets.
        _note_margin(f"log10 of limit / {what.removeprefix('the ')}", _log_ratio(limit, last), 0.0)


def _log_ratio(limit: float, last: float) -> float:
    return math.log10(limit / last) if limit > 0 and last > 0 else math.inf


def _note_margin(what: str, value: float, threshold: float) -> None:
    """Keep how far a threshold was passed: an audit measures it in standard deviations over many seeds."""
    student = current_student.get()
    if student is not None:
        student.margins.append(Margin(what, value, threshold))


def assert_accuracy(
    predictions: Any, labels: ArrayLike, at_least: float, *, what: str = "accuracy", hint: str = ""
) -> float:
    """The share of `predictions` equal to `labels` reaches `at_least`; returns it. Labels stay with the
    grader.
    """
    truth = np.asarray(labels)
    guess = _as_array(predictions, "the predictions", hint)
    if guess.shape != truth.shape:
        fail(
            f"The predictions should have shape {shape_text(truth.shape)} "
            f"but have {shape_text(guess.shape)}.",
            expected=f"{truth.size} class labels", got=brief(predictions), hint=hint, value=predictions,
        )  # fmt: skip
    accuracy = float(np.mean(guess == truth))
    if accuracy < at_least:
        fail(
            f"The {what} is {accuracy:.1%}; at least {at_least:.1%} was expected.",
            expected=f"at least {at_least:.1%} of {truth.size}",
            got=f"{accuracy:.1%}",
            hint=hint,
            value=predictions,
        )
    _note_margin(what, accuracy, at_least)
    return accuracy


def _subject(what: str) -> str:
    return what[:1].upper() + what[1:] if what.startswith("the ") else what


def _index(index: tuple[int, ...]) -> str:
    return "[" + ", ".join(str(i) for i in index) + "]"


def _assert_dict(actual: Any, expected: dict[Any, Any], *, what: str, hint: str, **tolerance: float) -> None:
    if not isinstance(actual, dict):
        fail(
            f"A dict was expected for {what}, but {brief(actual)} came.",
            expected=brief(expected), got=brief(actual), hint=hint, value=actual,
        )  # fmt: skip
    missing = [key for key in expected if key not in actual]
    extra = [key for key in actual if key not in expected]
    if missing or extra:
        parts = [f"lacks {', '.join(map(repr, missing[:6]))}"] if missing else []
        parts += [f"has {', '.join(map(brief, extra[:6]))} too many"] if extra else []
        fail(
            f"The dict for {what} {' and '.join(parts)}.",
            expected=f"keys {list(expected)}"[:300], got=f"keys {[brief(key) for key in actual]}"[:300],
            hint=hint, value=actual,
        )  # fmt: skip
    for key, wanted in expected.items():
        assert_close(actual[key], wanted, what=f"{what}[{key!r}]", hint=hint, **tolerance)


def _as_array(value: Any, what: str, hint: str) -> NDArray[Any]:
    """The numbers of a plain value, or a failure that says what came instead."""
    if is_tensor(value):
        value = value.detach().cpu().numpy()
    if isinstance(value, np.ndarray | np.generic) or (
        isinstance(value, numbers.Number) and not isinstance(value, complex)
    ):
        return np.asarray(value)
    if isinstance(value, list | tuple) and all(isinstance(item, int | float | np.generic) for item in value):
        return np.asarray(value)
    return fail(
        f"Numbers were expected for {what}, but {brief(value)} came.",
        expected="an array or a number", got=brief(value), hint=hint, value=value,
    )  # fmt: skip


def _assert_array(actual: Any, expected: Any, *, rtol: float, atol: float, what: str, hint: str) -> None:
    wanted = _as_array(expected, what, hint)
    scalar = wanted.ndim == 0
    if isinstance(actual, list | tuple) or (scalar and isinstance(actual, str)):
        fail(
            f"{'A number' if scalar else 'An array'} was expected for {what}, but {brief(actual)} came.",
            expected=brief(expected), got=brief(actual), hint=hint, value=actual,
        )  # fmt: skip
    got = _as_array(actual, what, hint)
    if got.shape != wanted.shape:
        wanted_text = "A single number, shape ()," if scalar else f"Shape {shape_text(wanted.shape)}"
        fail(
            f"{wanted_text} was expected for {what}, but shape {shape_text(got.shape)} came.",
            expected=full(expected), got=full(actual), hint=hint, value=actual,
            relation=_relation(actual, got, wanted, rtol=rtol, atol=atol),
        )  # fmt: skip
    if wanted.size == 0:
        return
    exact = wanted.dtype.kind in "biuSU"
    if got.dtype.kind not in "biufc" and not (exact and got.dtype.kind == wanted.dtype.kind):
        fail(
            f"Numbers were expected in {what}, but the dtype is {got.dtype}.",
            expected=full(expected), got=full(actual), hint=hint, value=actual,
        )  # fmt: skip
    if exact:
        error = (got != wanted).astype(float)
        wrong = error > 0
    else:
        kind = np.complex128 if "c" in (got.dtype.kind, wanted.dtype.kind) else np.float64
        a, e = got.astype(kind), wanted.astype(kind)
        with np.errstate(all="ignore"):
            error = np.where(a == e, 0.0, np.abs(a - e))  # inf == inf passes, inf - inf would not
            error = np.where(np.isnan(a) & np.isnan(e), 0.0, error)
            finite = np.abs(e[np.isfinite(e)])
            scale = max(1.0, float(finite.max(initial=0.0)))
            tolerance = atol * scale + rtol * np.where(np.isfinite(e), np.abs(e), 0.0)
            wrong = ~(error <= tolerance)
    if wrong.any():
        relation = _relation(actual, got, wanted, rtol=rtol, atol=atol)
        _fail_values(actual, got, expected, wanted, error, wrong, what, hint, relation)
    student = current_student.get()
    if student is not None and not exact and rtol > 0:  # at rtol 0 it is a copy that is compared
        student.compared += 1
        student.used = max(student.used, float(np.max(error / np.where(tolerance > 0, tolerance, np.inf))))


def _relation(
    actual: Any, got: NDArray[Any], expected: Any, *, rtol: float = 1e-7, atol: float = 1e-9
) -> Relation | None:
    """How the wrong answer `actual` relates to the right one, in terms of the call that gave it."""
    student = current_student.get()
    numbers = named_numbers(student.arguments_that_gave(actual)) if student is not None else NamedNumbers()
    wanted = _as_array(expected, "the result", "")
    return relate(got, wanted, numbers, rtol=rtol, atol=atol)


def _fail_values(
    actual: Any,
    got: NDArray[Any],
    expected: Any,
    wanted: NDArray[Any],
    error: FloatArray,
    wrong: NDArray[np.bool_],
    what: str,
    hint: str,
    relation: Relation | None,
) -> None:
    nonfinite = bool((~np.isfinite(got[wrong])).all()) if got.dtype.kind in "fc" else False
    ranked = np.where(np.isfinite(error), error, np.inf)
    index = tuple(
        int(i) for i in np.unravel_index(int(np.argmax(np.where(wrong, ranked, -1.0))), ranked.shape)
    )
    if wanted.ndim == 0:
        fail(
            f"{_number(wanted[()])} was expected for {what}, but {_number(got[()])} came.",
            expected=full(expected), got=full(actual), hint=hint, value=actual,
            relation=relation, nonfinite=nonfinite,
        )  # fmt: skip
    grid, axes = error_grid(np.where(np.isfinite(error), error, np.nan))
    fail(
        f"{int(wrong.sum())} of {wrong.size} elements of {what} are wrong.",
        expected=excerpt(wanted, index),
        got=excerpt(got, index),
        where=f"worst at {_index(index)}: {_number(wanted[index])} was expected, {_number(got[index])} came",
        hint=hint,
        value=actual,
        error_map=grid,
        error_map_axes=axes,
        relation=relation,
        nonfinite=nonfinite,
    )


def _number(value: Any) -> str:
    return f"{value:.8g}" if isinstance(value, float | np.floating) else str(value)


def error_grid(error: FloatArray) -> tuple[list[list[float | None]], tuple[str, str]]:
    """An error array of shape (...) as a grid of at most 32 x 32: the maximum over leading axes and over
    blocks.

    Returns the grid and the names of its two axes.
    """
    flat = error.reshape((1, -1)) if error.ndim == 1 else error
    axes = ("", "axis 0") if error.ndim == 1 else (f"axis {error.ndim - 2}", f"axis {error.ndim - 1}")
    if flat.ndim > 2:
        flat = flat.reshape((-1, *flat.shape[-2:]))
        flat = np.where(np.isnan(flat).any(axis=0), np.nan, np.nan_to_num(flat).max(axis=0))
    for axis in (0, 1):
        size = flat.shape[axis]
        if size > MAP_SIZE:
            edges = np.linspace(0, size, MAP_SIZE, endpoint=False).astype(int)
            flat = np.maximum.reduceat(flat, edges, axis=axis)
    return [[float(cell) if math.isfinite(cell) else None for cell in row] for row in flat], axes


def _identical(before: Any, now: Any) -> bool:
    if is_tensor(before):
        return is_tensor(now) and _identical(before.detach().numpy(), now.detach().numpy())
    if isinstance(before, np.ndarray | list | tuple | dict) and type(now) is not type(before):
        return False
    if isinstance(before, np.ndarray):
        same_kind = before.shape == now.shape and before.dtype == now.dtype
        return bool(same_kind and before.tobytes() == now.tobytes())
    if isinstance(before, list | tuple):
        return len(before) == len(now) and all(map(_identical, before, now))
    if isinstance(before, dict):
        return before.keys() == now.keys() and all(_identical(before[key], now[key]) for key in before)
    return True if type(before).__name__ == "Handle" else bool(before == now or before != before)
