"""A folder of spec files: the set of endpoints that ``apply`` and ``diff`` bring together, with what owns them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from tidegate.cli.artifacts import prepare
from tidegate.cli.client import ApiClient, ServerError
from tidegate.cli.deploy import is_local
from tidegate.cli.spec_file import read_spec
from tidegate.domain.errors import Invalid

SET_TAG = "tidegate:set"
"""Tag of the endpoints that a set owns; its value is the set's name."""
_SUFFIXES = (".yaml", ".yml")

Source = Annotated[
    Path,
    typer.Option("-f", "--file", metavar="PATH", help="A folder of spec files, with its subfolders, or one file."),
]
SetName = Annotated[
    str | None,
    typer.Option(
        "--set", metavar="NAME", help=f"Name of the set; its endpoints get the tag {SET_TAG}. Needed to prune."
    ),
]


@dataclass(frozen=True)
class SetMember:
    """An endpoint as a file of the folder wants it. ``data`` is sent to the server."""

    endpoint: str
    config: str
    path: Path
    data: dict[str, Any]


def read_folder(source: Path, owner: str | None, server: ApiClient) -> list[SetMember]:
    """Read all files before anything is done with one. Raises Invalid with every mistake."""
    paths = sorted(_find_files(source)) if source.is_dir() else [source]
    if not paths:
        raise Invalid(f"{source}: there is no spec file in it, which would leave the set empty")
    members, mistakes = dict[str, SetMember](), list[str]()
    for path in paths:
        try:
            member = _read_member(path, owner, must_exist=is_local(server))
        except Invalid as error:
            mistakes.append(error.message)
            continue
        if member.endpoint in members:
            mistakes.append(f'{path}: endpoint "{member.endpoint}" is also in {members[member.endpoint].path}')
        members[member.endpoint] = member
    if mistakes:
        raise Invalid("; ".join(mistakes))
    return list(members.values())


def _find_files(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        inner = path.relative_to(folder).parts
        if path.suffix in _SUFFIXES and path.is_file() and not any(part.startswith(".") for part in inner):
            yield path


def _read_member(path: Path, owner: str | None, *, must_exist: bool) -> SetMember:
    loaded = read_spec(path)
    loaded.refuse_placeholders()
    data = prepare(loaded, path.parent, must_exist=must_exist)
    wish = loaded.wish(datetime.now(UTC), data)
    assert isinstance(data, dict)
    if owner is not None:
        data = {**data, "tags": {**(data.get("tags") or {}), SET_TAG: owner}}
    return SetMember(wish.endpoint, wish.config.name, path, data)


def is_unchanged(document: Mapping[str, Any]) -> bool:
    """Whether a comparison of the server's (``POST /diff``) has no difference, and no other version is rolled out."""
    config = document["config"]
    same = bool(document["exists"]) and not document["changes"] and document["serving"] == config
    return same and document.get("rolling_out") in (None, config)


def find_owner(server: ApiClient, endpoint: str) -> str | None:
    """The set that owns an endpoint; None if none does, or it is gone."""
    try:
        described = server.describe("DescribeEndpoint", EndpointName=endpoint)
    except ServerError as error:
        if error.status in (400, 404):
            return None
        raise
    token: dict[str, str] = {}
    while True:
        page = server.describe("ListTags", ResourceArn=described["EndpointArn"], **token)
        for tag in page["Tags"]:
            if tag["Key"] == SET_TAG:
                return str(tag["Value"])
        if not page.get("NextToken"):
            return None
        token = {"NextToken": page["NextToken"]}


def list_surplus(server: ApiClient, owner: str, members: list[SetMember]) -> list[str]:
    """Endpoints that the set owns and the folder no longer has."""
    wanted = {one.endpoint for one in members}
    names = [str(one["name"]) for one in server.endpoints() if one["status"] != "Deleting"]
    return [name for name in names if name not in wanted and find_owner(server, name) == owner]
