"""How this target starts and stops with its controller. What runs in the cluster outlives both."""

import asyncio
import contextlib
import json
import logging
import math
import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from tidegate.domain.errors import StartupError, TargetRefused, TidegateError, Transient
from tidegate.domain.fleet import FleetId, FleetSpec
from tidegate.ports.target import Chore
from tidegate.targets.kubernetes.api_errors import ForeignChange
from tidegate.targets.kubernetes.api_versions import choose
from tidegate.targets.kubernetes.cluster_reports import ClusterReports
from tidegate.targets.kubernetes.gateway_manifests import (
    ADDRESS,
    address_of,
    gateway_manifests,
    noted_address,
    read_token,
    token_name,
    token_secret,
    with_address,
)
from tidegate.targets.kubernetes.leader_lease import RENEWAL, LeaderLease
from tidegate.targets.kubernetes.names import Manifest
from tidegate.targets.kubernetes.target import KubernetesTarget

log = logging.getLogger(__name__)

TURN = 1.0
"""Seconds between two looks at the cluster."""
AGAIN = 30.0
"""Seconds between two repairs of what somebody removed."""
SOON = 5.0
"""The same while there is no gateway at all."""
SHOWN_EVERY = 2.0
"""Seconds between two looks at what kubectl shows of fleets."""
RELEASE = 2.0
"""Seconds that the end of a controller waits for the cluster to show that it leads no more."""


