"""``spec diff`` and ``diff``: what deploying a spec file, or applying a folder of them, would change."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from tidegate.cli.artifacts import prepare
from tidegate.cli.deploy import is_local
from tidegate.cli.output import AsJson, client, console, print_note
from tidegate.cli.spec_file import SpecPath, read_spec
from tidegate.cli.spec_folder import SetName, Source, is_unchanged, list_surplus, read_folder
from tidegate.cli.tables import Table, key
from tidegate.domain.errors import TidegateError


def diff(spec_file: SpecPath, as_json: AsJson = False) -> None:
    """Show what deploying a spec file would change.

    Compares all that it declares with what the server has: models, instances, rollout, alarms, quotas, autoscaling,
    tags and the rest. Changes nothing; a placeholder of a plan counts as model data.

    \b
    Examples:
      tidegate spec diff fraud.yaml
      tidegate spec diff fraud.yaml --json | jq '.changes[].what'
    """
    loaded = read_spec(spec_file)
    with client() as server:
        data = prepare(loaded, spec_file.parent, must_exist=is_local(server))
        loaded.wish(datetime.now(UTC), data)  # a mistake gets its line
        document = server.diff(data)
    if as_json:
        print(json.dumps(document))
        return
    print(_describe(document))
    if document["changes"]:
        console().print(_table(document["changes"]))
    if document["kept"]:
        print(f"not in the file, and kept: {', '.join(document['kept'])}")


def diff_folder(
    source: Source,
    owner: SetName = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown, for a pull request.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show what applying a folder would change.

    The exit status is 0 without a difference, 1 with one, and 2 after an error, as that of kubectl diff. With --set,
    endpoints that --prune would delete are differences, too.

    \b
    Examples:
      tidegate diff -f endpoints
      tidegate diff -f endpoints --set shop --markdown
    """
    try:
        with client() as server:
            members = read_folder(source, owner, server)
            documents = [server.diff(one.data) for one in members]
            surplus = list_surplus(server, owner, members) if owner is not None else []
    except TidegateError as error:
        print_note(f"tidegate: {error.message}")
        raise typer.Exit(2) from None
    changed = [one for one in documents if not is_unchanged(one)]
    if as_json:
        print(json.dumps({"endpoints": documents, "surplus": surplus}))
    elif markdown:
        print(_to_markdown(changed, surplus, len(documents)))
    else:
        for document in changed:
            print(_describe(document))
            console().print(_table(document["changes"]))
        for name in surplus:
            print(f'endpoint "{name}" is in the set and not in the folder: --prune would delete it')
        if not changed and not surplus:
            print(f"no difference: all {len(documents)} endpoints are as their files say")
    if changed or surplus:
        raise typer.Exit(1)


def _to_markdown(changed: list[dict[str, Any]], surplus: list[str], count: int) -> str:
    if not changed and not surplus:
        return f"No difference: all {count} endpoints are as their files say."
    parts = []
    for document in changed:
        rows = [[one["what"], one["before"] or "-", one["after"] or "-"] for one in document["changes"]]
        lines = [f"| {' | '.join(_to_cell(cell) for cell in row)} |" for row in rows]
        table = ["| Key | Before | After |", "|---|---|---|", *lines] if rows else []
        parts.append(
            "\n".join([f"### {document['endpoint']}", "", _describe(document).replace('"', "`"), "", *table])
        )
    parts += [f"### {name}\n\nendpoint `{name}` is not in the folder: it would be **deleted**" for name in surplus]
    return "\n\n".join(parts)


def _to_cell(text: str) -> str:
    """Code in a cell of a table; a value is never taken for Markdown."""
    plain = " ".join(text.split()).replace("|", "\\|").replace("`", "'")
    return f"`{plain}`"


def _describe(document: Mapping[str, Any]) -> str:
    name, config, serving = document["endpoint"], document["config"], document["serving"]
    if not document["exists"]:
        return f'endpoint "{name}" would be created, with version {config}:'
    if not document["changes"] and serving == config and not is_unchanged(document):
        return f'endpoint "{name}" serves {config}, but is being updated to {document["rolling_out"]}'
    if not document["changes"] and serving == config:
        return f'endpoint "{name}" would not change: {config} serves already'
    if not document["changes"]:
        return f'endpoint "{name}" would be updated from {serving} to {config}, which has the same settings'
    if serving == config:
        return f'endpoint "{name}" would keep version {config}, with other settings:'
    return f'endpoint "{name}" would be updated from {serving} to {config}:'


def _table(changes: list[dict[str, Any]]) -> Table:
    shown = Table(key("KEY"), key("BEFORE"), key("AFTER"))
    for one in changes:
        shown.add_row(one["what"], one["before"] or "-", one["after"] or "-")
    return shown
