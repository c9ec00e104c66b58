"""Permanent refusals by targets, each shown as the fleet's failure as long as the same fleet is desired. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from tidegate.domain.endpoint import Endpoint
from tidegate.domain.fleet import FleetId, FleetSpec
from tidegate.domain.observation import FleetStatus
from tidegate.rollout import desired_state


@dataclass
class Refusals:
    _why: dict[FleetId, tuple[FleetSpec, str]] = field(default_factory=dict)

    def note(self, spec: FleetSpec, why: str) -> None:
        self._why[spec.id] = spec, why

    def forget(self, fleet: FleetId) -> None:
        """Forget the refusal of a fleet that was accepted after all, or that is gone."""
        self._why.pop(fleet, None)

    def forget_endpoint(self, name: str) -> None:
        self._why = {id: kept for id, kept in self._why.items() if id.endpoint != name}

    def show(self, endpoint: Endpoint, fleets: Mapping[FleetId, FleetStatus]) -> dict[FleetId, FleetStatus]:
        """The fleets of an endpoint with their failures. One that is wanted in another way again, such as after a
        change of capacity was undone, says nothing of what is asked for next: it is forgotten."""
        shown, wanted = dict(fleets), desired_state.fleets(endpoint)
        for id, (spec, why) in list(self._why.items()):
            if id.endpoint == endpoint.name and wanted.get(id) == spec:
                shown[id] = replace(shown.get(id, FleetStatus(id, desired=0, ready=0)), failure=why)
            elif id.endpoint == endpoint.name:
                self.forget(id)
        return shown
