"""``deploy`` and ``delete``."""

import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer

from tidegate import spec
from tidegate.cli.artifacts import prepare, refuse_placeholders
from tidegate.cli.client import ApiClient, ServerError
from tidegate.cli.commands import load
from tidegate.cli.output import AsJson, Name, client, show, user_name
from tidegate.domain.errors import Invalid

FOLLOW = "tidegate.cli.follow_rollout"
"""Imported to follow a rollout only: it draws."""
SpecPath = Annotated[
    Path, typer.Argument(metavar="SPEC", help="The spec file (YAML).", show_default=False, readable=False)
]


def deploy(
    spec_file: SpecPath,
    wait: Annotated[bool, typer.Option("--wait", help="Follow the rollout; fail if it rolls back.")] = False,
    override: Annotated[
        bool, typer.Option("--override", help="Roll out even a version that alarms rejected before.")
    ] = False,
    supersede: Annotated[bool, typer.Option("--supersede", help="Replace an update that is in progress.")] = False,
    target: Annotated[
        str | None,
        typer.Option("--target", metavar="NAME", help="Where it runs, instead of the spec's own target."),
    ] = None,
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
    refuse_placeholders(loaded)
    with client() as server:
        data = prepare(loaded, spec_file.parent, must_exist=is_local(server))
        wish = loaded.wish(datetime.now(UTC), data)
        after = _journal_position(server, wish.endpoint) if wait else 0
        done = server.deploy(data, user_name(), override=override, supersede=supersede)
        show(done, as_json, f"{done['message']} (config {done['config']}, {done['change']})")
        if wait:
            load(FOLLOW, "follow")(server, wish.endpoint, after=after, wanted=wish.config.name, as_json=as_json)


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
        while wait and _exists(server, name):
            time.sleep(0.2)
    word = "is deleted" if wait else "is being deleted"
    show({"name": name, "status": "Deleted"} if wait else done, as_json, f'endpoint "{name}" {word}')


def with_target(loaded: spec.LoadedSpec, target: str | None) -> spec.LoadedSpec:
    """The spec with another target, if one is given."""
    if target is None or not isinstance(loaded.data, dict):
        return loaded
    return replace(loaded, data={**loaded.data, "target": target})


def read_spec(path: Path) -> spec.LoadedSpec:
    """Read a spec file as plain data. Raises Invalid."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise Invalid(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise Invalid(f"{path}: not UTF-8 text") from None
    return spec.load(text, str(path))


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
