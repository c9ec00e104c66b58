"""What an image name means, and how the table of images is read."""

import pytest

from tidegate.domain.errors import Invalid, StartupError
from tidegate.serving.contract.catalogue import RuntimeChoice, RuntimeKind
from tidegate.serving.contract.environment import check_environment
from tidegate.serving.contract.images import ImageTable, parse_table, resolve

TABLE = """
images:
  fraud-scorer:
    command: [/srv/fraud/serve, --quiet]
    environment: {WORKERS: "2"}
  "registry.example/team/*":
    command: [/srv/team/serve]
  "*/plain:?":
    runtime: xgboost
"""
XGBOOST = RuntimeChoice(RuntimeKind.XGBOOST)
MLFLOW = "151515151515.dkr.ecr.us-west-2.amazonaws.com/mlflow-pyfunc"


@pytest.mark.parametrize("tag", ["", ":3.17.2"])
def test_mlflows_image_of_any_account_region_and_tag(tag: str) -> None:
    assert resolve(MLFLOW + tag, ImageTable()) == RuntimeChoice(RuntimeKind.MLFLOW)


@pytest.mark.parametrize("image", ["tidegate/xgboost", "tidegate/xgboost:3"])
def test_tidegates_xgboost_keeps_its_own_forms(image: str) -> None:
    assert resolve(image, ImageTable()) == XGBOOST


@pytest.mark.parametrize(
    "image",
    [
        "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1",
        "141502667606.dkr.ecr.eu-west-1.amazonaws.com/sagemaker-xgboost",
        "811284229777.dkr.ecr.us-east-1.amazonaws.com/xgboost:1",
        "451049120500.dkr.ecr.cn-northwest-1.amazonaws.com.cn/sagemaker-xgboost:1.5-1-cpu-py3",
        "237065988967.dkr.ecr-fips.us-gov-west-1.amazonaws.com/sagemaker-xgboost:1.7-1",
        "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost@sha256:" + "0" * 64,
    ],
)
def test_xgboost_of_any_account_region_and_tag(image: str) -> None:
    assert resolve(image, ImageTable()) == RuntimeChoice(RuntimeKind.SAGEMAKER_XGBOOST)


@pytest.mark.parametrize(
    "image",
    [
        "xgboost",
        "tidegate/xgboost:",
        "evil.example/683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1",
        "683313688378.dkr.ecr.us-east-1.amazonaws.com.evil.example/sagemaker-xgboost:1",
        "68331368837.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1",
        "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-tensorflow:2.1",
        "/bin/sh",
        "",
    ],
)
def test_an_unknown_image_is_refused_with_what_there_is(image: str) -> None:
    with pytest.raises(Invalid) as caught:
        resolve(image, parse_table(TABLE, "images.yaml"))
    for known in (repr(image), "tidegate/xgboost", "sagemaker-xgboost", "fraud-scorer", "registry.example/team/*"):
        assert known in caught.value.message


def test_the_table_maps_names_and_patterns() -> None:
    table = parse_table(TABLE, "images.yaml")
    fraud = RuntimeChoice(RuntimeKind.PROGRAM, ("/srv/fraud/serve", "--quiet"), {"WORKERS": "2"})
    assert resolve("fraud-scorer", table) == fraud
    assert resolve("registry.example/team/a:1", table).command == ("/srv/team/serve",)
    assert resolve("us/plain:3", table) == XGBOOST


def test_the_table_comes_before_what_is_built_in() -> None:
    table = parse_table("images: {tidegate/xgboost: {command: [/srv/own]}}", "t")
    assert resolve("tidegate/xgboost", table).command == ("/srv/own",)


def test_an_exact_name_comes_before_a_pattern() -> None:
    table = parse_table("images: {'a*': {command: [/one]}, ab: {command: [/two]}}", "t")
    assert resolve("ab", table).command == ("/two",)


def test_an_empty_file_is_an_empty_table() -> None:
    assert parse_table("# nothing yet\n", "t") == ImageTable()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("images: [", "is not YAML"),
        ("[1]", "expected one key 'images'"),
        ("image: {}", "expected one key 'images'"),
        ("images: []", "expected one key 'images'"),
        ("images: {1: {command: [a]}}", "must be a text"),
        ("images: {'a b': {command: [a]}}", "without spaces"),
        ("images: {a: /bin/serve}", "must be a mapping"),
        ("images: {a: {}}", "either 'command' or 'runtime'"),
        ("images: {a: {command: [x], runtime: xgboost}}", "either 'command' or 'runtime'"),
        ("images: {a: {comand: [x]}}", "unknown key 'comand'"),
        ("images: {a: {command: serve --quiet}}", "must be a list"),
        ("images: {a: {command: []}}", "must be a list"),
        ("images: {a: {command: [serve, 8080]}}", "must be a list"),
        ("images: {a: {command: [x], environment: [A=1]}}", "must map"),
        ("images: {a: {command: [x], environment: {A: 1}}}", "'A' must be a text"),
        ("images: {a: {runtime: tensorflow}}", "'tensorflow' is not one of xgboost"),
        ("images: {a: {runtime: program}}", "is not one of"),
        ("images: {a: {runtime: xgboost, environment: {A: b}}}", "goes with a command"),
    ],
)
def test_a_table_with_a_mistake_says_where(text: str, why: str) -> None:
    with pytest.raises(StartupError) as caught:
        parse_table(text, "images.yaml")
    assert caught.value.message.startswith("images.yaml")
    assert why in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("name", ["PATH", "LD_PRELOAD", "PYTHONPATH", "NODE_OPTIONS", "BASH_ENV", "PORT"])
def test_a_model_cannot_say_which_program_runs(name: str) -> None:
    with pytest.raises(Invalid, match=name):
        check_environment({"MODEL_NAME": "x", name: "x"})


def test_other_variables_are_a_model_s_own() -> None:
    check_environment({"SAGEMAKER_PROGRAM": "inference.py", "THRESHOLD": "0.5", "MY_PATH": "/x", "PYTHON": "no"})


def test_a_name_of_ones_own_may_have_the_forms_of_awss_image() -> None:
    table = parse_table("images: {ours: {runtime: sagemaker-xgboost}}", "t")
    assert resolve("ours", table) == RuntimeChoice(RuntimeKind.SAGEMAKER_XGBOOST)
