"""What a model may ask of the server that runs it: an image it has, an environment that starts nothing else."""

import pytest

from tidegate.domain.errors import Invalid, StartupError
from tidegate.domain.registry import ContainerDefinition
from tidegate.serving.contract.catalogue import RuntimeKind
from tidegate.serving.contract.images import ImageTable
from tidegate.settings import Settings
from tidegate.targets.containers import check_container, with_trust

PICKLE = {"TIDEGATE_TRUST": "pickle"}
CODE = Settings.from_environment({"TIDEGATE_TRUST": "code"})


def test_a_pickle_is_read_only_where_model_and_server_say_so() -> None:
    wish = ContainerDefinition("tidegate/sklearn", environment=PICKLE)
    with pytest.raises(Invalid, match="start the server with TIDEGATE_TRUST=code,pickle"):
        check_container(wish, ImageTable(), CODE)
    allowed = Settings.from_environment({"TIDEGATE_TRUST": "pickle"})
    check_container(wish, ImageTable(), allowed)
    kind = RuntimeKind.SKLEARN
    assert with_trust({**PICKLE, "A": "b"}, kind, Settings()) == {"A": "b"}, (
        "also for a model made while it was allowed"
    )
    assert with_trust({**PICKLE, "A": "b"}, kind, allowed) == {**PICKLE, "A": "b"}
    assert with_trust({"A": "b"}, kind, allowed) == {"A": "b"}


@pytest.mark.parametrize("image", ["tidegate/script", "tidegate/python:1"])
def test_code_runs_only_where_the_server_says_so(image: str) -> None:
    with pytest.raises(Invalid, match=f"{image}.*start it with TIDEGATE_TRUST=code$"):
        check_container(ContainerDefinition(image), ImageTable(), Settings())
    check_container(ContainerDefinition(image), ImageTable(), CODE)


def test_a_worker_is_told_what_the_server_allows() -> None:
    both = Settings.from_environment({"TIDEGATE_TRUST": "pickle, code"})
    kind = RuntimeKind.XGBOOST
    assert with_trust({}, kind, Settings()) == {}
    assert with_trust({}, kind, both) == {"TIDEGATE_TRUST": "code"}, (
        "to bring code is to ask, to bring a pickle is not"
    )
    assert with_trust(PICKLE, kind, both) == {"TIDEGATE_TRUST": "code,pickle"}
    assert with_trust({"TIDEGATE_TRUST": "code"}, kind, Settings()) == {}
    assert with_trust({**PICKLE, "A": "b"}, RuntimeKind.PROGRAM, both) == {"A": "b"}


def test_a_word_of_trust_that_is_not_known_is_refused() -> None:
    with pytest.raises(Invalid, match="not 'everything'"):
        check_container(
            ContainerDefinition("tidegate/xgboost", environment={"TIDEGATE_TRUST": "everything"}),
            ImageTable(),
            CODE,
        )
    with pytest.raises(StartupError, match="pickle, code"):
        Settings.from_environment({"TIDEGATE_TRUST": "code,everything"})


@pytest.mark.parametrize("name", ["LD_PRELOAD", "PATH", "PYTHONPATH", "TIDEGATE_ACCESS_KEYS"])
def test_a_variable_that_changes_what_runs_is_refused(name: str) -> None:
    with pytest.raises(Invalid, match=name):
        check_container(ContainerDefinition("tidegate/xgboost", environment={name: "x"}), ImageTable(), Settings())
