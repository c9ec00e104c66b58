"""A registry of container images on a free port of this machine, which tests push to and switch off."""

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

_MANIFEST = re.compile(r"/v2/(?P<name>.+)/manifests/(?P<reference>[^/]+)")
_BLOB = re.compile(r"/v2/(?P<name>.+)/blobs/(?P<digest>sha256:[0-9a-f]{64})")
_UPLOAD = re.compile(r"/v2/(?P<name>.+)/blobs/uploads/(?P<id>[^/?]*)")


class ImageRegistry:
    """``requests`` lists what was asked for. ``failing`` makes every answer a 503; ``layers_failing`` those of
    layers, so that a deployment gets its digest and no instance its image. Layers wait for ``open``."""

    def __init__(self) -> None:
        self.manifests: dict[tuple[str, str], tuple[str, bytes]] = {}
        self.blobs: dict[str, bytes] = {}
        self.uploads: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.failing = self.layers_failing = False
        self.open = threading.Event()
        self.open.set()
        self.port = 0

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def put_manifest(self, name: str, reference: str, kind: str, body: bytes) -> str:
        digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
        for one in (reference, digest):
            self.manifests[name, one] = kind, body
        return digest

    def pulled(self, name: str) -> int:
        """How often layers or manifests of a repository were read."""
        return sum(line.startswith("GET /v2/" + name) for line in self.requests)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True

    server: "_Server"

    @property
    def _registry(self) -> ImageRegistry:
        return self.server.registry

    def log_message(self, *_: object) -> None:
        """Print nothing."""

    def _answer(self, status: int, headers: dict[str, str] | None = None, body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _fail(self, status: int, code: str) -> None:
        body = f'{{"errors": [{{"code": "{code}", "message": "{code.lower()}"}}]}}'.encode()
        self._answer(status, {"Content-Type": "application/json"}, body)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _serve(self) -> None:
        body, address = self._body(), urlsplit(self.path)
        self._registry.requests.append(f"{self.command} {self.path}")
        if self._registry.failing or (self._registry.layers_failing and self._is_layer(address.path)):
            self._fail(503, "UNAVAILABLE")
        elif address.path == "/v2/":
            self._answer(200)
        elif found := _UPLOAD.fullmatch(address.path):
            self._upload(found["name"], found["id"], parse_qs(address.query), body)
        elif found := _BLOB.fullmatch(address.path):
            if self._is_layer(address.path):
                self._registry.open.wait()
            blob = self._registry.blobs.get(found["digest"])
            self._answer(200, {}, blob) if blob is not None else self._fail(404, "BLOB_UNKNOWN")
        elif found := _MANIFEST.fullmatch(address.path):
            self._manifest(found["name"], found["reference"], body)
        else:
            self._fail(404, "UNSUPPORTED")

    def _is_layer(self, path: str) -> bool:
        """Whether it is that of a blob which is no image's configuration."""
        found = _BLOB.fullmatch(path)
        manifests = (body for _, body in self._registry.manifests.values())
        return found is not None and not any(_config(body) == found["digest"] for body in manifests)

    def _manifest(self, name: str, reference: str, body: bytes) -> None:
        if self.command == "PUT":
            digest = self._registry.put_manifest(name, reference, self.headers["Content-Type"], body)
            self._answer(201, {"Docker-Content-Digest": digest, "Location": f"/v2/{name}/manifests/{digest}"})
        elif (found := self._registry.manifests.get((name, reference))) is not None:
            digest = f"sha256:{hashlib.sha256(found[1]).hexdigest()}"
            self._answer(200, {"Content-Type": found[0], "Docker-Content-Digest": digest}, found[1])
        else:
            self._fail(404, "MANIFEST_UNKNOWN")

    def _upload(self, name: str, upload: str, query: dict[str, list[str]], body: bytes) -> None:
        if not upload:
            upload = str(len(self._registry.uploads))
        data = self._registry.uploads[upload] = self._registry.uploads.get(upload, b"") + body
        headers = {"Location": f"/v2/{name}/blobs/uploads/{upload}", "Range": f"0-{max(0, len(data) - 1)}"}
        if "digest" in query:
            self._registry.blobs[query["digest"][0]] = self._registry.uploads.pop(upload)
            self._answer(201, headers)
        else:
            self._answer(202, headers)

    do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = _serve


def _config(manifest: bytes) -> str:
    digest: str = json.loads(manifest).get("config", {}).get("digest", "")
    return digest


class _Server(ThreadingHTTPServer):
    def __init__(self, registry: ImageRegistry) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.registry = registry


@contextmanager
def run_registry() -> Iterator[ImageRegistry]:
    registry = ImageRegistry()
    server = _Server(registry)
    registry.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield registry
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
