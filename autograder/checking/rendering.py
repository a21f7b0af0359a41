"""How a result looks: the panel of `check("...")`, and the same results as fragments of a feedback page.

Pure functions from `autograder.course.results` to HTML (inline styles, no script, nothing loaded from
anywhere) and to plain text. One table, `OUTCOMES`, fixes the wording of a verdict for the notebook, the
terminal and the pages. Whatever a submission may have written (messages, names, reprs) is bounded, cleaned
and escaped here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from autograder.checking.heatmap import error_map_svg
from autograder.checking.safetext import one_line, safe_text
from autograder.course.results import Finding, TestResult

MAX_PICTURES = 12

State = Literal["passed", "failed", "error", "timeout", "crashed", "not_gradable", "unwritten"]


@dataclass(frozen=True)
class OutcomeStyle:
    """How one verdict is named and marked."""

    name: State
    label: str
    mark: str
    colour: str
    """Background of the mark, under white text: at least 4.5 to 1."""
    ansi: str
    sentence: str = ""
    """Said when the result itself says nothing."""
    advice: str = ""
    """What to do, when the finding gives no hint."""


OUTCOMES: dict[State, OutcomeStyle] = {
    style.name: style
    for style in (
        OutcomeStyle("passed", "passed", "✓", "#1a7f4b", "32"),
        OutcomeStyle("failed", "failed", "✗", "#c2392f", "31", "The result is not the one expected."),
        OutcomeStyle("error", "raised an exception", "✗", "#c2392f", "31", "Your code raised an exception."),
        OutcomeStyle(
            "timeout",
            "took too long",
            "✗",
            "#c2392f",
            "31",
            "Your code did not finish in time.",
            "Look for a loop that never ends, or for Python loops where one array operation would do.",
        ),
        OutcomeStyle(
            "crashed",
            "your code stopped",
            "✗",
            "#c2392f",
            "31",
            "The process that ran your code ended before it answered.",
            "Look for an array far larger than intended, or for a call that ends the program.",
        ),
        OutcomeStyle(
            "not_gradable",
            "not graded",
            "?",
            "#8a6100",
            "33",
            "This check could not be run.",
            "Not your fault, as far as we can see: tell your instructor.",
        ),
        OutcomeStyle("unwritten", "not written yet", "–", "#5b6b7f", "2"),
    )
}


DIAGNOSIS_LEAD = {"mistake": "This looks like a known mistake:", "family": "What the numbers show:"}


_UNWRITTEN = re.compile(r"([\w.]{1,80}) is not written yet|\bNotImplementedError\b")


def state_of(result: TestResult) -> State:
    """The outcome, with one more state: a stub that still raises NotImplementedError is not written yet."""
    return "unwritten" if result.outcome == "error" and _unwritten(result) else result.outcome


def _unwritten(result: TestResult) -> re.Match[str] | None:
    headline = result.finding.headline if result.finding else ""
    return _UNWRITTEN.search(f"{headline[:2000]} {result.message[:2000]}")


def says(result: TestResult) -> str:
    """The sentence a student reads about a test; made from the test's name when its author wrote none."""
    return one_line(result.says or result.name.removeprefix("test_").replace("_", " ") or "a check", 300)


def finding_html(finding: Finding) -> str:
    """What a failed test has to say, as an HTML fragment."""
    return _fragment("finding", finding)


def test_html(result: TestResult, note: str = "", question: str = "") -> str:
    """One test as an HTML fragment: a line when it passed, a card with the reason when it did not.

    `note` is shown at the right end of the first line. `question`: the question it belongs to, so that a test
    which waits for another function can say so.
    """
    return _fragment("test", _view(result, question), note)


def panel_html(question: str, results: Sequence[TestResult], seconds: float) -> str:
    """The panel of `check(question)`: what passed and what did not; the first failure is open."""
    return _fragment("panel", _panel(question, results, seconds))


def panel_text(question: str, results: Sequence[TestResult], seconds: float, *, colour: bool = False) -> str:
    """The panel as plain text, for a terminal and for a notebook without HTML; the wording is `panel_html`'s.

    `colour`: mark the verdicts with ANSI colours.
    """
    panel = _panel(question, results, seconds)
    lines = [
        _tinted(panel["style"], panel["style"].mark, colour) + f" {panel['question']} {panel['summary']}"
    ]
    lines[0] += f" ({panel['took']})"
    for view in panel["tests"]:
        style: OutcomeStyle = view["style"]
        verdict = _tinted(style, f"{style.mark} {view['label'] or style.label}", colour)
        lines.append(f"  {verdict}: {view['says']}")
        lines += (f"      {line}" for line in _detail_lines(view))
    if panel["advice"]:
        lines.append(f"  {panel['advice']}")
    return "\n".join(lines)


def prose(text: str) -> Markup:
    """A sentence for HTML: cleaned, escaped, and `code` between backticks set as code."""
    return Markup(
        re.sub(
            r"`([^`\n]{1,120})`",
            r'<span style="font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;font-size:.93em">'
            r"\1</span>",
            str(escape(safe_text(text, max_lines=12))),
        )
    )


