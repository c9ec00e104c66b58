"""The lifecycle of a target whose fleets run at AWS."""

from tidegate.domain.fleet import FleetId


class AwsLifecycle:
    """Parts of a ``ports.target.Lifecycle``: nothing at AWS begins or ends with the controller, which goes on with
    what it finds."""

    def prepare(self) -> None: ...

    def start(self) -> None: ...

    def serves(self) -> bool:
        return False  # what serves at AWS does not need this machine

    def wake(self, fleet: FleetId, since: float) -> None: ...

    def kick(self, fleet: FleetId) -> None: ...

    async def stop(self, drain: bool) -> None: ...
