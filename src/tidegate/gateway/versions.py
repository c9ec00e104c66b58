"""``history`` and ``undo`` in the native API."""

import asyncio

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tidegate.domain.errors import Invalid
from tidegate.domain.history import History
from tidegate.gateway.dependencies import Gateway
from tidegate.gateway.request_parsing import (
    parse_endpoint_name,
    parse_flag,
    parse_json_object,
    parse_purpose,
    parse_requester,
)
from tidegate.rollout.history import digests
from tidegate.service import history, rollouts
from tidegate.service.targets import find_capabilities


async def list_versions(gateway: Gateway, request: Request) -> Response:
    """Every version that served or was tried, newest first."""
    name = parse_endpoint_name(request)
    found = await _read(gateway, name)
    sizes = await asyncio.to_thread(gateway.artifacts.sizes) if gateway.artifacts is not None else {}
    return JSONResponse({"versions": history.history_view(found, dict.fromkeys(sizes, True))})


async def undo(gateway: Gateway, request: Request) -> None:
    """Go back to an earlier version. Its model data is read as a whole first: what was damaged since
    is not rolled out."""
    context, name = gateway.context, parse_endpoint_name(request)
    body = parse_json_object(request, ("by", "override", "guarded", "to", "reason", "rollout", "stage"))
    who, override, to = parse_requester(request, body), parse_flag(body, "override"), body.get("to")
    if (to is not None and not isinstance(to, str | int)) or isinstance(to, bool):
        raise Invalid("'to' must be the number of a version in the history, or the name of its config")
    purpose, guarded = parse_purpose(body), parse_flag(body, "guarded")
    wanted = None if to is None else str(to)
    target = await context.store.run(lambda tx: rollouts.find_undo_target(tx, name, wanted))
    kept = {digest: await _is_intact(gateway, digest) for digest in sorted(digests(target))}
    rollout_id, now = context.ids.new("rollout"), context.clock.now()
    await context.store.run(
        lambda tx: rollouts.undo(
            tx,
            name,
            rollouts.UndoRequest(str(target.number), override, guarded),
            who,
            kept=kept,
            rollout_id=rollout_id,
            can=find_capabilities(tx, name, context.targets),
            now=now,
            purpose=purpose,
        )
    )
    context.kick(name)


async def _read(gateway: Gateway, name: str) -> History:
    return await gateway.context.store.read(lambda tx: history.read(tx, name))


async def _is_intact(gateway: Gateway, digest: str) -> bool:
    return gateway.artifacts is not None and await asyncio.to_thread(gateway.artifacts.verify, digest)
