"""Reads the resources that declare endpoints, does what ``rules`` decides, and shows what became of it."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any

from tidegate.compose.background import NamedTasks, Services, Worker
from tidegate.domain.desired import DesiredDeployment
from tidegate.domain.endpoint import Endpoint, EndpointConfig
from tidegate.domain.errors import AlreadyExists, Conflict, Invalid, TargetRefused, TidegateError
from tidegate.domain.observation import Observation
from tidegate.domain.traffic import RouteTable
from tidegate.features.endpoint_resources.kinds import RESOURCE, ResourceRecord
from tidegate.features.endpoint_resources.rules import (
    ResourceAction,
    ResourceDecision,
    decide,
    describe,
    is_its_own,
    make_status,
    note_done,
    pause_after,
)
from tidegate.gateway.dependencies import Gateway
from tidegate.gateway.deployments import deploy_spec
from tidegate.ports.clock import Clock
from tidegate.ports.endpoint_resources import EndpointResource, EndpointResources
from tidegate.ports.store import Store, Tx
from tidegate.rollout.status import confirmed_table
from tidegate.service import endpoints, rollout_settings, rollouts
from tidegate.service.deploy import DeployOptions, DeployResult, deploy
from tidegate.service.record_kinds import CONFIG, ENDPOINT

log = logging.getLogger(__name__)

MOST_ACTIONS = 5
"""The actions that one look at a resource may take; the next look goes on."""
LOOK_AT_ALL = 60
"""In one of so many turns all resources are looked at, in the others those of which something has changed."""
CHANGES = (ResourceAction.HOLD, ResourceAction.REMOVE_ANNOTATION, ResourceAction.RELEASE)
"""Actions that change the resource: it is out of date as it was read."""
BY = "endpoints.tidegate.io"
"""Who asked, in the journal."""

Deploy = Callable[..., Awaitable[DeployResult]]
"""``deploy_spec`` with its context."""


class _Overtaken(Conflict):
    """Raised when the endpoint or its resource has changed since the decision."""


class _Final(Conflict):
    """Raised when an endpoint at rest refuses a spec, such as a version that was rolled back: only a person can
    change that."""

    config = ""


REFUSALS = (Invalid, AlreadyExists, TargetRefused, _Final)
"""Errors that come again however often a spec is deployed."""


@dataclass
class ResourceLoop(Worker):
    store: Store
    clock: Clock
    resources: EndpointResources | None
    written: Callable[[], None] = lambda: None
    kick: Callable[[str], None] = lambda endpoint: None
    observed: Callable[[str], Observation | None] = lambda endpoint: None
    deploy: Deploy | None = None
    """None until the server's requests are answered."""
    _looks: NamedTasks = field(default_factory=NamedTasks)
    _at_rest: dict[str, object] = field(default_factory=dict)
    """By name: what each resource was looked at with, where the look found nothing to do."""
    _turns: int = 0
    _failures: dict[tuple[str, int], tuple[int, datetime, str]] = field(default_factory=dict)
    """For each uid and generation: how many attempts failed, when the next attempt is due, and why the last one
    failed."""
    _told: dict[str, str] = field(default_factory=dict)
    """The trouble that was logged for each resource, by its name, so that it is not logged again. The empty name
    stands for all resources, if they cannot be read."""

    async def turn(self) -> None:
        """Look at each resource; each has one look at a time."""
        if self.resources is None or self.deploy is None:
            return
        self._looks.forget_ended()  # before the read, since a look that ends during it has changed what was read
        try:
            found = await self.resources.find()
            versions = await self.store.read(_read_versions)
        except TidegateError as error:
            self._tell("", f"endpoints that are declared as resources are not followed: {error}")
            return
        present = {(one.uid, one.generation) for one in found}
        self._failures = {key: value for key, value in self._failures.items() if key in present}
        self._told = {one.name: self._told[one.name] for one in found if one.name in self._told}
        self._turns += 1
        known = {} if self._turns % LOOK_AT_ALL == 0 else self._at_rest
        self._at_rest = {one.name: known[one.name] for one in found if one.name in known}
        for one in found:
            basis = (one, *(numbers.get(one.name) for numbers in versions), self._read_routes(one.name))
            if one.name not in self._looks and self._at_rest.get(one.name) != basis:
                self._looks.begin(one.name, self._look(one, basis), f"resource {one.name}")

    def _read_routes(self, name: str) -> RouteTable | None:
        seen = self.observed(name)
        return None if seen is None else seen.routes

    def extend(self, gateway: Gateway) -> Gateway:
        self.deploy = partial(deploy_spec, gateway.context)
        return gateway

    async def finish(self) -> None:
        """Wait for the looks under way."""
        await self._looks.finish()

    async def stop(self) -> None:
        await self._looks.stop()

    async def _look(self, resource: EndpointResource, basis: object) -> None:
        assert self.resources is not None
        try:
            for _ in range(MOST_ACTIONS):
                record, endpoint = await self.store.read(partial(_read, name=resource.name))
                decision = decide(resource, record, endpoint, self._is_failing(resource))
                if decision.action is ResourceAction.NOTHING or not await self._act(resource, decision):
                    break
            if decision.action not in CHANGES:
                await self._show(resource)
            self._told.pop(resource.name, None)
            if decision.action is ResourceAction.NOTHING and not self._has_failed(resource):
                self._at_rest[resource.name] = basis
        except Exception as error:
            unexpected = not isinstance(error, TidegateError)
            self._tell(resource.name, f"endpoint resource {resource.name}: {error}", trace=unexpected)

    def _tell(self, name: str, trouble: str, trace: bool = False) -> None:
        if self._told.get(name) != trouble:
            log.warning("%s", trouble, exc_info=trace)
        self._told[name] = trouble

    def _has_failed(self, resource: EndpointResource) -> bool:
        return (resource.uid, resource.generation) in self._failures

    def _is_failing(self, resource: EndpointResource) -> bool:
        now = self.clock.now()
        return self._failures.get((resource.uid, resource.generation), (0, now, ""))[1] > now

    async def _act(self, resource: EndpointResource, decision: ResourceDecision) -> bool:
        """Returns whether to go on with the same look."""
        assert self.resources is not None
        match decision.action:
            case ResourceAction.HOLD:
                await self.resources.hold(resource)
                return False
            case ResourceAction.REMOVE_ANNOTATION:
                await self.resources.remove_annotation(resource, decision.annotation)
                left = {key: value for key, value in resource.annotations.items() if key != decision.annotation}
                decision = ResourceDecision(ResourceAction.FORGET_ANNOTATION, decision.annotation)
                await self._command(replace(resource, annotations=left), decision)
                return False
            case ResourceAction.RELEASE:
                await self._run(partial(_forget, resource=resource, now=self.clock.now()))
                await self.resources.release(resource)
                return False
            case ResourceAction.DEPLOY:
                return await self._deploy(resource)
            case _:
                await self._command(resource, decision)
                return True

    async def _command(self, resource: EndpointResource, decision: ResourceDecision) -> None:
        """The decision is compared with one of the same look."""
        failing, now = self._is_failing(resource), self.clock.now()
        await self._run(partial(_command, resource=resource, decision=decision, failing=failing, now=now))
        self.kick(resource.name)

    async def _deploy(self, resource: EndpointResource) -> bool:
        """Deploy a generation, or keep that it is refused. What fails otherwise is tried again, later each time."""
        assert self.resources is not None and self.deploy is not None
        now, key = self.clock.now(), (resource.uid, resource.generation)
        failures, _, _ = self._failures.get(key, (0, now, ""))
        try:
            data = _read_spec(resource, self.resources.target)
            taken = partial(_deploy_taken, resource=resource)
            await self.deploy(data, DeployOptions(BY, supersede=True), now, deploy=taken, check=check_approval)
        except _Overtaken:
            return True
        except REFUSALS as error:
            config = error.config if isinstance(error, _Final) else ""
            await self._run(partial(_refuse, resource=resource, refusal=error.message, refused=config, now=now))
            return True
        except Exception as error:
            if not isinstance(error, TidegateError):
                log.exception("endpoint resource %s cannot be deployed", resource.name)
            why = str(error) or type(error).__name__
            self._failures[key] = (failures + 1, now + pause_after(failures), why)
            return False
        self._failures.pop(key, None)
        self.written()
        return True

    async def _show(self, resource: EndpointResource) -> None:
        assert self.resources is not None
        record, endpoint, config = await self.store.read(partial(_read_with_config, name=resource.name))
        routes = None if endpoint is None else confirmed_table(endpoint, self.observed(resource.name))
        _, _, trouble = self._failures.get((resource.uid, resource.generation), (0, None, ""))
        state = describe(resource, record, endpoint, routes, config, trouble)
        status = make_status(resource, state, self.clock.now())
        if status != resource.status:
            await self.resources.put_status(resource, status)

    async def _run(self, work: Callable[[Tx], None]) -> None:
        await self.store.run(work)
        self.written()