@dataclass
class KubernetesLifecycle:
    target: KubernetesTarget
    lease: LeaderLease
    reports: ClusterReports
    _address: dict[str, Any] = field(default_factory=dict)
    """Of the gateways' Service."""
    gateway_deployment: Manifest | None = None
    """As applied last."""
    token: str = ""
    _owners: frozenset[str] | None = None
    """Those that have records, until what others left was retired."""
    _tasks: tuple[asyncio.Task[None], ...] = ()
    _kicked: asyncio.Event = field(default_factory=asyncio.Event)
    _trouble: str = ""
    _ensured: float = -math.inf
    """When the gateways' objects were applied last, on the event loop's clock."""

    @property
    def chores(self) -> Sequence[Chore]:
        shown = Chore(SHOWN_EVERY, self.show_fleets)
        return Chore(AGAIN, self.repair), Chore(RENEWAL, self.show_leader), shown

    def prepare(self) -> None:
        settings, options = self.target.settings, self.target.options
        if not settings.access_keys and not options.allow_unsigned:
            raise StartupError(
                "kubernetes: without access keys everybody who reaches the gateways gets predictions: set "
                "TIDEGATE_ACCESS_KEYS, or the option allow_unsigned"
            )

    def start(self) -> None:
        waking = self._wake_up()
        self._tasks = tuple(asyncio.create_task(one, name="kubernetes") for one in (self._run(), waking))

    async def _run(self) -> None:
        while True:
            await self.turn()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TURN):
                    await self._kicked.wait()
            self._kicked.clear()

    async def _wake_up(self) -> None:
        """Serverless fleets are looked at as soon as a request waits for one."""
        while True:
            try:
                await self.target.on_demand.run()
            except Exception:
                log.exception("a look at waiting requests failed; it is repeated")
            await asyncio.sleep(TURN)

    async def turn(self) -> None:
        try:
            if self.target.versions is None:
                self.target.versions = choose(await self.target.api.groups())
            if not self.token:
                self.token = await self._take_token()
                await self.ensure_gateways()
            await self.target.turn()
            now = asyncio.get_running_loop().time()
            if self.target.has_no_gateway() and now - self._ensured >= SOON:
                await self.ensure_gateways()
            if self._owners is not None and self.target.view.current and self.target.gateways.settled:
                owners, self._owners = self._owners, None
                await self.target.retire_unknown(owners)
            self._note("")
        except TidegateError as error:
            self._note(str(error))
        except Exception:
            log.exception("a look at the cluster failed; it is repeated")

    async def _take_token(self) -> str:
        """The gateways' token, made by the first controller."""
        api, options = self.target.api, self.target.options
        while True:
            found = await api.get("Secret", token_name(options))
            if found is not None:
                return read_token(found)
            await api.create(token_secret(options, self.token or secrets.token_urlsafe(32)))

    async def _keep_token(self) -> None:
        """Restore the token's Secret if somebody deleted it, and use the token of one that somebody made anew."""
        token = await self._take_token()
        if token != self.token:
            log.warning("the gateways' token is another one now: gateways are replaced one at a time")
            self.token = token
            self.target.gateways.use_token(token)

    async def repair(self) -> None:
        """Restore what somebody removed. While the cluster cannot be reached, the turns say so."""
        with contextlib.suppress(Transient):
            if self.token:
                await self._keep_token()
            await self.ensure_gateways()
        versions = self.target.versions
        with contextlib.suppress(Transient):
            if versions is not None:
                await self.target.objects.check(versions)

    async def show_fleets(self) -> None:
        """Report the state of fleets and gateways in the cluster, for kubectl's users."""
        target = self.target
        if not target.view.current:
            return
        fleets = {fleet: view.deployment for fleet, view in target.view.fleets.items() if target.is_kept(fleet)}
        deployments = {fleet: found for fleet, found in fleets.items() if found is not None}
        await self.reports.report({fleet: target.report(fleet) for fleet in deployments}, deployments)
        await self.reports.report_gateways(target.gateways.trouble() or "", self.gateway_deployment)

    async def show_leader(self) -> None:
        await self.lease.renew(asyncio.get_running_loop().time())

    async def ensure_gateways(self) -> None:
        """Apply the gateways and what they need, again if somebody removed it."""
        target = self.target
        if target.versions is None or not self.token:
            return
        self._ensured = asyncio.get_running_loop().time()
        manifests = gateway_manifests(
            target.settings, target.options, target.versions, target.api.namespace, self.token
        )
        for manifest in manifests:
            try:
                if manifest["kind"] == "Service":
                    await self._apply_service(manifest)
                    continue
                if manifest["kind"] == "Deployment":
                    manifest["metadata"]["annotations"] = {ADDRESS: json.dumps(self._address, sort_keys=True)}
                applied = await target.api.apply(manifest)
                if manifest["kind"] == "Deployment":
                    self.gateway_deployment = applied
            except ForeignChange as error:
                log.warning("%s", error)

    async def _apply_service(self, manifest: Manifest) -> None:
        """The gateways' Service, with the address that it had before somebody deleted it: clients may know it."""
        api, name = self.target.api, manifest["metadata"]["name"]
        live = await api.get("Service", name)
        if live is not None:
            self._address = address_of(live)
        elif not self._address:
            gateways = await api.get("Deployment", name)
            self._address = {} if gateways is None else noted_address(gateways)
        try:
            applied = await api.apply(with_address(manifest, self._address))
        except TargetRefused as error:
            if not self._address:
                raise
            log.warning("Service %s gets another address than before: %s", name, error)
            applied = await api.apply(manifest)
        self._address = address_of(applied)

    def trouble(self) -> str | None:
        """Why this controller cannot observe or control the cluster or its gateways now."""
        return self.target.trouble() or (f"kubernetes: {self._trouble}" if self._trouble else None)

    def _note(self, trouble: str) -> None:
        if trouble and trouble != self._trouble:
            log.warning("kubernetes: %s", trouble)
        self._trouble = trouble

    async def retire_unknown(self, owners: Collection[str]) -> None:
        """Done once the cluster was seen and the gateways were asked."""
        self._owners = frozenset(owners)

    def serves(self) -> bool:
        return any(self.target.serving())

    def desired(self) -> list[FleetSpec]:
        return self.target.desired()

    def wake(self, fleet: FleetId, since: float) -> None:
        """Requests for serverless fleets of this target wait in the gateways, which tell so themselves."""

    def kick(self, fleet: FleetId) -> None:
        self._kicked.set()

    async def stop(self, drain: bool) -> None:
        """Stop the controller, while fleets and jobs continue to run. That is so also when the controller ends for
        good, as its pod may only be replaced. Delete endpoints to end their fleets."""
        if self._tasks:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            with contextlib.suppress(TimeoutError):  # the cluster may be away
                async with asyncio.timeout(RELEASE):
                    await self.lease.release()
        await self.target.api.close()
