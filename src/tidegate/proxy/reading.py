"""What the running HAProxy says of fleets and endpoints, asked through its command socket."""

from collections.abc import Iterable

from tidegate.model.errors import Transient
from tidegate.model.traffic import RouteTable
from tidegate.proxy import config, routes
from tidegate.proxy.runtime import Runtime
from tidegate.proxy.state import Seat, State


async def routes_in_force(runtime: Runtime, state: State, endpoint: str) -> RouteTable:
    """An endpoint's table; empty with fence 0 where there is none."""
    text = await runtime.get_map(config.MAP, routes.key(endpoint))
    if text is None:
        text = await runtime.get_map(config.MAP, routes.queued(endpoint))
    if text is None:
        return RouteTable(endpoint, 0)
    targets = {}
    try:
        fence, whole = routes.parse(text, state.fleets)
        for variant in wanted.targets if (wanted := state.table(endpoint)) else ():
            named = await runtime.get_map(config.MAP, routes.key(endpoint, variant))
            if named is not None:
                _, targets[variant] = routes.parse(named, state.fleets)
    except KeyError as slot:
        raise Transient(f"routes of {endpoint} name the slot {slot}, which changes hands; look again") from None
    return RouteTable(endpoint, fence, whole, targets)


async def in_flight(runtime: Runtime, seat: Seat, older: Iterable[int]) -> dict[str, int]:
    """Requests of each server. One that an older process may still pick has at least one request to wait for."""
    found = {name: server.in_flight for name, server in (await runtime.servers(seat.slot)).items()}
    for process in older:
        for name, server in (await runtime.servers(seat.slot, process)).items():
            pickable = server.takes_requests and name not in seat.servers
            found[name] = found.get(name, 0) + max(server.in_flight, int(pickable))
    return found
