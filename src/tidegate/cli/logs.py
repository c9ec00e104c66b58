"""``logs``: what the replicas of an endpoint write."""

import json
import time
from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any

import typer

from tidegate.cli.client import ApiClient
from tidegate.cli.output import AsJson, Name, client, print_note
from tidegate.domain.errors import Invalid, NotFound
from tidegate.domain.suggestions import suggest

FOLLOW_TAIL = 1000
SEARCHED, MOST_MERGED = 2_000, 1_000
"""Last lines of each replica that are searched; lines that are shown merged."""
POLL_EVERY = 0.5
SHORTEST_ID = 8
"""Characters of a replica's id that are shown, and more where they do not tell two apart."""


def logs(
    name: Name,
    tail: Annotated[int, typer.Option(min=1, max=10_000, help="Number of last lines of each replica.")] = 20,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Keep printing new lines until Ctrl-C.")] = False,
    replica: Annotated[str | None, typer.Option(help="Only this replica: its id, or how it begins.")] = None,
    merge: Annotated[
        bool, typer.Option("--merge", help="The last lines of all replicas together, by time, not of each.")
    ] = False,
    find: Annotated[
        str, typer.Option(metavar="TEXT", help="With --merge: only lines that have it, in any case.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Show the output of an endpoint's replicas.

    That is stdout and stderr. With --follow each new line has the time when it was seen; earlier lines have none,
    since replicas write lines without times. With --merge a line has the time that it begins with, or that of the
    line before it; in a log without any times, lines have the time of the last write, with a < before it.

    \b
    Examples:
      tidegate logs fraud
      tidegate logs fraud --follow --replica r-1a2b3c
      tidegate logs fraud --merge --find error --tail 200
    """
    if (find and not merge) or (merge and follow):
        raise Invalid("--find goes with --merge, and --merge goes without --follow")
    with client() as server:
        if merge:
            _print_merged(server, name, tail, find, replica, as_json=as_json)
            return
        found = server.logs(name, tail)
        chosen = _choose_replica(replica, found)
        _print_logs(_select_replicas(found, chosen), as_json, following=follow, now=None)
        seen = {one["replica"]: one["lines"] for one in server.logs(name, FOLLOW_TAIL)} if follow else {}
        while follow:
            time.sleep(POLL_EVERY)
            now = _select_replicas(server.logs(name, FOLLOW_TAIL), chosen)
            news = [{**one, "lines": _new_lines(seen.get(one["replica"], []), one["lines"])} for one in now]
            _print_logs(news, as_json, following=True, now=datetime.now().astimezone())
            seen = {one["replica"]: one["lines"] for one in now}


def _print_merged(
    server: ApiClient, name: str, tail: int, find: str, replica: str | None, *, as_json: bool
) -> None:
    known = [{"replica": one["replica"]} for one in server.logs(name, 1)] if replica is not None else []
    chosen = _choose_replica(replica, known) or ""
    told = server.log_lines(name, SEARCHED, min(tail, MOST_MERGED), find, chosen)
    short = shorten_ids(one["replica"] for one in told["replicas"])
    for one in told["lines"]:
        if as_json:
            print(json.dumps(one), flush=True)
        else:
            print(f"{_show_time(one)} {short[one['replica']]} | {one['line']}", flush=True)
    if told["matching"] > len(told["lines"]):
        shown, searched = len(told["lines"]), told["searched"]
        print_note(f"the last {shown} of {told['matching']} lines, of {searched} that were searched")


def _show_time(line: dict[str, Any]) -> str:
    if line["at"] is None:
        return f"{'':20}"
    at = datetime.fromisoformat(line["at"]).astimezone()
    return f"{'<' if line['at_of'] == 'last write' else ' '}{at:%Y-%m-%d %H:%M:%S}"


def _choose_replica(replica: str | None, found: list[dict[str, Any]]) -> str | None:
    """The id that begins like this. Raises NotFound if there is none, or more than one."""
    names = [str(one["replica"]) for one in found]
    if replica is None or replica in names:
        return replica
    alike = [name for name in names if name.startswith(replica)]
    if len(alike) == 1:
        return alike[0]
    if alike:
        raise NotFound(f"several replicas begin with {replica!r}: {', '.join(alike)}")
    raise NotFound(f"there is no log of replica {replica!r}{suggest(replica, names)}")


def _select_replicas(found: list[dict[str, Any]], replica: str | None) -> list[dict[str, Any]]:
    return [one for one in found if replica is None or one["replica"] == replica]


def shorten_ids(ids: Iterable[str]) -> dict[str, str]:
    """Each id and its shortest beginning, of 8 characters at least, that no other one has."""
    known = list(ids)
    longest = max(map(len, known), default=0)
    for length in range(SHORTEST_ID, longest):
        short = {id: id[:length] for id in known}
        if len(set(short.values())) == len(set(known)):
            return short
    return {id: id for id in known}


def _print_logs(found: list[dict[str, Any]], as_json: bool, *, following: bool, now: datetime | None) -> None:
    short = shorten_ids(one["replica"] for one in found)
    at = {} if now is None else {"at": now.isoformat(timespec="seconds")}
    clock = "" if not following else f"{now:%H:%M:%S} " if now else f"{'':8} "
    for one in found:
        for line in one["lines"]:
            if as_json:
                known = {key: value for key, value in one.items() if key != "lines"}
                print(json.dumps({**known, **at, "line": line}), flush=True)
            else:
                print(f"{clock}{short[one['replica']]} | {line}", flush=True)


def _new_lines(before: list[str], now: list[str]) -> list[str]:
    """Lines of ``now`` that follow ``before``; both are ends of the same file."""
    for start in range(len(before) + 1):
        kept = before[start:]
        if now[: len(kept)] == kept:
            return now[len(kept) :]
    return now
