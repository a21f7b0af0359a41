"""The panel of `check` and the fragments of a feedback page: wording, safety, structure, the heat map."""

from __future__ import annotations

import importlib.util
import math
import re
import time
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from autograder.checking import rendering
from autograder.checking.heatmap import SHADES, error_map_svg
from autograder.checking.rendering import OUTCOMES, panel_html, panel_text
from autograder.checking.safetext import MAX_CHARS, MAX_LINES, one_line, safe_text
from autograder.course.results import Finding, Outcome, TestResult

_spec = importlib.util.spec_from_file_location("html_outline", Path(__file__).with_name("html_outline.py"))
assert _spec is not None and _spec.loader is not None
html_outline = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(html_outline)
HOSTILE, Outline, assert_inert = html_outline.HOSTILE, html_outline.Outline, html_outline.assert_inert


def result(outcome: Outcome = "failed", **what: Any) -> TestResult:
    return TestResult(**{"name": "test_values", "says": "The values are right.", "outcome": outcome, **what})


def full_finding(text: str = "words") -> Finding:
    return Finding(
        headline=text, call=text, expected=text, got=text, where=text, hint=text,
        error_map=[[0.0, 1.0], [0.5, None]], error_map_axes=(text, text),
    )  # fmt: skip


def every_kind(text: str = "words") -> list[TestResult]:
    """A result of each outcome with the text in every field that a submission can reach."""
    kinds = [
        result(
            outcome, message=text, finding=finding, diagnosis=text if outcome != "passed" else None, says=text
        )
        for outcome in get_args(Outcome)
        for finding in (None, full_finding(text))
    ]
    return [*kinds, result("error", message="NotImplementedError")]


def test_every_outcome_has_its_wording() -> None:
    assert set(OUTCOMES) == {*get_args(Outcome), "unwritten"}
    for outcome in get_args(Outcome):
        html = Outline(rendering.test_html(result(outcome))).text
        assert "The values are right." in html
        assert OUTCOMES[outcome].sentence in html
        assert OUTCOMES[outcome].advice in html


