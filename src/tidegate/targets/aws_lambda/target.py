"""Fleets and traffic of endpoints as versions and an alias of functions: a ``ports.target.Target``."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace

from tidegate.domain.errors import TargetError, TargetRefused, TidegateError
from tidegate.domain.evidence import Comparison
from tidegate.domain.fleet import FleetId, FleetSpec
from tidegate.domain.observation import Capabilities, FleetStatus
from tidegate.domain.traffic import RouteTable
from tidegate.ports.target import Look
from tidegate.targets.aws.errors import ResourceBusy, ResourceChanged
from tidegate.targets.aws_lambda.alias_traffic import ObservedAlias, alias_routes, check_untouched, routing_members
from tidegate.targets.aws_lambda.functions import FunctionClient
from tidegate.targets.aws_lambda.marks import (
    LIVE,
    config_of,
    parse_fleet_alias,
    parse_fleet_mark,
    parse_traffic_mark,
    traffic_mark,
)
from tidegate.targets.aws_lambda.options import NAME, AwsLambdaOptions, function_name
from tidegate.targets.aws_lambda.versions import (
    FAILED,
    DesiredVersion,
    LambdaCall,
    PublishedVersion,
    Try,
    VersionFailure,
    next_step,
    start_failure,
)
from tidegate.targets.fence import FencedState, FencedTarget, FleetRequest

CAPABILITIES = Capabilities(
    smallest_share=100,
    shadow=False,
    asynchronous=False,
    multi_model=False,
    capture=False,
    admission=False,
    devices=False,
    sticks=False,
    scales_in_rollouts=False,
    compares=frozenset({Comparison.ERRORS}),
    keeps_models=False,
)
POLL = 1.0
"""Seconds between looks at what AWS is still working on."""
FAILURE_KEPT = 60.0
"""Seconds until a fleet that failed is tried again."""


@dataclass(frozen=True)
class _Failure:
    """``of`` is what was asked for then; ``at`` is the event loop's time."""

    of: FleetRequest
    reason: str
    at: float