def _read_spec(resource: EndpointResource, target: str) -> dict[str, Any]:
    """The spec with its endpoint and target, which a resource cannot choose: whoever may write resources in this
    namespace might not deploy elsewhere. Raises Invalid."""
    if not isinstance(resource.spec, dict):
        raise Invalid("spec must be an object")
    own = {"endpoint": resource.name, "target": target}
    for key, value in own.items():
        if resource.spec.get(key) not in (None, value):
            raise Invalid(f"{key} must be {value} here, or be left out")
    return {**resource.spec, **own}


def check_approval(wish: DesiredDeployment) -> None:
    """Refuse a rule that keeps the author from approving: nobody knows who wrote a resource. Raises Invalid."""
    if (rule := wish.deployment.approval) is not None and not rule.author_may:
        raise Invalid(
            "approval: who wrote a resource is not known here, so that no second person could be told from the first:"
            " add not: nobody"
        )


def _read_versions(tx: Tx) -> tuple[dict[str, int], dict[str, int]]:
    return tx.versions(RESOURCE), tx.versions(ENDPOINT)


def _read(tx: Tx, *, name: str) -> tuple[ResourceRecord | None, Endpoint | None]:
    record, endpoint = tx.get(RESOURCE, name), tx.get(ENDPOINT, name)
    return None if record is None else record.body, None if endpoint is None else endpoint.body