def _view(result: TestResult, question: str = "") -> dict[str, Any]:
    """What the templates and the text show of one result, without the parts that would repeat each other."""
    state = state_of(result)
    style = OUTCOMES[state]
    view: dict[str, Any] = {
        "style": style,
        "says": says(result),
        "label": "" if state == "passed" else style.label,
        "waits_for": "",
        "lead": "",
        "block": "",
        "diagnosis": "",
        "diagnosis_lead": DIAGNOSIS_LEAD["family" if result.family else "mistake"],
        "finding": None,
        "advice": "",
        "folded": None,
        "has_details": state not in ("passed", "unwritten"),
    }
    if state == "unwritten" and (match := _unwritten(result)) and match[1]:
        view["waits_for"] = "" if _answers(match[1], question) else match[1]
        view["label"] = match[0] if view["waits_for"] else style.label
    if not view["has_details"]:
        return view
    finding = result.finding
    headline = safe_text(finding.headline).strip() if finding else ""
    message = safe_text(result.message).strip()
    if headline:
        view["lead"] = headline
        # The message of a failed assertion is its finding in words: shown once is enough.
        if state != "failed" and headline not in message:
            view["block"] = message
    elif message and "\n" not in message and len(message) <= 300:
        view["lead"] = message
    else:
        view["lead"], view["block"] = style.sentence, message
    view["diagnosis"] = result.diagnosis or ""
    view["finding"] = finding
    view["advice"] = "" if finding and finding.hint else style.advice
    return view


def _panel(question: str, results: Sequence[TestResult], seconds: float) -> dict[str, Any]:
    views = [_view(result, question) for result in results]
    states = [view["style"].name for view in views]
    passed, total = states.count("passed"), len(states)
    advice = ""
    if not total:
        state: State = "not_gradable"
        summary, advice = "has no checks here", "Nothing was run: tell your instructor."
    elif all(state == "unwritten" for state in states):
        state, summary = "unwritten", "is not written yet"
        waits_for = {view["waits_for"] for view in views} - {""}
        if waits_for:
            summary = f"waits for {' and '.join(sorted(waits_for))}: not written yet"
        advice = "Replace `raise NotImplementedError` with your code, run that cell, then run this one again."
        views = []
    elif passed == total:
        state, summary = "passed", "passes its only check" if total == 1 else f"passes all {total} checks"
        advice = "Grading runs these and further checks, on other numbers."
    else:
        rest = {state for state in states if state not in ("passed", "unwritten")}
        state = "unwritten" if not rest else "not_gradable" if rest == {"not_gradable"} else "failed"
        summary = f"passes {passed} of {total} check{'s' if total > 1 else ''}"
    open_yet = True
    for view in views:
        if view["has_details"]:
            view["folded"], open_yet = not open_yet, False
    return {
        "question": one_line(question, 80),
        "style": OUTCOMES[state],
        "summary": summary,
        "took": f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.0f} s",
        "tests": views,
        "advice": advice,
    }


def _answers(name: str, question: str) -> bool:
    """Whether the function `name` (or the class, or a method of it) is the question's own."""
    return name.partition(".")[0].replace("_", "").lower() in ("", question.replace("_", "").lower())


def _detail_lines(view: dict[str, Any]) -> list[str]:
    lines: list[str] = []
    if view["lead"]:
        lines += safe_text(view["lead"], max_lines=12).split("\n")
    if view["block"]:
        lines += (f"  {line}" for line in view["block"].split("\n"))
    if view["diagnosis"]:
        lines += f"{view['diagnosis_lead']} {safe_text(view['diagnosis'], max_lines=12)}".split("\n")
    finding: Finding | None = view["finding"]
    facts = [("what to do", view["advice"])]
    if finding:
        facts[:0] = [
            ("called", finding.call),
            ("where", finding.where),
            ("hint", finding.hint),
            ("expected", _value(finding.expected)),
            ("got", _value(finding.got)),
            ("look at", "\n".join(one_line(image.caption, 120) for image in finding.pictures[:MAX_PICTURES])),
        ]
    for name, text in facts:
        if text:
            first, *others = safe_text(text).split("\n")
            lines.append(f"{name:<12}{first}")
            lines += (" " * 12 + other for other in others)
    return lines


def _value(text: str) -> str:
    """A value, at most 12 lines of it, without the blank lines between the blocks of an array."""
    lines = [line for line in safe_text(text).split("\n") if line.strip()]
    return "\n".join(lines if len(lines) <= 12 else [*lines[:11], "…"])


def _tinted(style: OutcomeStyle, text: str, colour: bool) -> str:
    return f"\x1b[{style.ansi}m{text}\x1b[0m" if colour else text


def _fragment(macro: str, *arguments: Any) -> str:
    return str(getattr(_fragments(), macro)(*arguments)).strip()


@cache
def _fragments() -> Any:
    environment = Environment(
        loader=PackageLoader("autograder.checking"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["safe_text"] = safe_text
    environment.filters["prose"] = prose
    environment.filters["value"] = _value
    environment.filters["one_line"] = one_line
    environment.globals["most_pictures"] = MAX_PICTURES
    environment.filters["error_map"] = lambda finding: error_map_svg(
        finding.error_map, finding.error_map_axes, finding.error_map_what
    )
    environment.globals["styles"] = OUTCOMES
    return environment.get_template("fragments.html.j2").module
