"""All that the target at ECS supplies."""

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from tidegate.domain.errors import Invalid, StartupError, TargetError
from tidegate.domain.fleet import FleetId, FleetSpec
from tidegate.domain.traffic import RouteTable
from tidegate.ports.target import Chore, Provider
from tidegate.targets.aws.botocore_calls import open_calls
from tidegate.targets.aws.calls import Calls
from tidegate.targets.aws.log_streams import CloudLogs
from tidegate.targets.aws.options import parse_options
from tidegate.targets.aws.period_progress import PeriodProgress
from tidegate.targets.context import TargetContext
from tidegate.targets.ecs.evidence import EcsEvidence
from tidegate.targets.ecs.logs import EcsLogs
from tidegate.targets.ecs.options import NAME, EcsOptions
from tidegate.targets.ecs.target import EcsTarget
from tidegate.targets.refused_jobs import RefusedRecommendations, RefusedTransforms

log = logging.getLogger(__name__)

RETIRE_EVERY = 30.0
_LAST_FENCE = 2**62
"""Above every fence of a record that is gone."""


def provide_ecs(context: TargetContext) -> Provider:
    """Nothing is asked of AWS yet. Raises StartupError."""
    try:
        options = parse_options(context.options, EcsOptions, NAME)
    except Invalid as error:
        raise StartupError(error.message) from None
    return join_parts(context, options, open_calls(options))


def join_parts(context: TargetContext, options: EcsOptions, calls: Calls) -> Provider:
    installation = options.installation or context.installation.id
    target = EcsTarget(calls, options, installation, context.images, context.changed, settings=context.settings)
    return Provider(
        target=target,
        fleets=target,
        lifecycle=EcsLifecycle(target),
        evidence=EcsEvidence(calls, target, options, PeriodProgress(options.metric_delay, options.metric_period)),
        logs=EcsLogs(CloudLogs(calls), target, options),
        runners=RefusedTransforms(NAME),
        recommenders=RefusedRecommendations(NAME),
    )


@dataclass
class EcsLifecycle:
    target: EcsTarget
    _retiring: set[str] = field(default_factory=set)
    """Endpoints without a record."""
    _troubles: dict[str, str] = field(default_factory=dict)
    """Why one of them cannot be removed now; logged once."""

    @property
    def chores(self) -> Sequence[Chore]:
        return (Chore(RETIRE_EVERY, self.retire),)

    def prepare(self) -> None: ...

    def start(self) -> None: ...

    async def retire_unknown(self, owners: Collection[str]) -> None:
        """Raises TargetError."""
        await self.target.groups.search()
        self._retiring = {id.endpoint for id in self.target.groups.known} - set(owners)
        await self.retire()

    async def retire(self) -> None:
        """Go on with what has no record, until nothing is left of it: tasks finish their requests first."""
        for endpoint in sorted(self._retiring):
            try:
                if any(spec.id.endpoint == endpoint for spec in self.target.desired()):
                    self._retiring.discard(endpoint)  # it was created anew
                    continue
                look = await self.target.observe(endpoint)
                if (rule := await self.target.rules.find(endpoint)) is not None:
                    await self.target.close(rule, RouteTable(endpoint, rule.fence))
                for fleet in look.fleets or ():
                    await self.target.delete_fleet(fleet, _LAST_FENCE)
            except TargetError as error:
                if self._troubles.get(endpoint) != str(error):
                    log.warning("endpoint %s has no record and cannot be removed now: %s", endpoint, error)
                self._troubles[endpoint] = str(error)
            else:
                if not look.fleets:
                    self._retiring.discard(endpoint)

    def serves(self) -> bool:
        return False  # what serves at AWS does not need this machine

    def desired(self) -> list[FleetSpec]:
        return self.target.desired()

    def wake(self, fleet: FleetId, since: float) -> None: ...

    def kick(self, fleet: FleetId) -> None: ...

    async def stop(self, drain: bool) -> None: ...
