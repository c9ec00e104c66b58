"""Webhooks of MLflow, which only wake the loop: what they say is never used, so that nobody can deploy by one."""

import asyncio
import base64
import hashlib
import hmac
from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tidegate.domain.errors import AuthError, Invalid
from tidegate.features.model_registry.loop import PREFIX
from tidegate.gateway.dependencies import Gateway
from tidegate.serving.runtimes.upstream_headers import read_secret, secret_path
from tidegate.targets.start_spec import secrets_folder

SECRET = "mlflow-webhook"
"""Name of the secret that MLflow signs with."""
SIGNATURE, TIMESTAMP, DELIVERY = "x-mlflow-signature", "x-mlflow-timestamp", "x-mlflow-delivery-id"
OLDEST = 300
"""Seconds by which a webhook's time may differ from this machine's."""


async def receive(gateway: Gateway, request: Request) -> Response:
    """Look at the registries now, for a webhook that MLflow signed."""
    try:
        path = secret_path(secrets_folder(gateway.settings), SECRET)
        secret = await asyncio.to_thread(read_secret, path, SECRET)
    except Invalid as error:
        raise AuthError(f"webhooks are not taken: {error.message}") from None
    now = gateway.context.clock.now().timestamp()
    if not is_signed(secret, request.headers, bytes(request.state.body or b""), now):
        raise AuthError("the webhook is not signed by MLflow with the secret mlflow-webhook, or is too old")
    gateway.context.kick(PREFIX + request.headers[DELIVERY])
    return JSONResponse({"status": "looking"}, 202)


def is_signed(secret: bytes, headers: Mapping[str, str], body: bytes, now: float) -> bool:
    """Whether MLflow signed it within the last minutes: ``v1,`` and the HMAC-SHA256, in base 64, of the delivery's
    id, its time in epoch seconds, and the body, joined by dots. ``headers`` has names in lower case; ``now`` is in
    epoch seconds."""
    delivery, at = headers.get(DELIVERY, ""), headers.get(TIMESTAMP, "")
    if not (at.isascii() and at.isdecimal() and abs(now - int(at)) <= OLDEST and delivery):
        return False
    signed = b".".join((delivery.encode(), at.encode(), body))
    made = "v1," + base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()
    return hmac.compare_digest(made.encode(), headers.get(SIGNATURE, "").encode())
