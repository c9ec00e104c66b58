"""The page about the data capture of an endpoint, with samples for those who may see what clients sent."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tidegate.console.insight_pages import EndpointPart, render_part
from tidegate.console.page_context import PageContext
from tidegate.domain.access import Access, Caller
from tidegate.domain.capture import Capture
from tidegate.domain.endpoint import Endpoint
from tidegate.domain.errors import NotFound, TidegateError, Unavailable
from tidegate.features.capture.captured import captured_addresses
from tidegate.features.capture.native import HOUR, read_captures
from tidegate.features.capture.samples import MOST_SAMPLES, CaptureSample, read_samples
from tidegate.gateway import native
from tidegate.gateway.dependencies import Gateway
from tidegate.gateway.guarded_routes import GuardedRoute, describe_request
from tidegate.gateway.paths import CONSOLE
from tidegate.gateway.request_parsing import parse_endpoint_name, parse_number
from tidegate.rollout import desired_state
from tidegate.service import endpoints

SHOWN = 10
PATIENCE = 10.0
"""Seconds for which a reader waits for the files."""
READERS = 2
SAMPLES = ("GET", "/endpoints/{name}/capture/samples", Access.SEE, "Show some of the captured requests.", None)
OPERATIONS = (SAMPLES,)
"""Method, path under the native API, what it asks of a caller, and its summary."""


@dataclass
class SampleReader:
    """Reads files in threads of its own, so that a bucket that does not answer holds up nothing else."""

    gateway: Gateway
    _threads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(READERS, "samples"))

    async def read(self, endpoint: Endpoint, most: int) -> list[CaptureSample]:
        """Raises TidegateError."""
        settings, now = self.gateway.settings, self.gateway.context.clock.now().timestamp()
        s3, addresses = (settings.s3_endpoint, settings.region), captured_addresses(endpoint)
        work = asyncio.get_running_loop().run_in_executor(self._threads, read_samples, addresses, s3, now, most)
        try:
            async with asyncio.timeout(PATIENCE):
                return await work
        except TimeoutError:
            raise Unavailable(f"the captured files could not be read within {PATIENCE:g} s") from None


def sample_routes(gateway: Gateway, reader: SampleReader) -> list[GuardedRoute]:
    async def show(gateway: Gateway, request: Request) -> Response:
        name, most = parse_endpoint_name(request), parse_number(request, "limit", SHOWN, 1, MOST_SAMPLES)
        endpoint = (await gateway.context.store.read(lambda tx: endpoints.get_endpoint(tx, name))).body
        if not captured_addresses(endpoint):
            raise NotFound(f"endpoint {name} has no data capture; give its spec a 'capture'")
        return JSONResponse({"samples": [asdict(one) for one in await reader.read(endpoint, most)]})

    method, path, access, _, _ = SAMPLES
    return native.make_routes(gateway, ((method, path, show, access),))


async def captures_page(gateway: Gateway, reader: SampleReader, name: str, may_see: bool) -> dict[str, Any]:
    """Make the data of the page. Raises NotFound for an endpoint that does not exist."""
    context, now = gateway.context, gateway.context.clock.now()
    endpoint = (await context.store.read(lambda tx: endpoints.get_endpoint(tx, name))).body
    try:
        fleets = await read_captures(context.metrics, endpoint, HOUR, now)
    except NotFound:
        return {"there": False, "may_see": may_see}
    samples, trouble = list[CaptureSample](), None
    if may_see:
        try:
            samples = await reader.read(endpoint, SHOWN)
        except TidegateError as error:
            trouble = error.message
    return {
        "there": True,
        "may_see": may_see,
        "fleets": [{**asdict(one), "sides": " and ".join(one.sides)} for one in fleets],
        "rules": _rules(endpoint),
        "samples": samples,
        "trouble": trouble,
        "seconds": gateway.settings.capture_seconds,
    }


def _rules(endpoint: Endpoint) -> list[dict[str, Any]]:
    """List the redaction rules of each capture, which apply before anything is written."""
    found: dict[str, Capture] = {}
    for spec in desired_state.fleets(endpoint).values():
        if spec.variant.capture is not None and spec.variant.capture.enabled:
            found[f"{spec.config_name}, {spec.variant.name}"] = spec.variant.capture
    return [{"name": name, **_describe(capture)} for name, capture in sorted(found.items())]


def _describe(capture: Capture) -> dict[str, Any]:
    rules = capture.redaction
    if rules is None:
        return {"redacted": False, "fields": (), "detect": "", "key": None}
    fields: Sequence[tuple[str, str]] = [(name, str(action)) for name, action in sorted(rules.fields.items())]
    return {"redacted": True, "fields": fields, "detect": ", ".join(rules.detect), "key": rules.key}


# --- the page of an endpoint's captures ---


def page_routes(context: PageContext) -> list[GuardedRoute]:
    gateway, samples = context.gateway, SampleReader(context.gateway)

    async def show(request: Request) -> Response:
        name = parse_endpoint_name(request)
        caller: Caller = request.state.caller
        may_see = caller.may(Access.SEE)
        seen = gateway.trail.allowing(describe_request(gateway, request, Access.SEE)) if may_see else nullcontext()
        async with seen:
            page = await captures_page(gateway, samples, name, may_see)
        line, document = ("tidegate show capture {} --samples 10", "capture/samples")
        if not page["may_see"]:
            line, document = ("tidegate show capture {}", "capture")
        part = EndpointPart("captures", "Captures", line, document)
        return await render_part(gateway, part, page, request, live=False)

    there = GuardedRoute(gateway, f"{CONSOLE}/endpoints/{{name}}/captures", show, Access.READ)
    return [there, *sample_routes(gateway, samples)]
