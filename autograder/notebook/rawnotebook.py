"""The bytes of a submitted notebook as plain cells, however old or damaged. Nothing in them is run.

Only what a graded copy needs is taken over, each piece rebuilt: sources, the nbgrader entry and the tags of a
cell's metadata, and outputs that are text or pictures. No nesting, script or strange type goes any further.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, TypeGuard, cast

from autograder.course import Limits

MAX_CELLS = 2000
MAX_SOURCE = 1_000_000
# Empty lists take 3 bytes in JSON and 64 in memory; this bounds what a small file can blow up to.
MAX_CONTAINERS = 2_000_000
MAX_TEXT_OUTPUT = 20_000
MAX_PICTURE = 2_000_000
MAX_OUTPUTS = 50
MAX_ALL_OUTPUTS = 10_000_000

_PICTURES = ("image/png", "image/jpeg")
_CELL_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_TAG = re.compile(r"[A-Za-z0-9_.:+-]{1,60}")
_SURROGATE = re.compile("[\ud800-\udfff]")

Kind = Literal["code", "markdown", "raw"]


class IntakeError(ValueError):
    """A submission that cannot be graded; the message is one or two plain sentences."""


@dataclass
class RawCell:
    """One cell of a submission."""

    kind: Kind
    source: str
    nbgrader: dict[str, Any] = field(default_factory=dict)
    """The scalar entries of the cell's nbgrader metadata; empty without."""
    tags: list[str] = field(default_factory=list)
    outputs: list[dict[str, Any]] = field(default_factory=list)
    """nbformat 4 outputs: streams, errors, plain text, PNG and JPEG."""
    attachments: dict[str, dict[str, str]] = field(default_factory=dict)
    """Pictures pasted into a markdown cell."""
    execution_count: int | None = None
    id: str = ""
    """nbformat's identifier, unique in the notebook; empty where there was no usable one."""


def parse_notebook(raw: bytes, limits: Limits, repairs: list[str]) -> list[RawCell]:
    """Read nbformat 3 and 4 tolerantly.

    Parameters
    ----------
    raw : bytes
    limits : Limits
        `notebook_mb` is the one that matters here.
    repairs : list of str
        A sentence for each thing mended is appended.

    Raises
    ------
    IntakeError
        When the bytes are no notebook, are cut off, or exceed a limit.
    """
    if len(raw) > limits.notebook_mb << 20:
        raise IntakeError(f"The notebook has more than {limits.notebook_mb} MB. Clear its outputs first.")
    document = _load_json(_decode(raw, repairs), repairs)
    entries = _cell_entries(document, repairs)
    if len(entries) > MAX_CELLS:
        raise IntakeError(f"The notebook has {len(entries)} cells; at most {MAX_CELLS} are read.")
    reader = _CellReader()
    cells = [reader.read(position, entry) for position, entry in enumerate(entries, start=1)]
    repairs.extend(reader.findings())
    return cells


def _decode(raw: bytes, repairs: list[str]) -> str:
    if not raw.strip(b"\0 \t\r\n"):
        raise IntakeError("The file is empty. Hand in the notebook again.")
    head = raw.lstrip()[:40]
    for magic, what in _MAGIC.items():
        if head.startswith(magic):
            raise IntakeError(f"The file is no notebook but {what}.")
    if raw.count(b"[") + raw.count(b"{") > MAX_CONTAINERS:
        raise IntakeError(
            f"The file holds more than {MAX_CONTAINERS} lists and objects. Clear its outputs first."
        )
    encoding = "utf-8"
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        encoding = "utf-16"
        repairs.append("The file was saved as UTF-16; it was read as such.")
    elif raw.startswith(b"\xef\xbb\xbf"):
        encoding = "utf-8-sig"
        repairs.append("The file began with a byte order mark; it was left out.")
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError:
        repairs.append(
            "The file is not UTF-8 throughout; the characters that could not be read became '\ufffd'."
        )
        return raw.decode(encoding, errors="replace")


_MAGIC = {
    b"PK\x03\x04": "a zip file. Hand in the .ipynb file itself",
    b"%PDF": "a PDF. Hand in the .ipynb file itself",
    b"<": "a web page. Download the notebook itself (File, Download)",
    b"version https://git-lfs": "a pointer of Git LFS. Hand in the file that it points to",
    b"\x89PNG": "a picture. Hand in the .ipynb file itself",
}


