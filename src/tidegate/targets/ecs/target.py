"""Fleets as services, traffic as the weights of a listener rule: a ``ports.target.Target``.

Each call is short: ECS does the waiting, and ``observe`` shows how far it is. A fleet is there as long as its target
group is: the group goes last, once no task of the service drains behind it.
"""

import contextlib
import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tidegate.domain.errors import TargetError, Transient
from tidegate.domain.evidence import Comparison
from tidegate.domain.fleet import FleetId, FleetSpec
from tidegate.domain.observation import Capabilities, FleetStatus
from tidegate.domain.traffic import RouteTable
from tidegate.ports.target import Look
from tidegate.serving.contract.images import ImageTable
from tidegate.settings import Settings
from tidegate.targets.aws.client import Calls
from tidegate.targets.aws.errors import ResourceMissing
from tidegate.targets.aws.ownership import check_own, is_own, owner_tags, parse_tags, tag_list
from tidegate.targets.ecs.listener_rule import FENCE, ListenerRules, ObservedRule, is_untouched
from tidegate.targets.ecs.options import NAME, EcsOptions, service_name
from tidegate.targets.ecs.rule_weights import SMALLEST_SHARE, table_of
from tidegate.targets.ecs.target_groups import FLEET, TargetGroups, fleet_text, parse_fleet
from tidegate.targets.ecs.task_definition import TAG_NAMES, check_fleet, service, serving_port, task_definition
from tidegate.targets.fence import FencedState, FencedTarget

log = logging.getLogger(__name__)

Service = Mapping[str, Any]
CAPABILITIES = Capabilities(
    smallest_share=SMALLEST_SHARE,
    shadow=False,
    serverless=False,
    asynchronous=False,
    multi_model=False,
    capture=False,
    admission=False,
    devices=False,
    sticks=False,
    compares=frozenset({Comparison.ERRORS}),
    keeps_models=False,
)
CONFIG = "tidegate:config"
_MOST_DESCRIBED = 10
"""Services of one DescribeServices."""


