"""A replica in this process: a server with a table, asked without a connection."""

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, NamedTuple, cast

import msgspec
import numpy as np

from tidegate.domain.fleet import FleetId
from tidegate.serving.contract.catalogue import RuntimeChoice, RuntimeKind
from tidegate.serving.contract.invocation import Call, Done
from tidegate.serving.contract.replica_spec import ContainerSpec, ReplicaSpec
from tidegate.serving.contract.signature import ModelSignature, find_signature
from tidegate.serving.formats.row_decoder import Features
from tidegate.serving.formats.typed_rows import TypedInput, TypedRows
from tidegate.serving.front.connection import Connection, Request
from tidegate.serving.front.server import Server
from tidegate.serving.runtimes.tabular_scorer import TabularScorer
from tidegate.serving.runtimes.typed_scorer import ColumnTable
from tidegate.serving.scoring.batching import Scorer, model_failure, score_requests

ENDPOINT, VARIANT = "fraud", "main"
INFER = f"/endpoints/{ENDPOINT}/v2/models/{ENDPOINT}/infer"
GRPC = f"/endpoints/{ENDPOINT}/inference.GRPCInferenceService/"


class AtOnce:
    """An engine that answers a scorer's requests as they come."""

    healthy = True

    def __init__(self, scorer: Scorer[Any, Any]) -> None:
        self._scorer = scorer
        self.calls: list[Call] = []

    @property
    def signature(self) -> ModelSignature | None:
        return find_signature(self._scorer)

    def submit(self, call: Call, done: Done) -> None:
        self.calls.append(call)
        try:
            [scores] = score_requests(self._scorer, [self._scorer.parse(call)])
            done(self._scorer.render(scores, call))
        except Exception as error:
            done(model_failure(error))

    async def close(self) -> None: ...


class Reply(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)

    @property
    def message(self) -> bytes:
        """The message of a call of gRPC that succeeded."""
        size, _, rest = self.body.partition(b"\r\n")
        data = rest[: int(size, 16)]
        assert rest[len(data) :] == b"\r\n0\r\ngrpc-status: 0\r\n\r\n", self.body
        assert data[0] == 0 and struct.unpack(">I", data[1:5])[0] == len(data) - 5
        return data[5:]

    @property
    def grpc_status(self) -> int:
        return int(self.body.rpartition(b"grpc-status: ")[2].partition(b"\r\n")[0])

    @property
    def grpc_message(self) -> str:
        return self.body.rpartition(b"grpc-message: ")[2].partition(b"\r\n")[0].decode()


class _Client:
    def __init__(self) -> None:
        self.replies: list[bytes] = []

    def reply(self, response: bytes, close: bool) -> None:
        self.replies.append(response)

    def peer(self) -> str:
        return ""


class Replica:
    def __init__(self, scorer: Scorer[Any, Any] | None, runtime: RuntimeChoice | None = None, **more: Any) -> None:
        folder = Path(mkdtemp(prefix="tg-"))
        chosen = runtime or RuntimeChoice(RuntimeKind.XGBOOST)
        container = ContainerSpec(runtime=chosen, model_dir=str(folder))
        fleet = FleetId(ENDPOINT, 1, VARIANT)
        spec = ReplicaSpec(
            replica="r-1",
            fleet=fleet,
            config_name="v1",
            containers=(container,),
            socket=str(folder / "s"),
            **more,
        )
        self.server = Server(spec, folder)
        self.engine = None if scorer is None else AtOnce(scorer)
        self.server.engine = self.engine

    def ask(
        self, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None, method: str = ""
    ) -> Reply:
        client = _Client()
        pairs = tuple((name.lower().encode(), value.encode()) for name, value in (headers or {}).items())
        verb = (method or ("POST" if body else "GET")).encode()
        request = Request(verb, path.encode(), pairs, dict(pairs), None, body, 1, 1, True, True)
        self.server.serve(cast(Connection, client), request)
        [response] = client.replies
        head, _, rest = response.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        found = dict(line.lower().split(": ", 1) for line in lines)
        return Reply(int(first.split()[1]), found, rest)

    def call(self, method: str, message: bytes, headers: Mapping[str, str] | None = None) -> Reply:
        """A call of gRPC."""
        framed = b"\0" + struct.pack(">I", len(message)) + message
        return self.ask(GRPC + method, framed, {"content-type": "application/grpc", **(headers or {})}, "POST")


def echo_table(
    count: int, names: Sequence[str] | None = None, dtype: Any = np.float32, kinds: Any = None
) -> TabularScorer:
    """A table whose answers are the rows that the model got."""
    return TabularScorer(lambda rows: rows, Features(count, names, kinds, dtype), None)


def typed_table(inputs: Sequence[TypedInput], answer: str) -> ColumnTable:
    """A table of typed columns whose answers are one of them."""
    return ColumnTable(lambda columns: columns[answer], TypedRows(inputs), None)
