"""Tidegate's native API, for its CLI and for people: JSON under ``/tidegate/v1``."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any, NotRequired, TypedDict

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tidegate import __version__, spec
from tidegate.domain.access import Access, Caller, Means
from tidegate.domain.alarm import Alarm
from tidegate.domain.desired import DesiredDeployment
from tidegate.domain.endpoint import Endpoint
from tidegate.domain.errors import Invalid, NotFound
from tidegate.domain.feature import Reference
from tidegate.domain.history import History
from tidegate.domain.observation import Observation
from tidegate.domain.registry import ContainerDefinition
from tidegate.domain.targets import LOCAL
from tidegate.gateway import uploads
from tidegate.gateway.dependencies import Gateway
from tidegate.gateway.deployments import deploy_spec, look_up_models, pin_references
from tidegate.gateway.guarded_routes import GuardedRoute
from tidegate.gateway.journal_view import wait_for_events
from tidegate.gateway.live import read_activity
from tidegate.gateway.native_body import Handler, PurposeBody, RequesterBody, answers, takes
from tidegate.gateway.paths import NATIVE
from tidegate.gateway.request_parsing import (
    parse_endpoint_name,
    parse_flag,
    parse_number,
    parse_purpose,
    parse_requester,
)
from tidegate.host.features import LoadedFeature, describe_switched_off, features
from tidegate.ports.logs import ReplicaLog
from tidegate.ports.store import Tx, Unreadable
from tidegate.rollout import desired_state
from tidegate.rollout.history import digests
from tidegate.service import alarms, endpoints, history, rollouts
from tidegate.service.alarms import AlarmFilter
from tidegate.service.deploy import DeployOptions, DeployResult, find_target
from tidegate.service.deployed import read_deployed
from tidegate.service.endpoint_extension import EndpointExtension, endpoint_extensions
from tidegate.service.log_lines import LogSearch, search_logs
from tidegate.service.record_kinds import ENDPOINT
from tidegate.service.targets import find_capabilities
from tidegate.service.views import (
    EndpointDocument,
    alarms_of,
    endpoint_view,
    named_alarms,
    of_present_versions,
    unreadable_view,
)
from tidegate.spec.changes import changes
from tidegate.spec.render import render
from tidegate.spec.value_types import SpecData

# --- ``history`` and ``undo`` in the native API ---


async def list_versions(gateway: Gateway, request: Request) -> Response:
    """List every version that served or was tried, newest first."""
    name = parse_endpoint_name(request)
    found = await _read_versions(gateway, name)
    sizes = await asyncio.to_thread(gateway.artifacts.sizes) if gateway.artifacts is not None else {}
    return JSONResponse({"versions": history.history_view(found, dict.fromkeys(sizes, True))})


class UndoBody(PurposeBody, total=False):
    """``to``: number of a version in the history, or name of its config; None: the version before."""

    override: bool
    guarded: bool
    to: str | int | None


async def undo(gateway: Gateway, request: Request, body: dict[str, Any]) -> None:
    """Go back to an earlier version. Its model data is read as a whole first: what was damaged since
    is not rolled out."""
    context, name = gateway.context, parse_endpoint_name(request)
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


async def _read_versions(gateway: Gateway, name: str) -> History:
    return await gateway.context.store.read(lambda tx: history.read(tx, name))


async def _is_intact(gateway: Gateway, digest: str) -> bool:
    return gateway.artifacts is not None and await asyncio.to_thread(gateway.artifacts.verify, digest)


# --- views of the logs of an endpoint's replicas, one by one and merged ---


MAX_LINES = 10_000
"""Last lines of each replica that are read."""
SEARCHED = 2_000
MAX_SHOWN = 1_000
MAX_FIND = 200
"""Characters of a text that is looked for."""


async def list_logs(gateway: Gateway, request: Request) -> Response:
    """List the last lines of each instance. Logs of a removed endpoint can still be read."""
    tail, name = parse_number(request, "tail", 100, 1, MAX_LINES), parse_endpoint_name(request)
    found = await _read(gateway, name, tail)
    return await asyncio.to_thread(lambda: JSONResponse({"replicas": [asdict(one) for one in found]}))


async def search_lines(gateway: Gateway, request: Request) -> Response:
    """Search the lines of all instances, by time, the newest last: those that have a text, in any case."""
    name, tail = parse_endpoint_name(request), parse_number(request, "tail", SEARCHED, 1, MAX_LINES)
    limit = parse_number(request, "limit", 200, 1, MAX_SHOWN)
    find, replica = request.query_params.get("find", ""), request.query_params.get("replica", "")
    if len(find) > MAX_FIND:
        raise Invalid(f"find has {len(find)} characters: {MAX_FIND} at most")
    found = await _read(gateway, name, tail)
    search = LogSearch(find, replica, limit)
    # Beside the event loop: a search goes through some megabytes, and finds some.
    return await asyncio.to_thread(lambda: JSONResponse(search_logs(found, search)))


async def _read(gateway: Gateway, name: str, tail: int) -> Sequence[ReplicaLog]:
    """Read the logs of an endpoint. Raises NotFound if there are neither logs nor an endpoint."""
    found = await gateway.logs(name, tail)
    if not found:
        await gateway.context.store.read(lambda tx: endpoints.get_endpoint(tx, name))
    return found


# --- ``diff`` in the native API: what deploying a spec would change ---


class SpecBody(TypedDict, total=False):
    """Body with a spec."""

    spec: SpecData | None


@takes(SpecBody)
async def compare_spec(gateway: Gateway, request: Request, body: dict[str, Any]) -> Response:
    """Compare ``{"spec": {...}}`` with what the endpoint has. Changes nothing. ``spec`` of the answer has versions in
    place of addresses of registries."""
    context, given = gateway.context, body.get("spec")
    spec.parse(given, context.clock.now())  # before what it refers to is looked for
    pinned = await pin_references(context, given)
    desired = spec.parse(pinned, context.clock.now())
    compared = await context.store.read(lambda tx: compare_deployed(tx, desired))
    return JSONResponse({**compared, "spec": pinned})


def compare_deployed(tx: Tx, desired: DesiredDeployment) -> dict[str, Any]:
    deployed = read_deployed(tx, desired)
    before = {} if deployed is None else render(deployed.endpoint)
    found = changes(before, render(desired))
    serving = None if deployed is None else deployed.endpoint.config.name
    saved = tx.get(ENDPOINT, desired.endpoint)
    rolling_out = None if saved is None or saved.body.rollout is None else find_target(saved.body)
    return {
        "endpoint": desired.endpoint,
        "exists": deployed is not None,
        "serving": serving,
        "rolling_out": rolling_out,
        "config": desired.config.name,
        "changes": [asdict(one) for one in found if one.what != "endpoint"],
        "kept": [] if deployed is None else list(deployed.kept),
    }


# --- ``target doctor`` in the native API: what models need of this server's machine and of its network ---


CHECK_MACHINE = "check_machine"
"""Extension point: a coroutine function of containers and the settings that returns findings."""


@takes(SpecBody)
async def check_machine(gateway: Gateway, request: Request, body: dict[str, Any]) -> Response:
    """Check the machine. ``{"spec": {...}}``: check what its models need; null: what those of all endpoints of this
    machine need."""
    context, given = gateway.context, body.get("spec")
    if given is None:
        containers = await context.store.read(_find_deployed)
    else:
        spec.parse(given, context.clock.now())  # before what it refers to is looked for
        desired = spec.parse(await look_up_models(context, given), context.clock.now())
        containers = [container for model in desired.models for container in model.containers]
    checks = [check for _, check in features().hooks(CHECK_MACHINE)]
    findings = [found for check in checks for found in await check(containers, gateway.settings)]
    return JSONResponse({"findings": [asdict(one) for one in findings]})


def _find_deployed(tx: Tx) -> list[ContainerDefinition]:
    endpoints = (saved.body for saved in tx.find(ENDPOINT).items if saved.body.target == LOCAL)
    fleets: Iterable[desired_state.FleetSpecs] = map(desired_state.fleets, endpoints)
    return [one for found in fleets for fleet in found.values() for one in fleet.variant.model.containers]


# Predictions for those who cannot sign: the console, and commands with an API token. The server signs for them.


PASSED_ON = (
    *("content-type", "accept", "x-amzn-sagemaker-target-model", "x-amzn-sagemaker-target-variant"),
    *("x-amzn-sagemaker-target-container-hostname", "x-amzn-sagemaker-session-id"),
    *("x-amzn-sagemaker-inference-id", "x-amzn-sagemaker-custom-attributes"),
)
RETURNED = (
    *("content-type", "x-amzn-invoked-production-variant", "x-tidegate-config", "retry-after"),
    *("x-amzn-sagemaker-new-session-id", "x-amzn-sagemaker-custom-attributes", "x-amzn-errortype"),
)
HARMLESS = {
    "content-security-policy": "default-src 'none'; sandbox",
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
}
"""The answer is the model's: nothing of it may act as a page of the console."""