def _load_json(text: str, repairs: list[str]) -> dict[str, Any]:
    try:
        try:
            document = json.loads(text)
        except json.JSONDecodeError as error:
            if not error.msg.startswith("Invalid control character"):
                raise
            document = json.loads(text, strict=False)
            repairs.append("The file held control characters that JSON does not allow; they were kept.")
    except json.JSONDecodeError as error:
        raise IntakeError(_json_problem(text, error)) from None
    except (RecursionError, MemoryError):
        raise IntakeError("The file is nested too deeply to be a notebook.") from None
    except ValueError:  # an integer of more than 4300 digits
        raise IntakeError("The file holds a number that is too long to be read.") from None
    if not isinstance(document, dict):
        raise IntakeError("The file is JSON but no notebook: it is not an object with cells.")
    return document


def _json_problem(text: str, error: json.JSONDecodeError) -> str:
    end = len(text.rstrip())
    # Behind the place of the error there is nothing, or the beginning of true, null, NaN or an escape.
    rest = text[error.pos : end]
    cut = re.fullmatch(r"-?\w{0,8}|\\?u\w{0,3}", rest) and error.msg != "Extra data"
    if cut or error.msg.startswith("Unterminated string"):
        last = text.count("\n", 0, end) + 1
        return f"The file is cut off: it ends in line {last} in the middle of the notebook. Hand it in again."
    conflict = re.search(r"^(?:<{7}|>{7}|={7})(?: |$)", text, re.MULTILINE)
    if conflict is not None:
        line = text.count("\n", 0, conflict.start()) + 1
        return (
            f"The file holds the marks of a merge conflict in line {line}, so it is no notebook any more. "
            "Resolve the conflict and hand it in again."
        )
    if not text.lstrip().startswith(("{", "[")):
        return "The file is no notebook: it is not JSON. Hand in the .ipynb file itself."
    return f"The file is damaged: line {error.lineno} is no valid JSON ({error.msg}). Hand it in again."


def _cell_entries(document: dict[str, Any], repairs: list[str]) -> list[Any]:
    version = document.get("nbformat")
    if isinstance(version, int) and version > 4:
        raise IntakeError(
            f"The notebook has format {version}; formats 3 and 4 are read. Save it as format 4."
        )
    cells = document.get("cells")
    if isinstance(cells, list):
        if not isinstance(version, int) or isinstance(version, bool):
            repairs.append("The notebook did not say its format; it was read as format 4.")
        return cells
    worksheets = document.get("worksheets")
    if isinstance(worksheets, list):
        repairs.append("The notebook has the old format 3; it was converted, without its outputs.")
        return [
            cell
            for sheet in worksheets
            if isinstance(sheet, dict) and isinstance(sheet.get("cells"), list)
            for cell in sheet["cells"]
        ]
    raise IntakeError("The file is JSON but no notebook: it has no cells.")


