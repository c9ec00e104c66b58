"""The page that Prometheus reads."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tidegate.domain.alarm import Alarm
from tidegate.domain.endpoint import Endpoint
from tidegate.domain.observation import Observation
from tidegate.ports.store import Saved, Store, Tx
from tidegate.service import prometheus
from tidegate.service.followed_records import FollowedRecords
from tidegate.service.record_kinds import ALARM, ENDPOINT, SCALABLE
from tidegate.service.scaling_records import Scalable


@dataclass
class PrometheusPage:
    """``further`` gives lines that are not of endpoints."""

    store: Store
    totals: Callable[[], prometheus.Totals]
    observed: Callable[[str], Observation | None]
    further: Callable[[], str]
    _alarms: FollowedRecords[Alarm] = field(default_factory=lambda: FollowedRecords(ALARM))
    _endpoints: FollowedRecords[Endpoint] = field(default_factory=lambda: FollowedRecords(ENDPOINT))
    _scalables: FollowedRecords[Scalable] = field(default_factory=lambda: FollowedRecords(SCALABLE))

    async def render(self) -> str:
        """Rendered beside the event loop: of a thousand endpoints it takes longer than others should wait."""
        alarms, endpoints, scaled = await self.store.run(self._read)
        looks = [(saved.body, self.observed(saved.name)) for saved in endpoints.values()]
        targets = [saved.body.target for saved in scaled.values()]
        bodies = [saved.body for saved in alarms.values()]
        page = await asyncio.to_thread(prometheus.render, self.totals(), bodies, looks, targets)
        return page + self.further()

    def _read(
        self, tx: Tx
    ) -> tuple[Mapping[str, Saved[Alarm]], Mapping[str, Saved[Endpoint]], Mapping[str, Saved[Scalable]]]:
        return self._alarms.read(tx), self._endpoints.read(tx), self._scalables.read(tx)
