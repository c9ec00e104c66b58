"""A small cloud of one process, in memory: fleets that are only numbers, a table of routes, and a door for clients.
It is what ``memory_target`` drives, the target by which the guide in CONTRIBUTING.md is tried out."""

import json
import random
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.conformance.front_door import Reply, Request, front_door

STARTUP = 0.3
"""Seconds until an instance is ready."""


@dataclass
class CloudFleet:
    """``environment``: of its model, which is only what the environment says (see ``local_lab.ENVIRONMENTS``)."""

    name: str
    config: str
    count: int
    environment: Mapping[str, str]
    fence: int
    began: float

    @property
    def failure(self) -> str:
        return "the model needs a file that is not there" if self.environment.get("CRASH") else ""

    @property
    def ready(self) -> int:
        return self.count if time.monotonic() - self.began > STARTUP and not self.failure else 0


@dataclass
class MemoryCloud:
    """``requests``: of each fleet and second, how many, how many of them failed, and the seconds that each took."""

    fleets: dict[str, CloudFleet] = field(default_factory=dict)
    tables: dict[str, dict[str, Any]] = field(default_factory=dict)
    requests: dict[tuple[str, int], list[tuple[bool, float]]] = field(default_factory=dict)
    away: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def api(self, request: Request) -> Reply | None:
        if self.away:
            return None
        kind, _, name = request.path.removeprefix("/").partition("/")
        given = json.loads(request.body) if request.body else {}
        with self.lock:
            answer = getattr(self, f"_{request.method.lower()}_{kind}")(name, given)
        return Reply(200, {"Content-Type": "application/json"}, json.dumps(answer).encode())

    def door(self, request: Request) -> Reply:
        endpoint = request.path.split("/")[2]
        with self.lock:
            routes = self.tables.get(endpoint, {}).get("routes", {})
            name = random.choices(list(routes), list(routes.values()))[0] if any(routes.values()) else ""
            fleet = self.fleets.get(name)
        if fleet is None or not fleet.ready:
            return Reply(503)
        began, failed = time.monotonic(), bool(fleet.environment.get("FAIL_EVERY"))
        time.sleep(int(fleet.environment.get("DELAY_MS", "0")) / 1000)
        with self.lock:
            made = self.requests.setdefault((name, int(time.time())), [])
            made.append((failed, time.monotonic() - began))
        return Reply(500 if failed else 200, {"x-tidegate-config": fleet.config}, b"{}")

    def _put_fleets(self, name: str, given: dict[str, Any]) -> None:
        known = self.fleets.get(name)
        if known is None:
            self.fleets[name] = CloudFleet(name, began=time.monotonic(), **given)
        else:
            known.began = time.monotonic() if given["count"] > known.count else known.began
            known.count, known.fence = given["count"], given["fence"]

    def _delete_fleets(self, name: str, given: dict[str, Any]) -> None:
        self.fleets.pop(name, None)

    def _put_tables(self, endpoint: str, given: dict[str, Any]) -> None:
        self.tables[endpoint] = given

    def _get_state(self, _: str, __: dict[str, Any]) -> dict[str, Any]:
        shown = ("config", "count", "ready", "failure", "fence")
        fleets = {one.name: {key: getattr(one, key) for key in shown} for one in self.fleets.values()}
        return {"fleets": fleets, "tables": self.tables}

    def _get_requests(self, since: str, _: dict[str, Any]) -> list[Any]:
        """Of whole seconds from ``since`` on."""
        return [
            [name, second, [failed for failed, _ in made], [seconds for _, seconds in made]]
            for (name, second), made in self.requests.items()
            if second >= int(since)
        ]


@contextmanager
def memory_cloud() -> Iterator[tuple[MemoryCloud, str, str]]:
    """The cloud, the URL of its API, and that of its door."""
    cloud = MemoryCloud()
    with front_door(cloud.api) as api, front_door(cloud.door) as door:
        yield cloud, api, door
