"""Every operation and every route asks something of its caller, and gets it."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime

import httpx
import pytest
from starlette.routing import Route

from tests.features.access.signed_in import House
from tests.gateway_harness import GatewayHarness, late_pages
from tidegate.auth import sigv4
from tidegate.domain.access import Access, Role
from tidegate.gateway import native
from tidegate.gateway.guarded_routes import GuardedRoute
from tidegate.settings import Settings
from tidegate.wire.operation import AsyncOperation, TxOperation
from tidegate.wire.table import TABLE

KEYS = {"AKIAVIEW": "viewers-secret", "AKIAOPS": "operators-secret", "AKIAROOT": "admins-secret"}
ROLES = {"AKIAVIEW": Role.VIEWER, "AKIAOPS": Role.OPERATOR}
BY_ROLES = Settings(access_keys=KEYS, key_roles=ROLES)
OPERATIONS = [(service, name, row) for service, rows in TABLE.items() for name, row in rows.items()]
SIGNED = {("POST", "/tidegate/v1/registry/webhook")}
"""The caller has no key of ours: the route itself asks for the registry's signature, and refuses all without it."""
OPEN = {
    *SIGNED,
    ("GET", "/console/static/{path:path}"),
    ("GET", "/console/login"),
    ("POST", "/console/login"),
    ("GET", "/console/login/provider"),
    ("GET", "/console/login/callback"),
}
"""All that may be asked for without saying who asks, beside /healthz."""
HOST = "127.0.0.1:8471"


def all_routes(house: GatewayHarness) -> list[GuardedRoute]:
    return [*native.routes(house.gateway), *late_pages(house.gateway)]


@pytest.mark.parametrize(
    ("service", "name", "row"), OPERATIONS, ids=lambda one: one if isinstance(one, str) else ""
)
def test_every_operation_declares_what_it_asks(service: str, name: str, row: TxOperation | AsyncOperation) -> None:
    """Reading is told by the name, as in AWS's own policies."""
    reads = name.startswith(("Describe", "List", "Get", "Filter"))
    assert (row.access is Access.READ) == reads, f"{service}:{name}"
    assert row.access in (Access.READ, Access.USE, Access.CHANGE)


def test_what_is_used_is_not_a_change() -> None:
    used = {name for _, name, row in OPERATIONS if row.access is Access.USE}
    assert used == {"InvokeEndpoint", "InvokeEndpointWithResponseStream", "InvokeEndpointAsync", "PutMetricData"}


def test_every_route_is_guarded_and_reading_alone_is_without_a_role() -> None:
    routes = all_routes(GatewayHarness())
    assert len(routes) > 40
    for route in routes:
        assert isinstance(route, GuardedRoute), route.path
        for method in (route.methods or set()) - {"HEAD"}:
            assert (route.access is Access.OPEN) == ((method, route.path) in OPEN), route.path
            assert route.access.is_change or method == "GET" or (method, route.path) in NO_CHANGES, route.path


NO_CHANGES = {
    ("POST", "/console/login"),
    ("POST", "/console/logout"),
    *SIGNED,
    ("POST", "/tidegate/v1/endpoints/{name}/invoke"),
    ("POST", "/tidegate/v1/endpoints/{name}/labels"),
    *(
        (("POST", f"/tidegate/v1/{what}"))
        for what in ("checks", "diff", "plan", "promise", "rehearse", "simulate")
    ),
}
"""Requests that are not GET and change nothing of what is deployed."""


def example(route: Route) -> str:
    return (
        route.path.replace("{path:path}", "console.css")
        .replace("{name}", "fraud")
        .replace("{command}", "abort")
        .replace("{id}", "x")
    )


async def test_who_is_not_known_gets_nothing_but_what_is_open() -> None:
    """By request, so that a guard that is declared and not asked would be noticed."""
    house = House()
    async with house.browser() as client:
        for route in all_routes(house.harness):
            for method in (route.methods or set()) - {"HEAD"}:
                answer = await client.request(method, example(route), json={} if method != "GET" else None)
                shown = (method, route.path, answer.status_code)
                refused = answer.status_code == 403 and "Missing Authentication Token" in answer.text
                assert refused is ((method, route.path) not in OPEN), shown
                assert answer.status_code == 403 or (method, route.path) not in SIGNED, shown
        for path in ("/tidegate/v1/nowhere", "/console/nowhere", "/metrics", "/endpoints/fraud/invocations", "/"):
            assert "Missing Authentication Token" in (await client.get(path)).text, path
        assert (await client.get("/healthz")).status_code == 200
        assert (await client.patch("/tidegate/v1/down")).status_code == 403
    assert {action for _, action, _ in await house.audit()} == {"login", "login by provider"}


