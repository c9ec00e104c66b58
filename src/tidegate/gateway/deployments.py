"""Begin a deployment in one transaction, and wake the loop that carries it out."""

from collections.abc import Callable
from datetime import datetime
from functools import partial

from tidegate.domain.desired import DesiredDeployment
from tidegate.features.autoscaling.spec_scaling import Arns
from tidegate.service.deploy import DeployOptions, DeployResult
from tidegate.wire.operation import WireContext


async def begin_deployment(
    context: WireContext,
    deploy: Callable[..., DeployResult],
    desired: DesiredDeployment,
    options: DeployOptions,
    now: datetime,
) -> DeployResult:
    """``deploy``: ``service.deploy``'s, or one that adds to it in the same transaction. Raises what it raises."""
    rollout_id = context.ids.new("rollout")
    work = partial(
        deploy,
        desired=desired,
        options=options,
        runnable=context.runnable,
        rollout_id=rollout_id,
        targets=context.targets,
        now=now,
        arns=Arns(context.region, context.account, rollout_id),
    )
    done = await context.store.run(work)
    context.kick(desired.endpoint)
    return done
