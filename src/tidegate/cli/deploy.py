"""``deploy`` and ``delete``."""

import sys
import time
from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import urlsplit

import typer

from tidegate.cli.artifacts import prepare
from tidegate.cli.client import ApiClient, ServerError
from tidegate.cli.evidence_notes import evidence_notes
from tidegate.cli.output import AsJson, Name, client, show, user_name
from tidegate.cli.progress import ProgressBar
from tidegate.cli.spec_file import SpecPath, read_spec, with_target
from tidegate.cli.target_options import TargetName
from tidegate.cli.validate import check_assurance
from tidegate.host.late_import import load

FOLLOW = "tidegate.cli.follow_rollout"
"""Imported to follow a rollout only: it draws."""


def deploy(
    spec_file: SpecPath,
    wait: Annotated[bool, typer.Option("--wait", help="Follow the rollout; fail if it rolls back.")] = False,
    override: Annotated[
        bool, typer.Option("--override", help="Roll out even a version that alarms rejected before.")
    ] = False,
    supersede: Annotated[bool, typer.Option("--supersede", help="Replace an update that is in progress.")] = False,
    target: TargetName = None,
    as_json: AsJson = False,
) -> None:
    """Create an endpoint from a spec file, or update it.

    Deploying the same file again changes nothing. With --wait the exit status is 1 if the new version is rolled back.

    \b
    Examples:
      tidegate deploy fraud.yaml
      tidegate deploy fraud.yaml --wait
      tidegate deploy fraud.yaml --target kubernetes
    """
    loaded = with_target(read_spec(spec_file), target)
    loaded.refuse_placeholders()
    with client() as server:
        data = prepare(loaded, spec_file.parent, must_exist=is_local(server))
        wish = loaded.wish(datetime.now(UTC), data)
        check_assurance(wish)
        for note in evidence_notes(wish):
            print(f"note: {note}", file=sys.stderr)
        after = _journal_position(server, wish.endpoint) if wait else 0
        with ProgressBar(f"deploying {wish.endpoint}", quiet=as_json):
            done = server.deploy(data, user_name(), override=override, supersede=supersede)
        show(done, as_json, f"{done['message']} (config {done['config']}, {done['change']})")
        if wait:
            load(FOLLOW, "follow")(server, wish.endpoint, after=after, wanted=done["config"], as_json=as_json)


def delete(
    name: Name,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until it is gone.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Delete even during a rollout.")] = False,
    as_json: AsJson = False,
) -> None:
    """Delete an endpoint, once its requests are finished.

    It takes no new requests, finishes those in flight, and is removed.

    \b
    Examples:
      tidegate delete fraud
      tidegate delete fraud --wait
    """
    with client() as server:
        done = server.delete(name, user_name(), force=force)
        with ProgressBar(f"finishing the requests of {name}", quiet=as_json):
            while wait and _exists(server, name):
                time.sleep(0.2)
    word = "is deleted" if wait else "is being deleted"
    show({"name": name, "status": "Deleted"} if wait else done, as_json, f'endpoint "{name}" {word}')


def is_local(server: ApiClient) -> bool:
    return urlsplit(server.url).hostname in ("127.0.0.1", "::1", "localhost")


def _journal_position(server: ApiClient, name: str) -> int:
    try:
        return int(load(FOLLOW, "latest_event")(server, name))
    except ServerError as error:
        if error.status == 404:
            return 0
        raise


def _exists(server: ApiClient, name: str) -> bool:
    try:
        server.endpoint(name)
    except ServerError as error:
        if error.status == 404:
            return False
        raise
    return True
