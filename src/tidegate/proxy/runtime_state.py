"""The running HAProxy's view of fleets and endpoints, read through its command socket."""

import contextlib
from collections.abc import Iterable, Mapping

from tidegate.domain.errors import Transient
from tidegate.domain.fleet import FleetId
from tidegate.domain.traffic import RouteTable
from tidegate.ports.router import Demand, View
from tidegate.proxy import config, routes
from tidegate.proxy.runtime import Runtime, ServerStatus
from tidegate.proxy.state import ON_DEMAND, ProxyState, Seat


async def view(runtime: Runtime, state: ProxyState, endpoint: str) -> View:
    """Read the endpoint's routes in force and the state of its servers, in one exchange. Raises Transient while a
    slot of these routes is being reassigned."""
    keys, slots = _keys(state, endpoint), [seat.slot for seat in state.seats_of(endpoint)]
    return _view(state, endpoint, *await runtime.look(config.MAP, keys, slots))


async def views(runtime: Runtime, state: ProxyState, endpoints: Iterable[str]) -> dict[str, View]:
    """Read the views of many endpoints, in two exchanges for all of them. An endpoint whose routes cannot be read is
    left out."""
    entries, servers, found = await runtime.whole_map(config.MAP), await runtime.all_servers(), {}
    for endpoint in endpoints:
        with contextlib.suppress(Transient):
            found[endpoint] = _view(state, endpoint, entries, servers)
    return found


def _keys(state: ProxyState, endpoint: str) -> list[str]:
    """Return the keys of an endpoint in the map of routes: of the whole endpoint, of its queue, and of each
    variant."""
    wanted = state.table(endpoint)
    variants = (routes.route_key(endpoint, variant) for variant in (wanted.targets if wanted else ()))
    return [routes.route_key(endpoint), routes.queue_key(endpoint), *variants]


def _view(
    state: ProxyState,
    endpoint: str,
    entries: Mapping[str, str],
    servers: Mapping[str, Mapping[str, ServerStatus]],
) -> View:
    wanted, keys = state.table(endpoint), _keys(state, endpoint)
    alive = {
        seat.fleet: {name: one.alive for name, one in servers.get(seat.slot, {}).items()}
        for seat in state.seats_of(endpoint)
    }
    text = entries.get(keys[0]) or entries.get(keys[1])
    if text is None:
        return View(RouteTable(endpoint, 0), alive)
    variants = zip(wanted.targets if wanted else (), keys[2:], strict=True)
    try:
        fence, whole = routes.parse_routes(text, state.fleets)
        named = {name: entries[key] for name, key in variants if key in entries}
        targets = {name: routes.parse_routes(value, state.fleets)[1] for name, value in named.items()}
    except KeyError as slot:
        raise Transient(f"routes of {endpoint} name slot {slot}, which is being reassigned; try again") from None
    return View(RouteTable(endpoint, fence, whole, targets, routes.parse_stickiness(text)), alive)


async def in_flight(runtime: Runtime, seat: Seat, older: Iterable[int]) -> dict[str, int]:
    """Requests in flight of each server. A server counts at least one while an older process has a request that it
    may still be given, such as one whose body is arriving. Idle connections to older processes count nothing:
    whatever they ask is handed to the newest process (``succession``)."""
    found = {name: server.in_flight for name, server in (await runtime.servers(seat.slot)).items()}
    for process in older:
        servers, unassigned = await runtime.slot_requests(seat.slot, process)
        for name, server in servers.items():
            pickable = unassigned > 0 and server.takes_requests and name not in seat.servers
            found[name] = found.get(name, 0) + max(server.in_flight, int(pickable))
    return found


async def demands(runtime: Runtime, state: ProxyState) -> dict[FleetId, Demand]:
    """Read the demand of every serverless fleet. Raises Transient."""
    fleets = {seat.slot: seat.fleet for seat in state.seats if seat.slot.startswith(ON_DEMAND)}
    return {fleets[slot]: demand for slot, demand in (await runtime.demands(sorted(fleets))).items()}
