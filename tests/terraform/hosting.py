"""Models, endpoint configurations and endpoints, as the provider handles them."""

from collections.abc import Callable
from typing import Any, ClassVar

from botocore.exceptions import ClientError

from tests.terraform.resource import Clients, Members, Resource, missing, pairs


class _OfSageMaker(Resource):
    """With SageMaker's tags, and known by a name."""

    NAME: ClassVar[str]
    LOST: ClassVar[str]
    """The text by which a refused Describe or Delete says that there is none."""

    @classmethod
    def imported(cls, clients: Clients, id: str) -> "Resource":
        key: Members = {cls.NAME: id}
        return cls(clients, **key)

    @property
    def name(self) -> Members:
        return {self.NAME: self.written[self.NAME]}

    def _looked_up(self, describe: Callable[..., Any], text: str) -> Members | None:
        try:
            found: Members = describe(**self.name)
        except ClientError as error:
            if missing(error, "ValidationException", text):
                return None
            raise
        return found

    def _deleted(self, delete: Callable[..., Any]) -> bool:
        """False where it was not there."""
        try:
            delete(**self.name)
        except ClientError as error:
            if missing(error, "ValidationException", self.LOST):
                return False
            raise
        return True

    def tags_in(self) -> Members:
        return {"Tags": pairs(self.tags)} if self.tags else {}

    def list_tags(self, arn: str) -> dict[str, str]:
        pages = self.clients.sagemaker.get_paginator("list_tags").paginate(ResourceArn=arn)
        return {tag["Key"]: tag["Value"] for page in pages for tag in page["Tags"]}

    def untag(self, arn: str, keys: list[str]) -> None:
        self.clients.sagemaker.delete_tags(ResourceArn=arn, TagKeys=keys)

    def tag(self, arn: str, tags: dict[str, str]) -> None:
        self.clients.sagemaker.add_tags(ResourceArn=arn, Tags=pairs(tags))


class Model(_OfSageMaker):
    NAME, ARN, LOST = "ModelName", "ModelArn", "Could not find model"
    READ = (
        "ModelName",
        "ExecutionRoleArn",
        "EnableNetworkIsolation",
        "PrimaryContainer",
        "Containers",
        "VpcConfig",
        "InferenceExecutionConfig",
    )
    COMPUTED = frozenset({"InferenceExecutionConfig"})

    def create(self) -> None:
        self.clients.sagemaker.create_model(**self.written, **self.tags_in())

    def find(self) -> Members | None:
        return self._looked_up(self.clients.sagemaker.describe_model, "")

    def delete(self) -> None:
        self._deleted(self.clients.sagemaker.delete_model)


class EndpointConfiguration(_OfSageMaker):
    NAME, ARN, LOST = "EndpointConfigName", "EndpointConfigArn", "Could not find endpoint configuration"
    READ = (
        "EndpointConfigName",
        "AsyncInferenceConfig",
        "DataCaptureConfig",
        "ExecutionRoleArn",
        "KmsKeyId",
        "ProductionVariants",
        "ShadowProductionVariants",
    )

    def create(self) -> None:
        self.clients.sagemaker.create_endpoint_config(**self.written, **self.tags_in())

    def find(self) -> Members | None:
        return self._looked_up(self.clients.sagemaker.describe_endpoint_config, self.LOST)

    def delete(self) -> None:
        self._deleted(self.clients.sagemaker.delete_endpoint_config)


class Endpoint(_OfSageMaker):
    NAME, ARN, LOST = "EndpointName", "EndpointArn", "Could not find endpoint"
    READ = ("EndpointName", "EndpointConfigName", "DeploymentConfig")
    PENDING = ("Creating", "Updating", "SystemUpdating")

    def create(self) -> None:
        self.clients.sagemaker.create_endpoint(**self.written, **self.tags_in())
        self.clients.wait(self.written["EndpointName"], self._in_service)

    def find(self) -> Members | None:
        """One that is going is gone, to the provider."""
        found = self._looked_up(self.clients.sagemaker.describe_endpoint, self.LOST)
        if found is None or found["EndpointStatus"] == "Deleting":
            return None
        return {**found, "DeploymentConfig": found.get("LastDeploymentConfig")}

    def update(self, changed: frozenset[str]) -> None:
        assert changed <= {"EndpointConfigName", "DeploymentConfig"}
        self.clients.sagemaker.update_endpoint(**self.written)
        self.clients.wait(self.written["EndpointName"], self._in_service)

    def delete(self) -> None:
        if self._deleted(self.clients.sagemaker.delete_endpoint):
            self.clients.wait(self.written["EndpointName"], lambda: self.find() is None)

    def _in_service(self) -> bool:
        found = self.find()
        assert found is not None, "a waiter finds it"
        status = found["EndpointStatus"]
        assert status in (*self.PENDING, "InService"), f"{status}: {found.get('FailureReason')}"
        return bool(status == "InService")