async def invoke(gateway: Gateway, request: Request) -> Response:
    """Ask the endpoint for a prediction; the body is passed on as it is."""
    name, body = parse_endpoint_name(request), bytes(request.state.body)
    headers = {key: request.headers[key] for key in PASSED_ON if key in request.headers}
    answer = await gateway.predict(f"/endpoints/{name}/invocations", headers, body)
    returned = {key: answer.headers[key] for key in RETURNED if key in answer.headers}
    return Response(answer.body, answer.status, {**returned, **HARMLESS})


MAX_MODELS = 10_000
MAX_EVENTS = 1_000
MAX_WAIT = 20
MAX_ACTIVITY = 3_600

COMMANDS: dict[str, Callable[[Tx, str, str, datetime, rollouts.Purpose], None]] = {
    "pause": rollouts.pause,
    "resume": rollouts.resume,
    "abort": rollouts.abort,
}


async def version(gateway: Gateway, request: Request) -> Response:
    """Show the server's version, its address, its state folder, and what it trusts."""
    settings = gateway.settings
    allowed = {"trust": sorted(settings.trust)}
    where = {"host": settings.host, "port": settings.port, "state": str(settings.state)}
    return JSONResponse({"version": __version__, **where, **allowed})


@dataclass(frozen=True)
class _EndpointRecords:
    """Content of the store on one endpoint, for its status document. ``sections`` has the extensions of features,
    each with what it found."""

    endpoint: Endpoint
    alarms: list[Alarm]
    sections: list[tuple[EndpointExtension, Any]]