def _read_with_config(
    tx: Tx, *, name: str
) -> tuple[ResourceRecord | None, Endpoint | None, EndpointConfig | None]:
    record, endpoint = _read(tx, name=name)
    config = None if record is None else tx.get(CONFIG, record.config)
    return record, endpoint, None if config is None else config.body


def _deploy_taken(
    tx: Tx, *, resource: EndpointResource, desired: DesiredDeployment, now: datetime, **given: Any
) -> DeployResult:
    """``service.deploy``, in the transaction that also keeps that the generation was taken. Raises _Overtaken if it
    was meanwhile."""
    record, endpoint = _read(tx, name=resource.name)
    if decide(resource, record, endpoint).action is not ResourceAction.DEPLOY:
        raise _Overtaken("the endpoint or its resource changed meanwhile: it is looked at again")
    try:
        done = deploy(tx, desired=desired, now=now, **given)
    except Conflict as error:
        if endpoint is not None and endpoint.rollout is None and endpoint.scaling is None:
            final = _Final(error.message)
            final.config = desired.config.name
            raise final from None
        raise
    made = tx.get(ENDPOINT, resource.name)
    taken = _take(resource, record, config=done.config, made=None if made is None else made.body.created_at)
    taken = replace(taken, settings=rollout_settings.settings(desired.deployment))
    tx.put(RESOURCE, resource.name, taken, expect=None, now=now)
    return done


def _take(
    resource: EndpointResource,
    record: ResourceRecord | None,
    config: str,
    made: datetime | None,
    refusal: str = "",
) -> ResourceRecord:
    taken = ResourceRecord(resource.uid, resource.created, resource.generation, config, made, refusal)
    same = record is not None and record.uid == resource.uid
    return replace(taken, done=record.done, paused=record.paused) if same and record is not None else taken


def _refuse(tx: Tx, *, resource: EndpointResource, refusal: str, refused: str, now: datetime) -> None:
    record, endpoint = _read(tx, name=resource.name)
    if decide(resource, record, endpoint).action is ResourceAction.DEPLOY:
        config, made = ("", None) if record is None else (record.config, record.made)
        taken = replace(_take(resource, record, config, made, refusal), refused=refused)
        tx.put(RESOURCE, resource.name, taken, expect=None, now=now)


def _forget(tx: Tx, *, resource: EndpointResource, now: datetime) -> None:
    record, _ = _read(tx, name=resource.name)
    if record is not None and record.uid == resource.uid:
        tx.delete(RESOURCE, resource.name, expect=None, now=now)


def _command(
    tx: Tx, *, resource: EndpointResource, decision: ResourceDecision, failing: bool, now: datetime
) -> None:
    """Carry out a deletion or an annotation, if that is still what is decided, and keep that it was."""
    record, endpoint = _read(tx, name=resource.name)
    if record is None or decide(resource, record, endpoint, failing) != decision:
        return
    name, action, note = resource.name, decision.action, ""
    if action is ResourceAction.DELETE:
        endpoints.delete_endpoint(tx, name, now, BY, force=True)
        return
    try:
        match action:
            case ResourceAction.ABORT | ResourceAction.PROMOTE if not is_its_own(record, endpoint):
                raise Conflict("the endpoint that was deployed for this resource was deleted")
            case ResourceAction.PAUSE:
                rollouts.pause(tx, name, BY, now)
            case ResourceAction.RESUME if _is_paused(record, endpoint):
                rollouts.resume(tx, name, BY, now)
            case ResourceAction.ABORT:
                rollouts.abort(tx, name, BY, now)
            case ResourceAction.PROMOTE:
                rollouts.promote(tx, name, BY, now)
    except TidegateError as error:  # nothing was written
        note = f"{decision.annotation} was not carried out: {error.message}"
    rollout = "" if endpoint is None or endpoint.rollout is None else endpoint.rollout.id
    tx.put(RESOURCE, name, note_done(record, decision, rollout, note), expect=None, now=now)


def _is_paused(record: ResourceRecord, endpoint: Endpoint | None) -> bool:
    """Whether the rollout that was paused by annotation still is, and not by a person."""
    rollout = None if endpoint is None else endpoint.rollout
    pause = None if rollout is None or rollout.id != record.paused else rollout.pause
    return pause is not None and pause.by == BY


def make_loop(services: Services) -> ResourceLoop:
    return ResourceLoop(
        services.store,
        services.clock,
        services.provider.resources,
        services.written,
        services.kick,
        services.observed,
    )
