"""A page of another site that tries to change something in the name of whoever is signed in."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

HOSTILE = """<!doctype html><title>hostile</title>
<form id="plain" method="post" enctype="text/plain" action="{url}/tidegate/v1/down" target="away">
<input name="x" value="y"></form>
<form id="out" method="post" action="{url}/console/logout" target="out"></form>
<iframe name="away"></iframe><iframe name="out"></iframe><iframe src="{url}/console" id="framed"></iframe>
<script>
const json = {{ headers: {{ "content-type": "application/json" }}, body: "{{}}" }};
Promise.allSettled([
  fetch("{url}/tidegate/v1/down", {{ method: "POST", mode: "no-cors", credentials: "include" }}),
  fetch("{url}/tidegate/v1/down", {{ method: "POST", credentials: "include", ...json }}),
  fetch("{url}/console/session", {{ credentials: "include" }}).then((answer) => answer.text()),
]).then((all) => {{
  document.getElementById("plain").submit();
  document.getElementById("out").submit();
  document.title = all.map((one) => one.value?.type ?? one.status).join();
}});
</script>"""


@contextmanager
def other_site(text: str) -> Iterator[str]:
    """A page on another port of this machine: of the same site, so that the browser sends the cookie."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()