@pytest.mark.parametrize("role", list(Role))
async def test_each_role_gets_what_it_may_and_is_refused_the_rest(role: Role) -> None:
    house = House()
    async with house.signed_in("somebody", role) as client:
        for route in all_routes(house.harness):
            streams = route.path.startswith("/console") and "live" in route.path.split("/")
            if streams or route.path.startswith("/console/log"):
                continue
            for method in (route.methods or set()) - {"HEAD"}:
                answer = await client.request(method, example(route), json={} if method != "GET" else None)
                needed = route.access.role
                allowed = needed is None or role.includes(needed)
                refused = answer.status_code == 403 and "may not do this" in answer.text
                assert refused is not allowed, (method, route.path, answer.status_code, answer.text[:200])


def signed(key: str, target: str, body: Mapping[str, object]) -> tuple[dict[str, str], bytes]:
    content = json.dumps(body).encode()
    headers = {"host": HOST, "x-amz-target": target, "content-type": "application/x-amz-json-1.1"}
    parts = sigv4.RequestParts("POST", "/", "", list(headers.items()), content)
    service = "monitoring" if target.startswith("Granite") else "sagemaker"
    return headers | sigv4.sign(parts, (key, KEYS[key]), datetime.now(UTC), "us-east-1", service), content


async def call(house: House, key: str, target: str, **body: object) -> httpx.Response:
    headers, content = signed(key, target, body)
    async with house.browser() as client:
        return await client.post("/", content=content, headers=headers)


CREATE = "SageMaker.CreateModelPackageGroup"


async def test_the_roles_bind_access_keys() -> None:
    house = House(GatewayHarness(BY_ROLES))
    assert (await call(house, "AKIAVIEW", "SageMaker.ListModels")).status_code == 200
    refused = await call(house, "AKIAVIEW", CREATE, ModelPackageGroupName="fraud")
    assert (refused.status_code, refused.json()["__type"]) == (400, "AccessDeniedException")
    assert (
        "AKIAVIEW, viewer, may not do this: sagemaker:CreateModelPackageGroup takes the role operator."
        in (refused.json()["message"])
    )
    assert (await call(house, "AKIAVIEW", "SageMaker.ListModelPackageGroups")).json()[
        "ModelPackageGroupSummaryList"
    ] == []
    assert (await call(house, "AKIAOPS", CREATE, ModelPackageGroupName="fraud")).status_code == 200
    assert (await call(house, "AKIAROOT", CREATE, ModelPackageGroupName="fraud2")).status_code == 200
    assert await house.audit() == [
        ("AKIAVIEW", "sagemaker:CreateModelPackageGroup", "refused"),
        ("AKIAOPS", "sagemaker:CreateModelPackageGroup", "done"),
        ("AKIAROOT", "sagemaker:CreateModelPackageGroup", "done"),
    ]


async def test_a_viewers_key_may_not_report_measurements_that_guard_a_rollout() -> None:
    house = House(GatewayHarness(BY_ROLES))
    data = {"Namespace": "mine", "MetricData": [{"MetricName": "a", "Value": 1.0}]}
    target = "GraniteServiceVersion20100801.PutMetricData"
    assert (await call(house, "AKIAVIEW", target, **data)).json()["__type"] == "AccessDeniedException"
    assert (await call(house, "AKIAOPS", target, **data)).status_code == 200


async def test_what_fails_is_recorded_with_its_name_and_without_what_was_sent() -> None:
    house = House(GatewayHarness(BY_ROLES))
    await call(house, "AKIAOPS", CREATE, ModelPackageGroupName="fraud")
    await call(house, "AKIAOPS", CREATE, ModelPackageGroupName="fraud")
    variables = {"Environment": {"API_KEY": "a-secret" * 900}}
    await call(house, "AKIAOPS", "SageMaker.CreateModel", ModelName="m", PrimaryContainer=variables)
    found = await house.harness.trail.audit.read()
    assert (found[0].about, str(found[0].outcome)) == ("fraud", "failed") and "already" in found[0].detail
    assert "a-secret" not in repr(found)
