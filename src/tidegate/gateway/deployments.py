"""Begin a deployment in one transaction, and wake the loop that carries it out."""

import copy
from collections.abc import Callable
from datetime import datetime
from functools import partial

from tidegate import spec
from tidegate.domain.desired import DesiredDeployment
from tidegate.domain.registry import ContainerDefinition, Upstream
from tidegate.domain.targets import LOCAL
from tidegate.service.deploy import DeployOptions, DeployResult
from tidegate.service.endpoint_extension import DeploymentIds
from tidegate.wire.operation import WireContext


async def pin_images(context: WireContext, data: object) -> object:
    """Copy a spec's plain data, with the digests of container images that run on this machine: a tag may move, and a
    version stays what it was. Raises Invalid or Unavailable."""
    if not isinstance(data, dict) or (data.get("target") or context.targets.default) != LOCAL:
        return data
    pinned = copy.deepcopy(data)
    for _, model in spec.artifacts(pinned):
        for key, reached in (("container", Upstream()), ("image", None)):
            if isinstance(model.get(key), str):
                model[key] = await context.pin_image(ContainerDefinition(model[key], upstream=reached))
    return pinned


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
