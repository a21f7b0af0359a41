"""Speed beside the reference: how often it is measured, and what settles it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from autograder.checking import plugin
from autograder.checking.failure import CheckFailure
from autograder.checking.plugin import Budget


class Clock:
    """Stands for the module `time`: what a function takes is what it says."""

    def __init__(self) -> None:
        self.wall = self.computed = 0.0
        self.calls: dict[str, int] = {"fast": 0, "slow": 0}

    def perf_counter(self) -> float:
        return self.wall

    def thread_time(self) -> float:
        return self.computed

    def function(self, name: str, *, wall: float, computes: float) -> Callable[[], None]:
        def call() -> None:
            self.calls[name] += 1
            self.wall += wall
            self.computed += computes

        return call


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(plugin, "time", clock)
    return clock


def test_what_the_slow_one_computes_settles_it_at_once(clock: Clock) -> None:
    fast = clock.function("fast", wall=0.01, computes=0)  # in another process
    slow = clock.function("slow", wall=0.06, computes=0.05)
    Budget().assert_faster(fast, slow, 3, what="f")
    assert clock.calls == {"fast": 1, "slow": 1}


def test_one_that_computes_hardly_long_enough_is_measured_again(clock: Clock) -> None:
    fast = clock.function("fast", wall=0.01, computes=0)
    slow = clock.function("slow", wall=0.06, computes=0.04)
    Budget().assert_faster(fast, slow, 3, what="f")
    assert clock.calls == {"fast": 3, "slow": 3}


def test_a_slow_one_that_had_to_wait_gives_nobody_points(clock: Clock) -> None:
    fast = clock.function("fast", wall=0.01, computes=0)
    slow = clock.function("slow", wall=1.0, computes=0.01)  # as much work: it was kept from the processor
    with pytest.raises(CheckFailure, match="f is not fast enough"):
        Budget().assert_faster(fast, slow, 3, what="f")
    assert clock.calls == {"fast": 8, "slow": 8}


def test_an_answer_as_slow_as_the_slow_one_fails_after_all_rounds(clock: Clock) -> None:
    fast = clock.function("fast", wall=0.05, computes=0.05)
    slow = clock.function("slow", wall=0.05, computes=0.05)
    with pytest.raises(CheckFailure, match=r"f is not fast enough: 1\.0 times") as caught:
        Budget().assert_faster(fast, slow, 3, what="f", rounds=4)
    assert clock.calls == {"fast": 4, "slow": 4}
    assert "at least 3 times was expected" in str(caught.value)
