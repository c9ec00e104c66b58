"""An endpoint whose record cannot be read, by SageMaker's API: it is there, and no other is missing."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.samples import version
from tests.served_wire import START, Served
from tidegate.domain.endpoint import Endpoint
from tidegate.ports.store import Kind, Tx
from tidegate.service.record_kinds import CONFIG, ENDPOINT, MODEL


def plant(tx: Tx) -> None:
    for name in ("a-good", "c-good"):
        tx.put(ENDPOINT, name, Endpoint(name, START, START, serving=version("v1")), expect=0, now=START)
    for kind in (ENDPOINT, MODEL, CONFIG):
        tx.put(Kind(kind.name, object), "b-bad", "what a later version wrote", expect=0, now=START)


def test_lists_have_it_and_its_name_is_taken(wire: Served, sagemaker: Any) -> None:
    wire.run(wire.store.run(plant))
    found = sagemaker.list_endpoints(SortBy="Name", SortOrder="Ascending")["Endpoints"]
    assert [(one["EndpointName"], one["EndpointStatus"]) for one in found] == [
        ("a-good", "InService"),
        ("b-bad", "Failed"),
        ("c-good", "InService"),
    ]
    (failed,) = sagemaker.list_endpoints(StatusEquals="Failed")["Endpoints"]
    assert failed["EndpointName"] == "b-bad" and failed["CreationTime"] == START
    first = sagemaker.list_endpoints(SortBy="Name", SortOrder="Ascending", MaxResults=2)
    assert [one["EndpointName"] for one in first["Endpoints"]] == ["a-good", "b-bad"]
    assert [one["ModelName"] for one in sagemaker.list_models()["Models"]] == ["b-bad"]
    assert [one["EndpointConfigName"] for one in sagemaker.list_endpoint_configs()["EndpointConfigs"]] == ["b-bad"]
    for ask, named in (
        (sagemaker.describe_endpoint, {"EndpointName": "b-bad"}),
        (sagemaker.create_endpoint, {"EndpointName": "B-BAD", "EndpointConfigName": "c"}),
        (sagemaker.describe_model, {"ModelName": "b-bad"}),
    ):
        with pytest.raises(ClientError, match=r"cannot be read|already"):
            ask(**named)
    assert sagemaker.describe_endpoint(EndpointName="a-good")["EndpointStatus"] == "InService"
