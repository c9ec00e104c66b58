"""What a model may ask of the server that runs it: an image it has, an environment that starts nothing else."""

import pytest

from tidegate.compose.containers import check_container, trusted
from tidegate.model.errors import Invalid
from tidegate.model.registry import Container
from tidegate.settings import Settings
from tidegate.worker.images import ImageTable

PICKLE = {"TIDEGATE_TRUST": "pickle"}


def test_a_pickle_is_read_only_where_the_server_allows_it() -> None:
    wish = Container("tidegate/sklearn", environment=PICKLE)
    with pytest.raises(Invalid, match="unpickles nothing"):
        check_container(wish, ImageTable(), Settings())
    allowed = Settings.from_environment({"TIDEGATE_TRUST": "pickle"})
    check_container(wish, ImageTable(), allowed)
    assert trusted({**PICKLE, "A": "b"}, Settings()) == {"A": "b"}, "also for a model made while it was allowed"
    assert trusted({**PICKLE, "A": "b"}, allowed) == {**PICKLE, "A": "b"}


@pytest.mark.parametrize("name", ["LD_PRELOAD", "PATH", "PYTHONPATH", "TIDEGATE_ACCESS_KEYS"])
def test_a_variable_that_changes_what_runs_is_refused(name: str) -> None:
    with pytest.raises(Invalid, match=name):
        check_container(Container("tidegate/xgboost", environment={name: "x"}), ImageTable(), Settings())
