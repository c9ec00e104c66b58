"""HAProxy's rules for the Open Inference Protocol. Pure.

At the platform's address a model of the protocol is an endpoint: ``/v2/models/NAME/...`` becomes
``/endpoints/NAME/v2/models/NAME/...``, and takes the route, the weights and the limits of that endpoint. A version is
a variant. What asks about the server itself is answered here, so that it is answered without a controller, too.

Clients of gRPC have a port of their own, where HAProxy speaks HTTP/2. It reads the model's name in the message (its
first field) and sends the call on as any other request. A response without message, as these rules make it, is one of
gRPC by its headers alone; HAProxy cannot add the trailers that a message needs, so three calls about the server go to
a socket of the controller.
"""

import json
from pathlib import Path

from tidegate import __version__
from tidegate.proxy.config import MAP, PLAIN_PATH
from tidegate.proxy.frontend_rules import SIGNED
from tidegate.proxy.options import FurtherRules, Options

SOCKET = "grpc.sock"
"""Beside the controller's: answers calls about the server."""
GRPC_PATH = "/inference.GRPCInferenceService/"
MODEL_CALLS = ("ModelInfer", "ModelReady", "ModelMetadata")
SERVER_CALLS = ("ServerLive", "ServerReady", "ServerMetadata")
NAME = "^[A-Za-z0-9][A-Za-z0-9-]{0,62}$"
V2_PATH = "{ path -m beg /endpoints/ } { path,field(4,/) -m str v2 }"
WAIT = "http-request wait-for-body time 30s at-least 512"
"""Names stand in the first bytes of a message."""
UNIMPLEMENTED, NOT_FOUND, UNAUTHENTICATED, INVALID = 12, 5, 16, 3
TARGET = "X-Amzn-SageMaker-Target-Variant"


def render_rules(options: Options) -> FurtherRules:
    rest, grpc = _rest_rules(options), _grpc_rules(options) if options.grpc_port else ""
    common = f"""\
  http-request set-var(txn.further) str(v2) if {V2_PATH}
{grpc}\
  acl further var(txn.further) -m found
  acl v2 var(txn.further) -m str v2
  http-request set-var(txn.routes) {PLAIN_PATH},map({MAP}) if further
  http-request set-var(txn.variant) req.fhdr({TARGET}) if further
  http-request set-var(txn.path) {PLAIN_PATH} if further
  http-request set-var(txn.target) var(txn.variant),concat(,txn.path),map({MAP}) if further
{_unrouted(options)}\
  http-request set-var-fmt(txn.open) '{_open()}' if further
"""
    host = f"[{options.host}]" if ":" in options.host else options.host
    if not options.grpc_port:
        return FurtherRules("", rest + common, "", ("/v2/",))
    backend = f"""\
backend open_inference from all
  timeout server 10s
  server controller unix@{Path(options.controller).with_name(SOCKET)}
"""
    bind = f"  bind {host}:{options.grpc_port} proto h2 name grpc\n"
    return FurtherRules(bind, rest + common, backend, ("/v2/", GRPC_PATH))


def _open() -> str:
    """The beginning of an error that the proxy makes, whose clients expect a text where others expect an object."""
    return '{"error": "The request was not answered; detail says why.", "detail": '


def _rest_rules(options: Options) -> str:
    about = {"name": "tidegate", "version": __version__, "extensions": ["binary_tensor_data"]}
    pages = {
        "/v2/health/live": {"live": True},
        "/v2/health/ready": {"ready": True},
        "/v2": about,
    }
    answers = "".join(
        f"  http-request return status 200 content-type application/json string '{json.dumps(page)}'"
        f" if METH_GET {{ path {path} {path}/ }}\n"
        for path, page in pages.items()
    )
    return f"""\
{answers}\
  http-request set-path /endpoints/%[path,field(4,/)]%[path] if {{ path -m beg /v2/models/ }}
  http-request set-header {TARGET} %[path,field(8,/)] if {V2_PATH} {{ path,field(7,/) -m str versions }}
"""


def _grpc_rules(options: Options) -> str:
    calls = " ".join(GRPC_PATH + one for one in (*MODEL_CALLS, *SERVER_CALLS))
    models = " ".join(GRPC_PATH + one for one in MODEL_CALLS)
    servers = " ".join(GRPC_PATH + one for one in SERVER_CALLS)
    return f"""\
  acl model_call path {models}
  acl server_call path {servers}
  http-request return status 200 {_status(UNIMPLEMENTED, "The server has no such method.")}\
 if {{ so_name grpc }} !{{ path {calls} }}
  http-request set-var(txn.further) str(server) if METH_POST server_call
  http-request allow if {{ var(txn.further) -m str server }}
  use_backend open_inference if {{ var(txn.further) -m str server }}
  {WAIT} if METH_POST model_call
  http-request set-var(txn.model) req.body,bytes(5),protobuf(1) if METH_POST model_call
  http-request set-var(txn.version) req.body,bytes(5),protobuf(2) if METH_POST model_call
  http-request return status 200 {_status(NOT_FOUND, "There is no model of this name or version.")}\
 if METH_POST model_call !{{ var(txn.model) -m reg {NAME} }}\
 or METH_POST model_call {{ var(txn.version) -m len gt 0 }} !{{ var(txn.version) -m reg {NAME} }}
  http-request set-header {TARGET} %[var(txn.version)] if METH_POST model_call {{ var(txn.version) -m len gt 0 }}
  http-request set-var(txn.further) str(grpc) if METH_POST model_call
  http-request set-uri /endpoints/%[var(txn.model)]%[path] if {{ var(txn.further) -m str grpc }}
  http-after-response set-header content-type application/grpc if {{ so_name grpc }}\
 {{ res.hdr(grpc-status) -m found }}
"""


def _unrouted(options: Options) -> str:
    """Rules for requests that no route is found for, and for those without a key where there must be one."""
    missing, unsigned = "There is no such model.", "The request has no key: send it as a bearer token."
    version = "The model has no such version: versions are the names of its variants."
    unknown = "{ var(txn.variant) -m found } !{ var(txn.target) -m found }"
    cases = [
        ("!{ var(txn.routes) -m found }", 404, NOT_FOUND, missing),
        (unknown, 404, NOT_FOUND, version),
    ]
    if options.signed:
        signed = f"!{{ {SIGNED} }} !{{ url_param(X-Amz-Signature) -m found }}"
        cases.insert(0, (signed, 401, UNAUTHENTICATED, unsigned))
    lines = []
    for condition, status, code, message in cases:
        body = json.dumps({"error": message})
        lines.append(
            f"  http-request return status {status} content-type application/json string '{body}'"
            f" if v2 {condition}\n"
        )
        if options.grpc_port:
            lines.append(f"  http-request return status 200 {_status(code, message)} if further !v2 {condition}\n")
    return "".join(lines)


def _status(code: int, message: str) -> str:
    return f"hdr grpc-status {code} hdr grpc-message '{message}'"
