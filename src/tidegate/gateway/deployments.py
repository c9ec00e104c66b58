"""Begin a deployment in one transaction, and wake the loop that carries it out."""

import copy
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

from tidegate import spec
from tidegate.domain.alarm import Signal
from tidegate.domain.desired import DesiredDeployment
from tidegate.domain.registry import ContainerDefinition, PinnedModel, Upstream
from tidegate.domain.registry_addresses import parse_registry_address
from tidegate.domain.targets import LOCAL
from tidegate.service.deploy import DeployOptions, DeployResult, deploy
from tidegate.service.endpoint_extension import DeploymentIds
from tidegate.wire.operation import WireContext


async def pin_references(context: WireContext, data: object) -> object:
    """Copy a spec's plain data with what its references stand for now: versions in place of addresses of registries,
    and the digests of container images that run on this machine. An alias or a tag may move, and a version stays what
    it was. Raises Invalid, NotFound or Unavailable."""
    pinned = await look_up_models(context, data)
    if not isinstance(pinned, dict) or (pinned.get("target") or context.targets.default) != LOCAL:
        return pinned
    for _, model in spec.artifacts(pinned):
        for key, reached in (("container", Upstream()), ("image", None)):
            if isinstance(model.get(key), str):
                model[key] = await context.pin_image(ContainerDefinition(model[key], upstream=reached))
    return pinned


async def look_up_models(context: WireContext, data: object) -> object:
    """Copy a spec's plain data with versions in place of addresses of registries. Raises Invalid, NotFound or
    Unavailable."""
    found = copy.deepcopy(data)
    for _, model in spec.artifacts(found):
        if isinstance(address := model.get("data"), str) and parse_registry_address(address) is not None:
            _put_model(model, address, await context.resolve_model(address))
    return found


def _put_model(model: dict[str, Any], address: str, found: PinnedModel) -> None:
    """Put a version of a registry into a model of a spec, whose own keys win."""
    model |= {"data": found.data_url, "fingerprint": found.version}
    if found.image:
        model.setdefault("image", found.image)
    if found.environment:
        model["environment"] = {**found.environment, **(model.get("environment") or {})}
    if follow := model.get("follow"):
        model["follow"] = {"address": address, **(follow if isinstance(follow, dict) else {})}


async def deploy_spec(
    context: WireContext,
    data: object,
    options: DeployOptions,
    now: datetime,
    deploy: Callable[..., DeployResult] = deploy,
    check: Callable[[DesiredDeployment], None] = lambda wish: None,
) -> DeployResult:
    """Deploy a spec's plain data. ``check`` may refuse it. Raises what ``begin_deployment`` and ``pin_references``
    raise."""
    check(spec.parse_runnable(data, now))  # before what it refers to is looked for
    wish = spec.parse_runnable(await pin_references(context, data), now, data)
    return await begin_deployment(context, deploy, wish, options, now)


async def begin_deployment(
    context: WireContext,
    deploy: Callable[..., DeployResult],
    desired: DesiredDeployment,
    options: DeployOptions,
    now: datetime,
) -> DeployResult:
    """``deploy``: ``service.deploy``'s, or one that adds to it in the same transaction. Raises what it raises, and
    Invalid for an alarm on a signal that this server does not read."""
    for alarm in desired.alarms:
        if alarm.signal is not None:
            context.check_signal(alarm.signal)
    evidence = desired.deployment.evidence
    if evidence is not None and evidence.judging is not None:
        context.check_signal(Signal(evidence.judging.url, headers=evidence.judging.headers))
    rollout_id = context.ids.new("rollout")
    work = partial(
        deploy,
        desired=desired,
        options=options,
        runnable=context.runnable,
        rollout_id=rollout_id,
        targets=context.targets,
        now=now,
        ids=DeploymentIds(context.region, context.account, rollout_id),
    )
    done = await context.store.run(work)
    context.kick(desired.endpoint)
    return done
