"""What is refused as a service is deployed, whatever the target."""

from pathlib import Path

import pytest

from tidegate.domain.errors import Invalid
from tidegate.domain.registry import ContainerDefinition, SecretReference, Upstream
from tidegate.host.address_policy import metadata_refusal
from tidegate.serving.contract.images import ImageTable
from tidegate.settings import Settings
from tidegate.targets.containers import check_container
from tidegate.targets.start_spec import secrets_folder, service_hosts

KEYS = {"TIDEGATE_ACCESS_KEYS": "id:secret"}


def check(url: str, environment: dict[str, str], **upstream: object) -> None:
    reached = Upstream(url=url, **upstream)  # type: ignore[arg-type]
    settings = Settings.from_environment(environment)
    check_container(ContainerDefinition("tidegate/service", upstream=reached), ImageTable(), settings)


def test_a_server_without_keys_asks_its_own_machine_and_network() -> None:
    for url in ("http://127.0.0.1:8000", "http://10.1.2.3", "http://[::1]:8000", "https://93.184.215.14"):
        check(url, {})


def test_a_server_with_keys_asks_public_addresses_and_those_that_its_owner_lists() -> None:
    check("https://93.184.215.14", KEYS)
    with pytest.raises(
        Invalid, match=r"10\.1\.2\.3 is not public; the server's owner may list it in TIDEGATE_SERVICE_HOSTS"
    ):
        check("http://10.1.2.3", KEYS)
    with pytest.raises(Invalid, match=r"127\.0\.0\.1 is not public"):
        check("https://93.184.215.14,http://127.0.0.1", KEYS)
    listed = {**KEYS, "TIDEGATE_SERVICE_HOSTS": "10.0.0.0/8, Fraud.Internal"}
    check("http://10.1.2.3,http://fraud.internal:8000", listed)
    with pytest.raises(Invalid, match="is no host that this server may ask"):
        check("https://93.184.215.14", listed)


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254",
        "169.254.170.2",
        "[fd00:ec2::254]",
        "[fe80::1]",
        "[::ffff:169.254.169.254]",
        "[64:ff9b::a9fe:a9fe]",
        "[2002:a9fe:a9fe::1]",
        "100.100.100.200",
        "metadata.google.internal",
        "METADATA.google.internal.",
    ],
)
@pytest.mark.parametrize("listed", ["", "0.0.0.0/0, ::/0, metadata.google.internal"])
def test_metadata_addresses_are_refused_whatever_is_listed(host: str, listed: str) -> None:
    with pytest.raises(Invalid, match="it is never asked"):
        check(f"http://{host}:80", {"TIDEGATE_SERVICE_HOSTS": listed})


def test_a_name_is_judged_by_each_of_its_addresses() -> None:
    assert metadata_refusal("fraud.internal", ["10.0.0.1"]) is None
    refused = metadata_refusal("fraud.internal", ["10.0.0.1", "169.254.169.254"])
    assert refused is not None and refused.startswith("fraud.internal is 169.254.169.254, which")


def test_secrets_are_files_that_are_there(tmp_path: Path) -> None:
    headers = {"X-Team": "risk", "Authorization": SecretReference("token")}
    with pytest.raises(
        Invalid, match="header Authorization of the service http://x: secret token: this server has no"
    ):
        check("http://x", {}, headers=headers)
    with pytest.raises(
        Invalid, match="secret token: its file in the folder TIDEGATE_SECRETS cannot be read: No such"
    ):
        check("http://x", {"TIDEGATE_SECRETS": str(tmp_path)}, headers=headers)
    (tmp_path / "token").write_text("word\n")
    check("http://x", {"TIDEGATE_SECRETS": str(tmp_path)}, headers=headers)


def test_workers_get_the_rules_and_the_folder_and_no_secret(tmp_path: Path) -> None:
    alone, keyed = Settings.from_environment({}), Settings.from_environment(KEYS)
    assert service_hosts(alone) is None and service_hosts(keyed) == ()
    assert secrets_folder(alone) == ""
    assert secrets_folder(Settings.from_environment({"TIDEGATE_SECRETS": str(tmp_path)})) == str(tmp_path)
