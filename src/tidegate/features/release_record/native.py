"""The records of an endpoint's releases, and the key that signs them, by the native API."""

import asyncio

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tidegate.domain.errors import NotFound
from tidegate.features.release_record.kinds import RELEASE
from tidegate.features.release_record.signing import read_public_key
from tidegate.gateway.dependencies import Gateway
from tidegate.gateway.request_parsing import parse_endpoint_name, parse_number
from tidegate.ports.store import Filter, Tx


async def show_record(gateway: Gateway, request: Request) -> Response:
    """Download the signed file of the newest release, or of ``?version=N``, byte for byte as it was signed."""
    name, version = parse_endpoint_name(request), parse_number(request, "version", 0, 0, 2**31)
    return Response(
        await gateway.context.store.read(lambda tx: _find(tx, name, version)), media_type="application/json"
    )


async def show_key(gateway: Gateway, request: Request) -> Response:
    """Show the public key with which release records are signed."""
    return JSONResponse({"public_key": await asyncio.to_thread(read_public_key, gateway.settings.state)})


def _find(tx: Tx, name: str, version: int) -> str:
    prefix = f"{name}.{version}." if version else f"{name}."
    found = tx.find(RELEASE, Filter(name_prefix=prefix), limit=1).items
    if not found:
        what = f"version {version} of endpoint {name}" if version else f"a release of endpoint {name}"
        raise NotFound(f"there is no record of {what}: one is made when a rollout has ended")
    return found[0].body.file
