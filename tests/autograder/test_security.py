"""docs/security.md promises nothing that no test shows."""

from __future__ import annotations

import re
from pathlib import Path

from attacks.bank import BANK

HERE = Path(__file__).parent
TEXT = (HERE.parents[1] / "docs" / "security.md").read_text(encoding="utf-8")
PROMISES = TEXT.partition("## Who attacks")[2].partition("## Measured")[0]


def paragraphs() -> list[str]:
    """The items and paragraphs of the part that promises something."""
    blocks = re.split(r"\n(?=- )|\n\n", PROMISES.partition("\n")[2])
    return [" ".join(block.split()) for block in blocks if block.strip() and not block.startswith("## ")]


def test_every_promise_names_what_shows_it() -> None:
    tests = {
        name
        for path in HERE.glob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", path.read_text(), re.M)
    }
    attacks = {f"attack {attack.name}" for attack in BANK}
    assert len(paragraphs()) > 20
    for paragraph in paragraphs():
        found = re.search(r"\[([^\]]+)\]$", paragraph)
        assert found is not None, f"nothing shows that: {paragraph}"
        unknown = set(found[1].split(", ")) - tests - attacks
        assert not unknown, (paragraph, unknown)


def test_a_promise_without_a_test_would_be_noticed() -> None:
    named = {
        name for paragraph in paragraphs() for name in re.findall(r"attack [a-z0-9-]+|test_\w+", paragraph)
    }
    assert len(named) > 60
    groups = {attack.group for attack in BANK if f"attack {attack.name}" in named}
    assert groups == {"read", "forge", "execute", "exhaust", "escape", "cheat"}
