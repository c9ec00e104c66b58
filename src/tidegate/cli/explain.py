"""``explain``: what a key of a spec file means."""

import dataclasses
import json
import textwrap
from typing import Annotated, Any

import typer

from tidegate.cli.output import AsJson, console
from tidegate.host.late_import import load

WIDTH = 79


def explain(
    key: Annotated[
        str, typer.Argument(metavar="[KEY]", help="Its path, such as rollout.wait; none: the keys at the top.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Explain a key of spec files, such as rollout.wait.

    The last part of a path is enough. Needs no server: it reads the structures that check a spec file.

    \b
    Examples:
      tidegate explain
      tidegate explain rollout
      tidegate explain alarms.errors.missing
    """
    found = load("tidegate.spec.explain", "explain_key")(key)
    if as_json:
        print(json.dumps({"keys": [dataclasses.asdict(one) for one in found]}))
    elif not key:
        _print_keys(found)
    else:
        for place, one in enumerate(found):
            print(*([""] if place else []), *_describe(one), sep="\n")
            if one.keys:
                print()
                # Below a name that the author chooses are the keys to know.
                named = one.keys[0].keys if len(one.keys) == 1 else ()
                _print_keys(named or one.keys)


def _describe(key: Any) -> list[str]:
    lines = [f"{key.path}  ({key.kind}, {'required' if key.required else 'optional'})"]
    lines += textwrap.wrap(key.description, WIDTH, initial_indent="  ", subsequent_indent="  ")
    fields = (
        ("default", "" if key.default in (None, {}, []) else _as_written(key.default)),
        ("one of", ", ".join(key.values)),
        ("at least", "" if key.least is None else f"{key.least:g}"),
        ("at most", "" if key.most is None else f"{key.most:g}"),
        ("such as", ", ".join(key.examples)),
    )
    for name, value in fields:
        if value:
            lines += textwrap.wrap(value, WIDTH, initial_indent=f"  {name + ':':10}", subsequent_indent=" " * 12)
    return lines


def _as_written(value: Any) -> str:
    """As YAML has it."""
    return json.dumps(value) if isinstance(value, bool | dict | list) else f"{value}"


def _print_keys(keys: Any) -> None:
    screen = console()
    tables = [load("tidegate.cli.tables", name) for name in ("Table", "key", "secondary", "sentence")]
    make_table, column, secondary, sentence = tables
    table = make_table(column("KEY"), secondary("KIND"), sentence("MEANING"))
    for one in keys:
        name = one.path.rpartition(".")[2]
        table.add_row(name + (" *" if one.required else ""), one.kind, one.description)
    screen.print(table)
    if any(one.required for one in keys):
        print("* required")
