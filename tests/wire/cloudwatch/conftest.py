"""CloudWatch's three kinds of client: JSON and CBOR against a server on SQLite, query against one on PostgreSQL.

A client of today's botocore prefers JSON; one that knows another protocol alone, query as all did for many years
or CBOR as other languages' do, is today's with a service model that lists no other.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import boto3
import botocore.session
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.loaders import Loader

from tests.served_wire import KEY, NO_RETRIES, REGION, Served, serve
from tidegate.store.metrics import SqlMetrics

Refusal = Callable[..., tuple[str, int, str]]


PROTOCOLS = ["json", "query", "smithy-rpc-v2-cbor"]


@pytest.fixture(params=PROTOCOLS)
def protocol(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="session")
def sessions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A botocore session for each protocol: as it comes for JSON, else with a model that lists one alone."""
    model = Loader().load_service_model("cloudwatch", "service-2")
    found = {"json": botocore.session.get_session()}
    for protocol in PROTOCOLS[1:]:
        model["metadata"] |= {"protocol": protocol, "protocols": [protocol]}
        folder = tmp_path_factory.mktemp("models")
        place = folder / "cloudwatch" / model["metadata"]["apiVersion"]
        place.mkdir(parents=True)
        (place / "service-2.json").write_text(json.dumps(model))
        found[protocol] = botocore.session.get_session()
        found[protocol].register_component("data_loader", Loader(extra_search_paths=[str(folder)]))
    return found


@pytest.fixture
def cloudwatch(protocol: str, sessions: dict[str, Any], wire: Served) -> Any:
    """A client of a server with metrics in its database."""
    return connect(sessions, protocol, wire)


@pytest.fixture(scope="module", params=PROTOCOLS)
def refusing(
    request: pytest.FixtureRequest, sessions: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    """A client of a server that all refusals of a module share, since a refusal leaves nothing behind."""
    folder = tmp_path_factory.mktemp("refusing")
    with serve(f"sqlite:///{folder / 'tidegate.db'}") as served:
        yield connect(sessions, request.param, served)


def connect(sessions: dict[str, Any], protocol: str, served: Served) -> Any:
    served.ctx = replace(served.ctx, metrics=SqlMetrics(served.store.database, served.clock))
    client = boto3.Session(botocore_session=sessions[protocol]).client(
        "cloudwatch",
        endpoint_url=served.url,
        region_name=REGION,
        aws_access_key_id=KEY,
        aws_secret_access_key="secret",
        config=Config(retries=NO_RETRIES, connect_timeout=5, read_timeout=30),
    )
    assert client.meta.service_model.resolved_protocol == protocol
    return client


@pytest.fixture
def refusal() -> Refusal:
    """Code, status and message of the error that a call ends in."""

    def of(call: Any, **params: Any) -> tuple[str, int, str]:
        with pytest.raises(ClientError) as refused:
            call(**params)
        answer = refused.value.response
        return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Message"]

    return of
