"""Text that a submission had a hand in, made fit for a screen: bounded, and with nothing in it that acts.

Escaping for HTML is the template's business (autoescape); this module takes care of what escaping leaves
alone: terminal escape sequences, control characters, characters that reverse the reading direction, and sheer
size.
"""

from __future__ import annotations

import re
import unicodedata

MAX_CHARS = 4000
MAX_LINES = 40
# More than three combining marks on one letter is no language; stacks of them paint over the lines around.
MAX_COMBINING = 3

# ECMA-48: CSI sequences (colours, cursor), OSC/DCS/APC/PM/SOS strings up to their terminator, and
# two-character escapes.
_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"
    r"|\x1b[ -/]*[0-~]"
)
_PLAIN = re.compile(r"[\t\n -~]*")
# Joiners are invisible too, but Persian, Hindi and emoji are spelt with them.
_JOINERS = frozenset("\u200c\u200d")
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn"})


def safe_text(text: str, max_chars: int = MAX_CHARS, max_lines: int = MAX_LINES) -> str:
    """`text` in visible characters only, at most `max_chars` characters and `max_lines` lines of it.

    Escape sequences are dropped; any other control, format (bidi override), surrogate or unassigned character
    is shown as its code point, `⟨U+202E⟩`. Where the end is cut off, the last line says so.
    """
    total = len(text)
    # Cut before cleaning, so that cleaning a gigabyte costs nothing; cut again after, for code points take
    # more room.
    text = _ESCAPES.sub("", text[: 2 * max_chars].replace("\r\n", "\n").replace("\r", "\n"))
    if not _PLAIN.fullmatch(text):
        text = _visible(text)
    lines = text.split("\n")
    if len(text) <= max_chars and len(lines) <= max_lines and total <= 2 * max_chars:
        return text
    kept = "\n".join(lines[:max_lines])[:max_chars].rstrip()
    return f"{kept}\n…" + (f" (cut: {total:,} characters in all)" if total > max_chars else "")


def one_line(text: str, max_chars: int = 200) -> str:
    """`text` made safe as in `safe_text`, on one line, cut with an ellipsis."""
    text = " ".join(safe_text(text[: 4 * max_chars]).split())
    return text if len(text) <= max_chars else text[: max_chars - 1].rstrip() + "…"


def _visible(text: str) -> str:
    shown: list[str] = []
    combining = 0
    for char in text:
        category = unicodedata.category(char)
        combining = combining + 1 if category in ("Mn", "Me") else 0
        if combining > MAX_COMBINING:
            continue
        if char in "\n\t" or char in _JOINERS:
            shown.append(char)
        elif category in ("Zl", "Zp"):
            shown.append("\n")
        elif category in _INVISIBLE:
            shown.append(f"⟨U+{ord(char):04X}⟩")
        else:
            shown.append(char)
    return "".join(shown)
