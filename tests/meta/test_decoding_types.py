"""Types are given to msgspec by way of ``prepare_type``, since two threads may be the first to use one."""

import ast
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src" / "tidegate"
HELPER = SOURCE / "domain" / "decoding.py"
TAKES_TYPE = {"convert": 1, "decode": None, "Decoder": 0}
"""Functions of msgspec -> position of the type; None for those that take it by name alone."""


def find_given_types(source: str) -> Iterator[tuple[int, str]]:
    """Line and text of each type that is given to msgspec."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        name = node.func.attr
        if name not in TAKES_TYPE or not ast.unparse(node.func).startswith("msgspec."):
            continue
        position = TAKES_TYPE[name]
        given = [one.value for one in node.keywords if one.arg == "type"]
        if position is not None:
            given += node.args[position : position + 1]
        yield from ((node.lineno, ast.unparse(one)) for one in given)


def is_prepared(given: str) -> bool:
    return given.startswith("prepare_type(")


def test_every_type_for_msgspec_is_prepared() -> None:
    files = [path for path in SOURCE.rglob("*.py") if path != HELPER]
    found = {
        f"{path.relative_to(SOURCE)}:{line}": kind
        for path in files
        for line, kind in find_given_types(path.read_text())
    }
    assert len(found) > 100
    assert {place: kind for place, kind in found.items() if not is_prepared(kind)} == {}


def test_types_are_found_wherever_they_are_given() -> None:
    planted = (
        "msgspec.convert(data, Plan)\nmsgspec.json.decode(body, type=Plan)\nmsgspec.msgpack.Decoder(Plan)\n"
        "msgspec.json.Decoder(type=Plan)\nmsgspec.json.decode(body)\n"
        "msgspec.yaml.decode(text, type=prepare_type(Plan))"
    )
    found = list(find_given_types(planted))
    assert [line for line, kind in found if not is_prepared(kind)] == [1, 2, 3, 4]
    assert [line for line, kind in found if is_prepared(kind)] == [6]
