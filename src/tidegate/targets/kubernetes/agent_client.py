"""Requests to the agent of one gateway."""

import asyncio
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from tidegate.domain.decoding import prepare_type
from tidegate.domain.errors import Conflict, TargetRefused, Transient
from tidegate.http1.client import HttpClient
from tidegate.http1.messages import ConnectionBroken, HttpReply
from tidegate.ports.gateway_agent import AgentState, DemandReport, EndpointPlan, EndpointView, PassedTotals
from tidegate.targets.kubernetes.names import AGENT

T = TypeVar("T")

TIMEOUT = 3.0
"""Seconds for one request; a reload of the proxy is part of some."""
UNAUTHORIZED = 401
MOST_BODY = 16 * 2**20


@dataclass
class AgentClient:
    """Raises Transient; Conflict where a later controller rules the gateway; TargetRefused."""

    name: str
    address: str
    token: str
    port: int = AGENT
    former: tuple[str, ...] = ()
    """Tokens that a gateway may still have, the newest first: it learns of another one within a minute or two."""
    _http: HttpClient = field(init=False)

    def __post_init__(self) -> None:
        self._http = HttpClient((self.address, self.port), MOST_BODY, kept=4, connect_timeout=1.0)

    async def state(self) -> AgentState:
        return await self._ask("GET", "/v1/state", AgentState)

    async def view(self, endpoint: str) -> EndpointView:
        return await self._ask("GET", f"/v1/endpoints/{endpoint}", EndpointView)

    async def plan(self, endpoint: str) -> EndpointPlan:
        return await self._ask("GET", f"/v1/endpoints/{endpoint}/plan", EndpointPlan)

    async def put(self, endpoint: str, plan: EndpointPlan) -> AgentState:
        return await self._ask("PUT", f"/v1/endpoints/{endpoint}", AgentState, msgspec.json.encode(plan))

    async def mark_synced(self, controller: int) -> AgentState:
        return await self._ask("POST", f"/v1/synced?controller={controller}", AgentState)

    async def passed(self) -> PassedTotals:
        return await self._ask("GET", "/v1/passed", PassedTotals)

    async def demand(self, wait: float = 0.0) -> DemandReport:
        """``wait``: seconds for which the gateway holds its answer back unless a request waits for a server."""
        return await self._ask("GET", f"/v1/demand?wait={wait:g}", DemandReport, longer=wait)

    def close(self) -> None:
        self._http.close()

    async def _ask(self, method: str, path: str, kind: type[T], body: bytes = b"", longer: float = 0.0) -> T:
        try:
            async with asyncio.timeout(TIMEOUT + longer):
                for token in (self.token, *self.former):
                    headers = [(b"authorization", b"Bearer " + token.encode())]
                    reply = await self._http.request(method, path, headers, body)
                    if reply.status != UNAUTHORIZED:
                        break
        except (ConnectionBroken, TimeoutError, ValueError) as error:
            reason = str(error) or f"no answer within {TIMEOUT:g} s"
            raise Transient(f"gateway {self.name} ({self.address}) does not answer: {reason}") from None
        if reply.status != 200:
            raise self._error(reply)
        try:
            return msgspec.json.decode(reply.body, type=prepare_type(kind))
        except msgspec.DecodeError as error:
            raise Transient(f"gateway {self.name} answers what cannot be read: {error}") from None

    def _error(self, reply: HttpReply) -> Exception:
        try:
            message = str(msgspec.json.decode(reply.body)["message"])
        except (msgspec.DecodeError, KeyError, TypeError):
            message = f"status {reply.status}"
        text = f"gateway {self.name}: {message}"
        if reply.status == UNAUTHORIZED:
            text += "; it gets it from its Secret within two minutes, or when it is replaced"
        return {409: Conflict, 422: TargetRefused}.get(reply.status, Transient)(text)
