"""A login that is required, and a server on which nobody could sign in."""

import pytest

from tidegate.compose import login
from tidegate.compose.login import check_sign_in
from tidegate.domain.errors import StartupError
from tidegate.host.features import FeatureSet, choose, find_installed


@pytest.mark.parametrize(
    ("names", "switches", "why"),
    [
        ({"access", "cost"}, "-access", r"the feature access is switched off \(TIDEGATE_FEATURES\)"),
        ({"cost"}, "", "no feature that is installed has a page for it"),
    ],
)
def test_a_server_does_not_start_where_a_login_is_required_and_none_is_served(
    monkeypatch: pytest.MonkeyPatch, names: set[str], switches: str, why: str
) -> None:
    installed = {name: one for name, one in find_installed().items() if name in names}
    found = FeatureSet(installed, choose(installed, switches))
    monkeypatch.setattr(login, "features", lambda: found)
    with pytest.raises(StartupError, match=f"a login is required, and {why}: nobody could sign in"):
        check_sign_in()


def test_a_server_starts_where_people_can_sign_in() -> None:
    check_sign_in()