class _CellReader:
    """Reads cells one after the other and remembers what was wrong, for one sentence of each kind."""

    def __init__(self) -> None:
        self.no_cells: list[int] = []
        self.no_source: list[int] = []
        self.no_metadata: list[int] = []
        self.windows_lines = False
        self.broken_characters = False
        self.shortened: list[int] = []
        self._ids: set[str] = set()
        self._room = MAX_ALL_OUTPUTS
        self._text_was_cut = False

    def findings(self) -> Iterator[str]:
        if self.no_cells:
            yield f"{_cells(self.no_cells)} could not be read and was left empty."
        if self.no_source:
            yield f"{_cells(self.no_source)} had no text in the file and was taken as empty."
        if self.no_metadata:
            yield f"{_cells(self.no_metadata)} had no metadata."
        if self.windows_lines:
            yield "Windows line ends were changed to plain ones."
        if self.broken_characters:
            yield "Characters that are no valid Unicode became '\ufffd'."
        if self.shortened:
            yield f"{_cells(self.shortened)} had too much output; the graded copy holds a part of it."

    def read(self, position: int, entry: Any) -> RawCell:
        if not isinstance(entry, dict):
            self.no_cells.append(position)
            return RawCell("raw", "")
        kind = entry.get("cell_type")
        source = self._source(position, entry)
        if kind == "heading":  # format 3
            level = entry.get("level")
            source = "#" * (level if isinstance(level, int) and 0 < level < 7 else 1) + " " + source
            kind = "markdown"
        if kind not in ("code", "markdown", "raw"):
            kind = "code" if kind is None else "raw"
        metadata = entry.get("metadata")
        if not isinstance(metadata, dict):
            self.no_metadata.append(position)
            metadata = {}
        count = entry.get("execution_count")
        return RawCell(
            kind=cast("Kind", kind),
            source=source,
            nbgrader=_scalars(metadata.get("nbgrader")),
            tags=_tags(metadata.get("tags")),
            outputs=self._outputs(position, entry.get("outputs")) if kind == "code" else [],
            attachments=self._attachments(entry.get("attachments")) if kind == "markdown" else {},
            execution_count=count if isinstance(count, int) and 0 <= count < 10**6 else None,
            id=self._id(entry.get("id")),
        )

    def _source(self, position: int, entry: dict[str, Any]) -> str:
        source = _joined(entry.get("source", entry.get("input")))
        if source is None:
            self.no_source.append(position)
            return ""
        if len(source) > MAX_SOURCE:
            raise IntakeError(
                f"Cell {position} has more than {MAX_SOURCE} characters. Move its data to a file of its own."
            )
        if "\r" in source:
            self.windows_lines = True
            source = source.replace("\r\n", "\n").replace("\r", "\n")
        return self._clean(source)

    def _clean(self, text: str) -> str:
        cleaned, count = _SURROGATE.subn("\ufffd", text)
        self.broken_characters |= count > 0
        return cleaned

    def _id(self, value: Any) -> str:
        if not isinstance(value, str) or not _CELL_ID.fullmatch(value) or value in self._ids:
            return ""
        self._ids.add(value)
        return value

    def _outputs(self, position: int, value: Any) -> list[dict[str, Any]]:
        outputs: list[dict[str, Any]] = []
        entries = value if isinstance(value, list) else []
        self._text_was_cut = len(entries) > MAX_OUTPUTS
        for entry in entries[:MAX_OUTPUTS]:
            output = self._output(entry) if isinstance(entry, dict) else None
            if output is None:
                continue
            self._room -= len(json.dumps(output))
            if self._room < 0:
                self._text_was_cut = True
                break
            outputs.append(output)
        if self._text_was_cut:
            self.shortened.append(position)
        return outputs

    def _output(self, entry: dict[str, Any]) -> dict[str, Any] | None:
        kind = entry.get("output_type")
        if kind == "stream":
            name = "stderr" if entry.get("name") == "stderr" else "stdout"
            return {"output_type": "stream", "name": name, "text": self._text(entry.get("text"))}
        if kind == "error":
            traceback = entry.get("traceback")
            lines = traceback if isinstance(traceback, list) else []
            return {
                "output_type": "error",
                "ename": self._text(entry.get("ename"))[:200],
                "evalue": self._text(entry.get("evalue"))[:2000],
                "traceback": self._text("\n".join(filter(_is_text, lines))).split("\n"),
            }
        data = entry.get("data")
        if kind in ("execute_result", "display_data") and isinstance(data, dict):
            kept = self._data(data)
            if kept:
                output = {"output_type": kind, "data": kept, "metadata": {}}
                return output | {"execution_count": None} if kind == "execute_result" else output
        return None

    def _data(self, data: dict[str, Any]) -> dict[str, str]:
        kept = _pictures(data)
        if "text/plain" in data:
            kept["text/plain"] = self._text(data["text/plain"])
        return kept

    def _attachments(self, value: Any) -> dict[str, dict[str, str]]:
        kept: dict[str, dict[str, str]] = {}
        for name, data in list(value.items())[:MAX_OUTPUTS] if isinstance(value, dict) else []:
            pictures = _pictures(data) if isinstance(data, dict) else {}
            self._room -= sum(map(len, pictures.values()))
            if pictures and self._room >= 0 and not _SURROGATE.search(name):
                kept[name[:200]] = pictures
        return kept

    def _text(self, value: Any) -> str:
        text = self._clean(_joined(value) or "")
        if len(text) <= MAX_TEXT_OUTPUT:
            return text
        self._text_was_cut = True
        return f"{text[: MAX_TEXT_OUTPUT // 2]}\n... output shortened ...\n{text[-MAX_TEXT_OUTPUT // 2 :]}"


def _joined(value: Any) -> str | None:
    """A text that may be given as a list of lines; None for anything else."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(line, str) for line in value):
        return "".join(value)
    return None


def _is_text(value: Any) -> TypeGuard[str]:
    return isinstance(value, str)


def _scalars(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        return {}
    return {key: item for key, item in value.items() if isinstance(item, str | bool | int | float)}


def _tags(value: Any) -> list[str]:
    tags = value[:20] if isinstance(value, list) else []
    return [tag for tag in tags if isinstance(tag, str) and _TAG.fullmatch(tag)]


def _pictures(data: dict[str, Any]) -> dict[str, str]:
    kept: dict[str, str] = {}
    for kind in _PICTURES:
        picture = _joined(data.get(kind))
        if picture and len(picture) <= MAX_PICTURE and _is_base64(picture):
            kept[kind] = "".join(picture.split())
    return kept


def _is_base64(text: str) -> bool:
    # A picture's data is put into an HTML attribute by nbconvert as it is.
    try:
        base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        return False
    return True


def _cells(positions: list[int]) -> str:
    if len(positions) == 1:
        return f"Cell {positions[0]}"
    shown = ", ".join(map(str, positions[:10]))
    return f"Each of the cells {shown}{' and others' if len(positions) > 10 else ''}"
