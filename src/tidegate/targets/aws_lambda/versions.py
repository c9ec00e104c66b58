"""How a fleet becomes a version: the next call, decided from what the function has. Pure.

A function has one code and one configuration that can be changed; publishing freezes both as a version. So a new
fleet's code and configuration are set first, each waited for, then published; the fleet's alias comes last and says
that all of it is done. Whatever died in between is taken up where it is.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tidegate.domain.fleet import FleetId
from tidegate.targets.aws_lambda.alias_traffic import ObservedAlias
from tidegate.targets.aws_lambda.marks import FleetMark, fleet_alias, fleet_mark, parse_fleet_mark, version_mark

FAILED = "Failed"
_STATES_THAT_SERVE = ("Active", "Inactive")
"""An inactive version is woken by its next invocation."""


@dataclass(frozen=True)
class DesiredCode:
    """``members``: of CreateFunction's Code. ``sha256`` of a zip, ``image`` of a container image."""

    members: Mapping[str, object]
    sha256: str = ""
    image: str = ""


@dataclass(frozen=True)
class DesiredVersion:
    """``configuration``: members of UpdateFunctionConfiguration that belong to the fleet."""

    fleet: FleetId
    function: str
    config: str
    count: int
    fence: int
    code: DesiredCode
    configuration: Mapping[str, object]
    creation: Mapping[str, object]
    """Members of CreateFunction besides code and configuration."""
    provisioned: int = 0
    """Environments that are always ready."""


@dataclass(frozen=True)
class ObservedConfiguration:
    """A FunctionConfiguration, of the function itself or of a version."""

    state: str
    update: str
    reason: str
    sha256: str
    revision: str
    members: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ObservedFunction:
    """``latest`` None: there is no function. ``version``: that of the fleet, if it is published. ``provisioned``:
    requested number, status and reason."""

    latest: ObservedConfiguration | None = None
    image: str = ""
    version: str = ""
    published: ObservedConfiguration | None = None
    alias: ObservedAlias | None = None
    provisioned: tuple[int, str, str] | None = None


@dataclass(frozen=True)
class LambdaCall:
    operation: str
    members: Mapping[str, object]


@dataclass(frozen=True)
class _Wait:
    """Until AWS is done with ``what``."""

    what: str


@dataclass(frozen=True)
class Try:
    """Start the version once: Lambda starts none before its first request, and a client's must not be the first that
    finds the model broken."""

    call: LambdaCall


@dataclass(frozen=True)
class VersionFailure:
    reason: str


@dataclass(frozen=True)
class PublishedVersion:
    version: str


Step = LambdaCall | _Wait | Try | VersionFailure | PublishedVersion
IMAGE, MODEL = "TIDEGATE_IMAGE", "TIDEGATE_MODEL"
"""Variables of a function from an image: its address, and a digest of the model that it was deployed for."""
PING = json.dumps(
    {"version": "2.0", "rawPath": "/ping", "requestContext": {"http": {"method": "GET", "path": "/ping"}}}
).encode()
"""A health check, as an HTTP API sends it."""


def parse_configuration(answer: Mapping[str, Any]) -> ObservedConfiguration:
    reasons = [answer.get(name) for name in ("StateReason", "LastUpdateStatusReason", "StateReasonCode")]
    return ObservedConfiguration(
        str(answer.get("State", "Active")),
        str(answer.get("LastUpdateStatus", "Successful")),
        next((str(reason) for reason in reasons if reason), ""),
        str(answer.get("CodeSha256", "")),
        str(answer.get("RevisionId", "")),
        answer,
    )


def next_step(wanted: DesiredVersion, seen: ObservedFunction, tried: bool = False) -> Step:
    """``tried``: the version was started and answered."""
    if seen.published is not None:
        return _finish(wanted, seen, seen.published, tried)
    latest = seen.latest
    if latest is None:
        members = {"FunctionName": wanted.function, "Code": dict(wanted.code.members)}
        return LambdaCall("CreateFunction", {**members, **wanted.configuration, **wanted.creation})
    if reason := refuse_image(wanted, latest):
        return VersionFailure(reason)
    if latest.state == FAILED or latest.update == FAILED:
        if _is_wanted(wanted, seen, latest):
            return VersionFailure(f"function {wanted.function} failed: {latest.reason or 'AWS gives no reason'}")
    elif latest.state == "Pending" or latest.update == "InProgress":
        return _Wait(f"function {wanted.function}")
    named = {"FunctionName": wanted.function, "RevisionId": latest.revision}
    if not _has_code(wanted, seen, latest):
        return LambdaCall("UpdateFunctionCode", {**named, **wanted.code.members})
    if not _has_configuration(wanted, latest):
        return LambdaCall("UpdateFunctionConfiguration", {**named, **wanted.configuration})
    description = version_mark(wanted.fleet, wanted.config)
    return LambdaCall("PublishVersion", {**named, "Description": description})


