"""Where clients compare what SageMaker says and shows, word by word."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from botocore.loaders import Loader

from tests.served_wire import ACCOUNT, REGION, START, Served
from tidegate.settings import Settings
from tidegate.targets.containers import check_data

ARN = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}"
IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1"
VARIANT = {"VariantName": "main", "ModelName": "m", "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}
QUEUE: dict[str, Any] = {"AsyncInferenceConfig": {"OutputConfig": {"S3OutputPath": "s3://out/answers"}}}
MANY = {"Image": "tidegate/xgboost", "Mode": "MultiModel", "ModelDataUrl": "s3://models/all/"}


def refused(call: Callable[..., Any], **params: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as error:
        call(**params)
    return error.value.response["Error"]["Code"], error.value.response["Error"]["Message"]


@pytest.fixture(autouse=True)
def model(sagemaker: Any) -> None:
    sagemaker.create_model(ModelName="m", PrimaryContainer={"Image": IMAGE})


def configure(sagemaker: Any, name: str = "c", variant: dict[str, Any] | None = None, **more: Any) -> None:
    sagemaker.create_endpoint_config(
        EndpointConfigName=name, ProductionVariants=[{**VARIANT, **(variant or {})}], **more
    )


def serving(sagemaker: Any, wire: Served, **more: Any) -> dict[str, Any]:
    configure(sagemaker, **more)
    sagemaker.create_endpoint(EndpointName="Fraud", EndpointConfigName="c")
    wire.settle("Fraud")
    return dict(sagemaker.describe_endpoint(EndpointName="Fraud"))


@pytest.mark.parametrize("kind", ["ml.m5.lrage", "m5.large", "ml.4xlarge", "localhost", "x"])
def test_an_unknown_instance_type_is_refused_with_the_list(sagemaker: Any, kind: str) -> None:
    model = Loader().load_service_model("sagemaker", "service-2")
    known = ", ".join(model["shapes"]["ProductionVariantInstanceType"]["enum"])
    with pytest.raises(ClientError) as error:
        configure(sagemaker, variant={"InstanceType": kind})
    assert error.value.response["Error"]["Message"] == (
        f"1 validation error detected: Value '{kind}' at 'productionVariants.1.member.instanceType' failed to "
        f"satisfy constraint: Member must satisfy enum value set: [{known}]"
    )


@pytest.mark.parametrize("kind", ["local", "local.small", "local_gpu", "ml.p4d.24xlarge"])
def test_sizes_of_this_machine_are_instance_types(sagemaker: Any, kind: str) -> None:
    configure(sagemaker, variant={"InstanceType": kind})
    (found,) = sagemaker.describe_endpoint_config(EndpointConfigName="c")["ProductionVariants"]
    assert found["InstanceType"] == kind


@pytest.fixture
def checked(wire: Served, tmp_path: Path) -> Path:
    """Model data is looked for as the platform does, in this folder alone."""
    settings = Settings.from_environment({"TIDEGATE_FILE_ROOTS": str(tmp_path)}, state=tmp_path / "state")
    wire.ctx = replace(wire.ctx, check_data=lambda url: check_data(url, settings))
    return tmp_path


@pytest.mark.parametrize("name", ["none.tar.gz", "none.ubj", "none/"])
def test_a_model_without_its_data_is_refused(sagemaker: Any, checked: Path, wire: Served, name: str) -> None:
    before = wire.journal()
    url = f"file://{checked}/{name}"
    container = {"Image": IMAGE, "ModelDataUrl": url}
    said = ("ValidationException", f"Could not find model data at {url}.")
    assert refused(sagemaker.create_model, ModelName="x", PrimaryContainer=container) == said
    assert refused(sagemaker.create_model, ModelName="x", Containers=[{"Image": IMAGE}, container]) == said
    assert wire.journal() == before


def test_model_data_that_may_not_be_read_is_refused(sagemaker: Any, checked: Path) -> None:
    container = {"Image": IMAGE, "ModelDataUrl": "file:///etc/hostname"}
    code, said = refused(sagemaker.create_model, ModelName="x", PrimaryContainer=container)
    assert (code, said.startswith("Could not access model data at file:///etc/hostname: ")) == (
        "ValidationException",
        True,
    )


def test_a_model_with_its_data_is_created(sagemaker: Any, checked: Path) -> None:
    (checked / "folder").mkdir()
    (checked / "m.ubj").write_bytes(b"x")
    for number, name in enumerate(("m.ubj", "folder/")):
        container = {"Image": IMAGE, "ModelDataUrl": f"file://{checked}/{name}"}
        sagemaker.create_model(ModelName=f"x{number}", PrimaryContainer=container)
    empty_yet = {**MANY, "ModelDataUrl": f"file://{checked}/later/"}
    sagemaker.create_model(ModelName="many", PrimaryContainer=empty_yet)


def test_endpoint_names_that_differ_in_case_alone_are_one(sagemaker: Any, wire: Served) -> None:
    serving(sagemaker, wire)
    said = ("ValidationException", f'Cannot create already existing endpoint "{ARN}:endpoint/Fraud".')
    for name in ("fraud", "FRAUD", "Fraud"):
        assert refused(sagemaker.create_endpoint, EndpointName=name, EndpointConfigName="c") == said
    code, said_of_none = refused(sagemaker.describe_endpoint, EndpointName="fraud")
    assert (code, said_of_none) == ("ValidationException", f'Could not find endpoint "{ARN}:endpoint/fraud".')


def test_images_are_shown_with_what_they_resolved_to(sagemaker: Any, wire: Served) -> None:
    wire.clock.advance(60)
    (variant,) = serving(sagemaker, wire)["ProductionVariants"]
    (image,) = variant["DeployedImages"]
    assert (image["SpecifiedImage"], image["ResolutionTime"]) == (IMAGE, START)
    assert image["ResolvedImage"].startswith(f"{IMAGE.removesuffix(':1.7-1')}@sha256:")
    (again,) = sagemaker.describe_endpoint(EndpointName="Fraud")["ProductionVariants"]
    assert again["DeployedImages"] == [image]


@pytest.mark.parametrize(
    "image",
    ["registry:5000/team/own", f"registry:5000/team/own@sha256:{'0' * 64}", "own", "a" * 250, "registry/own:1"],
)
def test_deployed_images_are_resolved_for_every_form_of_image(sagemaker: Any, wire: Served, image: str) -> None:
    sagemaker.create_model(ModelName="own", PrimaryContainer={"Image": image})
    (variant,) = serving(sagemaker, wire, variant={"ModelName": "own"})["ProductionVariants"]
    (found,) = variant["DeployedImages"]
    assert found["SpecifiedImage"] == image
    if "@" in image:
        assert found["ResolvedImage"] == image
    elif len(image) < 200:
        place = image.removesuffix(":1")
        assert found["ResolvedImage"].rpartition("@")[0] == place
    else:
        assert "ResolvedImage" not in found, "the member has room for 255 characters"


def test_the_config_of_the_queue_and_of_metrics_are_shown(sagemaker: Any, wire: Served) -> None:
    metrics = {"EnableEnhancedMetrics": True, "MetricPublishFrequencyInSeconds": 10}
    config = {"OutputConfig": {"S3OutputPath": "s3://out/answers", "S3FailurePath": "s3://out/failed"}}
    found = serving(sagemaker, wire, AsyncInferenceConfig=config, MetricsConfig=metrics)
    assert found["MetricsConfig"] == metrics
    queue = found["AsyncInferenceConfig"]
    assert queue["OutputConfig"]["S3OutputPath"] == "s3://out/answers"
    assert queue["OutputConfig"]["S3FailurePath"] == "s3://out/failed"
    sagemaker.delete_endpoint_config(EndpointConfigName="c")
    assert sagemaker.describe_endpoint(EndpointName="Fraud")["MetricsConfig"] == metrics


def test_an_endpoint_without_queue_and_metrics_config_shows_none(sagemaker: Any, wire: Served) -> None:
    assert not {"AsyncInferenceConfig", "MetricsConfig"} & serving(sagemaker, wire).keys()


def test_managed_instance_scaling_is_kept(sagemaker: Any, wire: Served) -> None:
    scaling = {"Status": "ENABLED", "MinInstanceCount": 1, "MaxInstanceCount": 4}
    (variant,) = serving(sagemaker, wire, variant={"ManagedInstanceScaling": scaling})["ProductionVariants"]
    assert variant["ManagedInstanceScaling"] == scaling
    (configured,) = sagemaker.describe_endpoint_config(EndpointConfigName="c")["ProductionVariants"]
    assert configured["ManagedInstanceScaling"] == scaling
    wrong = {"Status": "ENABLED", "MinInstanceCount": 5, "MaxInstanceCount": 4}
    with pytest.raises(ClientError, match="MinInstanceCount 5 must not exceed MaxInstanceCount 4"):
        configure(sagemaker, "d", {"ManagedInstanceScaling": wrong})


def test_a_serverless_pipeline_is_refused(sagemaker: Any) -> None:
    sagemaker.create_model(ModelName="two", Containers=[{"Image": IMAGE}, {"Image": IMAGE}])
    bounds = {"MemorySizeInMB": 2048, "MaxConcurrency": 5}
    variant = {"VariantName": "main", "ModelName": "two", "ServerlessConfig": bounds}
    with pytest.raises(ClientError, match="is serverless and cannot have several containers"):
        sagemaker.create_endpoint_config(EndpointConfigName="c", ProductionVariants=[variant])


def test_an_asynchronous_config_of_many_models_or_with_a_shadow_is_refused(sagemaker: Any) -> None:
    sagemaker.create_model(ModelName="many", PrimaryContainer=MANY)
    with pytest.raises(
        ClientError, match=r"CreateEndpointConfig.*is asynchronous and cannot have a multi-model container"
    ):
        configure(sagemaker, variant={"ModelName": "many"}, **QUEUE)
    with pytest.raises(ClientError, match=r"CreateEndpointConfig.*it cannot have a shadow variant"):
        configure(sagemaker, ShadowProductionVariants=[{**VARIANT, "VariantName": "shadow"}], **QUEUE)


def test_exclusions_without_retention_say_nothing(sagemaker: Any, wire: Served) -> None:
    serving(sagemaker, wire)
    configure(sagemaker, "d", {"InitialInstanceCount": 3})
    sagemaker.update_endpoint(
        EndpointName="Fraud",
        EndpointConfigName="d",
        ExcludeRetainedVariantProperties=[{"VariantPropertyType": "DesiredInstanceCount"}],
    )
    wire.settle("Fraud")
    (variant,) = sagemaker.describe_endpoint(EndpointName="Fraud")["ProductionVariants"]
    assert variant["DesiredInstanceCount"] == 3


def test_values_are_listed_in_the_order_of_the_vendor(wire: Served) -> None:
    scaling = wire.client("application-autoscaling", parameter_validation=False)
    code, said = refused(
        scaling.put_scaling_policy,
        ServiceNamespace="sagemaker",
        ResourceId="endpoint/e/variant/v",
        ScalableDimension="sagemaker:variant:DesiredInstanceCount",
        PolicyName="p",
        PolicyType="Odd",
    )
    assert (code, said) == (
        "ValidationException",
        "1 validation error detected: Value 'Odd' at 'policyType' failed to satisfy constraint: Member must satisfy "
        "enum value set: [PredictiveScaling, StepScaling, TargetTrackingScaling]",
    )
