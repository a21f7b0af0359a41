"""Reads a page or a fragment as a browser would: is it well formed, does it run or load anything?"""

from __future__ import annotations

import re
from html.parser import HTMLParser

VOID = {"meta", "br", "img", "link"}
HOSTILE = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)><a href='javascript:alert(1)'>",
    "</div></details></svg></body>",
    "{{ 7 * 7 }}{% raw %}",
    "`<b>`onmouseover=`",
    "\x1b[31mred\x1b[0m \x1b]8;;http://evil.example\x07link\x1b]8;;\x07",
    "admin\u202egnp.exe \u2066 \x00 \x08\x08\x08 \ud800 \u200b",
    "&lt;b&gt; &#x3c;script&#x3e;",
]


class Outline(HTMLParser):
    """The tags of a document, checked for balance; its text; what it could load or run."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert not self._open, f"never closed: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs), (
            f"an attribute twice in {self.get_starttag_text()}"
        )
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self._open and self._open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def assert_inert(outline: Outline) -> None:
    """Nothing in the document runs, loads or leads anywhere."""
    assert not {"script", "iframe", "object", "embed", "link", "img", "form", "base"} & set(outline.tags)
    for tag, name, value in outline.attributes:
        assert not name.startswith("on"), (tag, name)
        assert name not in ("src", "srcset", "action", "xlink:href", "background"), (tag, name)
        if name == "href":
            assert not re.match(r"[a-z]+:|//|/", value, re.IGNORECASE), value
        if name == "style":
            assert "url(" not in value and "@import" not in value and "expression" not in value
