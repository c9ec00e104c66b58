"""Engine mode: a ``ports.target.Target`` whose fleets are variants of an endpoint at SageMaker.

Looking and calling block, so they happen in threads, one at a time for each endpoint: SageMaker takes no second
change. What is asked for is remembered, and ``work`` brings the endpoint towards it whenever SageMaker is ready."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

from tidegate.domain.errors import TargetRefused, TidegateError, Transient
from tidegate.domain.evidence import Comparison
from tidegate.domain.fleet import FleetId, FleetSpec
from tidegate.domain.observation import Capabilities, FleetStatus
from tidegate.domain.registry import ContainerDefinition
from tidegate.domain.traffic import RouteTable
from tidegate.ports.target import Chore, Look
from tidegate.targets.aws.client import AwsClient
from tidegate.targets.aws.errors import ResourceBusy, ResourceExists, Unanswered
from tidegate.targets.aws.lifecycle import AwsLifecycle
from tidegate.targets.aws.ownership import ACCOUNT, check_own
from tidegate.targets.fence import FencedState, FencedTarget
from tidegate.targets.sagemaker import ensure
from tidegate.targets.sagemaker.calls import Params
from tidegate.targets.sagemaker.engine_calls import compile_change, compile_fleet
from tidegate.targets.sagemaker.engine_state import (
    ConfigUpdate,
    DesiredEndpoint,
    DesiredVariant,
    EndpointDeletion,
    ObservedEndpoint,
    RequestedConfig,
    SeenVariant,
    WeightUpdate,
    decide,
    fleet_of,
    note_outcome,
    show,
    variant_name,
)
from tidegate.targets.sagemaker.observe import describe, describe_endpoint, read_tags
from tidegate.targets.sagemaker.options import SagemakerOptions
from tidegate.targets.sagemaker.retire import collect, remove_all

log = logging.getLogger(__name__)

T = TypeVar("T")
InThread = Callable[[Callable[[], T]], Awaitable[T]]

CAN = Capabilities(
    devices=False,
    shadow=False,
    serverless=False,
    asynchronous=False,
    capture=False,
    admission=False,
    sticks=False,
    compares=frozenset({Comparison.ERRORS}),
    keeps_models=False,
)
"""Weights divide finely, and the platform's engine guards whatever the instances are. Shadows, serverless and
asynchronous variants cannot stand beside a second variant at SageMaker: mode native has them."""
WORK_EVERY = 5.0
"""Seconds, at most; ``poll`` if that is less."""
LOOK_AGAIN = timedelta(seconds=2)
"""At least, after a look that failed: whoever asks before learns what went wrong then."""


@dataclass
class _ManagedEndpoint:
    wanted: DesiredEndpoint
    seen: ObservedEndpoint | None = None
    looked_at: Any = None
    """None: never."""
    failed: tuple[datetime, TidegateError] | None = None
    """The last look, if it failed."""
    trouble: str = ""
    untidy: bool = False
    """A change is over that may have left old configs and models."""
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class SagemakerTarget(FencedTarget[_ManagedEndpoint, _ManagedEndpoint]):
    def __init__(
        self,
        aws: AwsClient,
        options: SagemakerOptions,
        changed: Callable[[str], None],
        in_thread: Callable[..., Awaitable[Any]] = asyncio.to_thread,
    ) -> None:
        super().__init__()
        self.name = "sagemaker"
        self.can = replace(CAN, counted_after=options.counted_after)
        self.aws, self.options, self.changed = aws, options, changed
        self._in_thread = in_thread
        self._managed: dict[str, _ManagedEndpoint] = {}
        self._configs: dict[str, Params] = {}
        """Configs by name: they never change."""
        self._owned: set[str] = set()
        """ARNs of endpoints that are known to be tidegate's."""
        self._shifts: dict[str, asyncio.Task[None]] = {}
        """Work that does not wait for its turn: a rollback must not."""

    async def observe(self, endpoint: str) -> Look:
        managed = self._of(endpoint)
        async with managed.lock:
            if self._is_due(managed):
                await self._look(managed)
            return show(managed.wanted, managed.seen)

    async def find_fleet(self, fleet: FleetId) -> FencedState[_ManagedEndpoint]:
        managed = self._of(fleet.endpoint)
        return FencedState(managed.wanted.removed.get(fleet, 0), managed)

    async def put_fleet(self, fleet: FleetSpec, fence: int, there: _ManagedEndpoint) -> None:
        variant_name(fleet.id)
        wanted = there.wanted
        before = wanted.fleets.get(fleet.id)
        params = before.params if before else compile_fleet(fleet, self.options).variant
        fleets = {**wanted.fleets, fleet.id: DesiredVariant(fleet, params)}
        removed = {id: at for id, at in wanted.removed.items() if id != fleet.id}
        there.wanted = replace(wanted, fleets=fleets, removed=removed)

    async def remove_fleet(self, fleet: FleetId, fence: int, there: _ManagedEndpoint) -> None:
        fleets = {id: one for id, one in there.wanted.fleets.items() if id != fleet}
        there.wanted = replace(there.wanted, fleets=fleets, removed={**there.wanted.removed, fleet: fence})

    async def find_traffic(self, endpoint: str) -> FencedState[_ManagedEndpoint]:
        managed = self._of(endpoint)
        return FencedState(managed.wanted.table.fence if managed.wanted.table is not None else 0, managed)

    async def put_traffic(self, table: RouteTable, there: _ManagedEndpoint) -> None:
        there.wanted = replace(there.wanted, table=table)
        name = table.endpoint
        if name not in self._shifts:
            self._shifts[name] = asyncio.create_task(self._work_on(there), name=f"sagemaker {name}")
            self._shifts[name].add_done_callback(lambda _: self._shifts.pop(name, None))

    def seen(self, fleet: FleetId) -> FleetStatus | None:
        managed = self._managed.get(fleet.endpoint)
        found = show(managed.wanted, managed.seen).fleets if managed else None
        return (found or {}).get(fleet)

    async def work(self) -> None:
        """Bring every endpoint one call nearer to what was asked for."""
        await asyncio.gather(*[self._work_on(managed) for managed in self._managed.values()])

    async def _work_on(self, managed: _ManagedEndpoint) -> None:
        async with managed.lock:
            try:
                if self._is_due(managed):
                    await self._look(managed)
                await self._act(managed)
                await self._tidy(managed)
                managed.trouble = ""
            except TidegateError as error:
                if managed.trouble != str(error):
                    managed.trouble = str(error)
                    log.warning("endpoint %s at SageMaker: %s", managed.wanted.name, error)

    async def stop(self) -> None:
        """Stop the work on endpoints. Changes that were requested of SageMaker go on there."""
        shifts = list(self._shifts.values())
        for task in shifts:
            task.cancel()
        await asyncio.gather(*shifts, return_exceptions=True)

    def endpoints(self) -> Mapping[str, tuple[DesiredEndpoint, ObservedEndpoint | None]]:
        return {name: (one.wanted, one.seen) for name, one in self._managed.items()}

    def _is_due(self, managed: _ManagedEndpoint) -> bool:
        if managed.looked_at is None:
            return True
        wanted, seen = managed.wanted, managed.seen
        moving = wanted.asked is not None or (seen is not None and not seen.settled)
        changing = moving or decide(wanted, seen) is not None
        age: timedelta = self.aws.clock.now() - managed.looked_at
        wait = timedelta(seconds=self.options.poll * (1 if changing else 3))
        return not timedelta() <= age < wait  # less than none: the clock was set

    def _of(self, endpoint: str) -> _ManagedEndpoint:
        return self._managed.setdefault(endpoint, _ManagedEndpoint(DesiredEndpoint(endpoint)))

    async def _look(self, managed: _ManagedEndpoint) -> None:
        name = managed.wanted.name
        before = show(managed.wanted, managed.seen) if managed.looked_at else None
        if managed.failed is not None:
            age = self.aws.clock.now() - managed.failed[0]
            if timedelta() <= age < LOOK_AGAIN:  # less than none: the clock was set
                raise managed.failed[1].with_traceback(None)
        try:
            seen = await self._in_thread(lambda: self._read(name))
        except TidegateError as error:
            managed.failed = self.aws.clock.now(), error
            raise
        now = self.aws.clock.now()
        managed.failed = None
        managed.seen, managed.looked_at = seen, now
        asked, why = note_outcome(managed.wanted, seen, now)
        failed = managed.wanted.failed
        if why:
            failed = (
                frozenset(variant_name(id) for id, one in managed.wanted.fleets.items() if one.spec.count),
                why,
            )
        over = asked is None and managed.wanted.asked is not None
        managed.untidy = managed.untidy or over or (seen is None and bool(managed.wanted.removed))
        removed = managed.wanted.removed
        if seen is None or seen.settled:
            removed = {id: at for id, at in removed.items() if seen and variant_name(id) in seen.variants}
        managed.wanted = replace(managed.wanted, asked=asked, failed=failed, removed=removed)
        if before is not None and before != show(managed.wanted, seen):
            self.changed(name)

    def _read(self, name: str) -> ObservedEndpoint | None:
        there = describe_endpoint(self.aws, name)
        if there is None:
            return None
        arn = there["EndpointArn"]
        if arn not in self._owned:
            check_own(read_tags(self.aws, arn), ACCOUNT, name, f"endpoint {name}")
        self._owned.add(arn)
        config = self._read_config(name, there["EndpointConfigName"])
        params = {one["VariantName"]: one for one in config["ProductionVariants"]}
        if strange := [variant for variant in params if fleet_of(name, variant) is None]:
            raise TargetRefused(
                f"variant {strange[0]} of {name} was not made in mode: engine; keep this endpoint in mode: native, or"
                " deploy it under another name"
            )
        variants = {
            one["VariantName"]: SeenVariant(
                params[one["VariantName"]],
                int(one.get("CurrentInstanceCount", 0)),
                int(one.get("DesiredInstanceCount", 0)),
                float(one.get("CurrentWeight", 0.0)),
                float(one.get("DesiredWeight", 0.0)),
            )
            for one in there.get("ProductionVariants", ())
            if one["VariantName"] in params
        }
        return ObservedEndpoint(there, variants)

    async def _tidy(self, managed: _ManagedEndpoint) -> None:
        """Remove what the last change left, once nothing moves; as in native mode, never what serves."""
        name, seen, wanted = managed.wanted.name, managed.seen, managed.wanted
        still = wanted.asked is None and managed.looked_at is not None and decide(wanted, seen) is None
        if not managed.untidy or not still or (seen is not None and not seen.settled):
            return
        if seen is None and wanted.fleets:
            return
        keep = self.options.keep_versions
        await self._in_thread(
            lambda: list(remove_all(self.aws, name) if not seen else collect(self.aws, name, keep))
        )
        managed.untidy = False

    def _read_config(self, endpoint: str, name: str) -> Params:
        found = self._configs.get(name)
        if found is None:
            found = describe(self.aws, "DescribeEndpointConfig", {"EndpointConfigName": name})
            if found is None:
                raise Transient(f"the config {name} that serves {endpoint} was deleted, and SageMaker needs it")
            self._configs[name] = found
        return found

    async def _act(self, managed: _ManagedEndpoint) -> None:
        wanted = managed.wanted
        change = decide(wanted, managed.seen)
        if change is None:
            return
        managed.looked_at = None  # whatever comes of it, look before the next decision
        if isinstance(change, ConfigUpdate):
            managed.wanted = await self._bring(managed, change)
        elif isinstance(change, WeightUpdate):
            params = {"EndpointName": wanted.name, "DesiredWeightsAndCapacities": list(change.changes)}
            await self._unless_busy("UpdateEndpointWeightsAndCapacities", params)
        elif isinstance(change, EndpointDeletion):
            await self._unless_busy("DeleteEndpoint", {"EndpointName": wanted.name})

    async def _bring(self, managed: _ManagedEndpoint, change: ConfigUpdate) -> DesiredEndpoint:
        wanted = managed.wanted
        fleets = [compile_fleet(one.spec, self.options) for one in wanted.fleets.values() if one.spec.count]
        compiled = compile_change(wanted.name, change, fleets, self.options)

        def make() -> None:
            for call in (*compiled.models, compiled.config):
                ensure.ensure_created(self.aws, call, log.info)

        try:
            await self._in_thread(make)
            taken = await self._unless_busy(compiled.change.operation, dict(compiled.change.params))
        except TargetRefused as error:
            names = frozenset(one["VariantName"] for one in change.variants)
            return replace(wanted, failed=(names, str(error)))
        if not taken:
            return wanted
        return replace(wanted, asked=RequestedConfig(compiled.config_name, self.aws.clock.now()), failed=None)

    async def _unless_busy(self, operation: str, params: Params) -> bool:
        """Call an operation, and return whether it was carried out. False: SageMaker is changing the endpoint
        otherwise, which is waited for; or its answer was lost, and the next look tells whether the call was carried
        out."""
        try:
            await self._in_thread(lambda: self.aws.call("sagemaker", operation, params))
        except ResourceExists:
            return True
        except (Unanswered, ResourceBusy):
            return False
        return True


@dataclass
class SagemakerLifecycle(AwsLifecycle):
    target: SagemakerTarget

    @property
    def chores(self) -> Sequence[Chore]:
        return (Chore(min(WORK_EVERY, self.target.options.poll), self.target.work),)

    async def retire_unknown(self, owners: Collection[str]) -> None:
        """Endpoints are shared by an account: what has no record here may have one elsewhere, and stays."""

    def desired(self) -> list[FleetSpec]:
        return self.target.desired()

    async def stop(self, drain: bool) -> None:
        await self.target.stop()


def check_container(container: ContainerDefinition) -> None:
    """Any image is one that ECR may have; what cannot be resolved is refused with its fleet."""
