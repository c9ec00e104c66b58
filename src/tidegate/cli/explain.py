"""``spec explain``: what a key of a spec file means."""

import dataclasses
import json
import textwrap
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from tidegate.cli.output import AsJson, console
from tidegate.cli.tables import Table, key, secondary, sentence
from tidegate.spec.explain import KeyHelp, explain_key

WIDTH = 79


def explain(
    asked: Annotated[
        str, typer.Argument(metavar="[KEY]", help="Its path, such as rollout.wait; none: the keys at the top.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Explain a key of spec files, such as rollout.wait.

    The last part of a path is enough. Needs no server: it reads the structures that check a spec file.

    \b
    Examples:
      tidegate spec explain
      tidegate spec explain rollout
      tidegate spec explain alarms.errors.missing
    """
    found = explain_key(asked)
    if as_json:
        print(json.dumps({"keys": [dataclasses.asdict(one) for one in found]}))
    elif not asked:
        _print_keys(found)
    else:
        for place, one in enumerate(found):
            print(*([""] if place else []), *_describe(one), sep="\n")
            if one.keys:
                print()
                # Below a name that the author chooses are the keys to know.
                named = one.keys[0].keys if len(one.keys) == 1 else ()
                _print_keys(named or one.keys)


def _describe(one: KeyHelp) -> list[str]:
    lines = [f"{one.path}  ({one.kind}, {'required' if one.required else 'optional'})"]
    lines += textwrap.wrap(one.description, WIDTH, initial_indent="  ", subsequent_indent="  ")
    fields = (
        ("default", "" if one.default in (None, {}, []) else _as_written(one.default)),
        ("one of", ", ".join(one.values)),
        ("at least", "" if one.least is None else f"{one.least:g}"),
        ("at most", "" if one.most is None else f"{one.most:g}"),
        ("such as", ", ".join(one.examples)),
    )
    for name, value in fields:
        if value:
            lines += textwrap.wrap(value, WIDTH, initial_indent=f"  {name + ':':10}", subsequent_indent=" " * 12)
    return lines


def _as_written(value: Any) -> str:
    """Return a value as YAML writes it."""
    return json.dumps(value) if isinstance(value, bool | dict | list) else f"{value}"


def _print_keys(keys: Sequence[KeyHelp]) -> None:
    table = Table(key("KEY"), secondary("KIND"), sentence("MEANING"))
    for one in keys:
        name = one.path.rpartition(".")[2]
        table.add_row(name + (" *" if one.required else ""), one.kind, one.description)
    console().print(table)
    if any(one.required for one in keys):
        print("* required")
