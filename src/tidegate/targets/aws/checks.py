"""Checks of an AWS account that change nothing: each call that a target reads with is tried once."""

import asyncio
import json
from collections.abc import Coroutine, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from tidegate.domain.errors import TargetError
from tidegate.ports.target import Finding, Level
from tidegate.targets.aws.calls import Calls
from tidegate.targets.aws.errors import ResourceMissing
from tidegate.targets.aws.policies import CallRow, least_policy


@dataclass(frozen=True)
class Probe:
    """A call that only reads. That its resource is missing is no failure: it may be asked."""

    what: str
    service: str
    operation: str
    members: dict[str, object]


async def run_probe(calls: Calls, probe: Probe) -> Finding:
    try:
        await calls.call(probe.service, probe.operation, probe.members)
    except ResourceMissing:
        pass
    except TargetError as error:
        return Finding(probe.what, Level.ERROR, str(error), f"allow {probe.service}:{probe.operation}")
    return Finding(probe.what, Level.OK, f"{probe.operation} is answered")


async def check_identity(calls: Calls) -> Finding:
    try:
        found = await calls.call("sts", "GetCallerIdentity", {})
    except TargetError as error:
        return Finding("credentials", Level.ERROR, str(error), "set a profile, environment variables or a role")
    return Finding("credentials", Level.OK, f"account {found.get('Account')}, {found.get('Arn')}")


def policy_finding(rows: Iterable[CallRow]) -> Finding:
    return Finding("least policy", Level.OK, json.dumps(least_policy(rows)))


def run_checks(work: Coroutine[Any, Any, Sequence[Finding]]) -> Sequence[Finding]:
    return asyncio.run(work)
