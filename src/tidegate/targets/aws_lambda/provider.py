"""All that the target at Lambda supplies. The name of a log stream has the version of its environment in brackets."""

import asyncio
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from tidegate.domain.errors import Invalid, StartupError
from tidegate.domain.fleet import FleetSpec
from tidegate.domain.registry import ContainerDefinition
from tidegate.ports.logs import ReplicaLog
from tidegate.ports.target import Chore, Provider
from tidegate.targets.aws.client import Calls, open_calls
from tidegate.targets.aws.lifecycle import AwsLifecycle
from tidegate.targets.aws.log_streams import CloudLogs, OwnLogs
from tidegate.targets.aws.options import parse_options
from tidegate.targets.aws.ownership import owned_endpoints
from tidegate.targets.aws.period_progress import PeriodProgress
from tidegate.targets.aws_lambda.description import Describer
from tidegate.targets.aws_lambda.evidence import AwsLambdaEvidence
from tidegate.targets.aws_lambda.functions import FunctionClient
from tidegate.targets.aws_lambda.marks import LIVE, parse_fleet_alias
from tidegate.targets.aws_lambda.options import NAME, AwsLambdaOptions, function_name
from tidegate.targets.aws_lambda.target import AwsLambdaTarget
from tidegate.targets.containers import check_container
from tidegate.targets.context import TargetContext
from tidegate.targets.refused_jobs import RefusedRecommendations, RefusedTransforms

_VERSION = re.compile(r"\[(\d+)\]")
MOST_TAILS = 10
"""Environments whose last lines are shown, those that wrote last."""


@dataclass(frozen=True)
class AwsLambdaLogs(OwnLogs):
    logs: CloudLogs
    target: AwsLambdaTarget
    options: AwsLambdaOptions

    async def tail(self, endpoint: str, lines: int) -> Sequence[ReplicaLog]:
        fleets = {version: id for id, (version, _) in self.target.configs.items() if id.endpoint == endpoint}
        if not fleets:
            return ()  # of another target, perhaps, with a name that no function can have
        group = self._group(endpoint)
        found = []
        for stream in (await self.logs.streams(group))[:MOST_TAILS]:
            version = _VERSION.search(stream.name)
            if version is not None and (id := fleets.get(version[1])) is not None:
                written = await self.logs.tail(group, stream.name, lines)
                found.append(ReplicaLog(id.generation, id.variant, stream.name, written))
        return sorted(found, key=lambda log: log.generation)

    async def groups(self) -> Sequence[str]:
        return sorted({self._group(id.endpoint) for id in self.target.configs})

    def _group(self, endpoint: str) -> str:
        return f"/aws/lambda/{function_name(self.options, endpoint)}"


PRUNE_EVERY = 600.0


def provide_lambda(context: TargetContext) -> Provider:
    """Assemble the target ``lambda`` from its settings. It does not call AWS yet. Raises StartupError."""
    try:
        options = parse_options(context.options, AwsLambdaOptions, NAME)
    except Invalid as error:
        raise StartupError(error.message) from None
    return join_parts(context, options, open_calls(options))


def join_parts(context: TargetContext, options: AwsLambdaOptions, calls: Calls) -> Provider:
    installation = options.installation or context.installation.id
    describer = Describer(
        context.settings, options, context.images, installation, context.state / "aws-lambda", calls
    )
    functions = FunctionClient(calls, installation)
    target = AwsLambdaTarget(functions, options, describer.describe, context.changed)

    def check(container: ContainerDefinition) -> None:
        check_container(container, context.images, context.settings)

    return Provider(
        target=target,
        fleets=target,
        lifecycle=_AwsLambdaLifecycle(calls, installation, options, target, functions, describer),
        evidence=AwsLambdaEvidence(
            calls, target, options, PeriodProgress(options.metric_delay, options.metric_period)
        ),
        logs=AwsLambdaLogs(CloudLogs(calls), target, options),
        runners=RefusedTransforms(NAME),
        recommenders=RefusedRecommendations(NAME),
        check_container=check,
    )


@dataclass(frozen=True)
class _AwsLambdaLifecycle(AwsLifecycle):
    calls: Calls
    installation: str
    options: AwsLambdaOptions
    target: AwsLambdaTarget
    functions: FunctionClient
    describer: Describer

    @property
    def chores(self) -> Sequence[Chore]:
        return (Chore(PRUNE_EVERY, self._prune),)

    async def retire_unknown(self, owners: Collection[str]) -> None:
        """Raises TargetError."""
        for endpoint in await owned_endpoints(self.calls, self.installation, "lambda:function") - set(owners):
            function = function_name(self.options, endpoint)
            aliases = await self.functions.aliases(function, endpoint)
            if LIVE in aliases:
                await self.functions.remove_alias(function, LIVE)
            for alias in aliases.values():
                if parse_fleet_alias(endpoint, alias.name) is not None:
                    await self.functions.remove_alias(function, alias.name)
            await self.functions.remove(function, endpoint)

    def desired(self) -> list[FleetSpec]:
        return self.target.desired()

    async def stop(self, drain: bool) -> None:
        await self.target.stop()

    async def _prune(self) -> None:
        fleets = {spec.id for spec in self.target.desired()}
        await asyncio.to_thread(self.describer.prune, fleets)
