"""Sessions on a whole platform, by boto3: a stateful model whose sums show whether each request found its session."""

import json
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.fixtures import STAND_IN
from tests.scene import Scene, canary
from tidegate.host.platform import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.e2e]
LONG = 10**10
"""Epoch seconds, in the year 2286."""


def stateful(scene: Scene, version: str = "1", instances: int = 2) -> str:
    environment = {"STATEFUL": "1", "VERSION": version}
    return scene.config(None, image=STAND_IN, environment=environment, instances=instances)


def ask(scene: Scene, endpoint: str, session: str | None, **body: Any) -> dict[str, Any]:
    """The model's answer, and what SageMaker's says of sessions."""
    which = {} if session is None else {"SessionId": session}
    answer = scene.runtime.invoke_endpoint(EndpointName=endpoint, Body=json.dumps({"add": 1, **body}), **which)
    said = {name: answer[name] for name in ("NewSessionId", "ClosedSessionId") if name in answer}
    return {**json.loads(answer["Body"].read()), **said}


@dataclass
class Session:
    scene: Scene
    endpoint: str
    id: str
    pid: int
    version: str
    sum: int = 1

    @classmethod
    def begin(cls, scene: Scene, endpoint: str, until: float = LONG) -> "Session":
        said = ask(scene, endpoint, "NEW_SESSION", until=until)
        id, _, expires = said["NewSessionId"].partition("; Expires=")
        assert said["sum"] == 1 and time.strptime(expires, "%Y-%m-%dT%H:%M:%SZ")
        return cls(scene, endpoint, id, said["pid"], said["version"])

    def go_on(self, **body: Any) -> dict[str, Any]:
        """Its next request, which must find it."""
        said = ask(self.scene, self.endpoint, self.id, **body)
        self.sum += 1
        assert (said["sum"], said["pid"], said["version"]) == (self.sum, self.pid, self.version)
        return said

    def refusal(self) -> tuple[int, str, str]:
        """Status, code and message of how its next request is refused; it may find nothing else."""
        with pytest.raises(ClientError) as raised:
            self.go_on()
        answer = raised.value.response
        return answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"], answer["Error"]["Message"]

    def is_refused(self) -> bool:
        return self.refusal()[0] == 400

    def is_gone(self) -> None:
        status, code, message = self.refusal()
        assert (status, code) == (400, "ValidationError")
        assert f"Session {self.id} of endpoint {self.endpoint} does not exist" in message

    def has_ended(self) -> bool:
        """Whether it is gone; where it is not, its next request found it."""
        try:
            self.go_on()
        except ClientError:
            self.is_gone()
            return True
        return False


@contextmanager
def others(scene: Scene, endpoint: str) -> Iterator[Counter[int]]:
    """Requests without a session meanwhile; counts who answered."""
    over, seen = threading.Event(), Counter[int]()

    def work() -> None:
        while not over.is_set():
            seen[ask(scene, endpoint, None)["pid"]] += 1

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


def test_sessions_find_their_instance_200_times_beside_other_requests(scene: Scene) -> None:
    scene.create("chat", stateful(scene))
    sessions = [Session.begin(scene, "chat") for _ in range(8)]
    assert len({session.pid for session in sessions}) == 2
    with others(scene, "chat") as seen:
        for _ in range(200):
            for session in sessions[:4]:
                session.go_on()
    assert set(seen) == {session.pid for session in sessions}
    for session in sessions:
        session.go_on()


def test_in_a_canary_a_session_stays_with_its_version_and_ends_with_it(scene: Scene) -> None:
    scene.create("update", stateful(scene))
    old = [Session.begin(scene, "update") for _ in range(4)]
    scene.update("update", stateful(scene, "2"), canary(50, 8))

    def new() -> Session | None:
        found = Session.begin(scene, "update")
        return found if found.version == "2" else None

    session = wait_until(new, "a session with the new version", 60)
    while scene.describe("update")["EndpointStatus"] == "Updating":
        session.go_on()
        for one in list(old):
            if one.has_ended():  # all requests go to the new version now
                old.remove(one)
    assert not old
    session.go_on()
    assert Session.begin(scene, "update").version == "2"


