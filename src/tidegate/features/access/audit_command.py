"""``access audit``: who changed what, or tried to."""

from typing import Annotated, Any

import typer

from tidegate.cli.output import AsJson, client, show


def audit(
    who: Annotated[str | None, typer.Option(help="Only what this user or key did.")] = None,
    about: Annotated[str | None, typer.Option(help="Only what concerns this name.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many entries.")] = 50,
    as_json: AsJson = False,
) -> None:
    """Show who changed what, when, from where and why.

    Newest last. Refused attempts are there, too.

    \b
    Examples:
      tidegate access audit
      tidegate access audit --about fraud --limit 10
      tidegate access audit --json | jq '.entries[] | select(.outcome == "refused")'
    """
    with client() as server:
        found = server.audit(limit, who or "", about or "")
    entries = found[::-1]
    show({"entries": entries}, as_json, "\n".join(map(_line, entries)) or "nothing is recorded")


def _line(entry: dict[str, Any]) -> str:
    outcome = "not known" if entry["outcome"] == "started" else entry["outcome"]
    known = ", ".join(filter(None, (entry["role"] or "no role", entry["source"])))
    who = f"{entry['who'] or 'nobody'} ({known})"
    about = f" {entry['about']}" if entry["about"] and entry["about"] not in entry["action"] else ""
    why = f": {entry['reason']}" if entry["reason"] else ""
    detail = f" ({entry['detail']})" if entry["detail"] else ""
    return f"{entry['at'][:19]}Z  {who}  {entry['action']}{about}{why}  {outcome}{detail}"
