"""Refuses at deployment services that no instance could serve, and checks for ``target doctor`` whether they
answer. Names are resolved where the instances run."""

import asyncio
from collections.abc import Iterable, Sequence

from tidegate.domain.errors import Invalid
from tidegate.domain.registry import ContainerDefinition, SecretReference, Upstream
from tidegate.features.services.worker.replicas import Replicas
from tidegate.host.address_policy import parse_address
from tidegate.host.service_addresses import parse_addresses, refusal
from tidegate.ports.target import CheckFinding, Level
from tidegate.serving.contract.beside import health_path
from tidegate.serving.runtimes.upstream_headers import UpstreamHeaders, read_secret, secret_path
from tidegate.settings import Settings
from tidegate.targets.start_spec import secrets_folder, service_hosts


def check_service(container: ContainerDefinition, settings: Settings) -> None:
    """Raises Invalid for a service at an address that must not be asked, or with a secret that is not there."""
    upstream = container.upstream
    assert upstream is not None
    for base in parse_addresses(upstream.url):
        if why := refusal(base.host, _literal(base.host), service_hosts(settings)):
            raise Invalid(f"the service {base.url} must not be asked: {why}")
    for header, given in upstream.headers.items():
        if isinstance(given, SecretReference):
            try:
                read_secret(secret_path(secrets_folder(settings), given.secret), given.secret)
            except Invalid as error:
                raise Invalid(f"header {header} of the service {upstream.url}: {error.message}") from None


def _literal(host: str) -> list[str]:
    """Return the host if it is an address, and nothing of a name, which only DNS knows."""
    try:
        parse_address(host)
    except ValueError:
        return []
    return [host]


# --- checks for ``target doctor`` whether services answer this machine ---


_LIMIT = 1 << 20
"""Bytes of the answer to a health check."""


async def check_services(containers: Sequence[ContainerDefinition], settings: Settings) -> list[CheckFinding]:
    """Ask each service among the containers for its health, once, as an instance would."""
    upstreams: Iterable[Upstream | None] = (one.upstream for one in containers)
    services = {one.url: one for one in upstreams if one is not None and one.url}
    return list(await asyncio.gather(*(_check(one, settings) for one in services.values())))


async def _check(upstream: Upstream, settings: Settings) -> CheckFinding:
    what, bases, health = f"service {upstream.url}", parse_addresses(upstream.url), health_path(upstream)
    try:
        headers = UpstreamHeaders(upstream.headers, secrets_folder(settings))
    except Invalid as error:
        return CheckFinding(what, Level.ERROR, error.message)
    replicas = Replicas(bases, service_hosts(settings), health, headers, _LIMIT, patience=0.0)
    try:
        await replicas.look()
        level = Level.ERROR if not replicas.healthy else Level.WARNING if replicas.trouble else Level.OK
        return CheckFinding(what, level, replicas.trouble or f"answers GET {health}")
    finally:
        await replicas.close()
