"""The Open Inference Protocol of one replica: its paths, and its requests as those of the native API.

NAME in the protocol is the endpoint, and a version is the name of a variant: the proxy sends a request that names one
to that variant. REST is below ``/v2``; gRPC comes as a POST of its method's path (``formats/protobuf.py``).
"""

import re
import zlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import msgspec

from tidegate import __version__
from tidegate.domain.registry import Protocol
from tidegate.features.open_inference.worker.forms import GrpcFormat, RestFormat, with_headers
from tidegate.serving.contract.invocation import Answer, Call, ModelEngine, ModelFailed, Outcome
from tidegate.serving.contract.replica_spec import ReplicaSpec
from tidegate.serving.contract.signature import TEXT, Form, ModelSignature, find_signature
from tidegate.serving.formats import protobuf
from tidegate.serving.front.connection import Request
from tidegate.serving.front.response_formats import PlainFormat, ResponseFormat
from tidegate.serving.front.responses import Responses

NAME, EXTENSIONS = "tidegate", ("binary_tensor_data",)
REST = re.compile(rb"/v2(?:/health/(live|ready)|/models/([^/]+)(?:/versions/([^/]+))?(/ready|/infer)?)?/?")
GRPC = re.compile(rb"/inference\.GRPCInferenceService/(\w+)")
NATIVE = b"/v2/invocations"
"""Path below the endpoint at which a shadow is asked what a client asked here with a bearer token: the request of the
native API, which has no signature."""
BINARY = "application/octet-stream"
MOST_INFLATED = 256 * 1024 * 1024
"""Bytes of a compressed body once it is inflated, where the replica's own limit is not lower."""
_WINDOWS = {b"gzip": zlib.MAX_WBITS | 16, b"deflate": zlib.MAX_WBITS}


class _Asked(NamedTuple):
    """``what``: live, ready, server, model, model-ready, infer, or empty for what the protocol does not have."""

    what: str
    model: str = ""
    version: str = ""


_METHODS = {
    b"ServerLive": "live",
    b"ServerReady": "ready",
    b"ServerMetadata": "server",
    b"ModelReady": "model-ready",
    b"ModelMetadata": "model",
    b"ModelInfer": "infer",
}


