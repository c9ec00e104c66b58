"""What ``target doctor`` finds of services."""

from tests.features.services.http_services import Asked, response, service
from tidegate.domain.registry import ContainerDefinition, SecretReference, Upstream
from tidegate.features.services.check import check_services
from tidegate.ports.target import CheckFinding, Level
from tidegate.settings import Settings


async def check(url: str, **upstream: object) -> CheckFinding:
    reached = Upstream(url=url, **upstream)  # type: ignore[arg-type]
    container = ContainerDefinition("tidegate/service", upstream=reached)
    [found] = await check_services([container, container, ContainerDefinition("tidegate/xgboost")], Settings())
    return found


async def refuse(asked: Asked) -> bytes:
    return response(b"{}", 503)


async def test_services_are_asked_for_their_health() -> None:
    async with service() as good, service(refuse) as bad:
        found = await check(good.url, headers={"X-Team": "fraud"})
        assert (found.level, found.message) == (Level.OK, "answers GET /ping")
        [asked] = good.checks
        assert asked.headers["x-team"] == "fraud"
        found = await check(bad.url)
        assert found.level is Level.ERROR and "GET /ping was answered with 503" in found.message
        found = await check(f"{good.url},{bad.url}")
        assert found.level is Level.WARNING and "503" in found.message


async def test_a_service_that_must_not_be_asked_is_not() -> None:
    found = await check("http://169.254.169.254")
    assert found.level is Level.ERROR and "metadata address" in found.message
    async with service() as one:
        found = await check(one.url, headers={"Authorization": SecretReference("absent")})
        assert found.level is Level.ERROR and "absent" in found.message
        assert one.checks == []
