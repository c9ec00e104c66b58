"""The Open Inference Protocol ("V2"), as Triton, MLServer and KServe's containers serve it, upstream of a front.

Requests of the native API become tensors by the metadata of the server's model: a matrix where it has one input, or a
tensor for each input. A request that is one of the protocol already goes through unchanged. Answers become the native
ones: ``{"predictions": [...]}``, or CSV where the client asks for it.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from tidegate.domain.decoding import prepare_type
from tidegate.domain.errors import Invalid, Transient
from tidegate.http1.messages import ConnectionBroken, HttpReply
from tidegate.serving.contract.invocation import PATH, Answer, Call, ModelFailed
from tidegate.serving.formats import content_types
from tidegate.serving.formats.column_values import parse_number
from tidegate.serving.formats.json_rows import Heading, RowParser
from tidegate.serving.formats.v2_messages import (
    BYTES,
    HEADER_LENGTH,
    InferRequest,
    TensorMetadata,
    read_response,
    write_request,
)
from tidegate.serving.formats.v2_rows import answer_of, tensors_of_rows
from tidegate.serving.runtimes.upstream_calls import UpstreamClient, UpstreamDialect, UpstreamRequest
from tidegate.transform.csv_lines import BadField, split_lines, text_fields

INDEX = "/v2/repository/index"
_INFER = re.compile(r"(?P<model>.*/v2/models/[^/]+(/versions/[^/]+)?)/infer")
_JSON_TYPE = (b"content-type", b"application/json")


class _Indexed(msgspec.Struct):
    name: str
    state: str = "READY"


class _Described(msgspec.Struct):
    name: str
    datatype: str
    shape: tuple[int, ...]


_UNDECLARED = (_Described("input", "FP64", (-1, -1)),)
"""What a model takes whose inputs the server does not know, as most of MLServer's: a matrix."""


class _Metadata(msgspec.Struct):
    inputs: list[_Described] | None = None


class _Input(msgspec.Struct):
    datatype: str
    shape: list[int]


class _Message(msgspec.Struct):
    inputs: list[_Input]


