"""The contracts of layers and optimisers: what is right passes every aspect, and each kind of error is caught
by the aspect that is meant for it.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from autograder.checking import CheckFailure, LayerContract, OptimizerContract, StudentError
from autograder.checking.namespace import Namespace
from autograder.checking.proxy import Student, local_student

FORWARD = ("check_values", "check_batch_of_one", "check_float32", "check_inputs_unchanged")
BACKWARD = (
    "check_gradients",
    "check_gradients_batch_of_one",
    "check_gradients_float32",
    "check_upstream_unchanged",
    "check_interleaved",
)
ASPECTS = (*FORWARD, *BACKWARD)
CASES = [(4, 3, 2), (2, 1, 3)]


def draw_scaled(rng: np.random.Generator, case: tuple[int, int, int]) -> tuple[Any, ...]:
    N, D, M = case
    return rng.normal(size=(N, D)), rng.normal(size=(D, M)), {"scale": 3.0}


SCALED = LayerContract("forward", "backward", ("dx", "dw"), draw_scaled, hints={"dw": "Sum over the batch."})


# A linear layer with a factor; the dictionary stands for a conv_param.
def forward(x: Any, w: Any, param: Any) -> Any:
    return param["scale"] * x @ w, (x, w, param["scale"])


def backward(dout: Any, cache: Any) -> Any:
    x, w, scale = cache
    return scale * dout @ w.T, scale * x.T @ dout


def student_of(**functions: Any) -> Any:
    return local_student({"forward": forward, "backward": backward, **functions}, lambda _: True, seed=0)


REFERENCE = Namespace({"forward": forward, "backward": backward})


def aspect_fails(contract: Any, aspect: str, student: Student, reference: Namespace, *args: Any) -> bool:
    try:
        getattr(contract, aspect)(student, reference, np.random.default_rng(5), *args)
    except (CheckFailure, StudentError):
        return True
    return False


def failing(**functions: Any) -> set[str]:
    """The aspects that a layer with these functions fails."""
    with student_of(**functions) as student:
        return {aspect for aspect in ASPECTS if aspect_fails(SCALED, aspect, student, REFERENCE, CASES)}


class Cache:
    """A cache of a type of its own."""

    def __init__(self, **values: Any) -> None:
        self.__dict__.update(values)


def test_a_right_layer_passes_every_aspect() -> None:
    assert failing() == set()


def test_any_way_of_writing_a_layer_passes() -> None:
    def loops(x: Any, w: Any, param: Any) -> Any:
        out = np.zeros((len(x), w.shape[1]))
        for n in range(len(x)):
            for m in range(w.shape[1]):
                out[n, m] = sum(param["scale"] * x[n, d] * w[d, m] for d in range(x.shape[1]))
        return [out, Cache(x=x, w=w, scale=param["scale"])]

    def from_object(dout: Any, cache: Any) -> Any:
        dx = np.einsum("nm,dm->nd", dout, cache.w) * cache.scale
        return [dx, np.einsum("nm,nd->dm", dout, cache.x) * cache.scale]

    assert failing(forward=loops, backward=from_object) == set()


def test_float64_out_of_float32_is_accepted() -> None:
    def widened(x: Any, w: Any, param: Any) -> Any:
        return forward(x.astype(float), w.astype(float), param)

    assert failing(forward=widened) == set()


@pytest.mark.parametrize("nothing", [None, (None, None), (), 0.0, object(), "out", float("nan")])
def test_no_aspect_is_passed_by_an_answer_that_is_none(nothing: Any) -> None:
    assert failing(forward=lambda *_: nothing) == set(ASPECTS)
    assert failing(backward=lambda *_: nothing) == set(BACKWARD)


def test_no_aspect_is_passed_by_an_object_equal_to_everything() -> None:
    class Agreeable:
        def __eq__(self, other: object) -> bool:
            return True

        def __getattr__(self, name: str) -> Any:
            return self

        def __call__(self, *_: Any) -> Any:
            return self

        def __iter__(self) -> Any:
            return iter((self, self))

        def __len__(self) -> int:
            return 2

        def __array__(self, *_: Any, **__: Any) -> Any:
            return np.zeros(())

    assert failing(forward=lambda *_: Agreeable(), backward=lambda *_: Agreeable()) == set(ASPECTS)
    both = (Agreeable(), Agreeable())
    assert failing(forward=lambda *_: both) == set(ASPECTS)
    assert failing(backward=lambda *_: both) == set(BACKWARD)


def test_a_wrong_forward_with_the_right_cache_does_not_cost_the_backward() -> None:
    def wrong(x: Any, w: Any, param: Any) -> Any:
        out, cache = forward(x, w, param)
        return 1.01 * out, cache

    assert failing(forward=wrong) == {"check_values", "check_batch_of_one", "check_float32"}


def test_one_element_that_is_one_percent_off_is_caught() -> None:
    def nearly(dout: Any, cache: Any) -> Any:
        dx, dw = backward(dout, cache)
        dw[0, 0] *= 1.01
        return dx, dw

    assert failing(backward=nearly) == set(BACKWARD) - {"check_upstream_unchanged"}


def test_only_the_gradients_asked_for_are_checked() -> None:
    def wrong_dw(dout: Any, cache: Any) -> Any:
        dx, dw = backward(dout, cache)
        return dx, 2 * dw

    with student_of(backward=wrong_dw) as student:
        rng = np.random.default_rng(1)
        SCALED.check_gradients(student, REFERENCE, rng, CASES, ["dx"])
        with pytest.raises(CheckFailure) as caught:
            SCALED.check_gradients(student, REFERENCE, rng, CASES, ["dw"])
        assert caught.value.finding.hint == "Sum over the batch."
        assert "dw" in caught.value.finding.headline
        with pytest.raises(CheckFailure) as caught:
            SCALED.check_gradients(student, REFERENCE, rng, CASES, hint="Elsewhere.")
        assert caught.value.finding.hint == "Elsewhere."


def test_a_batch_axis_that_is_squeezed_away_is_caught() -> None:
    def squeezed(x: Any, w: Any, param: Any) -> Any:
        out, cache = forward(x, w, param)
        return out.squeeze(0) if len(x) == 1 else out, cache

    assert failing(forward=squeezed) == {"check_batch_of_one"}

    def squeezed_back(dout: Any, cache: Any) -> Any:
        dx, dw = backward(dout, cache)
        return dx.squeeze(0) if len(dx) == 1 else dx, dw

    assert failing(backward=squeezed_back) == {"check_gradients_batch_of_one"}


def test_half_precision_inside_is_caught_in_float64_only() -> None:
    def single(x: Any, w: Any, param: Any) -> Any:
        return forward(x.astype(np.float32), w.astype(np.float32), param)

    assert "check_values" in failing(forward=single)
    assert "check_float32" not in failing(forward=single)


def test_float32_that_is_cut_to_integers_is_caught() -> None:
    def cut(x: Any, w: Any, param: Any) -> Any:
        out, cache = forward(x, w, param)
        return out.astype(int) if out.dtype == np.float32 else out, cache

    assert failing(forward=cut) == {"check_float32"}


def test_writing_into_an_input_is_caught() -> None:
    def in_place(x: Any, w: Any, param: Any) -> Any:
        copy = x.copy()
        x *= param["scale"]
        return x @ w, (copy, w, param["scale"])

    assert failing(forward=in_place) == {"check_inputs_unchanged"}

    def consumes_param(x: Any, w: Any, param: Any) -> Any:
        scale = param.pop("scale")
        return forward(x, w, {"scale": scale})

    assert failing(forward=consumes_param) == {"check_inputs_unchanged"}


def test_an_argument_that_is_meant_to_change_may() -> None:
    def counting(x: Any, w: Any, param: Any) -> Any:
        param["calls"] = param.get("calls", 0) + 1
        return forward(x, w, param)

    patient = LayerContract("forward", "backward", ("dx", "dw"), draw_scaled, may_change=(2,))
    with student_of(forward=counting) as student:
        assert aspect_fails(SCALED, "check_inputs_unchanged", student, REFERENCE, CASES)
        patient.check_inputs_unchanged(student, REFERENCE, np.random.default_rng(0), CASES)


def test_writing_into_the_upstream_gradient_is_caught() -> None:
    def in_place(dout: Any, cache: Any) -> Any:
        result = backward(dout, cache)
        dout *= 0
        return result

    assert failing(backward=in_place) == {"check_upstream_unchanged"}


@pytest.mark.parametrize("kind", ["latest", "stack", "queue", "buffer"])
def test_a_cache_that_is_shared_between_calls_is_caught(kind: str) -> None:
    kept: list[Any] = []
    buffers: dict[Any, Any] = {}

    def remembering(x: Any, w: Any, param: Any) -> Any:
        out, cache = forward(x, w, param)
        kept.append(cache)
        if kind == "buffer":
            buffer = buffers.setdefault(x.shape, np.zeros(x.shape))
            buffer[:] = x
            return out, (buffer, w, param["scale"])
        return out, ()

    def recalling(dout: Any, cache: Any) -> Any:
        if kind == "buffer":
            return backward(dout, cache)
        return backward(
            dout, {"latest": lambda: kept[-1], "stack": kept.pop}.get(kind, lambda: kept.pop(0))()
        )

    # Each aspect alone, with a global state that is empty at its start, as in a fresh fork of the submission.
    with student_of(forward=remembering, backward=recalling) as student:
        for aspect in BACKWARD:
            kept.clear()
            caught = aspect_fails(SCALED, aspect, student, REFERENCE, CASES)
            assert caught == (aspect == "check_interleaved"), aspect


def test_a_single_gradient_is_returned_bare() -> None:
    relu = types.SimpleNamespace(
        forward=lambda x: (np.maximum(x, 0), x), backward=lambda dout, cache: dout * (cache > 0)
    )
    contract = LayerContract("forward", "backward", ("dx",), lambda rng, shape: (rng.normal(size=shape),))
    for backward_, right in (
        (relu.backward, True),
        (lambda dout, cache: (relu.backward(dout, cache),), False),
    ):
        with student_of(forward=relu.forward, backward=backward_) as student:
            for aspect in BACKWARD:
                reference = Namespace(vars(relu))
                assert aspect_fails(contract, aspect, student, reference, [(4, 3), (2, 3, 2)]) != right


def test_the_reference_may_have_another_name() -> None:
    contract = LayerContract(
        "forward", "backward", ("dx", "dw"), draw_scaled, reference=("quick_forward", "quick_backward")
    )
    reference = Namespace({"quick_forward": forward, "quick_backward": backward})
    with student_of() as student:
        for aspect in ASPECTS:
            assert not aspect_fails(contract, aspect, student, reference, CASES)


# --- optimisers

RULE_ASPECTS = (
    "check_first_step",
    "check_steps",
    "check_defaults",
    "check_settings",
    "check_epsilon",
    "check_default_epsilon",
    "check_learning_rate_between_steps",
    "check_separate_states",
    "check_gradient_unchanged",
    "check_float32",
    "check_zero_gradient",
)


def rmsprop(w: Any, dw: Any, config: Any = None, *, inside: bool = False) -> Any:
    config = {"learning_rate": 1e-2, "decay_rate": 0.99, "epsilon": 1e-8, **(config or {})}
    cache = config.get("cache", np.zeros_like(w))
    cache = config["decay_rate"] * cache + (1 - config["decay_rate"]) * dw * dw
    root = np.sqrt(cache + config["epsilon"]) if inside else np.sqrt(cache) + config["epsilon"]
    return w - config["learning_rate"] * dw / root, {**config, "cache": cache}


def epsilon_inside(w: Any, dw: Any, config: Any = None) -> Any:
    return rmsprop(w, dw, config, inside=True)


RMSPROP = OptimizerContract(
    "rmsprop",
    settings={"learning_rate": 0.3, "decay_rate": 0.8},
    epsilon=2.0,
    accepted=(epsilon_inside,),
    hint="Divide by the root of the running average.",
)
RULES = Namespace({"rmsprop": rmsprop})


def failing_rule(rule: Callable[..., Any], contract: OptimizerContract = RMSPROP) -> set[str]:
    with local_student({"rmsprop": rule}, lambda _: True, seed=0) as student:
        return {aspect for aspect in RULE_ASPECTS if aspect_fails(contract, aspect, student, RULES)}


def test_right_rules_pass_every_aspect() -> None:
    def in_place(w: Any, dw: Any, config: Any = None) -> Any:
        if config is None:
            config = {}
        for name, value in {"learning_rate": 1e-2, "decay_rate": 0.99, "epsilon": 1e-8}.items():
            config.setdefault(name, value)
        config["squares"] = (
            config["decay_rate"] * config.get("squares", 0) + (1 - config["decay_rate"]) * dw**2
        )
        w -= config["learning_rate"] * dw / (config["squares"] ** 0.5 + config["epsilon"])
        return w, config

    assert failing_rule(rmsprop) == set()
    assert failing_rule(in_place) == set()
    assert failing_rule(epsilon_inside) == set()


def test_an_epsilon_inside_the_root_is_a_matter_of_declaring_it() -> None:
    strict = OptimizerContract("rmsprop", RMSPROP.settings, epsilon=2.0)
    # With the usual epsilon and gradients the two cannot be told apart; a large one, or tiny gradients, show
    # where it stands.
    assert failing_rule(epsilon_inside, strict) == {"check_epsilon", "check_default_epsilon"}


@pytest.mark.parametrize("nothing", [None, (None, None), (None, {}), (np.zeros(2), None), (), 1.0])
def test_no_aspect_is_passed_by_a_rule_that_returns_nothing(nothing: Any) -> None:
    assert failing_rule(lambda *_: nothing) == set(RULE_ASPECTS)


def test_a_rule_that_does_not_step_fails_every_aspect() -> None:
    assert failing_rule(lambda w, dw, config=None: (w, config or {})) == set(RULE_ASPECTS)


def test_state_outside_of_the_config_is_caught() -> None:
    state: dict[str, Any] = {}

    def forgetful(w: Any, dw: Any, config: Any = None) -> Any:
        next_w, after = rmsprop(w, dw, {**(config or {}), **state})
        state["cache"] = after.pop("cache")
        return next_w, after

    with local_student({"rmsprop": forgetful}, lambda _: True, seed=0) as student:
        state.clear()
        assert not aspect_fails(RMSPROP, "check_first_step", student, RULES, [(3, 2)])
        state.clear()
        assert not aspect_fails(RMSPROP, "check_steps", student, RULES, [(3, 2)])
        state.clear()
        assert aspect_fails(RMSPROP, "check_separate_states", student, RULES)


def test_what_each_aspect_is_meant_for() -> None:
    def without_state(w: Any, dw: Any, config: Any = None) -> Any:
        return rmsprop(w, dw, {k: v for k, v in (config or {}).items() if k != "cache"})

    assert "check_first_step" not in failing_rule(without_state)
    assert {"check_steps", "check_separate_states", "check_defaults"} <= failing_rule(without_state)

    def other_default(w: Any, dw: Any, config: Any = None) -> Any:
        return rmsprop(w, dw, {"decay_rate": 0.9, **(config or {})})

    assert failing_rule(other_default) == {"check_defaults", "check_settings"}

    def needs_a_config(w: Any, dw: Any, config: Any) -> Any:
        return rmsprop(w, dw, config)

    assert failing_rule(needs_a_config) == {"check_defaults"}

    def fixed_decay(w: Any, dw: Any, config: Any = None) -> Any:
        return rmsprop(w, dw, {**(config or {}), "decay_rate": 0.8})

    assert failing_rule(fixed_decay) == {"check_defaults", "check_settings"}

    def without_epsilon(w: Any, dw: Any, config: Any = None) -> Any:
        with np.errstate(all="ignore"):
            return rmsprop(w, dw, {**(config or {}), "epsilon": 0.0})

    assert failing_rule(without_epsilon) == {"check_epsilon", "check_default_epsilon", "check_zero_gradient"}

    def larger_epsilon(w: Any, dw: Any, config: Any = None) -> Any:
        return rmsprop(w, dw, {"epsilon": 1.5e-8, **(config or {})})

    assert failing_rule(larger_epsilon) == {"check_default_epsilon"}

    def remembers_the_rate(w: Any, dw: Any, config: Any = None) -> Any:
        rate = (config or {}).get("first_rate", (config or {}).get("learning_rate", 1e-2))
        next_w, after = rmsprop(w, dw, {**(config or {}), "learning_rate": rate})
        return next_w, {**after, "first_rate": rate}

    assert failing_rule(remembers_the_rate) == {"check_learning_rate_between_steps"}

    def scribbles(w: Any, dw: Any, config: Any = None) -> Any:
        result = rmsprop(w, dw, config)
        dw *= 0
        return result

    assert failing_rule(scribbles) == {"check_gradient_unchanged"}

    def in_integers(w: Any, dw: Any, config: Any = None) -> Any:
        next_w, after = rmsprop(w, dw, config)
        return (next_w.round() if w.dtype == np.float32 else next_w), after

    assert failing_rule(in_integers) == {"check_float32"}


def test_a_failure_names_the_step_and_says_where_to_look() -> None:
    def drifting(w: Any, dw: Any, config: Any = None) -> Any:
        next_w, after = rmsprop(w, dw, config)
        steps = (config or {}).get("steps", 0) + 1
        return next_w + (0.01 if steps == 3 else 0.0), {**after, "steps": steps}

    with (
        local_student({"rmsprop": drifting}, lambda _: True, seed=0) as student,
        pytest.raises(CheckFailure) as caught,
    ):
        RMSPROP.check_steps(student, RULES, np.random.default_rng(0))
    assert "step 3" in caught.value.finding.headline
    assert caught.value.finding.hint == RMSPROP.hint
