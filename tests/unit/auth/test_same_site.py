"""Which hosts, origins and fetch sites a server without access keys takes."""

import pytest

from tidegate.auth.same_site import FOREIGN_HOST, FOREIGN_PAGE, compile_pattern, own_host_pattern, refusal_reason
from tidegate.domain.errors import StartupError

OWN = compile_pattern(own_host_pattern("127.0.0.1", ("Models.internal", "fd00::1", "[fd00::2]", "10.0.0.1")))
OURS = (
    *("127.0.0.1", "127.0.0.1:8471", "127.0.0.2:1", "127.255.255.254", "localhost", "LOCALHOST:65535", "[::1]"),
    *(
        "[::1]:8471",
        "tidegate.localhost:1",
        "a.b.localhost",
        "models.internal",
        "MODELS.INTERNAL:80",
        "[fd00::1]:9",
    ),
    *("[fd00::2]", "10.0.0.1"),
)
FOREIGN = (
    *(
        "evil.example",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "evil-localhost",
        "xlocalhost",
        "::1",
        "[::1",
    ),
    *("", "10.0.0.2", "0x7f.1", "127.1", "2130706433", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:123456", "0.0.0.0"),
    *(
        "models.internal.evil.example",
        "modelsXinternal",
        "[fd00::3]",
        "fd00::1",
        "localhost ",
        " localhost",
        "localhost\n",
    ),
    *(
        "127.0.0.1,evil.example",
        "evil.example,127.0.0.1",
        "user@127.0.0.1",
        "http://127.0.0.1",
        "127.0.0.1/x",
        "[::ffff:127.0.0.1]",
    ),
)


@pytest.mark.parametrize("host", OURS)
def test_names_of_this_server(host: str) -> None:
    assert refusal_reason(OWN, [host], [], []) is None
    assert refusal_reason(OWN, [host], [f"http://{host}"], ["same-origin"]) is None
    assert refusal_reason(OWN, [host], [f"https://{host}"], ["none"]) is None


@pytest.mark.parametrize("host", FOREIGN)
def test_names_of_another_server(host: str) -> None:
    assert refusal_reason(OWN, [host], [], []) == FOREIGN_HOST
    assert refusal_reason(OWN, [host], [f"http://{host}"], ["same-origin"]) == FOREIGN_HOST


@pytest.mark.parametrize("hosts", [[], ["localhost", "localhost"], ["localhost", "evil.example"]])
def test_a_host_is_given_once(hosts: list[str]) -> None:
    assert refusal_reason(OWN, hosts, [], []) == FOREIGN_HOST


@pytest.mark.parametrize(
    ("origins", "sites"),
    [
        (["https://evil.example"], []),
        (["null"], []),
        ([""], []),
        (["http://127.0.0.1:3000"], []),
        (["http://127.0.0.1"], []),
        (["http://localhost:8471"], []),
        (["http://127.0.0.1:8471.evil.example"], []),
        (["ftp://127.0.0.1:8471"], []),
        (["127.0.0.1:8471"], []),
        (["http://127.0.0.1:8471", "http://127.0.0.1:8471"], []),
        (["http://127.0.0.1:8471", "http://evil.example"], []),
        ([], ["cross-site"]),
        ([], ["same-site"]),
        ([], ["anything"]),
        ([], [""]),
        ([], ["none", "none"]),
        (["http://127.0.0.1:8471"], ["cross-site"]),
    ],
)
def test_a_page_of_another_site(origins: list[str], sites: list[str]) -> None:
    assert refusal_reason(OWN, ["127.0.0.1:8471"], origins, sites) == FOREIGN_PAGE


@pytest.mark.parametrize("name", ["http://x", "x:80", "x/y", "", "a b", "a*", "[", "x.", "-x", "a$", "a'b"])
def test_a_name_that_is_none_ends_the_start(name: str) -> None:
    with pytest.raises(StartupError, match="TIDEGATE_ALLOWED_HOSTS"):
        own_host_pattern("127.0.0.1", (name,))
