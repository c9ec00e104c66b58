"""Refuses at deployment services that no instance could serve. Names are resolved where the instances run."""

from tidegate.domain.errors import Invalid
from tidegate.domain.registry import ContainerDefinition, SecretReference
from tidegate.host.address_policy import parse_address
from tidegate.host.service_addresses import parse_addresses, refusal
from tidegate.serving.runtimes.upstream_headers import read_secret, secret_path
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