async def list_endpoints(gateway: Gateway, request: Request) -> Response:
    """List the endpoints. They are rendered beside the event loop: of a thousand endpoints it takes longer than
    others should wait."""
    records, unreadable = await gateway.context.store.read(_read_endpoints)
    looks = [(one, gateway.context.observed(one.endpoint.name)) for one in records]

    def render() -> Response:
        found = {one.endpoint.name: _render_endpoint(one, seen) for one, seen in looks}
        empty = {one.section: one.describe(None, None, None) for one in _sections()}
        found |= {one.name: {**unreadable_view(one), **empty} for one in unreadable}
        return JSONResponse({"endpoints": [found[name] for name in sorted(found)]})

    return await asyncio.to_thread(render)


def _read_endpoints(tx: Tx) -> tuple[list[_EndpointRecords], tuple[Unreadable, ...]]:
    """Read all endpoints, in as many statements for many endpoints as for one."""
    page, sections = tx.find(ENDPOINT), [(one, one.find(tx)) for one in _sections()]
    known = {alarm.name: alarm for alarm in alarms.find_all(tx)}

    def join(endpoint: Endpoint) -> _EndpointRecords:
        named = of_present_versions(endpoint, (known[name] for name in named_alarms(endpoint) if name in known))
        return _EndpointRecords(endpoint, named, [(one, found.get(endpoint.name)) for one, found in sections])

    return [join(saved.body) for saved in page.items], page.unreadable


@answers(EndpointDocument)
async def describe_endpoint(gateway: Gateway, request: Request) -> Response:
    """Describe an endpoint: versions, traffic, rollout, alarms."""
    name = parse_endpoint_name(request)

    def work(tx: Tx) -> _EndpointRecords:
        endpoint = endpoints.get_endpoint(tx, name).body
        sections = [(one, one.find(tx, name).get(name)) for one in _sections()]
        return _EndpointRecords(endpoint, alarms_of(tx, endpoint), sections)

    context = gateway.context
    records = await context.store.read(work)
    now = context.clock.now()
    sections = [(one, await one.measure(context.metrics, found, now)) for one, found in records.sections]
    return JSONResponse(_render_endpoint(replace(records, sections=sections), context.observed(name)))


def _render_endpoint(records: _EndpointRecords, seen: Observation | None) -> EndpointDocument:
    return {
        **endpoint_view(records.endpoint, seen, records.alarms),
        **{one.section: one.describe(found, records.endpoint, seen) for one, found in records.sections},
    }


def _sections() -> list[EndpointExtension]:
    """Return the extensions that add to the status document."""
    return [one for one in endpoint_extensions() if one.section]


