"""What the server's table trusts: images, and places that model data come from."""

import pytest

from tidegate.domain.errors import Invalid, StartupError
from tidegate.domain.registry import ContainerDefinition
from tidegate.serving.contract.catalogue import RuntimeKind
from tidegate.serving.contract.images import ImageTable, parse_table, resolve
from tidegate.settings import Settings
from tidegate.targets.containers import check_container, granted_by_table, with_trust

TABLE = parse_table(
    """
images:
  mine: {runtime: sklearn}
trusted:
- data: s3://models/approved/
  trust: [pickle, code]
- data: file:///srv/models/one.tar.gz
  trust: [pickle]
- image: "*/mlflow-pyfunc:*"
  data: s3://mlflow/
  trust: [pickle]
- image: trusted/*
  trust: [code]
""",
    "images.yaml",
)
NOTHING: frozenset[str] = frozenset()
PICKLE, BOTH = frozenset({"pickle"}), frozenset({"pickle", "code"})
MLFLOW = "000000000000.dkr.ecr.us-east-1.amazonaws.com/mlflow-pyfunc:3.1"
SCRIPT = {"SAGEMAKER_PROGRAM": "inference.py"}


def words(image: str, url: str | None, **environment: str) -> frozenset[str]:
    kind = resolve(image, TABLE).kind if not image.startswith("trusted/") else RuntimeKind.SKLEARN
    return granted_by_table(ContainerDefinition(image, url, environment), kind, TABLE)


@pytest.mark.parametrize(
    ("image", "url", "found"),
    [
        ("tidegate/sklearn", "s3://models/approved/m.tar.gz", BOTH),
        ("tidegate/sklearn", "s3://models/approved/a/b/m.tar.gz", BOTH),
        ("tidegate/sklearn", "s3://models/approved/", BOTH),
        ("tidegate/sklearn", "s3://models/approved", NOTHING),
        ("tidegate/sklearn", "s3://models/approved-not/m.tar.gz", NOTHING),
        ("tidegate/sklearn", "s3://models/approved/../other/m.tar.gz", NOTHING),
        ("tidegate/sklearn", "s3://models/approved/%2e%2e/m.tar.gz", NOTHING),
        ("tidegate/sklearn", "s3://models/approved/./m.tar.gz", NOTHING),
        ("tidegate/sklearn", "s3://models/approved//m.tar.gz", NOTHING),
        ("tidegate/sklearn", "S3://models/approved/m.tar.gz", NOTHING),
        ("tidegate/sklearn", "file:///srv/models/one.tar.gz", PICKLE),
        ("tidegate/sklearn", "file:///srv/models/one.tar.gz/x", NOTHING),
        ("tidegate/sklearn", "file:///srv/models/one.tar.gzz", NOTHING),
        ("tidegate/sklearn", None, NOTHING),
        (MLFLOW, "s3://mlflow/m.tar.gz", PICKLE),
        (MLFLOW, "s3://other/m.tar.gz", NOTHING),
        ("tidegate/mlflow", "s3://mlflow/m.tar.gz", NOTHING),
        ("trusted/any", "s3://other/m.tar.gz", frozenset({"code"})),
        ("trusted/any", None, frozenset({"code"})),
    ],
)
def test_the_words_of_a_model(image: str, url: str | None, found: frozenset[str]) -> None:
    assert words(image, url) == found


def test_all_that_a_model_brings_has_to_lie_there() -> None:
    approved = "s3://models/approved/m.tar.gz"
    beside = {**SCRIPT, "SAGEMAKER_SUBMIT_DIRECTORY": "s3://models/approved/code/sourcedir.tar.gz"}
    assert words("tidegate/sklearn", approved, **beside) == BOTH
    elsewhere = {**SCRIPT, "SAGEMAKER_SUBMIT_DIRECTORY": "s3://evil/sourcedir.tar.gz"}
    assert words("tidegate/sklearn", approved, **elsewhere) == NOTHING
    assert words("tidegate/sklearn", "s3://evil/m.tar.gz", **beside) == NOTHING


@pytest.mark.parametrize("image", ["tidegate/python", "tidegate/auto"])
def test_a_place_does_not_trust_code_that_the_environment_names(image: str) -> None:
    """``MODEL_HANDLER`` may be any function that is installed."""
    found = words(image, "s3://models/approved/m.tar.gz", MODEL_HANDLER="subprocess:run")
    assert "code" not in found


def test_what_is_trusted_need_not_ask_and_may_be_made() -> None:
    settings = Settings()
    model = ContainerDefinition("tidegate/sklearn", "s3://models/approved/m.tar.gz", SCRIPT)
    check_container(model, TABLE, settings)
    found = granted_by_table(model, RuntimeKind.SKLEARN, TABLE)
    assert with_trust(SCRIPT, RuntimeKind.SKLEARN, settings, found) == {**SCRIPT, "TIDEGATE_TRUST": "code,pickle"}
    asking = {"TIDEGATE_TRUST": "pickle"}
    check_container(ContainerDefinition("tidegate/sklearn", "s3://models/approved/m", asking), TABLE, settings)
    with pytest.raises(Invalid, match="unpickles nothing"):
        check_container(ContainerDefinition("tidegate/sklearn", "s3://other/m", asking), TABLE, settings)


@pytest.mark.parametrize("image", ["tidegate/sklearn", "tidegate/xgboost", "tidegate/auto", "tidegate/script"])
def test_a_script_is_refused_when_its_model_is_made(image: str) -> None:
    model = ContainerDefinition(image, "s3://other/m.tar.gz", SCRIPT)
    with pytest.raises(
        Invalid, match=r"runs no code that comes with a model; .* start it with TIDEGATE_TRUST=code"
    ):
        check_container(model, ImageTable(), Settings())
    check_container(model, ImageTable(), Settings.from_environment({"TIDEGATE_TRUST": "code"}))
    if image != "tidegate/script":
        check_container(
            ContainerDefinition(image, "s3://other/m", {"SAGEMAKER_PROGRAM": ""}), ImageTable(), Settings()
        )


def test_nothing_is_trusted_unless_it_is_said() -> None:
    assert parse_table("images: {}", "t").trusted == ()


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ("{data: s3://a/}", "expected 'trust', and 'data' or 'image' or both"),
        ("{trust: [pickle]}", "expected 'trust', and 'data' or 'image' or both"),
        ("{trust: [all], data: s3://a/}", "trust must be a list of pickle, code"),
        ("{trust: [], data: s3://a/}", "trust must be a list of pickle, code"),
        ("{trust: [[]], data: s3://a/}", "trust must be a list of pickle, code"),
        ("{trust: pickle, data: s3://a/}", "trust must be a list of pickle, code"),
        ("{trust: [pickle], data: 1}", "data must be a text"),
        ("{trust: [pickle], data: /srv/}", "data must be an address"),
        ("{trust: [pickle], data: 's3://'}", "data must be an address"),
        ("{trust: [pickle], data: s3://a/../b/}", "data must be an address"),
        ("{trust: [pickle], data: file:///}", "data must be an address"),
        ("{trust: [pickle], image: ''}", "image must be a text"),
        ("{trust: [pickle], image: a, more: b}", "expected 'trust', and 'data' or 'image' or both"),
    ],
)
def test_an_entry_with_a_mistake_says_where(entry: str, why: str) -> None:
    with pytest.raises(StartupError) as caught:
        parse_table(f"trusted: [{entry}]", "images.yaml")
    assert caught.value.message.startswith("images.yaml: trusted 1: ")
    assert why in caught.value.message
