"""A failed accuracy shows which classes are confused, and the images that are hardest."""

from __future__ import annotations

import base64
import importlib.util
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from autograder.checking import CheckFailure, assert_classified
from autograder.checking.pictures import picture
from autograder.checking.rendering import finding_html, panel_text
from autograder.course.results import Finding, Picture, TestResult

_spec = importlib.util.spec_from_file_location("html_outline", Path(__file__).with_name("html_outline.py"))
assert _spec is not None and _spec.loader is not None
html_outline = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(html_outline)

CLASSES = ["apple", "banana", "orange"]
LABELS = np.repeat([0, 1, 2], 10)
IMAGES = np.linspace(0, 1, 30)[:, None, None, None] * np.ones((30, 3, 8, 8))


def failed(predictions: Any, **more: Any) -> Finding:
    with pytest.raises(CheckFailure) as failure:
        assert_classified(predictions, LABELS, 0.9, classes=CLASSES, images=IMAGES, **more)
    return failure.value.finding


def decoded(image: Picture) -> Any:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(image.png))))


def assert_inert_but_for_pictures(html: str) -> None:
    """Images lie in the page itself; all else neither runs nor loads anything."""
    inside = re.sub(
        r'<img alt="[^"<>]*" src="data:image/png;base64,[A-Za-z0-9+/=]*" style="[^"<>]*">', "", html
    )
    assert inside.count("<img") == 0 < html.count("<img")
    html_outline.assert_inert(html_outline.Outline(inside))


def confused() -> Any:
    predictions = LABELS.copy()
    predictions[[0, 1, 2, 3]] = 1
    predictions[25] = 0
    return predictions


def test_what_is_good_enough_passes() -> None:
    predictions = LABELS.copy()
    predictions[0] = 2
    reached = assert_classified(predictions, LABELS, 0.9, classes=CLASSES, images=IMAGES)
    assert reached == pytest.approx(29 / 30)


def test_a_failure_names_the_confusions() -> None:
    finding = failed(confused(), hint="Train longer.")
    assert finding.headline == "The accuracy is 83.3%; at least 90.0% was expected."
    assert finding.got.splitlines() == [
        "apple   60% right, taken for banana: 4",
        "banana 100% right",
        "orange  90% right, taken for apple: 1",
    ]
    assert finding.where == "apple is taken for banana 4 times"
    assert finding.error_map == [[0, 4, 0], [0, 0, 0], [1, 0, 0]]
    assert finding.error_map_axes == ("true class", "predicted class")
    assert finding.hint == "Train longer."
    html = finding_html(finding)
    assert "images confused" in html and "|got" not in html
    assert_inert_but_for_pictures(html)


def test_the_surest_errors_come_first() -> None:
    confidence = np.linspace(0.3, 0.9, 30)
    confidence[2] = 0.99
    finding = failed(confused(), confidence=confidence)
    assert [image.caption for image in finding.pictures][:2] == [
        "apple, taken for banana (99%)",
        "orange, taken for apple (82%)",
    ]
    assert np.array_equal(decoded(finding.pictures[0]), np.rint(IMAGES[2].transpose(1, 2, 0) * 255))
    assert "apple, taken for banana (99%)" in finding_html(finding)
    result = TestResult(name="t", says="It is right.", outcome="failed", finding=finding)
    assert "orange, taken for apple (82%)" in panel_text("q", [result], 0.1)


@pytest.mark.parametrize(
    "said", [np.full(30, np.nan), np.full(30, 1e308), np.ones(3), "sure", [0.5] * 30, np.arange(30)]
)
def test_what_a_submission_says_of_its_confidence_breaks_nothing(said: Any) -> None:
    finding = failed(confused(), confidence=said)
    assert len(finding.pictures) == 5
    assert all(len(image.caption) < 60 for image in finding.pictures)


def test_no_more_than_eight_are_shown() -> None:
    assert len(failed(np.zeros(30, np.int64)).pictures) == 8


@pytest.mark.parametrize("nonsense", [np.full(30, 7), np.full(30, -1), np.full(30, 2**62)])
def test_classes_that_are_none(nonsense: Any) -> None:
    finding = failed(nonsense)
    assert "30 predictions are not between 0 and 2" in finding.got
    assert finding.pictures == []


@pytest.mark.parametrize("nonsense", [None, "apple", np.zeros((30, 3)), np.zeros(29), np.full(30, 0.5), []])
def test_what_is_no_array_of_classes_is_told_as_by_assert_accuracy(nonsense: Any) -> None:
    finding = failed(nonsense)
    assert finding.pictures == [] and finding.error_map is None


def test_pictures_of_any_kind_are_small_files() -> None:
    rng = np.random.default_rng(0)
    grey, large = rng.random((5, 7)), rng.random((3, 200, 128))
    assert decoded(picture(grey, "")).shape == (5, 7)
    assert decoded(picture(large, "")).shape == (50, 32, 3)
    noise = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    assert np.array_equal(decoded(picture(noise, "")), noise)
    assert np.array_equal(decoded(picture(noise[:32], "")), noise[:32])
    for wrong in (np.zeros(3), np.zeros((2, 2, 2)), np.zeros((0, 4))):
        with pytest.raises(ValueError, match="is no image"):
            picture(wrong, "")


def test_only_plain_base64_is_a_picture() -> None:
    for wrong in ('"><script>', "data:", "A" * 24_001):
        with pytest.raises(ValidationError):
            Picture(png=wrong, caption="")
    hostile = [Picture(png="QQ==", caption=text) for text in html_outline.HOSTILE]
    assert_inert_but_for_pictures(finding_html(Finding(headline="x", pictures=hostile)))
