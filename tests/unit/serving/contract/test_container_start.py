"""What a worker in a container is started with: a start file, or SageMaker's environment."""

from pathlib import PurePosixPath

import msgspec
import pytest

from tidegate.domain.errors import StartupError
from tidegate.domain.fleet import FleetId
from tidegate.serving.contract.catalogue import RuntimeChoice, RuntimeKind
from tidegate.serving.contract.container_start import from_environment, from_file, model_folder, replica_name
from tidegate.serving.contract.replica_spec import ContainerSpec, Listen, ReplicaSpec, encode

WORK = PurePosixPath("/srv/replica")
XGBOOST = RuntimeChoice(RuntimeKind.XGBOOST)


def shared(**changes: object) -> ReplicaSpec:
    one = ContainerSpec(runtime=XGBOOST, model_dir="", data_url="s3://models/fraud.tar.gz")
    fleet = FleetId("fraud", 3, "Blue")
    return ReplicaSpec(replica="", fleet=fleet, config_name="v3", containers=(one, one), socket="", **changes)  # type: ignore[arg-type]


def test_start_file_is_completed_with_what_differs_between_containers() -> None:
    spec = from_file(encode(shared()), "start.json", "fraud-3-x7", WORK)

    assert (spec.replica, spec.socket, spec.listen) == ("fraud-3-x7", "/srv/replica/worker.sock", Listen())
    assert [one.model_dir for one in spec.containers] == ["/srv/replica/model1", "/srv/replica/model2"]
    assert spec.fleet == FleetId("fraud", 3, "Blue")


def test_start_file_may_leave_out_what_is_completed() -> None:
    document = msgspec.json.decode(encode(shared()), type=dict[str, object])
    for name in ("replica", "socket", "listen"):
        del document[name]

    assert from_file(msgspec.json.encode(document), "start.json", "r", WORK).replica == "r"


def test_what_the_start_file_says_itself_is_kept() -> None:
    given = shared(listen=Listen(port=9000, drain_notice=0.0))

    assert from_file(encode(given), "start.json", "r", WORK).listen == Listen(port=9000, drain_notice=0.0)


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b'{"containers": [1]}', b'{"containers": {"a": 1}}', b"\xff"]
)
def test_bad_start_file_is_named(content: bytes) -> None:
    with pytest.raises(StartupError, match=r"^start\.json is not a start file: "):
        from_file(content, "start.json", "r", WORK)


def test_replica_is_named_by_the_platform_or_by_its_host() -> None:
    assert replica_name({"TIDEGATE_REPLICA": "pod-1"}, "host") == "pod-1"
    assert replica_name({}, "host") == "host"


def test_sagemaker_needs_no_variable_at_all() -> None:
    spec = from_environment({}, "r", WORK)

    assert spec.listen == Listen(port=8080, control_port=0, drain_notice=1.0)
    assert spec.containers[0].runtime == RuntimeChoice(RuntimeKind.AUTO)
    assert spec.raw_errors
    assert spec.drain_timeout < 30
    assert model_folder({}) == "/opt/ml/model"


def test_sagemakers_variables_are_honoured() -> None:
    variables = {
        "SAGEMAKER_BIND_TO_PORT": "9123",
        "SAGEMAKER_MODEL_SERVER_TIMEOUT": "7",
        "SM_MODEL_DIR": "/data/model",
        "AWS_REGION": "eu-west-1",
        "TIDEGATE_RUNTIME": "xgboost",
        "OMP_NUM_THREADS": "2",
    }
    spec = from_environment(variables, "r", WORK)

    assert spec.listen is not None and spec.listen.port == 9123
    assert (spec.invocation_timeout, spec.region) == (7.0, "eu-west-1")
    assert spec.containers[0].runtime == XGBOOST
    assert spec.containers[0].environment["OMP_NUM_THREADS"] == "2"
    assert model_folder(variables) == "/data/model"


@pytest.mark.parametrize(
    ("variables", "size"),
    [
        ({}, 25 * 2**20),
        ({"SAGEMAKER_BATCH": "true"}, 6 * 2**20),
        ({"SAGEMAKER_BATCH": "true", "SAGEMAKER_MAX_PAYLOAD_IN_MB": "50"}, 50 * 2**20),
        ({"SAGEMAKER_BATCH": "true", "SAGEMAKER_MAX_PAYLOAD_IN_MB": "0"}, 10 * 2**30),
    ],
)
def test_a_transform_jobs_payload_is_the_limit_of_a_body(variables: dict[str, str], size: int) -> None:
    assert from_environment(variables, "r", WORK).max_body == size


@pytest.mark.parametrize(
    ("variables", "what"),
    [
        ({"SAGEMAKER_BIND_TO_PORT": "http"}, "SAGEMAKER_BIND_TO_PORT must be a whole number, not 'http'"),
        ({"SAGEMAKER_MODEL_SERVER_TIMEOUT": "-1"}, "SAGEMAKER_MODEL_SERVER_TIMEOUT must be a whole number"),
        ({"TIDEGATE_RUNTIME": "cobol"}, "TIDEGATE_RUNTIME must be one of auto, "),
        ({"TIDEGATE_RUNTIME": "program"}, "TIDEGATE_RUNTIME must be one of auto, "),
        ({"SAGEMAKER_MULTI_MODEL": "true"}, "SAGEMAKER_MULTI_MODEL: in SageMaker this image serves one model"),
    ],
)
def test_bad_variable_is_named(variables: dict[str, str], what: str) -> None:
    with pytest.raises(StartupError, match=what):
        from_environment(variables, "r", WORK)