async def list_alarms(gateway: Gateway, request: Request) -> Response:
    """List the alarms, with their states and reasons."""
    found, _ = await gateway.context.store.read(lambda tx: alarms.find(tx, AlarmFilter()))
    return JSONResponse({"alarms": msgspec.to_builtins(found)})


async def events(gateway: Gateway, request: Request) -> Response:
    """List what happened to an endpoint, and wait for more."""
    after = parse_number(request, "after", 0, 0, 2**63 - 1)
    limit = parse_number(request, "limit", 100, 1, MAX_EVENTS)
    wait = parse_number(request, "wait", 0, 0, MAX_WAIT)
    found = await wait_for_events(gateway, parse_endpoint_name(request), after, limit, wait)
    return JSONResponse({"events": found.events, "next": found.next})


async def read_last_seconds(gateway: Gateway, request: Request) -> Response:
    """Show the requests, errors and latencies of the last seconds, by version."""
    seconds = parse_number(request, "seconds", 10, 1, MAX_ACTIVITY)
    context, name, now = gateway.context, parse_endpoint_name(request), gateway.context.clock.now()
    await context.store.read(lambda tx: endpoints.get_endpoint(tx, name))
    fleets = await read_activity(context.metrics, name, seconds, now)
    return JSONResponse({"at": now.isoformat(), "seconds": seconds, "fleets": [asdict(one) for one in fleets]})


async def models(gateway: Gateway, request: Request) -> Response:
    """List the models that each instance of a multi-model endpoint has loaded, most used first. Of any other
    endpoint, show what the model of each instance takes, as far as it knows that."""
    limit, name = parse_number(request, "limit", 100, 0, MAX_MODELS), parse_endpoint_name(request)
    await gateway.context.store.read(lambda tx: endpoints.get_endpoint(tx, name))
    return JSONResponse({"replicas": list(await gateway.models(name, limit))})


class DeployBody(RequesterBody):
    """``override``: roll out even a version that alarms rejected before. ``supersede``: replace an update that is in
    progress."""

    spec: SpecData
    override: NotRequired[bool]
    supersede: NotRequired[bool]


@takes(DeployBody, DeployResult)
async def put_deploy(gateway: Gateway, request: Request, body: dict[str, Any]) -> Response:
    """Create the endpoint of a spec, or update it: ``{"spec": {...}, "override": false, "supersede": false}``."""
    context, now = gateway.context, gateway.context.clock.now()
    how = DeployOptions(
        parse_requester(request, body), parse_flag(body, "override"), parse_flag(body, "supersede")
    )

    def check(wish: DesiredDeployment) -> None:
        if wish.deployment.approval is not None and request.state.caller.means is Means.LOOPBACK:
            raise Invalid(
                "approval: nobody signs in to this server, so that no second person could be told from the first"
            )

    done = await deploy_spec(context, body.get("spec"), how, now, check=check)
    return JSONResponse(asdict(done))


class CommandBody(PurposeBody, total=False):
    """``override`` is of the command retry, and ``full`` of promote: the holdback is skipped, too."""

    override: bool
    full: bool


@takes(CommandBody, EndpointDocument)
async def command_rollout(gateway: Gateway, request: Request, body: dict[str, Any]) -> Response:
    """Execute a rollout command and answer with the endpoint's new state."""
    context, now, name = gateway.context, gateway.context.clock.now(), parse_endpoint_name(request)
    word = request.path_params["command"]
    who, override, full = parse_requester(request, body), parse_flag(body, "override"), parse_flag(body, "full")
    purpose = replace(parse_purpose(body), caller=request.state.caller)
    rollout_id = context.ids.new("rollout")

    def work(tx: Tx) -> None:
        if word == "retry":
            can = find_capabilities(tx, name, context.targets)
            rollouts.retry(
                tx, name, who, override=override, rollout_id=rollout_id, can=can, now=now, purpose=purpose
            )
        elif word == "promote":
            rollouts.promote(tx, name, who, now, full, purpose)
        elif word in COMMANDS:
            COMMANDS[word](tx, name, who, now, purpose)
        else:
            raise NotFound(
                f"a rollout has no command '{word}'; it has {', '.join((*COMMANDS, 'promote', 'retry', 'undo'))}"
            )

    await context.store.run(work)
    context.kick(name)
    return await describe_endpoint(gateway, request)


