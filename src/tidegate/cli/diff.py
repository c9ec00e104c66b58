"""``spec diff``: what deploying a spec file would change."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from tidegate.cli.artifacts import prepare
from tidegate.cli.deploy import is_local
from tidegate.cli.output import AsJson, client, console
from tidegate.cli.spec_file import SpecPath, read_spec
from tidegate.cli.tables import Table, key


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


def _describe(document: Mapping[str, Any]) -> str:
    name, config, serving = document["endpoint"], document["config"], document["serving"]
    if not document["exists"]:
        return f'endpoint "{name}" would be created, with version {config}:'
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