@dataclass
class EcsTarget(FencedTarget[Service | None, ObservedRule | None]):
    calls: Calls
    options: EcsOptions
    installation: str
    images: ImageTable
    changed: Callable[[str], None]
    name: str = NAME
    can: Capabilities = CAPABILITIES
    settings: Settings = field(default_factory=Settings)
    """What models are trusted with; nothing unless given."""
    configs: dict[FleetId, tuple[str, str]] = field(default_factory=dict)
    """Fleets that were seen -> the ARN of their target group, and their config."""
    _stopped: dict[str, str] = field(default_factory=dict)
    """Services whose deployment failed -> why their tasks stopped."""
    _tables: dict[str, RouteTable] = field(default_factory=dict)
    """As written last: weights to 999 cannot show every table exactly."""

    def __post_init__(self) -> None:
        super().__init__()
        self.can = replace(self.can, counted_after=self.options.counted_after)
        self.groups = TargetGroups(self.calls, self.options, self.installation)

    @property
    def rules(self) -> ListenerRules:
        return ListenerRules(self.calls, self.options, self.installation)

    async def observe(self, endpoint: str) -> Look:
        found = await self._services(endpoint)
        fleets = {id: await self._status(id, one) for id, one in found.items()}
        fleets |= await self._list_leaving(endpoint, fleets)
        rule = await self.rules.find(endpoint)
        if rule is None:
            return Look(fleets, RouteTable(endpoint, 0))
        return Look(fleets, self._routes(endpoint, rule))

    def _routes(self, endpoint: str, rule: ObservedRule) -> RouteTable | None:
        if rule.shares is None:
            return None
        groups = {group: id for id, group in self.groups.of(endpoint).items()}
        written = self._tables.get(endpoint)
        if written is not None and written.fence == rule.fence and rule.has(self._shares(written)):
            return RouteTable(endpoint, written.fence, written.routes)
        return table_of(endpoint, rule.fence, rule.shares, groups)

    def _shares(self, table: RouteTable) -> dict[str, int]:
        known = self.groups.known
        return {known[one.fleet]: one.share for one in table.routes if one.fleet in known}

    async def find_fleet(self, fleet: FleetId) -> FencedState[Service | None]:
        known = await self._service(fleet)
        if known is None:
            return FencedState(0, None)
        tags = tags_of(known)
        own = is_own(tags, self.installation, fleet.endpoint)
        return FencedState(int(tags.get(FENCE, 0)) if own else 0, known)

    async def put_fleet(self, fleet: FleetSpec, fence: int, there: Service | None) -> None:
        check_fleet(fleet)
        if there is not None and there.get("status") != "ACTIVE":
            raise Transient(f"service {service_name(fleet.id)} still drains; it is created anew afterwards")
        if there is not None:
            self._check_own(fleet.id, there)
            if there.get("desiredCount") != fleet.count:
                await self._resize(fleet, str(there["serviceArn"]), fence)
            return
        tags = {
            **owner_tags(self.installation, fleet.id.endpoint),
            FLEET: fleet_text(fleet.id),
            CONFIG: fleet.config_name,
        }
        group = await self.groups.ensure(fleet.id, tags)
        await self._attach(fleet.id.endpoint, group)
        made = task_definition(self.options, fleet, self.images, tags, self.settings)
        task = (await self.calls.call("ecs", "RegisterTaskDefinition", made))["taskDefinition"]
        arn, port = str(task["taskDefinitionArn"]), serving_port(fleet, self.images)
        members = service(self.options, fleet, arn, group, {**tags, FENCE: str(fence)}, port)
        await self.calls.call("ecs", "CreateService", members)

    async def remove_fleet(self, fleet: FleetId, fence: int, there: Service | None) -> None:
        if there is not None:
            self._check_own(fleet, there)
            if there.get("status") == "ACTIVE":
                members = {"cluster": self.options.cluster, "service": service_name(fleet), "force": True}
                with contextlib.suppress(ResourceMissing):
                    await self.calls.call("ecs", "DeleteService", members)
                self.changed(fleet.endpoint)
            return  # its tasks finish their requests through the target group
        group = await self.groups.find(fleet)
        if group is not None:
            await self._detach(fleet.endpoint, group)
            await self.groups.delete(fleet)
        self.configs.pop(fleet, None)
        self.changed(fleet.endpoint)

    def _check_own(self, fleet: FleetId, there: Service) -> None:
        check_own(tags_of(there), self.installation, fleet.endpoint, f"service {service_name(fleet)}")

    async def find_traffic(self, endpoint: str) -> FencedState[ObservedRule | None]:
        rule = await self.rules.find(endpoint)
        return FencedState(rule.fence if rule is not None else 0, rule)

    async def put_traffic(self, table: RouteTable, there: ObservedRule | None) -> None:
        if not table.routes:
            if there is not None:
                await self.close(there, table)
            return
        shares = dict.fromkeys(there.shares or {}, 0) if there is not None else {}
        for route in table.routes:
            group = await self.groups.find(route.fleet)
            if group is None:
                raise Transient(f"fleet {route.fleet} has no target group yet")
            shares[group] = route.share
        if there is None:
            await self.rules.create(table.endpoint, shares, table.fence)
        else:
            await self.rules.change(there, shares, table.fence)
        self._tables[table.endpoint] = table

    async def close(self, rule: ObservedRule, table: RouteTable) -> None:
        """Stop all traffic of an endpoint. The rule is deleted with its last target group, so that requests under way
        are finished. A rule that somebody else changed is deleted at once."""
        if not rule.shares or not is_untouched(rule):
            await self.rules.delete(rule)
        elif any(rule.shares.values()) or rule.fence < table.fence:
            await self.rules.change(rule, dict.fromkeys(rule.shares, 0), table.fence)
            self._tables[table.endpoint] = table

    # --- services ---

    async def _services(self, endpoint: str) -> dict[FleetId, dict[str, Any]]:
        """The endpoint's services that are not being deleted, by fleet."""
        arns: list[str] = []
        token: dict[str, object] = {}
        while True:
            page = await self.calls.call("ecs", "ListServices", {"cluster": self.options.cluster, **token})
            arns += page.get("serviceArns", ())
            if not page.get("nextToken"):
                break
            token = {"nextToken": page["nextToken"]}
        mine = [arn for arn in arns if arn.rpartition("/")[2].startswith(f"tidegate-{endpoint}-")]
        found: dict[FleetId, dict[str, Any]] = {}
        for at in range(0, len(mine), _MOST_DESCRIBED):
            for one in await self._describe(mine[at : at + _MOST_DESCRIBED]):
                tags = tags_of(one)
                if one.get("status") == "ACTIVE" and is_own(tags, self.installation, endpoint) and FLEET in tags:
                    found[parse_fleet(endpoint, tags[FLEET])] = one
        return found

    async def _service(self, fleet: FleetId) -> dict[str, Any] | None:
        found = await self._describe([service_name(fleet)])
        return next((one for one in found if one.get("status") != "INACTIVE"), None)

    async def _list_leaving(self, endpoint: str, present: Collection[FleetId]) -> dict[FleetId, FleetStatus]:
        """Fleets of which a target group is left: their service was not created yet, or is deleted. ECS lists no
        service whose tasks drain."""
        await self.groups.search()
        found = {}
        for id in self.groups.of(endpoint).keys() - present:
            service = await self._service(id)
            if service is not None and service.get("status") == "ACTIVE":
                if is_own(tags_of(service), self.installation, endpoint):
                    found[id] = await self._status(id, service)  # it was created since they were listed
                continue
            draining = max(1, int(service.get("runningCount", 0))) if service is not None else 0
            found[id] = FleetStatus(id, 0, 0, draining=draining, was_ready=False)
        return found

    async def _describe(self, services: list[str]) -> list[dict[str, Any]]:
        members: dict[str, object] = {"cluster": self.options.cluster, "services": services, "include": ["TAGS"]}
        try:
            return list((await self.calls.call("ecs", "DescribeServices", members)).get("services", ()))
        except ResourceMissing:
            return []

    async def _resize(self, fleet: FleetSpec, arn: str, fence: int) -> None:
        await self.calls.call(
            "ecs", "TagResource", {"resourceArn": arn, "tags": tag_list({FENCE: str(fence)}, TAG_NAMES)}
        )
        members = {"cluster": self.options.cluster, "service": service_name(fleet.id), "desiredCount": fleet.count}
        await self.calls.call("ecs", "UpdateService", members)

    async def _status(self, id: FleetId, one: Mapping[str, Any]) -> FleetStatus:
        desired = int(one.get("desiredCount", 0))
        group = await self.groups.find(id)
        healthy = await self.groups.count_healthy(group) if group is not None else 0
        if group is not None:
            self.configs[id] = (group, tags_of(one).get(CONFIG, ""))
        ready = min(desired, healthy)
        failure = failure_of(one) if ready < desired else None
        if failure is not None:
            failure = " ".join([failure, await self._last_words(str(one.get("serviceName", "")))]).strip()
        return FleetStatus(id, desired, ready, desired - ready, failure=failure)

    async def _last_words(self, name: str) -> str:
        """Why the service's tasks stopped, such as an image that cannot be pulled; empty if ECS does not say."""
        if name not in self._stopped:
            where: dict[str, object] = {"cluster": self.options.cluster}
            stopped = {**where, "serviceName": name, "desiredStatus": "STOPPED", "maxResults": 1}
            try:
                arns = (await self.calls.call("ecs", "ListTasks", stopped)).get("taskArns", ())
                asked = {**where, "tasks": list(arns)}
                tasks = (await self.calls.call("ecs", "DescribeTasks", asked)).get("tasks", ()) if arns else ()
            except TargetError as error:
                log.warning("tasks of service %s cannot be looked at: %s", name, error)
                return ""
            self._stopped[name] = " ".join(map(stop_reason, tasks))
        return self._stopped[name]

    # --- the rule ---

    async def _attach(self, endpoint: str, group: str) -> None:
        """A service needs a target group that a listener knows: the rule gets it, without any traffic."""
        rule = await self.rules.find(endpoint)
        if rule is None:
            await self.rules.create(endpoint, {group: 0}, 0)
        elif group not in (rule.shares or {}):
            await self.rules.change(rule, {**(rule.shares or {}), group: 0}, rule.fence)

    async def _detach(self, endpoint: str, group: str) -> None:
        rule: ObservedRule | None = await self.rules.find(endpoint)
        if rule is None or group not in (rule.shares or {}):
            return
        rest = {arn: share for arn, share in (rule.shares or {}).items() if arn != group}
        if rest:
            await self.rules.change(rule, rest, rule.fence)
        else:
            await self.rules.delete(rule)


def tags_of(one: Mapping[str, Any]) -> dict[str, str]:
    return parse_tags(one.get("tags", ()), TAG_NAMES)


def failure_of(one: Mapping[str, Any]) -> str | None:
    """Why the service's deployment failed; None while ECS still tries."""
    failed = [found for found in one.get("deployments", ()) if found.get("rolloutState") == "FAILED"]
    return str(failed[0].get("rolloutStateReason") or "ECS gives no reason") if failed else None


def stop_reason(task: Mapping[str, Any]) -> str:
    """Return why a task and its containers stopped; empty if no reason is given."""
    told = [task.get("stoppedReason"), *(one.get("reason") for one in task.get("containers", ()))]
    return "; ".join(dict.fromkeys(str(reason) for reason in told if reason))
