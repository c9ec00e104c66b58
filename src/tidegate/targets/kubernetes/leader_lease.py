"""A Lease object that shows which controller leads, for ``kubectl get lease`` and tools that watch it, and the label
of its pod by which the controllers' Service selects it.

The object decides nothing: the lease in the database does, whose fence each transaction compares. The object follows
it: only the controller that leads writes it, and ``leaseTransitions`` is the fence, so that a former leader which has
not noticed yet does not write over its successor. Clocks of two machines need not agree: whether a holder still
renews is judged by changes that are seen here.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tidegate.domain.errors import TidegateError
from tidegate.targets.kubernetes.api import KubeApi
from tidegate.targets.kubernetes.names import (
    COMPONENT,
    CONTROLLER,
    LEADER,
    MANAGED_BY,
    MANAGER,
    Manifest,
    common_labels,
    is_ours,
)

log = logging.getLogger(__name__)

RENEWAL = 5.0
"""Seconds between two renewals."""
DURATION = 15
"""Seconds without a renewal after which the holder has ended: as long as the lease in the database waits."""


@dataclass
class LeaderLease:
    """``fence``: of the lease in the database; ``holder``: the name of this controller's pod or machine."""

    api: KubeApi
    installation: str
    fence: int
    holder: str
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    _acquired: datetime | None = None
    _seen: tuple[str, float] = ("", 0.0)
    """The other holder's last renewal, and since when it is known, on the event loop's clock."""
    _trouble: str = ""

    @property
    def name(self) -> str:
        return f"{self.installation}-controller"

    async def renew(self, clock: float) -> None:
        """Show that this controller leads. ``clock``: the event loop's time. Nothing depends on it, so what fails is
        logged, once, and tried again the next time."""
        try:
            live = await self.api.get("Lease", self.name)
            if trouble := self._refusal(live, clock):
                return self._note(trouble)
            now = self.now()
            self._acquired = self._acquired or now
            await self.api.apply(self._manifest(self.holder, now))
            await self._label_pods()
            self._note("")
        except TidegateError as error:
            self._note(str(error))

    async def release(self) -> None:
        """Show that nobody leads, unless another one does. Nothing if this controller never wrote it."""
        if self._acquired is None:
            return
        try:
            live = await self.api.get("Lease", self.name)
            if live is not None and _spec(live).get("holderIdentity") == self.holder and self._is_mine(live):
                await self.api.apply(self._manifest("", self.now()))
                await self.api.patch("Pod", self.holder, _add_label(None))
        except TidegateError as error:
            self._note(str(error))

    async def _label_pods(self) -> None:
        """Let the Service select this controller's pod alone. A controller outside the cluster has none."""
        marked = ",".join(
            (f"{MANAGED_BY}={MANAGER}", f"{COMPONENT}={CONTROLLER}", f"{LEADER}={self.installation}")
        )
        names = {pod["metadata"]["name"] for pod in await self.api.find_metadata("Pod", marked)}
        for other in sorted(names - {self.holder}):
            await self.api.patch("Pod", other, _add_label(None))
        if self.holder not in names:
            await self.api.patch("Pod", self.holder, _add_label(self.installation))

    def _refusal(self, live: Manifest | None, clock: float) -> str:
        """Why the object is left alone; empty if it is not."""
        if live is None:
            return ""
        if not is_ours(live, self.installation):
            return f"Lease {self.name} is not this tidegate's: it is left alone, and shows nobody who leads"
        spec = _spec(live)
        renewed = f"{spec.get('holderIdentity')} {spec.get('renewTime')}"
        if renewed != self._seen[0]:
            self._seen = renewed, clock
        if self._is_mine(live) or not spec.get("holderIdentity") or clock - self._seen[1] >= DURATION:
            return ""
        return f"Lease {self.name} is renewed by {spec.get('holderIdentity')}, whose fence is higher"

    def _is_mine(self, live: Manifest) -> bool:
        """Whether nobody with a higher fence has written it. A database that was restored where the clock
        is behind may begin with a lower one: its controller waits until the other one renews no more."""
        shown = _spec(live).get("leaseTransitions")
        return not isinstance(shown, int) or shown <= self.fence

    def _manifest(self, holder: str, now: datetime) -> Manifest:
        about = {"name": self.name, "labels": common_labels(self.installation, CONTROLLER)}
        spec = {
            "holderIdentity": holder,
            "leaseDurationSeconds": DURATION,
            "leaseTransitions": self.fence,
            "acquireTime": _micro_time(self._acquired or now),
            "renewTime": _micro_time(now),
        }
        return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": about, "spec": spec}

    def _note(self, trouble: str) -> None:
        if trouble and trouble != self._trouble:
            log.warning("who leads is not shown in the cluster: %s", trouble)
        self._trouble = trouble


def _add_label(value: str | None) -> Manifest:
    return {"metadata": {"labels": {LEADER: value}}}


def _spec(lease: Manifest) -> dict[str, Any]:
    return lease.get("spec") or {}


def _micro_time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
