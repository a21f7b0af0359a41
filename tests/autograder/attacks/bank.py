"""All attacks."""

from __future__ import annotations

from attacks import cheat, escape, execute, exhaust, forge, read
from attacks.model import Attack

BANK: list[Attack] = [
    *read.ATTACKS, *forge.ATTACKS, *execute.ATTACKS, *exhaust.ATTACKS, *escape.ATTACKS, *cheat.ATTACKS,
]  # fmt: skip
assert len({attack.name for attack in BANK}) == len(BANK)


def chosen(text: str) -> list[Attack]:
    """Those whose name or group holds `text`."""
    return [attack for attack in BANK if text in attack.name or text == attack.group]
