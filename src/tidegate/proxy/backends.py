"""Changes servers and quotas of HAProxy's slots at run time, through the command socket."""

from collections.abc import Mapping

from tidegate.domain.errors import Transient
from tidegate.proxy import config, pools, rate_limits, routes
from tidegate.proxy.runtime import Runtime
from tidegate.proxy.state import UNKNOWN_PATH, ProxyState, Seat


class Backends:
    """All methods are idempotent. The caller must serialise calls."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self.untidy: set[str] = set()
        """Slots that may contain unwanted servers."""

    async def set_quotas(self, seat: Seat, headers: tuple[str, ...]) -> None:
        """Set the slot's quotas to the fleet's, and remove those of the slot's previous fleet."""
        wanted = rate_limits.quota_entries(seat.slot, seat.admission.quotas, headers)
        there = await self._runtime.whole_map(rate_limits.MAP)
        for key in rate_limits.stale_keys(there, wanted, seat.slot):
            await self._runtime.del_map(rate_limits.MAP, key)
        for key in sorted(key for key, value in wanted.items() if there.get(key) != value):
            await self._runtime.set_map(rate_limits.MAP, {key: wanted[key]})

    async def server_numbers(self, seat: Seat) -> dict[str, int]:
        """HAProxy's numbers of the fleet's servers, including unwanted ones that still work."""
        try:
            if seat.slot in self.untidy:
                await self.tidy(seat.slot, seat)
            return {name: server.number for name, server in (await self._runtime.servers(seat.slot)).items()}
        except Transient:
            return {}  # not running: it will start with the wanted servers

    async def apply_servers(self, seat: Seat) -> None:
        """Add and re-enable wanted servers, and drain the others."""
        slot, wanted = seat.slot, seat.servers
        present = await self._runtime.servers(slot)
        for name, limit in seat.limits.items():
            if name in present and name in wanted:
                await self._runtime.send_command(f"set maxconn server {slot}/{name} {limit}")
        for name, path in wanted.items():
            if path == UNKNOWN_PATH or (name in present and present[name].takes_requests):
                continue
            if name not in present:
                command = f"add server {slot}/{pools.render_server(seat, name)}"
                await self._runtime.run_command(command, good=("New server registered.",))
            await self._runtime.run_command(f"enable health {slot}/{name}")
            await self._runtime.run_command(f"set server {slot}/{name} state ready")
        for name, server in present.items():
            if name not in wanted:
                self.untidy.add(slot)
                if server.takes_requests:
                    await self._runtime.run_command(f"set server {slot}/{name} state drain")

    async def tidy(self, slot: str, seat: Seat | None) -> bool:
        """Delete unwanted idle servers. False while some of them remain."""
        left = False
        for name, server in (await self._runtime.servers(slot)).items():
            if seat is None or name not in seat.servers:
                left |= bool(server.in_flight) or not await self._delete(f"{slot}/{name}")
        (self.untidy.add if left else self.untidy.discard)(slot)
        return not left

    async def apply_state(self, state: ProxyState) -> None:
        """Bring a HAProxy that started from outdated files up to date. Fleets whose slots it lacks must wait for a
        reload."""
        there = (await self._runtime.shown()).servers
        for seat in state.seats:
            if seat.slot in there:
                await self.apply_servers(seat)
        wanted = {
            key: value for table in state.tables for key, value in routes.route_entries(table, state.slots).items()
        }
        await self._replace_map(config.MAP, wanted)
        metered = [
            rate_limits.quota_entries(seat.slot, seat.admission.quotas, state.headers) for seat in state.seats
        ]
        await self._replace_map(rate_limits.MAP, {key: value for some in metered for key, value in some.items()})
        await self._replace_map(config.FLEETS, {str(seat.fleet): seat.slot for seat in state.seats})
        self.untidy |= set(there)

    async def _replace_map(self, map: str, wanted: Mapping[str, str]) -> None:
        there = await self._runtime.whole_map(map)
        for key in sorted(there.keys() - wanted.keys()):
            await self._runtime.del_map(map, key)
        for key in sorted(key for key, value in wanted.items() if there.get(key) != value):
            await self._runtime.set_map(map, {key: wanted[key]})

    async def _delete(self, server: str) -> bool:
        """Delete a server. False while it has idle connections, which end soon after it stops taking requests."""
        await self._runtime.run_command(f"set server {server} state maint")
        return await self._runtime.send_command(f"del server {server}") == "Server deleted."