@dataclass
class AwsLambdaTarget(FencedTarget[Mapping[str, ObservedAlias], Mapping[str, ObservedAlias]]):
    """``describe`` makes what a fleet's version should be, its package included."""

    functions: FunctionClient
    options: AwsLambdaOptions
    describe: Callable[[FleetSpec, int], Awaitable[DesiredVersion]]
    changed: Callable[[str], None]
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
    name: str = NAME
    can: Capabilities = CAPABILITIES
    configs: dict[FleetId, tuple[str, str]] = field(default_factory=dict)
    """Fleets that were seen -> their version, and their config."""
    routes: dict[str, tuple[FleetId, ...]] = field(default_factory=dict)
    """Endpoint -> the fleets that its alias led to when it was seen last."""
    _failures: dict[FleetId, _Failure] = field(default_factory=dict)
    _tasks: dict[FleetId, asyncio.Task[None]] = field(default_factory=dict)
    _locks: dict[str, asyncio.Lock] = field(default_factory=dict)
    """One fleet of an endpoint is published at a time: a function has one code that can be changed."""

    def __post_init__(self) -> None:
        super().__init__()
        self.can = replace(self.can, counted_after=self.options.counted_after)

    async def observe(self, endpoint: str) -> Look:
        function = function_name(self.options, endpoint)
        aliases = await self.functions.aliases(function, endpoint)
        found = {id: self._starting(one) for id, one in self.requested.items() if id.endpoint == endpoint}
        versions: dict[str, FleetId] = {}
        for alias in aliases.values():
            id, mark = parse_fleet_alias(endpoint, alias.name), parse_fleet_mark(alias.description)
            if id is None or mark is None:
                continue
            versions[alias.version] = id
            found[id] = await self._status(function, id, alias, mark.count)
        return Look(found, self._routes(endpoint, aliases.get(LIVE), versions))

    async def find_fleet(self, fleet: FleetId) -> FencedState[Mapping[str, ObservedAlias]]:
        aliases = await self.functions.aliases(function_name(self.options, fleet.endpoint), fleet.endpoint)
        mine = (one for one in aliases.values() if parse_fleet_alias(fleet.endpoint, one.name) == fleet)
        marks = (mark for alias in mine if (mark := parse_fleet_mark(alias.description)) is not None)
        return FencedState(max((mark.fence for mark in marks), default=0), aliases)

    async def put_fleet(self, fleet: FleetSpec, fence: int, there: Mapping[str, ObservedAlias]) -> None:
        """Start the work, which goes on in a task."""
        failure = self._failure(fleet.id)
        again = failure is None or asyncio.get_running_loop().time() - failure.at > FAILURE_KEPT
        if fleet.id not in self._tasks and again:
            task = asyncio.create_task(self._publish(fleet.id), name=f"lambda {fleet.id}")
            self._tasks[fleet.id] = task
            task.add_done_callback(lambda _: self._tasks.pop(fleet.id, None))

    def _failure(self, fleet: FleetId) -> _Failure | None:
        """Return the failure of the version that is requested now. None: it has not failed, or only an earlier
        request has."""
        failure = self._failures.get(fleet)
        return failure if failure is not None and failure.of == self.requested.get(fleet) else None

    async def remove_fleet(self, fleet: FleetId, fence: int, there: Mapping[str, ObservedAlias]) -> None:
        self._failures.pop(fleet, None)
        if (task := self._tasks.get(fleet)) is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            there = (await self.find_fleet(fleet)).there
        await self._remove(fleet, there)
        self.configs.pop(fleet, None)
        self.changed(fleet.endpoint)

    async def find_traffic(self, endpoint: str) -> FencedState[Mapping[str, ObservedAlias]]:
        function = function_name(self.options, endpoint)
        aliases = await self.functions.aliases(function, endpoint)
        live = aliases.get(LIVE)
        if live is None:
            return FencedState(0, aliases)
        check_untouched(live, endpoint, fleets_by_version(endpoint, aliases), function)
        written = parse_traffic_mark(endpoint, live.description)
        return FencedState(written.fence if written is not None else 0, aliases)

    async def put_traffic(self, table: RouteTable, there: Mapping[str, ObservedAlias]) -> None:
        endpoint, function, live = table.endpoint, function_name(self.options, table.endpoint), there.get(LIVE)
        if not table.routes:
            if live is not None:
                await self.functions.remove_alias(function, LIVE)
            return
        versions = {fleet: version for version, fleet in fleets_by_version(endpoint, there).items()}
        members: dict[str, object] = {
            "FunctionName": function,
            "Name": LIVE,
            "Description": traffic_mark(table),
            **routing_members(table, versions),
        }
        if live is None:
            await self.functions.call("CreateAlias", members)
        else:
            await self.functions.call("UpdateAlias", {**members, "RevisionId": live.revision})

    def seen(self, fleet: FleetId) -> FleetStatus | None:
        request = self.requested.get(fleet)
        return None if request is None else self._starting(request)

    async def stop(self) -> None:
        """End the work that goes on; a later controller takes it up. What serves is left alone."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # --- looking ---

    def _starting(self, request: FleetRequest) -> FleetStatus:
        id, count, failed = request.spec.id, request.spec.count, self._failure(request.spec.id)
        failure = failed.reason if failed is not None else None
        serverless = request.spec.variant.serverless
        return FleetStatus(id, count, 0, 0 if failure else count, failure=failure, serverless=serverless)

    async def _status(self, function: str, id: FleetId, alias: ObservedAlias, count: int) -> FleetStatus:
        version = await self.functions.version(function, alias.version)
        self.configs[id] = (alias.version, config_of(str(version.members.get("Description", ""))))
        request = self.requested.get(id)
        serverless = request.spec.variant.serverless if request is not None else None
        failure = f"version {alias.version} failed: {version.reason}" if version.state == FAILED else None
        return FleetStatus(
            id, count, 0 if failure else count, failure=failure, serverless=serverless, was_ready=not failure
        )

    def _routes(
        self, endpoint: str, live: ObservedAlias | None, versions: Mapping[str, FleetId]
    ) -> RouteTable | None:
        if live is None:
            self.routes.pop(endpoint, None)
            return RouteTable(endpoint, 0)
        routes = alias_routes(live, versions)
        if routes is None:
            return None
        self.routes[endpoint] = tuple(route.fleet for route in routes)
        written = parse_traffic_mark(endpoint, live.description)
        return RouteTable(endpoint, written.fence if written is not None else 0, routes)

    # --- publishing and removing ---

    async def _publish(self, id: FleetId) -> None:
        async with self._locks.setdefault(id.endpoint, asyncio.Lock()):
            try:
                failure = await self._publish_version(id)
            except TargetRefused as error:
                failure = str(error)
            except TargetError:
                return  # the engine asks again
            except TidegateError as error:
                failure = str(error)
        request = self.requested.get(id)
        self._failures.pop(id, None)
        if request is not None and failure:
            self._failures[id] = _Failure(request, failure, asyncio.get_running_loop().time())
        self.changed(id.endpoint)

    async def _publish_version(self, id: FleetId) -> str:
        """Why it failed; empty if it did not."""
        tried = ""
        while (request := self.requested.get(id)) is not None:
            wanted = await self.describe(request.spec, request.fence)
            found = await self.functions.look(wanted.function, id)
            step = next_step(wanted, found, tried == found.version)
            if isinstance(step, PublishedVersion):
                return ""
            if isinstance(step, VersionFailure):
                return step.reason
            if isinstance(step, Try):
                answer = await self.functions.call(step.call.operation, dict(step.call.members))
                if failure := start_failure(found.version, answer):
                    return failure
                tried = found.version
            elif isinstance(step, LambdaCall):
                try:
                    await self.functions.call(step.operation, dict(step.members))
                except (ResourceBusy, ResourceChanged):
                    await self.sleep(POLL)
            else:
                await self.sleep(POLL)
        return ""

    async def _remove(self, fleet: FleetId, aliases: Mapping[str, ObservedAlias]) -> None:
        """The fleet's alias and version, versions that no fleet has, and the function with its last fleet."""
        endpoint, function = fleet.endpoint, function_name(self.options, fleet.endpoint)
        if not aliases and not await self.functions.exists(function, endpoint):
            return
        for alias in aliases.values():
            if parse_fleet_alias(endpoint, alias.name) == fleet:
                if parse_fleet_mark(alias.description) is None:
                    return
                await self.functions.remove_alias(function, alias.name)
                await self.functions.remove_version(function, alias.version)
        aliases = await self.functions.aliases(function, endpoint)
        wanted = any(id.endpoint == endpoint for id in self.requested)
        if not aliases and not wanted:
            await self.functions.remove(function, endpoint)
        elif endpoint not in {id.endpoint for id in self._tasks}:
            kept = {alias.version for alias in aliases.values()}
            for version in (await self.functions.own_versions(function)).keys() - kept:
                await self.functions.remove_version(function, version)


def fleets_by_version(endpoint: str, aliases: Mapping[str, ObservedAlias]) -> dict[str, FleetId]:
    found: dict[str, FleetId] = {}
    for alias in aliases.values():
        if (id := parse_fleet_alias(endpoint, alias.name)) is not None:
            found[alias.version] = id
    return found