class OpenInference:
    """A ``FurtherProtocol``."""

    def __init__(self, spec: ReplicaSpec, responses: Responses) -> None:
        self._spec = spec
        self._responses = responses
        self._plain = PlainFormat(responses)
        self._rest = RestFormat(responses)
        self._grpc = GrpcFormat(responses)
        self._outputs: tuple[tuple[str, str, tuple[int, ...]], ...] | None = None
        """Name, type and shape of what the model gives; None: not known yet."""
        upstream = spec.containers[0].runtime.upstream if len(spec.containers) == 1 else None
        self._speaks_it = upstream is not None and upstream.protocol is Protocol.V2

    def find_format(self, path: bytes) -> ResponseFormat | None:
        if path == b"/v2" or path.startswith(b"/v2/"):
            return self._rest
        return self._grpc if GRPC.fullmatch(path) else None

    def predicts(self, request: Request, path: bytes) -> bool:
        if (method := GRPC.fullmatch(path)) is not None:
            return request.method == b"POST" and method[1] == b"ModelInfer"
        asked = REST.fullmatch(path)
        infers = path == NATIVE or (asked is not None and asked[4] == b"/infer")
        return infers and request.method == b"POST"

    # --- predictions ---

    def translate(
        self, request: Request, path: bytes, signature: ModelSignature | None
    ) -> tuple[Request, ResponseFormat]:
        if path == NATIVE:
            return msgspec.structs.replace(request, fields=_without_key(request.headers)), self._plain
        # Needs numpy, as models do; most workers never get such a request.
        from tidegate.features.open_inference.worker import translation  # noqa: PLC0415
        from tidegate.serving.formats import v2_messages, v2_protobuf  # noqa: PLC0415

        if (asked := REST.fullmatch(path)) is not None:
            body = self._inflate(_body(request), request.fields.get(b"content-encoding", b""))
            header = request.fields.get(v2_messages.HEADER_LENGTH)
            if header is not None and not (header.isdigit() and len(header) < 16):
                raise ModelFailed(400, "The length of the JSON (Inference-Header-Content-Length) is no number.")
            infer = v2_messages.read_request(body, None if header is None else int(header))
            self._check_name(_text(asked[2]), _text(asked[3]))
        else:
            infer = v2_protobuf.read_infer_request(self._message(request))
            self._check_name(infer.model, infer.version)
        native, read, exchange = (
            translation.translate_for_server(infer)
            if self._speaks_it
            else translation.translate_for_model(infer, signature)
        )
        fleet = self._spec.fleet

        def encode(answer: Answer) -> Answer:
            response = v2_messages.InferResponse(fleet.endpoint, fleet.variant, tuple(read(answer)), infer.id)
            if asked is None:
                return answer._replace(body=v2_protobuf.write_infer_response(response, infer), status=200)
            body, length = v2_messages.write_response(response, infer)
            if length is None:
                return Answer(body, "application/json", answer.headers)
            told = (b"Inference-Header-Content-Length", b"%d" % length)
            return Answer(body, BINARY, (*answer.headers, told))

        headers = with_headers(request, native.content_type, native.accept)
        made = msgspec.structs.replace(
            request,
            method=b"POST",
            url=b"/endpoints/%b%b"
            % (fleet.endpoint.encode(), b"/invocations" if self._spec.keys_file is None else NATIVE),
            headers=headers,
            fields=_without_key(headers),
            body=native.body,
            spool=None,
        )
        kind = RestFormat if asked is not None else GrpcFormat
        return made, kind(self._responses, encode, exchange)

    def _message(self, request: Request) -> bytes:
        """The message of a call of gRPC. Raises ModelFailed."""
        body = _body(request)
        if len(body) < protobuf.PREFIX or len(body) - protobuf.PREFIX != int.from_bytes(body[1:5], "big"):
            raise ModelFailed(400, "The call has no whole message, or more than one.")
        coding = request.fields.get(b"grpc-encoding", b"identity") if body[0] else b""
        return self._inflate(body[protobuf.PREFIX :], coding)

    def _inflate(self, body: bytes, coding: bytes) -> bytes:
        """Raises ModelFailed for a compression that is not known, and for a body that is not whole, or too large."""
        if coding in (b"", b"identity"):
            return body
        if coding not in _WINDOWS:
            raise ModelFailed(
                415, f"A body compressed by {coding[:40].decode('latin-1')!r} is not read; use gzip."
            )
        limit = min(self._spec.max_body, MOST_INFLATED)
        inflate = zlib.decompressobj(_WINDOWS[coding])
        try:
            found = inflate.decompress(body, limit + 1)
        except zlib.error:
            raise ModelFailed(400, "The compressed body cannot be read.") from None
        if len(found) > limit:
            raise ModelFailed(413, f"The request's body is larger than the limit of {limit} bytes.")
        if not inflate.eof:
            raise ModelFailed(400, "The compressed body is not whole.")
        return found

    def _check_name(self, model: str, version: str) -> None:
        fleet = self._spec.fleet
        if model != fleet.endpoint or version not in ("", fleet.variant):
            shown = f" of the version {version[:100]!r}" if version else ""
            raise ModelFailed(404, f"There is no model {model[:100]!r}{shown} here; this is {fleet.endpoint!r}.")

    # --- everything else ---

    def show(
        self,
        request: Request,
        path: bytes,
        engine: ModelEngine | None,
        reply: Callable[[bytes], None],
        close: bool,
    ) -> None:
        fmt = self._grpc if GRPC.fullmatch(path) else self._rest
        try:
            asked = self._read_call(request, path)
            if asked.model:
                self._check_name(asked.model, asked.version)
            if asked.what == "model" and engine is not None:
                self._ask_outputs(engine, lambda: reply(self._page(fmt, asked, engine, close)))
                return
            reply(self._page(fmt, asked, engine, close))
        except ModelFailed as failed:
            reply(fmt.whole(failed, close))

    def _read_call(self, request: Request, path: bytes) -> _Asked:
        if (method := GRPC.fullmatch(path)) is not None:
            what = _METHODS.get(method[1], "")
            if request.method != b"POST" or not what:
                raise ModelFailed(405, f"The protocol's method {method[1].decode()} is not served here.")
            model, version = protobuf.read_model(self._message(request)) if what.startswith("model") else ("", "")
            if what.startswith("model") and not model:
                raise ModelFailed(404, "The call names no model.")
            return _Asked(what, model, version)
        asked = REST.fullmatch(path)
        if asked is None:
            raise ModelFailed(404, "The protocol has no such path.")
        wanted = b"POST" if asked[4] == b"/infer" else b"GET"
        if request.method != wanted:
            raise ModelFailed(405, f"This is asked for with {wanted.decode()}.")
        if asked[1] is not None:
            return _Asked(asked[1].decode())
        if asked[2] is None:
            return _Asked("server")
        return _Asked("model-ready" if asked[4] else "model", _text(asked[2]), _text(asked[3]))

    def _page(self, fmt: RestFormat, asked: _Asked, engine: ModelEngine | None, close: bool) -> bytes:
        grpc = fmt is self._grpc
        ready = engine is not None and engine.healthy
        if asked.what in ("live", "ready", "model-ready"):
            good = asked.what == "live" or ready
            if grpc:
                return fmt.page(protobuf.write_flag(good), close)
            told: dict[str, object] = {"live" if asked.what == "live" else "ready": good}
            if asked.model:
                told = {"name": asked.model, **told}
            return fmt.page(msgspec.json.encode(told), close, 200 if good else 503)
        if asked.what == "server":
            if grpc:
                return fmt.page(protobuf.write_server_metadata(NAME, __version__, EXTENSIONS), close)
            told = {"name": NAME, "version": __version__, "extensions": EXTENSIONS}
            return fmt.page(msgspec.json.encode(told), close)
        if engine is None:
            return fmt.error(503, "", f"The model of {asked.model} is still being loaded; try again.", close)
        return fmt.page(self._metadata(engine, grpc), close)

    def _metadata(self, engine: ModelEngine, grpc: bool) -> bytes:
        from tidegate.serving.formats import v2_messages, v2_protobuf, v2_rows  # noqa: PLC0415  # needs numpy

        fleet, signature = self._spec.fleet, find_signature(engine)
        model = v2_messages.ModelMetadata(
            fleet.endpoint,
            (fleet.variant,),
            f"tidegate_{self._spec.containers[0].runtime.kind}" if self._spec.containers else NAME,
            tuple(map(v2_rows.metadata_of, signature.inputs if signature is not None else ())),
            tuple(v2_messages.TensorMetadata(*one) for one in self._outputs or ()),
        )
        return v2_protobuf.write_model_metadata(model) if grpc else msgspec.json.encode(model)

    def _ask_outputs(self, engine: ModelEngine, then: Callable[[], None]) -> None:
        """Learn what a model of numbers gives for a row of zeros, once; other models are not asked."""
        signature = find_signature(engine)
        known = signature is not None and signature.form is Form.TABLE and signature.arrays
        if (
            self._outputs is not None
            or signature is None
            or not known
            or any(one.dtype == TEXT for one in signature.inputs)
        ):
            then()
            return
        from tidegate.serving.formats import npy, v2_rows  # noqa: PLC0415  # needs numpy

        width = signature.inputs[0].shape[-1] if len(signature.inputs) == 1 else len(signature.inputs)
        body = npy.encode(v2_rows.row_of_zeros(width))
        headers = {b"content-type": v2_rows.NPY.encode(), b"accept": v2_rows.NPY.encode()}
        engine.submit(Call(body, headers), partial(self._learn, then))

    def _learn(self, then: Callable[[], None], outcome: Outcome) -> None:
        from tidegate.serving.formats import v2_rows  # noqa: PLC0415  # needs numpy

        if isinstance(outcome, Answer):
            outputs = v2_rows.outputs_of(outcome)
            self._outputs = tuple((one.name, one.datatype, (-1, *one.values.shape[1:])) for one in outputs)
        then()


def _body(request: Request) -> bytes:
    return request.body if request.spool is None else request.spool.whole()


def _without_key(headers: Sequence[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """The headers for the engine, which need not see the key."""
    return {name: value for name, value in headers if name != b"authorization"}


def _text(part: bytes | None) -> str:
    return (part or b"").decode("latin-1")