@pytest.mark.parametrize("style", OUTCOMES.values(), ids=lambda style: style.name)
def test_a_mark_is_legible(style: rendering.OutcomeStyle) -> None:
    # WCAG 2.1: relative luminance, and 4.5 to 1 for text.
    channels = [int(style.colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    assert 1.05 / (0.2126 * red + 0.7152 * green + 0.0722 * blue + 0.05) >= 4.5


def test_a_failure_shows_all_that_its_finding_holds() -> None:
    finding = Finding(
        headline="dx is wrong in 3 of 12 elements.",
        call="f(x = float64 array (3, 4))",
        expected="1.5",
        got="-2.5",
        where="worst at [2, 1]: 1.5 was expected, -2.5 came",
        hint="Look at the sign of `dout`.",
        error_map=[[0.0, 4.0]],
    )
    text = Outline(rendering.test_html(result(finding=finding, diagnosis="The sign is flipped."))).text
    for part in (
        finding.headline,
        finding.call,
        "expected 1.5",
        "got -2.5",
        finding.where,
        "Look at the sign of dout .",
        "This looks like a known mistake: The sign is flipped.",
    ):
        assert part in text
    assert "<svg" in rendering.finding_html(finding)
    assert finding.headline in Outline(rendering.finding_html(finding)).text


def test_the_headline_is_said_once() -> None:
    finding = Finding(headline="dx is wrong.")
    for message in ("dx is wrong.", "dx is wrong.\nexpected 1, got 2", ""):
        assert rendering.test_html(result(message=message, finding=finding)).count("dx is wrong.") == 1


def test_an_exception_keeps_its_lines() -> None:
    message = "ValueError: shapes differ\n\n  in cell 3, line 2"
    html = rendering.test_html(result("error", message=message))
    assert message in html  # blank line and indentation included
    assert OUTCOMES["error"].sentence in html


def test_a_passed_test_is_one_line() -> None:
    html = rendering.test_html(result("passed", message="noise", finding=full_finding("noise")))
    assert "noise" not in html and "The values are right." in html


@pytest.mark.parametrize(
    "message", ["NotImplementedError", "conv_forward is not written yet.", "raised NotImplementedError: "]
)
def test_a_stub_is_not_written_yet_and_not_red(message: str) -> None:
    stubs = [result("error", message=message), result("error", finding=Finding(headline=message))]
    html = panel_html("conv_forward", stubs, 0.1)
    assert "conv_forward is not written yet" in Outline(html).text
    assert OUTCOMES["failed"].colour not in html and "The values are right." not in html
    assert "is not written yet" in panel_text("conv_forward", stubs, 0.1)
    # Only an exception is a stub: a wrong answer that speaks of one is a wrong answer.
    assert rendering.state_of(result("failed", message=message)) == "failed"


def test_a_test_that_waits_for_another_function_says_so() -> None:
    waiting = [result("error", message="conv_forward is not written yet.")]
    assert "waits for conv_forward" in panel_text("three_layer_convnet", waiting, 0.1)
    own = [result("error", message="ThreeLayerConvNet.loss is not written yet.")]
    assert "three_layer_convnet is not written yet" in panel_text("three_layer_convnet", own, 0.1)


def test_the_panel_counts_and_opens_the_first_failure() -> None:
    results = [
        result("passed"),
        result("failed"),
        result("timeout"),
        result("error", message="NotImplementedError"),
    ]
    html = panel_html("conv_forward", results, 0.214)
    assert "conv_forward passes 1 of 4 checks" in Outline(html).text and "0.21 s" in html
    opened = [("open" in tag) for tag in re.findall(r"<details[^>]*>", html)]
    assert opened == [True, False]
    assert "passes all 2 checks" in panel_text("f", [result("passed")] * 2, 0.0)
    assert "passes its only check" in panel_text("f", [result("passed")], 0.0)
    assert "tell your instructor" in panel_text("f", [], 0.0)


def test_what_is_not_graded_is_no_failure_of_the_student() -> None:
    html = panel_html("f", [result("not_gradable", message="The data set is missing.")], 0.1)
    assert OUTCOMES["failed"].colour not in html
    assert "tell your instructor" in html and "The data set is missing." in html


def test_panel_and_text_use_the_same_words() -> None:
    results = [result(outcome, finding=full_finding(f"{outcome} words")) for outcome in get_args(Outcome)]
    panel = Outline(panel_html("f", results, 1.0))
    labels = [value for _, name, value in panel.attributes if name == "aria-label"]
    words = " ".join([panel.text, *labels]).replace(" ", "")
    for line in panel_text("f", results, 1.0).split("\n"):
        line = re.sub(r"^[ ✓✗?–]+", "", line)
        for part in re.split(r": | \(| {2,}", line):
            assert part.rstrip(")").replace(" ", "") in words, line


def test_text_is_coloured_only_on_request() -> None:
    results = every_kind("\x1b[5mblink")
    assert "\x1b" not in panel_text("f", results, 0.1)
    coloured = panel_text("f", results, 0.1, colour=True)
    assert "\x1b[31m✗" in coloured and "\x1b[32m✓" in coloured and "\x1b[5m" not in coloured


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_changes_the_structure_or_acts(text: str) -> None:
    harmless, hostile = (Outline(panel_html("f", every_kind(given), 0.1)) for given in ("words", text))
    # `code` between backticks is the one thing that adds a tag, and only its own.
    assert [tag for tag in hostile.tags if tag != "span"] == [tag for tag in harmless.tags if tag != "span"]
    assert_inert(hostile)
    shown = hostile.text
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u202a-\u202e\u2066-\u2069\ud800-\udfff]", shown)
    shown.encode()
    assert "49" not in shown
    Outline(panel_html(text, [], 0.1))
    assert_inert(Outline(rendering.finding_html(full_finding(text))))


def test_huge_text_is_bounded() -> None:
    huge = "<b>" * 1_000_000
    start = time.process_time()
    html = rendering.test_html(
        result("error", message=huge, finding=full_finding(huge), says=huge, diagnosis=huge)
    )
    assert len(html) < 250_000 and time.process_time() - start < 2
    assert len(panel_text(huge, [result("error", finding=full_finding("x\n" * 100_000))], 0.1)) < 10_000


def test_safe_text_cuts_and_says_so() -> None:
    assert safe_text("plain\ttext\n") == "plain\ttext\n"
    assert safe_text("a\r\nb\rc") == "a\nb\nc"
    cut = safe_text("x" * (MAX_CHARS + 1))
    assert cut.startswith("x" * MAX_CHARS + "\n…") and "4,001 characters" in cut
    many = safe_text("\n".join(map(str, range(MAX_LINES + 10)))).split("\n")
    assert many == [*map(str, range(MAX_LINES)), "…"]
    assert len(one_line("word " * 1000, 50)) == 50


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07x", "x"),
        ("\x1bP payload \x1b\\x", "x"),
        ("\x9b31mx", "x"),
        ("a\x00b", "a⟨U+0000⟩b"),
        ("user\u202etxt", "user⟨U+202E⟩txt"),
        ("\ud800", "⟨U+D800⟩"),
        ("a\u2028b", "a\nb"),
        ("naïve 学生 שלום \u0646\u200c\u0627 👩\u200d🔬", "naïve 学生 שלום \u0646\u200c\u0627 👩\u200d🔬"),
        ("e" + "\u0301" * 50, "e" + "\u0301" * 3),
    ],
)
def test_safe_text_shows_what_would_act(given: str, shown: str) -> None:
    assert safe_text(given) == shown