@takes(UndoBody, EndpointDocument)
async def undo_rollout(gateway: Gateway, request: Request, body: dict[str, Any]) -> Response:
    """Go back to an earlier version."""
    await undo(gateway, request, body)
    return await describe_endpoint(gateway, request)


@takes(RequesterBody, EndpointDocument)
async def delete_endpoint(gateway: Gateway, request: Request, body: dict[str, Any]) -> Response:
    """Delete an endpoint, with ``?force=1`` even during an update."""
    context, now, name = gateway.context, gateway.context.clock.now(), parse_endpoint_name(request)
    force = parse_number(request, "force", 0, 0, 1) == 1
    who = parse_requester(request, body)
    await context.store.run(lambda tx: endpoints.delete_endpoint(tx, name, now, who, force))
    context.kick(name)
    return await describe_endpoint(gateway, request)


async def describe_caller(gateway: Gateway, request: Request) -> Response:
    """Describe the caller as the server identifies it."""
    caller: Caller = request.state.caller
    return JSONResponse({"name": caller.name, "role": str(caller.role or ""), "means": str(caller.means)})


@takes(RequesterBody)
async def down(gateway: Gateway, request: Request, body: dict[str, Any]) -> Response:
    """Drain the endpoints and stop the platform."""
    gateway.down()
    return JSONResponse({"status": "stopping"}, 202)


NativeRoutes = Sequence[tuple[str, str, Handler, Access]]
"""Method, path under ``/tidegate/v1``, handler, and what it asks of a caller."""

ROUTES: NativeRoutes = (
    ("GET", "/version", version, Access.READ),
    ("GET", "/endpoints", list_endpoints, Access.READ),
    ("GET", "/endpoints/{name}", describe_endpoint, Access.READ),
    ("DELETE", "/endpoints/{name}", delete_endpoint, Access.CHANGE),
    ("GET", "/endpoints/{name}/events", events, Access.READ),
    ("GET", "/endpoints/{name}/live", read_last_seconds, Access.READ),
    ("GET", "/endpoints/{name}/logs", list_logs, Access.READ),
    ("GET", "/endpoints/{name}/logs/lines", search_lines, Access.READ),
    ("GET", "/endpoints/{name}/models", models, Access.READ),
    ("GET", "/endpoints/{name}/history", list_versions, Access.READ),
    ("POST", "/endpoints/{name}/rollout/undo", undo_rollout, Access.CHANGE),
    ("POST", "/endpoints/{name}/rollout/{command}", command_rollout, Access.CHANGE),
    ("GET", "/alarms", list_alarms, Access.READ),
    ("PUT", "/deploy", put_deploy, Access.CHANGE),
    ("POST", "/diff", compare_spec, Access.READ),
    ("POST", "/checks", check_machine, Access.USE),
    ("PUT", "/uploads/{name}", uploads.upload, Access.CHANGE),
    ("POST", "/endpoints/{name}/invoke", invoke, Access.USE),
    ("GET", "/caller", describe_caller, Access.READ),
    ("POST", "/down", down, Access.STOP),
)


def routes(gateway: Gateway) -> list[GuardedRoute]:
    """The routes of the core and of the features. Those of a feature that is off refuse with the reason."""
    found = make_routes(gateway, ROUTES)
    for name, one in sorted(features().installed.items()):
        for row in one.feature.routes:
            handler = _load_late(one, row.handler) if features().is_on(name) else _refuse_switched_off(name)
            found.append(_make_route(gateway, row.method, row.path, handler, row.access))
    return found


def make_routes(gateway: Gateway, table: NativeRoutes) -> list[GuardedRoute]:
    return [_make_route(gateway, *row) for row in table]


def _load_late(feature: LoadedFeature, reference: Reference) -> Handler:
    """A handler that is imported with its first request, in a thread."""
    loaded: list[Handler] = []

    async def handle(gateway: Gateway, request: Request) -> Response:
        if not loaded:
            loaded.append(await asyncio.to_thread(feature.load, reference))
        return await loaded[0](gateway, request)

    return handle


def _refuse_switched_off(name: str) -> Handler:
    async def handle(gateway: Gateway, request: Request) -> Response:
        raise NotFound(describe_switched_off(name))

    return handle


def _make_route(gateway: Gateway, method: str, path: str, handler: Handler, access: Access) -> GuardedRoute:
    return GuardedRoute(gateway, f"{NATIVE}{path}", partial(handler, gateway), access, [method])
