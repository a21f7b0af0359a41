"""The data sets of text: generated tales, and the speeches they stand in for."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from autograder.datasets import DatasetDamaged, DatasetError, DatasetMissing, load_dataset


@pytest.fixture(autouse=True)
def empty_root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Keep the tests away from whatever data this machine has."""
    root = tmp_path / "data"
    monkeypatch.setenv("AUTOGRADER_DATA", str(root))
    return root


def test_tales_are_the_same_on_every_machine() -> None:
    tales = load_dataset("tales", num_train=3, num_test=2)
    assert tales.embedded and tales.classes == ("ends badly", "ends well")
    assert tales.y_train.tolist() == [0, 1, 0] and tales.y_test.tolist() == [0, 1]
    assert tales.x_train.dtype.kind == "U" and tales.x_test.shape == (2,)
    assert str(tales.x_test[0]).startswith(
        "Felix was a poor baker who lived at the end of the lane. He kneaded"
    )
    longer = load_dataset("tales", num_train=10, num_test=0)
    assert longer.x_train[:3].tolist() == tales.x_train.tolist()
    assert load_dataset("tales", num_train=3, seed=1).x_train.tolist() != tales.x_train.tolist()


def test_what_belongs_together_in_a_tale_agrees() -> None:
    tales = load_dataset("tales", num_train=300, num_test=0)
    for text, well in zip(tales.x_train, tales.y_train, strict=True):
        found = re.search(r"sold (\w+) (\w+) in the morning and (\w+) in the evening, (\w+) in all", text)
        if found:
            words = ["no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
            words += ["eleven", "twelve"]
            first, second, total = (words.index(found.group(i)) for i in (1, 3, 4))
            assert first + second == total
        good = re.search(r"\b(glad|proud|thankful|happy|merry)\b", text)
        assert bool(good) == bool(well)
        assert 5 <= text.count(". ") <= 7 and text.endswith(".")


@pytest.mark.parametrize("options", [{"num_train": -1}, {"num_test": True}, {"seed": -1}, {"seed": "x"}])
def test_tales_take_whole_numbers(options: dict[str, object]) -> None:
    with pytest.raises(DatasetError, match="must be a whole number"):
        load_dataset("tales", **options)


def write_speeches(root: Path, text: bytes) -> None:
    (root / "text").mkdir(parents=True, exist_ok=True)
    (root / "text" / "sotu.txt").write_bytes(text)


def test_speeches_in_the_order_of_their_years(empty_root: Path) -> None:
    with pytest.raises(DatasetMissing, match="sotu"):
        load_dataset("speeches")
    years = [1900 - i for i in range(21)]
    write_speeches(empty_root, "".join(f"== {y}_a_b_n\nOf  {y}.\nEnd.\n" for y in years).encode())
    speeches = load_dataset("speeches")
    assert not speeches.embedded
    assert speeches.y_test.tolist() == [1889, 1899] and len(speeches.x_train) == 19
    assert speeches.x_train[0] == "Of 1880. End." and speeches.y_train[0] == 1880
    assert np.all(np.diff(speeches.y_train) > 0)
    assert len(load_dataset("speeches", num_train=2).x_train) == 2


@pytest.mark.parametrize("text", [b"", b"no header", b"== year_a_b\ntext", b"== 1900_a\n\xff"])
def test_damaged_speeches_are_named(empty_root: Path, text: bytes) -> None:
    write_speeches(empty_root, text)
    with pytest.raises(DatasetDamaged, match=r"sotu\.txt"):
        load_dataset("speeches")
