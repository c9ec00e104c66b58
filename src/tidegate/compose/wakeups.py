"""How a request that waits for an instance of a serverless endpoint reaches the target."""

from tidegate.domain.fleet import FleetId
from tidegate.ports.target import Lifecycle
from tidegate.proxy.cold_start_hold import WakeSocket
from tidegate.proxy.haproxy import HAProxy


def join_wakes(proxy: HAProxy, lifecycle: Lifecycle) -> WakeSocket:
    """The socket that the proxy and new workers call; it does not listen yet."""

    def asleep(slot: str, since: float) -> None:
        if (fleet := proxy.fleet_in(slot)) is not None:
            lifecycle.wake(fleet, since)

    return WakeSocket(proxy.wakes, asleep, lambda fleet: lifecycle.kick(FleetId.parse(fleet)))
