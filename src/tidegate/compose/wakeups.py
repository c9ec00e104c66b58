"""How a request that waits for an instance of a serverless endpoint reaches its supervisor."""

from tidegate.compose.environments import child_environment
from tidegate.domain.fleet import FleetId
from tidegate.proxy.cold_start_hold import WakeSocket
from tidegate.proxy.haproxy import HAProxy
from tidegate.targets.local.fork_server import Nursery
from tidegate.targets.local.paths import Folders
from tidegate.targets.local.target import LocalTarget


class Waking:
    """The nursery of workers, and the socket that the proxy and new workers call."""

    def __init__(self, folders: Folders) -> None:
        self.nursery = Nursery(folders.installation, child_environment(folders.state))
        self._wakes: WakeSocket | None = None

    async def start(self, proxy: HAProxy, target: LocalTarget) -> None:
        def asleep(slot: str, since: float) -> None:
            if (fleet := proxy.fleet_in(slot)) is not None:
                target.wake(fleet, since)

        self._wakes = WakeSocket(proxy.wakes, asleep, lambda fleet: target.kick(FleetId.parse(fleet)))
        await self._wakes.start()

    def close(self) -> None:
        """Workers go on."""
        if self._wakes is not None:
            self._wakes.close()
        self.nursery.close()
