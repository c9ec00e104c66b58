"""Shows people who use kubectl what tidegate knows: on each fleet's Deployment the share of traffic that is in force
(an annotation), whether it is well (a condition), and what happened (events); on the gateways' Deployment, when one
of them cannot be reached.

Nothing depends on it: what fails is logged once, and tried again.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

from tidegate.domain.errors import TidegateError
from tidegate.domain.fleet import FleetId
from tidegate.domain.observation import FleetStatus
from tidegate.domain.traffic import RouteTable
from tidegate.targets.kubernetes.api import KubeApi
from tidegate.targets.kubernetes.api_errors import MissingRight
from tidegate.targets.kubernetes.names import MANAGER, SHARE, Manifest, fleet_name

log = logging.getLogger(__name__)

CONDITION = "TidegateHealthy"
LONGEST_NOTE = 1024
"""Characters of an event's message that the API server takes."""
SHIFTED, WELL, ILL, UNREACHABLE, REACHABLE = (
    *("TrafficShifted", "FleetHealthy", "FleetUnhealthy"),
    *("GatewayUnreachable", "GatewaysReachable"),
)


@dataclass(frozen=True)
class FleetReport:
    """``share``: basis points of the endpoint's traffic, as observed; None: unknown."""

    share: int | None
    trouble: str


def report_of(status: FleetStatus, table: RouteTable | None) -> FleetReport:
    share = None if table is None else sum(one.share for one in table.routes if one.fleet == status.id)
    missing = f"missing: {', '.join(status.missing)}" if status.missing else ""
    return FleetReport(share, "; ".join(filter(None, (status.failure or status.problem, missing))))


@dataclass
class ClusterReports:
    """``now``: of this machine, for the times that events show."""

    api: KubeApi
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    _shown: dict[FleetId, FleetReport] = field(default_factory=dict)
    _gateways: str = ""
    _number: int = 0
    _troubles: set[str] = field(default_factory=set)
    """Logged once."""

    async def report(self, fleets: Mapping[FleetId, FleetReport], deployments: Mapping[FleetId, Manifest]) -> None:
        """Show what has changed. ``deployments``: of the fleets, as last listed."""
        for fleet in self._shown.keys() - fleets.keys():
            del self._shown[fleet]
        for fleet, found in sorted(fleets.items()):
            before = self._shown.get(fleet, FleetReport(None, ""))
            if found == before and fleet in self._shown:
                continue
            if await self._try(partial(self._show, fleet, before, found, deployments[fleet])):
                self._shown[fleet] = found

    async def report_gateways(self, trouble: str, deployment: Manifest | None) -> None:
        """``deployment``: theirs."""
        if trouble == self._gateways or deployment is None:
            return
        reason = UNREACHABLE if trouble else REACHABLE
        if await self._try(lambda: self._record(deployment, reason, trouble or "all gateways answer")):
            self._gateways = trouble

    async def _show(self, fleet: FleetId, before: FleetReport, found: FleetReport, deployment: Manifest) -> None:
        name = fleet_name(fleet)
        if found.share is not None and found.share != before.share:
            share = f"{found.share / 100:g}%"
            shown = (deployment["metadata"].get("annotations") or {}).get(SHARE)
            if shown != share:
                await self.api.patch("Deployment", name, {"metadata": {"annotations": {SHARE: share}}})
                words = f"{share} of the requests to {fleet.endpoint} go to {fleet.variant} of generation"
                await self._record(deployment, SHIFTED, f"{words} {fleet.generation}")
        conditions = (deployment.get("status") or {}).get("conditions") or ()
        known: Manifest = next((one for one in conditions if one.get("type") == CONDITION), {})
        wanted = {"status": "False" if found.trouble else "True", "message": found.trouble or "it is well"}
        if any(known.get(key) != value for key, value in wanted.items()):
            reason, now = ILL if found.trouble else WELL, _time(self.now())
            times = {"lastUpdateTime": now, "lastTransitionTime": now}
            await self.api.set_condition(name, {"type": CONDITION, "reason": reason, **wanted, **times})
            if found.trouble or known.get("status") == "False":
                await self._record(deployment, reason, wanted["message"])

    async def _record(self, about: Manifest, reason: str, message: str) -> None:
        self._number += 1
        moment, metadata = self.now(), about["metadata"]
        now, name = _time(moment), metadata["name"]
        await self.api.create(
            {
                "apiVersion": "v1",
                "kind": "Event",
                "metadata": {"name": f"{name}.{int(moment.timestamp() * 1e6):x}{self._number:x}"},
                "involvedObject": {
                    **{"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
                    **{"namespace": self.api.namespace, "uid": metadata.get("uid", "")},
                },
                "reason": reason,
                "message": message[:LONGEST_NOTE],
                "type": "Warning" if reason in (ILL, UNREACHABLE) else "Normal",
                "firstTimestamp": now,
                "lastTimestamp": now,
                "count": 1,
                "source": {"component": MANAGER},
            }
        )

    async def _try(self, show: Callable[[], Awaitable[None]]) -> bool:
        try:
            await show()
        except TidegateError as error:
            # Names of events differ each time; which right is missing does not.
            trouble = str(error).partition(";")[2] if isinstance(error, MissingRight) else str(error)
            if trouble not in self._troubles:
                log.warning("what kubectl shows of fleets is not up to date: %s", error)
            self._troubles.add(trouble)
            return False
        self._troubles = {one for one in self._troubles if "add verb" in one}
        return True


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