def test_the_session_of_a_killed_instance_is_gone_and_a_new_one_works(scene: Scene) -> None:
    scene.create("killed", stateful(scene))
    sessions = [Session.begin(scene, "killed") for _ in range(8)]
    pid = sessions[0].pid
    os.kill(pid, signal.SIGKILL)
    for session in sessions:
        if session.pid == pid:
            wait_until(session.is_refused, "a refusal")  # it may be a ModelError first
            session.is_gone()
        else:
            session.go_on()
    wait_until(
        lambda: all(v["CurrentInstanceCount"] == 2 for v in scene.describe("killed")["ProductionVariants"]), "two"
    )
    for session in sessions:
        if session.pid == pid:
            session.is_gone()
    new = Session.begin(scene, "killed")
    new.go_on()


def test_closed_and_expired_sessions_are_gone(scene: Scene) -> None:
    scene.create("closed", stateful(scene))
    session, other = Session.begin(scene, "closed"), Session.begin(scene, "closed")
    assert session.go_on(close=True)["ClosedSessionId"] == session.id
    session.is_gone()
    Session.begin(scene, "closed", until=time.time() - 1).is_gone()
    other.go_on()


def test_ids_are_refused_as_sagemaker_refuses_them(scene: Scene) -> None:
    scene.create("ids", stateful(scene, instances=1))
    for id in ("no_such_form", "-x", "NEW_SESSIONS"):
        with pytest.raises(ClientError, match="'sessionId' failed to satisfy constraint") as raised:
            ask(scene, "ids", id)
        assert raised.value.response["Error"]["Code"] == "ValidationError"
    with pytest.raises(ClientError, match="Session unknown of endpoint ids does not exist"):
        ask(scene, "ids", "unknown")


def test_a_stream_goes_on_with_a_session(scene: Scene) -> None:
    scene.create("stream", stateful(scene))
    session = Session.begin(scene, "stream")
    invoke = scene.runtime.invoke_endpoint_with_response_stream
    answer = invoke(EndpointName="stream", SessionId=session.id, Body=b'{"add": 5}')
    parts = b"".join(event["PayloadPart"]["Bytes"] for event in answer["Body"])
    assert json.loads(parts)["sum"] == 6
    with pytest.raises(ClientError, match="'sessionId' failed to satisfy constraint"):
        invoke(EndpointName="stream", SessionId="NEW_SESSION", Body=b'{"add": 5}')


def test_where_there_can_be_no_session_it_is_refused_by_name(
    scene: Scene, models: tuple[str, str], tmp_path: Path
) -> None:
    container = {"Image": "tidegate/xgboost", "Mode": "MultiModel", "ModelDataUrl": f"{tmp_path.as_uri()}/"}
    scene.sagemaker.create_model(ModelName="many", PrimaryContainer=container)
    usual = {"VariantName": "AllTraffic", "InitialInstanceCount": 1, "InstanceType": "ml.c5.large"}
    serverless = {"VariantName": "AllTraffic", "ServerlessConfig": {"MemorySizeInMB": 1024, "MaxConcurrency": 2}}
    model = scene.model(models[0])
    for name, variant in (("many", {**usual, "ModelName": "many"}), ("rare", {**serverless, "ModelName": model})):
        scene.sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
        scene.create(name, name)
    for session in ("NEW_SESSION", "some-id"):
        with pytest.raises(ClientError, match="many is a multi-model endpoint and does not support session id"):
            ask_many = {"EndpointName": "many", "TargetModel": "a.tar.gz", "SessionId": session, "Body": b"1"}
            scene.runtime.invoke_endpoint(**ask_many)
        with pytest.raises(ClientError, match="rare is a serverless endpoint and does not support session id"):
            scene.runtime.invoke_endpoint(EndpointName="rare", SessionId=session, Body=b"1,2,3,4")
