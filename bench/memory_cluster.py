"""Plays the API server of a cluster, from memory: ``python -m bench.memory_cluster PORT``.

Pods are ready as soon as they are asked for, have addresses of this machine, and are gone a second after their end
was decided. ``bench/fake_pods.py`` answers for them. Objects say who owns their fields, as real ones do: that is a
third of their size.
"""

import asyncio
import itertools
import sys
from typing import Any

import httpx2
import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.unit.targets.kubernetes.memory_api_server import MemoryApiServer, make_ready
from tidegate.host.http_server import serve

METHODS = ["GET", "POST", "PATCH", "DELETE"]
ADDRESSES = (f"127.{64 + a}.{b}.{c}" for a, b, c in itertools.product(range(64), range(256), range(1, 255)))


def start(pod: dict[str, Any]) -> None:
    make_ready(pod)
    pod["status"]["podIP"] = next(ADDRESSES)
    owner = {"manager": "kube-controller-manager", "operation": "Update", "apiVersion": "v1"}
    pod["metadata"]["managedFields"] = [{**owner, "fieldsType": "FieldsV1", "fieldsV1": _fields(pod["spec"])}]


def _fields(value: Any) -> Any:
    if isinstance(value, dict):
        return {f"f:{key}": _fields(one) for key, one in value.items()}
    if isinstance(value, list):
        return {f'k:{{"name":"{number}"}}': _fields(one) for number, one in enumerate(value)}
    return {}


async def main(port: int) -> None:
    server = MemoryApiServer(start=start)

    async def answer(request: Request) -> Response:
        asked = httpx2.Request(request.method, str(request.url), content=await request.body())
        found = await server.handle_async_request(asked)
        kind = found.headers.get("content-type", "application/json")
        return Response(found.content, found.status_code, media_type=kind)

    await serve(Starlette(routes=[Route("/{path:path}", answer, methods=METHODS)]), port, "127.0.0.1")
    print("ready", flush=True)
    while True:
        server.remove_leaving()
        await asyncio.sleep(1)


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
