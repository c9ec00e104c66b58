"""Rendering and checking of deployments, which the registry offers to commands for this target."""

from collections.abc import Sequence
from datetime import UTC, datetime

from tidegate.domain.desired import DesiredDeployment
from tidegate.domain.errors import TidegateError
from tidegate.ports.target import CheckFinding, Document, Level, Options, Rendering
from tidegate.targets.aws.client import AwsClient, open_client
from tidegate.targets.sagemaker.calls import CompiledDeployment, Findings, LocalData, SagemakerCall, Upload
from tidegate.targets.sagemaker.cloudformation import render_template
from tidegate.targets.sagemaker.compile import compile_native, describe_steps
from tidegate.targets.sagemaker.model_calls import compile_models
from tidegate.targets.sagemaker.model_data import measure
from tidegate.targets.sagemaker.native import NativeDeployer
from tidegate.targets.sagemaker.options import SagemakerOptions, parse_options
from tidegate.targets.sagemaker.preflight import check_account, check_deployment
from tidegate.targets.sagemaker.transform_call import compile_transform


def measure_local(wish: DesiredDeployment) -> dict[str, LocalData]:
    """Measure the model data of a deployment that is on this machine, by address. Raises ArtifactError."""
    addresses = {container.data_url or "" for model in wish.models for container in model.containers}
    return {address: measure(address) for address in addresses if address.startswith("file://")}


def render_calls(wish: DesiredDeployment, options: Options) -> Rendering:
    """Render the calls as if the endpoint did not exist, without calling AWS. Raises Invalid, ArtifactError."""
    compiled = _compile(wish, options)
    documents = [_upload(one) for one in compiled.uploads] + [_call(one) for one in compiled.calls]
    return Rendering(tuple(documents), _notes(compiled), compiled.refusals)


def render_cloudformation(wish: DesiredDeployment, options: Options) -> Rendering:
    compiled = _compile(wish, options)
    return Rendering((Document("template", render_template(compiled)),), _notes(compiled), compiled.refusals)


def render_job(wish: DesiredDeployment, options: Options) -> Rendering:
    """Render the calls of a batch transform job: its model, and the job. Raises Invalid, ArtifactError."""
    assert wish.job is not None
    given, found = parse_options(options), Findings()
    model = wish.job.model
    models, uploads = compile_models(wish, measure_local(wish), given, {model.name: wish.job.instance_type}, found)
    call = compile_transform(wish.job, str(models[model.name].params["ModelName"]), given, found)
    documents = [_upload(one) for one in uploads] + [_call(one) for one in (*models.values(), call)]
    return Rendering(tuple(documents), tuple(found.notes), tuple(found.refusals))


def check(options: Options, wish: DesiredDeployment | None) -> Sequence[CheckFinding]:
    """Reads only."""
    try:
        given = parse_options(options)
        aws = open_client(given)
    except TidegateError as error:
        return [CheckFinding("options", Level.ERROR, str(error))]
    return check_with(aws, given, wish)


def check_with(aws: AwsClient, options: SagemakerOptions, wish: DesiredDeployment | None) -> list[CheckFinding]:
    found = check_account(aws, options)
    if wish is None or any(one.what == "credentials" and one.level is Level.ERROR for one in found):
        return found
    try:
        now = datetime.now(UTC)
        compiled = NativeDeployer(aws, options).compile(wish, measure_local(wish), now)
    except TidegateError as error:
        return [*found, CheckFinding("spec", Level.ERROR, str(error))]
    return found + check_deployment(aws, options, compiled, now)


def _compile(wish: DesiredDeployment, options: Options) -> CompiledDeployment:
    return compile_native(wish, parse_options(options), measure_local(wish), None, datetime.now(UTC))


def _upload(one: Upload) -> Document:
    return Document(f"upload {one.path}", {"bucket": one.bucket, "key": one.key, "sha256": one.sha256})


def _call(call: SagemakerCall) -> Document:
    body = {"service": call.service, "operation": call.operation, "parameters": call.params}
    return Document(f"{call.operation}: {call.why}", body)


def _notes(compiled: CompiledDeployment) -> tuple[str, ...]:
    return (*describe_steps(compiled), *compiled.notes)
