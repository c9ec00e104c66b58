"""Checks of an AWS account that change nothing."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from tidegate.domain.errors import TidegateError
from tidegate.ports.target import CheckFinding, Level, Rendering
from tidegate.targets.aws.errors import AccessDenied, ResourceMissing
from tidegate.targets.aws.policies import CallRow, least_policy

Check = Callable[[], Iterable[CheckFinding]]


class AwsCaller(Protocol):
    """``targets.aws.client.AwsClient``."""

    def call(self, service: str, operation: str, params: Mapping[str, object] | None = None) -> dict[str, Any]: ...


@dataclass(frozen=True)
class PermissionProbe:
    """A call that only reads, and that the target needs. That its resource is missing is no failure: it may be
    asked."""

    what: str
    service: str
    operation: str
    members: dict[str, object]


def run_checks(checks: Iterable[tuple[str, Check]]) -> list[CheckFinding]:
    """Run each named check, and return the findings of all. Data that the credentials may not read is reported as
    unknown, as the target itself does not need it. Any other error of a check becomes its finding."""
    found: list[CheckFinding] = []
    for what, check in checks:
        try:
            found += check()
        except AccessDenied as error:
            found.append(CheckFinding(what, Level.UNKNOWN, str(error), "allow this read, or check it yourself"))
        except TidegateError as error:
            found.append(CheckFinding(what, Level.ERROR, str(error)))
    return found


def probe_checks(caller: AwsCaller, probes: Iterable[PermissionProbe]) -> list[tuple[str, Check]]:
    return [(one.what, lambda one=one: _run_probe(caller, one)) for one in probes]  # type: ignore[misc]


def _run_probe(caller: AwsCaller, probe: PermissionProbe) -> Iterator[CheckFinding]:
    try:
        caller.call(probe.service, probe.operation, probe.members)
    except ResourceMissing:
        pass
    except TidegateError as error:
        yield CheckFinding(probe.what, Level.ERROR, str(error), f"allow {probe.service}:{probe.operation}")
        return
    yield CheckFinding(probe.what, Level.OK, f"{probe.operation} is answered")


def check_identity(caller: AwsCaller, account: str = "") -> Iterator[CheckFinding]:
    """``account``: the one that the credentials must be of; empty: any."""
    try:
        found = caller.call("sts", "GetCallerIdentity")
    except TidegateError as error:
        yield CheckFinding(
            "credentials", Level.ERROR, str(error), "set a profile, environment variables or a role"
        )
        return
    if account and found["Account"] != account:
        yield CheckFinding(
            "credentials",
            Level.ERROR,
            f"{found['Arn']} is of account {found['Account']}, and the settings are of {account}",
            "use a profile of that account (AWS_PROFILE)",
        )
        return
    yield CheckFinding("credentials", Level.OK, f"account {found.get('Account')}, {found.get('Arn')}")


def check_spec(render: Callable[[], Rendering]) -> Iterator[CheckFinding]:
    try:
        rendering = render()
    except TidegateError as error:
        yield CheckFinding("spec", Level.ERROR, error.message, "change the spec, or take another target")
        return
    yield CheckFinding("spec", Level.OK, "; ".join(rendering.notes) or "the target can run it")


def check_target(
    caller: AwsCaller,
    settings: str,
    checks: Iterable[tuple[str, Check]],
    render: Callable[[], Rendering] | None,
    rows: Iterable[CallRow],
) -> list[CheckFinding]:
    """``settings``: those that a user may have mistaken; ``render``: a deployment to be checked; ``rows``: the calls
    that the target makes, for its least policy."""
    found = [CheckFinding("settings", Level.OK, settings)]
    found += run_checks([("credentials", lambda: check_identity(caller)), *checks])
    if render is not None:
        found += check_spec(render)
    return [*found, CheckFinding("least policy", Level.OK, json.dumps(least_policy(rows)))]


def settings_error(error: TidegateError) -> CheckFinding:
    return CheckFinding("settings", Level.ERROR, error.message, "correct the file of TIDEGATE_TARGETS")