def drawn(svg: str) -> tuple[dict[tuple[int, int], int], set[tuple[int, int]]]:
    """The shades of an SVG's painted cells, and the cells marked as not finite."""
    shades: dict[tuple[int, int], int] = {}
    broken: set[tuple[int, int]] = set()
    for kind, path in re.findall(r'<path class="([\w-]+)"[^>]* d="([^"]*)"', svg):
        for x, y in re.findall(r"M(\d+) (\d+)h1v1h-1z", path):
            cell = (int(y), int(x))
            assert cell not in shades and cell not in broken
            if kind == "not-finite":
                broken.add(cell)
            else:
                shades[cell] = int(kind.removeprefix("shade-"))
    return shades, broken


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (7, 5), (5, 31), (32, 32)])
def test_the_cells_of_a_heat_map_are_the_error_map(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(shape[0] * 100 + shape[1])
    errors = rng.exponential(size=shape) * (rng.random(shape) < 0.7)
    errors[rng.random(shape) < 0.1] = np.nan
    errors[-1, -1] = 12.5
    values = [[None if math.isnan(value) else float(value) for value in row] for row in errors]
    svg = str(error_map_svg(values, ("height", "width")))
    shades, broken = drawn(svg)
    assert broken == {(int(i), int(j)) for i, j in np.argwhere(np.isnan(errors))}
    for (i, j), error in np.ndenumerate(errors):
        if error == 0:
            assert (i, j) not in shades
        elif not math.isnan(error):
            assert shades[i, j] == pytest.approx(SHADES * error / 12.5, abs=1), (i, j)
    assert shades[shape[0] - 1, shape[1] - 1] == SHADES
    outline = Outline(svg)
    assert "height" in outline.text and "width" in outline.text and "12.5" in outline.text
    assert ("NaN or infinite" in outline.text) == bool(broken)
    assert len(svg) < 25_000


def test_the_worst_cell_is_framed() -> None:
    values = [[0.0] * 6 for _ in range(4)]
    values[3][2], values[0][0] = 2.0, 1.0
    svg = str(error_map_svg(values))
    left, top, cell = map(float, re.search(r"translate\((\d+) (\d+)\) scale\((\d+)\)", svg).groups())  # type: ignore[union-attr]
    x, y = map(float, re.search(r'class="worst" x="([\d.]+)" y="([\d.]+)"', svg).groups())  # type: ignore[union-attr]
    assert (x + 0.5 - left, y + 0.5 - top) == (2 * cell, 3 * cell)
    assert "at [3, 2]" in svg


def test_rounding_noise_is_not_painted_and_one_percent_is() -> None:
    shades, _ = drawn(str(error_map_svg([[1.0, 0.01, 1e-12]])))
    assert shades == {(0, 0): SHADES, (0, 1): 1}


def test_indices_stand_at_the_axes_unless_the_map_may_be_reduced() -> None:
    def labels(shape: tuple[int, int], axes: tuple[str, str]) -> list[str]:
        svg = str(error_map_svg([[1.0] * shape[1]] * shape[0], axes))
        return re.findall(r">(\d+)</text>", svg)[:-2]  # the last two are the scale's

    assert labels((7, 5), ("axis 2", "axis 3")) == ["0", "4", "0", "6"]
    assert labels((32, 5), ("axis 2", "axis 3")) == ["0", "4"]
    assert labels((1, 5), ("", "axis 0")) == ["0", "4"]


@pytest.mark.parametrize("side", [1, 2, 5, 11, 17, 31, 32])
def test_a_heat_map_fits_a_phone_unscaled(side: int) -> None:
    for shape in ((side, side), (side, 32), (32, side)):
        svg = str(error_map_svg([[1.0, *[None] * (shape[1] - 1)]] * shape[0], ("n" * 99, "n" * 99)))
        width, height = map(float, re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg).groups())  # type: ignore[union-attr]
        assert width <= 290 and height <= 340
        cell = float(re.search(r"scale\((\d+)\)", svg)[1])  # type: ignore[index]
        assert cell >= 7


@pytest.mark.parametrize(
    "values", [None, [], [[]], [[0.0, 0.0]], [[1.0], [1.0, 2.0]], [[1.0] * 33], [[1.0]] * 33]
)
def test_no_picture_where_there_is_nothing_to_see(values: Any) -> None:
    assert error_map_svg(values) == ""


def test_a_panel_fits_the_budget_of_check() -> None:
    rng = np.random.default_rng(0)
    finding = full_finding().model_copy(update={"error_map": rng.random((32, 32)).tolist()})
    results = [result(finding=finding)] * 5
    seconds = []
    for _ in range(5):
        start = time.process_time()
        panel_html("f", results, 0.1)
        seconds.append(time.process_time() - start)
    # check() has 100 ms warm for everything; five large heat maps take about 5 ms on a laptop.
    assert min(seconds) < 0.05
