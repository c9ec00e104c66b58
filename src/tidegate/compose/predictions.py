"""Predictions that the server itself sends through its proxy, for users and API tokens."""

import asyncio
from collections.abc import Mapping

from tidegate.auth import sigv4
from tidegate.auth.keys import prediction_keys
from tidegate.domain.errors import Unavailable
from tidegate.gateway.dependencies import PredictionResponse
from tidegate.http1.client import HttpClient
from tidegate.http1.messages import ConnectionBroken
from tidegate.ports.clock import Clock
from tidegate.settings import Settings

LONGEST = 32 * 1024 * 1024
"""Bytes of an answer that is passed on."""
MARGIN = 15
"""Seconds that an answer may take beyond the model's limit: it waits for an instance, or for its turn."""
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1", "localhost": "127.0.0.1"}


class SignedPredictions:
    """A ``gateway.dependencies.Predict``."""

    def __init__(self, settings: Settings, signed: bool, clock: Clock) -> None:
        self._settings, self._clock = settings, clock
        # Any key that may ask models will do: what its holder may do was decided before.
        self._key = min(prediction_keys(settings).items()) if signed else None
        address = EVERYWHERE.get(settings.host, settings.host)
        self._host = f"[{address}]:{settings.port}" if ":" in address else f"{address}:{settings.port}"
        self._client = HttpClient((address, settings.port), LONGEST)

    async def __call__(self, path: str, headers: Mapping[str, str], body: bytes) -> PredictionResponse:
        sent = {**headers, **self._sign(path, headers, body)}
        raw = [(name.encode(), value.encode("latin-1")) for name, value in sent.items()]
        try:
            async with asyncio.timeout(self._settings.invocation_timeout + MARGIN):
                reply = await self._client.request("POST", path, raw, body, self._host.encode())
        except (ConnectionBroken, TimeoutError, ValueError) as error:
            raise Unavailable(f"the prediction was not answered: {error or 'it took too long'}") from None
        named = {name.decode("latin-1"): value.decode("latin-1") for name, value in reply.headers.items()}
        return PredictionResponse(reply.status, named, reply.body)

    def _sign(self, path: str, headers: Mapping[str, str], body: bytes) -> dict[str, str]:
        if self._key is None:
            return {}
        parts = sigv4.RequestParts("POST", path, "", [("host", self._host), *headers.items()], body)
        return sigv4.sign(parts, self._key, self._clock.now(), self._settings.region, "sagemaker")
