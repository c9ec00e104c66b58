"""``apply``: bring the endpoints of a folder of spec files to what the files say."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Annotated

import typer

from tidegate.cli.client import ApiClient
from tidegate.cli.output import AsJson, client, console, user_name
from tidegate.cli.progress import ProgressBar
from tidegate.cli.spec_folder import (
    SetMember,
    SetName,
    Source,
    find_owner,
    is_unchanged,
    list_surplus,
    read_folder,
)
from tidegate.cli.tables import Table, key, sentence
from tidegate.domain.errors import Conflict, Invalid, TidegateError, Unavailable
from tidegate.host.late_import import load

FAILED, NOT_DONE, UNCHANGED = "failed", "not done", "unchanged"


@dataclass
class Outcome:
    """The outcome for one endpoint.

    ``result``: created, updated, superseded, unchanged, deleted, failed, or not done. ``config``: the one to follow;
    empty: none."""

    endpoint: str
    file: str
    result: str = NOT_DONE
    detail: str = ""
    config: str = ""


def apply(
    source: Source,
    owner: SetName = None,
    prune: Annotated[
        bool, typer.Option("--prune", help="Delete endpoints of the set that the folder no longer has.")
    ] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Follow the rollouts; fail if one rolls back.")] = False,
    as_json: AsJson = False,
) -> None:
    """Bring the endpoints of a folder to what its files say.

    All files are checked first: with a mistake in one, nothing is done. What is as its file says is left alone. The
    exit status is 1 if something failed or was not done; the list says what. Without --set nothing is ever deleted.

    \b
    Examples:
      tidegate apply -f endpoints
      tidegate apply -f endpoints --set shop --prune --wait
    """
    if prune and owner is None:
        raise Invalid(
            "--prune needs --set NAME: only endpoints that an earlier apply of this set made are deleted"
        )
    with client() as server:
        members = read_folder(source, owner, server)
        outcomes = [Outcome(one.endpoint, str(one.path)) for one in members]
        try:
            for member, outcome in zip(members, outcomes, strict=True):
                with ProgressBar(f"applying {member.endpoint}", quiet=as_json):
                    _attempt(outcome, lambda: _deploy(server, member, owner, outcome))  # noqa: B023 (called at once)
            for outcome in outcomes if wait else ():
                if outcome.config and outcome.result != FAILED:  # an earlier ``apply`` may have begun its rollout
                    _attempt(outcome, lambda: _follow(server, outcome))  # noqa: B023 (called at once)
            if prune and owner is not None:
                outcomes += _prune(server, list_surplus(server, owner, members), outcomes)
        except Unavailable as error:
            _mark_rest(outcomes, error.message)
    _show(outcomes, as_json)
    left = [one for one in outcomes if one.result in (FAILED, NOT_DONE)]
    if left:
        raise Conflict(
            f"{len(left)} of {len(outcomes)} endpoints are not as wanted: {left[0].endpoint}: {left[0].detail}"
        )


def _attempt(outcome: Outcome, work: Callable[[], None]) -> None:
    """Note a failure of one endpoint and go on. Raises Unavailable if no server answers."""
    try:
        work()
    except Unavailable:
        raise
    except TidegateError as error:
        outcome.result, outcome.detail = FAILED, error.message


def _deploy(server: ApiClient, member: SetMember, owner: str | None, outcome: Outcome) -> None:
    if owner is not None and (other := find_owner(server, member.endpoint)) not in (None, owner):
        raise Conflict(f"it belongs to the set {other}: remove it from one of them")
    document = server.diff(member.data)
    if is_unchanged(document):
        outcome.result, outcome.config = UNCHANGED, document["config"]
        return
    done = server.deploy(member.data, user_name(), override=False, supersede=False)
    outcome.result, outcome.detail, outcome.config = done["change"], done["message"], done["config"]


def _follow(server: ApiClient, outcome: Outcome) -> None:
    load("tidegate.cli.follow_rollout", "follow_silently")(server, outcome.endpoint, outcome.config)


def _prune(server: ApiClient, names: list[str], before: list[Outcome]) -> list[Outcome]:
    """Delete what the set no longer has, unless something of it failed: it may be a file that was renamed."""
    outcomes = [Outcome(name, "") for name in names]
    for outcome in outcomes:
        if any(one.result in (FAILED, NOT_DONE) for one in before):
            outcome.detail = "it is deleted once all others are as wanted"
            continue
        _attempt(outcome, lambda: _delete(server, outcome))  # noqa: B023 (called at once)
    return outcomes


def _delete(server: ApiClient, outcome: Outcome) -> None:
    server.delete(outcome.endpoint, user_name(), force=False)
    outcome.result = "deleted"


def _mark_rest(outcomes: list[Outcome], why: str) -> None:
    for outcome in outcomes:
        if outcome.result == NOT_DONE:
            outcome.detail = why


def _show(outcomes: list[Outcome], as_json: bool) -> None:
    if as_json:
        print(json.dumps({"endpoints": [asdict(one) for one in outcomes]}))
        return
    table = Table(key("ENDPOINT"), key("RESULT"), key("FILE"), sentence("DETAIL"))
    for one in outcomes:
        table.add_row(one.endpoint, one.result, one.file or "-", one.detail or "-")
    console().print(table)
