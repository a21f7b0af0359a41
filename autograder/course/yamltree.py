"""YAML read into plain values that remember their lines.

ruamel.yaml composes nodes, each with its mark; they are turned into dicts, lists and scalars here and not by
ruamel's constructor, which stops at the first duplicate key and at a date such as 2026-02-30.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from autograder.course.problems import Problem

Path = tuple[str | int, ...]

_TRUE_FALSE = {"true": True, "false": False}


@dataclass
class YamlTree:
    """The values of a YAML document and the line of each."""

    value: Any = None
    lines: dict[Path, int] = field(default_factory=dict)
    """Where each value starts: the line of its key in a mapping, of the item in a list."""
    problems: list[Problem] = field(default_factory=list)

    def line(self, path: Path) -> int:
        """The line of `path`, or of the nearest thing around it that the file holds."""
        while path not in self.lines and path:
            path = path[:-1]
        return self.lines.get(path, 1)


def parse_yaml(text: str) -> YamlTree:
    """Read a YAML document; what is wrong with it as YAML is in `problems`, never raised."""
    tree = YamlTree(lines={(): 1})
    try:
        node = YAML(typ="safe", pure=True).compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = " ".join(str(part) for part in (error.context, error.problem) if part)
        line = None if mark is None else mark.line + 1
        tree.problems.append(
            Problem(line, f"This is not YAML: {what}.", "Look at the indentation, colons and brackets here.")
        )
        return tree
    except YAMLError as error:  # a control character: no mark, but the position is in the message
        tree.problems.append(
            Problem(
                None,
                f"This is not YAML: {' '.join(str(error).split())}.",
                "Save the file as plain UTF-8 text.",
            )
        )
        return tree
    if node is not None:
        tree.value = _plain(node, (), tree, ())
    return tree


def _plain(node: Node, path: Path, tree: YamlTree, above: tuple[int, ...]) -> Any:
    if id(node) in above:
        tree.problems.append(
            Problem(node.start_mark.line + 1, "This alias contains itself.", "Write the value out.")
        )
        return None
    above = (*above, id(node))
    if isinstance(node, MappingNode):
        return _mapping(node, path, tree, above)
    if isinstance(node, SequenceNode):
        items = []
        for index, item in enumerate(node.value):
            tree.lines[(*path, index)] = item.start_mark.line + 1
            items.append(_plain(item, (*path, index), tree, above))
        return items
    assert isinstance(node, ScalarNode)
    return _scalar(node)


def _mapping(node: MappingNode, path: Path, tree: YamlTree, above: tuple[int, ...]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, ScalarNode):
            tree.problems.append(
                Problem(line, "A key must be a plain word.", "Remove the brackets around it.")
            )
            continue
        key = str(key_node.value)
        if key in values:
            first = tree.lines[(*path, key)]
            tree.problems.append(
                Problem(
                    line,
                    f"The key {key!r} stands here a second time (first on line {first}).",
                    "Keep one of them.",
                )
            )
            continue
        tree.lines[(*path, key)] = line
        values[key] = _plain(value_node, (*path, key), tree, above)
    return values


def _scalar(node: ScalarNode) -> Any:
    """Null, booleans and numbers of YAML 1.2; all else, dates included, stays text."""
    text = str(node.value)
    kind = str(node.tag).rpartition(":")[2]
    try:
        if kind == "null":
            return None
        if kind == "bool":
            return _TRUE_FALSE[text.lower()]
        if kind == "int":
            return int(text.replace("_", ""), 0)
        if kind == "float":
            return float(text.replace("_", "").lower().replace(".inf", "inf").replace(".nan", "nan"))
    except (KeyError, ValueError):
        return text
    return text