def _finish(wanted: DesiredVersion, seen: ObservedFunction, published: ObservedConfiguration, tried: bool) -> Step:
    if published.state == FAILED:
        return VersionFailure(f"version {seen.version} failed: {published.reason or 'AWS gives no reason'}")
    if published.state not in _STATES_THAT_SERVE or published.update == "InProgress":
        return _Wait(f"version {seen.version}")
    qualified = {"FunctionName": wanted.function, "Qualifier": seen.version}
    if wanted.provisioned and (seen.provisioned is None or seen.provisioned[0] != wanted.provisioned):
        count = {"ProvisionedConcurrentExecutions": wanted.provisioned}
        return LambdaCall("PutProvisionedConcurrencyConfig", {**qualified, **count})
    if not wanted.provisioned and seen.provisioned is not None:
        return LambdaCall("DeleteProvisionedConcurrencyConfig", qualified)
    if seen.provisioned is not None and seen.provisioned[1] == "FAILED":
        return VersionFailure(f"provisioned concurrency of version {seen.version} failed: {seen.provisioned[2]}")
    if seen.provisioned is not None and seen.provisioned[1] != "READY":
        return _Wait(f"provisioned concurrency of version {seen.version}")
    if seen.alias is None and not tried:
        return Try(LambdaCall("Invoke", {**qualified, "Payload": PING}))
    return _mark(wanted, seen)


def start_failure(version: str, answer: Mapping[str, Any]) -> str:
    """Why a version that was tried does not start; empty if it does. ``answer``: of Invoke."""
    payload = answer.get("Payload") or b"{}"
    try:
        told = json.loads(payload)
    except ValueError:
        told = {}
    told = told if isinstance(told, dict) else {}
    if answer.get("FunctionError"):
        return f"version {version} does not start: {told.get('errorMessage') or 'Lambda gives no reason'}"
    if isinstance(status := told.get("statusCode"), int) and status >= 400:
        return f"version {version} is not healthy: its ping is answered with {status}"
    return ""


def _mark(wanted: DesiredVersion, seen: ObservedFunction) -> Step:
    mark = FleetMark(wanted.fence, wanted.count)
    members = {
        "FunctionName": wanted.function,
        "Name": fleet_alias(wanted.fleet),
        "FunctionVersion": seen.version,
        "Description": fleet_mark(mark),
    }
    if seen.alias is None:
        return LambdaCall("CreateAlias", members)
    known = parse_fleet_mark(seen.alias.description)
    if known is not None and (known == mark or known.fence > wanted.fence):
        return PublishedVersion(seen.version)
    return LambdaCall("UpdateAlias", {**members, "RevisionId": seen.alias.revision})


def refuse_image(wanted: DesiredVersion, latest: ObservedConfiguration) -> str:
    """Why the image cannot be this version's; empty if it may be. The image that the settings name is of one model:
    under a version of another one it would serve that first model, and no alarm could tell."""
    mine, there = _variables(wanted.configuration), _variables(latest.members)
    same_image = bool(wanted.code.image) and there.get(IMAGE) == wanted.code.image
    if not same_image or there.get(MODEL) == mine.get(MODEL):
        return ""
    return (
        f"`image_uri` of target lambda is still {wanted.code.image}, which function {wanted.function} runs with"
        " another model: push this model's image under another tag or digest, and set `image_uri` to it"
    )


def _variables(members: Mapping[str, Any]) -> Mapping[str, str]:
    found: Mapping[str, str] = (members.get("Environment") or {}).get("Variables") or {}
    return found


def _is_wanted(wanted: DesiredVersion, seen: ObservedFunction, latest: ObservedConfiguration) -> bool:
    return _has_code(wanted, seen, latest) and _has_configuration(wanted, latest)


def _has_code(wanted: DesiredVersion, seen: ObservedFunction, latest: ObservedConfiguration) -> bool:
    return seen.image == wanted.code.image if wanted.code.image else latest.sha256 == wanted.code.sha256


def _has_configuration(wanted: DesiredVersion, latest: ObservedConfiguration) -> bool:
    """Whether every member has its value; those that only the other side knows do not count."""
    return all(_shown(latest.members, name) == value for name, value in wanted.configuration.items())


def _shown(members: Mapping[str, Any], name: str) -> object:
    """Layers are given as ARNs and shown as objects; an environment may be shown with an error beside it."""
    value = members.get(name)
    if name == "Layers":
        return [layer["Arn"] for layer in value or ()]
    return {"Variables": (value or {}).get("Variables", {})} if name == "Environment" else value
