"""Names of container images, and the patterns that allow them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.domain.errors import Invalid
from tidegate.domain.image_name import ImageName, is_allowed, is_allowed_by_digest, pin, unpin

DIGEST = "sha256:" + "a" * 64
OTHER = "sha256:" + "b" * 64

_WORD = st.from_regex(r"[a-z0-9]{1,6}", fullmatch=True)
_HOSTS = st.sampled_from(["ghcr.example", "localhost", "registry.example:5000", "127.0.0.1:5000"])
NAMES = st.builds(
    ImageName,
    _HOSTS,
    st.lists(_WORD, min_size=1, max_size=3).map("/".join),
    st.one_of(st.just(""), _WORD),
    st.sampled_from(["", DIGEST]),
)


@given(NAMES)
def test_a_full_name_is_parsed_to_itself(name: ImageName) -> None:
    assert ImageName.parse(str(name)) == name


@given(NAMES, NAMES)
def test_a_repository_as_a_pattern_allows_all_of_it_and_nothing_else(name: ImageName, other: ImageName) -> None:
    assert is_allowed(name, [name.repository])
    assert is_allowed(other, [name.repository]) == (other.repository == name.repository)


@pytest.mark.parametrize(
    ("given", "full"),
    [
        ("fraud", "docker.io/library/fraud"),
        ("fraud:1.4", "docker.io/library/fraud:1.4"),
        ("team/fraud", "docker.io/team/fraud"),
        ("docker.io/fraud", "docker.io/library/fraud"),
        ("index.docker.io/team/fraud", "docker.io/team/fraud"),
        ("GHCR.Example/team/fraud", "ghcr.example/team/fraud"),
        ("localhost/fraud", "localhost/fraud"),
        ("localhost:5000/fraud:1", "localhost:5000/fraud:1"),
        (f"ghcr.example/team/fraud:1@{DIGEST}", f"ghcr.example/team/fraud:1@{DIGEST}"),
    ],
)
def test_a_short_name_is_one_of_dockers_registry(given: str, full: str) -> None:
    assert str(ImageName.parse(given)) == full


@pytest.mark.parametrize(
    "name",
    [
        "",
        "Fraud",
        "ghcr.example/Team/fraud",
        "team//fraud",
        "/fraud",
        "fraud:",
        "fraud@sha256:12",
        "fraud@",
        "--privileged",
        "team/fraud:1 --privileged",
        "fraud:-1",
        "ghcr.example/../fraud",
        f"fraud@{DIGEST}@{DIGEST}",
    ],
)
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(Invalid, match="container image"):
        ImageName.parse(name)


@pytest.mark.parametrize(
    ("pattern", "name", "allowed"),
    [
        ("ghcr.example/team/*", "ghcr.example/team/fraud:1.4", True),
        ("ghcr.example/team/*", "ghcr.example/team/a/b", True),
        ("ghcr.example/team/*", f"ghcr.example/team/fraud@{DIGEST}", True),
        ("ghcr.example/team/*", "GHCR.EXAMPLE/team/fraud", True),
        ("ghcr.example/team/*", "ghcr.example/teams/fraud", False),
        ("ghcr.example/team/*", "evil.example/ghcr.example/team/fraud", False),
        ("ghcr.example/team/*", "ghcr.example:444/team/fraud", False),
        ("*.example/team/*", "evil.test/a.example/team/fraud", False),
        ("*.example/team/*", "ghcr.example/team/fraud", True),
        ("ghcr.example/team/fraud", "ghcr.example/team/fraud:9", True),
        ("ghcr.example/team/fraud:1.*", "ghcr.example/team/fraud:1.4", True),
        ("ghcr.example/team/fraud:1.*", "ghcr.example/team/fraud:2", False),
        ("ghcr.example/team/fraud:1.*", "ghcr.example/team/fraud", False),
        ("ghcr.example/team/fraud:1.*", f"ghcr.example/team/fraud@{DIGEST}", False),
        ("ghcr.example/team/fraud:1.*", f"ghcr.example/team/fraud:1.4@{DIGEST}", True),
        (f"ghcr.example/team/fraud@{DIGEST}", f"ghcr.example/team/fraud@{DIGEST}", True),
        (f"ghcr.example/team/fraud@{DIGEST}", f"ghcr.example/team/fraud:1@{DIGEST}", True),
        (f"ghcr.example/team/fraud@{DIGEST}", f"ghcr.example/team/fraud@{OTHER}", False),
        (f"ghcr.example/team/fraud@{DIGEST}", "ghcr.example/team/fraud:1", False),
        ("localhost:5000/*", "localhost:5000/fraud", True),
        ("localhost:5000/*", "localhost/fraud", False),
        ("nginx", "docker.io/library/nginx:1", True),
        ("nginx", "quay.example/library/nginx", False),
        ("library/*", "nginx", True),
        ("docker.io/*", "team/fraud", True),
        ("docker.io/*", "docker.io.evil.test/team/fraud", False),
        ("*", "anything.example/at/all:1", True),
    ],
)
def test_patterns(pattern: str, name: str, allowed: bool) -> None:
    assert is_allowed(ImageName.parse(name), [pattern]) is allowed


def test_a_tag_beside_a_digest_is_only_a_claim() -> None:
    claimed = ImageName.parse(f"ghcr.example/team/fraud:1.4@{DIGEST}")
    assert not is_allowed_by_digest(claimed, ["ghcr.example/team/fraud:1.4"])
    assert is_allowed_by_digest(claimed, ["ghcr.example/team/fraud"])
    assert is_allowed_by_digest(claimed, [f"ghcr.example/team/fraud@{DIGEST}"])


@pytest.mark.parametrize("name", ["fraud:1.4", "localhost:5000/fraud:1", "ghcr.example/team/fraud:latest"])
def test_a_pinned_tag_is_unpinned(name: str) -> None:
    assert unpin(pin(name, DIGEST)) == name


@pytest.mark.parametrize("name", [f"localhost:5000/fraud@{DIGEST}", "fraud", f"fraud@{DIGEST}"])
def test_what_was_given_by_digest_alone_stays(name: str) -> None:
    assert unpin(name) == name