class V2Dialect(UpstreamDialect):
    def __init__(self, predict: str = "", headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
        """``predict``: ``/v2/models/NAME/infer``, also with a version; empty: that of the server's only model."""
        super().__init__(predict, headers)
        self._inputs: list[TensorMetadata] = []
        self._rows: RowParser | None = None

    async def prepare(self, client: UpstreamClient) -> None:
        """Ask the server which model it has and what that takes. Raises Invalid for a server without such a model,
        and Transient where it does not answer now."""
        self._predict = self._predict or f"/v2/models/{await self._find_model(client)}/infer"
        found = _INFER.fullmatch(self._predict)
        if found is None:
            raise Invalid(f"predict is {self._predict!r}; with protocol v2 it is /v2/models/NAME/infer")
        described = await self._ask(client, "GET", found["model"], _Metadata)
        self._inputs = [
            TensorMetadata(one.name, one.datatype, one.shape) for one in described.inputs or _UNDECLARED
        ]
        only = self._inputs[0]
        if len(self._inputs) > 1:
            self._rows = RowParser(len(self._inputs), [one.name for one in self._inputs], free=True)
        elif len(only.shape) <= 1 or only.shape[-1] > 0:
            self._rows = RowParser(1 if len(only.shape) <= 1 else only.shape[-1], None, free=True)

    async def _find_model(self, client: UpstreamClient) -> str:
        indexed = await self._ask(client, "POST", INDEX, list[_Indexed])
        names = sorted({one.name for one in indexed if one.state == "READY"})
        if len(names) != 1:
            listed = ", ".join(names[:5]) or "none"
            raise Invalid(
                f"the server has {len(names)} models ({listed}): name one by predict: /v2/models/NAME/infer"
            )
        return str(names[0])

    async def _ask(self, client: UpstreamClient, method: str, path: str, kind: Any) -> Any:
        body = b"{}" if method == "POST" else b""
        try:
            reply = await client.request(method, path, [_JSON_TYPE, *self._headers], body)
        except (ConnectionBroken, ValueError) as error:
            raise Transient(f"{method} {path}: {error}") from None
        if reply.status >= 500:
            raise Transient(f"{method} {path} was answered with {reply.status}")
        if reply.status != 200:
            raise Invalid(
                f"{method} {path} was answered with {reply.status}: name the model by predict: /v2/models/NAME/infer"
            )
        try:
            return msgspec.json.decode(reply.body, type=prepare_type(kind))
        except msgspec.DecodeError as error:
            raise Invalid(f"the answer to {method} {path} is not the protocol's: {error}") from None

    def make_request(self, call: Call) -> UpstreamRequest:
        """Make the request. Raises ModelFailed for rows that do not fit the model's inputs."""
        if PATH in call.headers or _is_message(call):
            request = super().make_request(call)
            more = [(name, value) for name, value in call.headers.items() if name == HEADER_LENGTH]
            return replace(request, headers=[*request.headers, *more])
        tensors = tensors_of_rows(self._read_rows(call), self._inputs)
        body, length = write_request(InferRequest(tuple(tensors)))
        assert length is None, "no tensor is binary"
        return UpstreamRequest("POST", self._predict, [_JSON_TYPE, *self._headers], body)

    def _read_rows(self, call: Call) -> list[list[Any]]:
        declared = call.headers.get(b"content-type", b"").decode("latin-1")
        kind, body = content_types.kind_of(declared), call.body
        content_types.check_charset(declared, body)
        if kind == content_types.CSV:
            rows = self._read_csv(body, content_types.heading_of(declared))
        elif kind in (content_types.JSON, content_types.JSON_LINES):
            parser = self._rows or RowParser(_find_width(body), None, free=True)
            rows = parser.json(body) if kind == content_types.JSON else parser.json_lines(body)
        else:
            raise ModelFailed(415, f"Content type {kind[:60]!r} is not read; send JSON or CSV.")
        if not rows:
            raise RowParser.empty()
        return rows

    def _read_csv(self, body: bytes, heading: Heading) -> list[list[Any]]:
        lines = split_lines(content_types.strip_bom(body, ()))
        try:
            fields = [text_fields(line) for line in lines]
        except BadField as error:
            raise ModelFailed(400, f"The CSV cannot be read: {error}.") from None
        layout = self._rows or RowParser(len(fields[0]) if fields else 1, None, free=True)
        order = layout.header(fields[0], heading, self._fits(fields[0])) if fields else None
        rows = fields if order is None else fields[1:]
        for number, row in enumerate(rows):
            if len(row) != layout.count:
                raise layout.width(number, len(row))
        if order is not None:
            rows = [[row[at] for at in order] for row in rows]
        return [[self._read_cell(field, at) for at, field in enumerate(row)] for row in rows]

    def _fits(self, fields: Sequence[str]) -> bool:
        """Whether the first line could be a row."""
        try:
            for at, text in enumerate(fields):
                self._read_cell(text, at)
        except ModelFailed:
            return False
        return True

    def _read_cell(self, text: str, column: int) -> Any:
        datatype = self._inputs[min(column, len(self._inputs) - 1)].datatype
        if datatype == BYTES:
            return text
        try:
            return parse_number(text)
        except ValueError:
            raise ModelFailed(400, f"Column {column + 1}: expected a number, got {text[:40]!r}.") from None

    def read_answer(self, call: Call, reply: HttpReply) -> Answer:
        length = reply.headers.get(HEADER_LENGTH)
        if PATH in call.headers or _is_message(call):
            answer = super().read_answer(call, reply)
            return (
                answer if length is None else answer._replace(headers=(*answer.headers, (HEADER_LENGTH, length)))
            )
        try:
            response = read_response(reply.body, None if length is None else int(length))
        except ModelFailed as failed:
            raise ValueError(failed.message) from None
        accept = content_types.kind_of(call.headers.get(b"accept", b"*/*").decode("latin-1"))
        if accept == content_types.CSV and len(response.outputs) == 1:
            return content_types.write(response.outputs[0].values, content_types.CSV)
        return answer_of(response.outputs)


def _is_message(call: Call) -> bool:
    """Whether a request is one of the protocol, and not of the native API."""
    if HEADER_LENGTH in call.headers:
        return True
    if b'"datatype"' not in call.body:
        return False
    try:
        return bool(msgspec.json.decode(call.body, type=prepare_type(_Message)).inputs)
    except (msgspec.DecodeError, RecursionError):
        return False


def _find_width(body: bytes) -> int:
    """Return the number of values in the first row of JSON for a model that says nothing about it."""
    try:
        given = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return 1  # the parser says what is wrong
    members = list(given.values()) if isinstance(given, dict) else [given]
    rows = next((one for one in members if isinstance(one, list)), [])
    return len(rows[0]) if rows and isinstance(rows[0], list) else 1
