"""What an image for SageMaker runs with the argument ``serve``, as AWS's samples do: nginx on the port, and gunicorn
behind a socket. It ends with the first of the two that does."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

GUNICORN = ["-m", "gunicorn", "--chdir", "/srv", "--bind", "unix:/tmp/gunicorn.sock", "--workers", "2"]
NGINX = """
daemon off;
worker_processes 1;
error_log /dev/stderr;
pid /tmp/nginx.pid;
events {}
http {
  access_log off;
  upstream gunicorn { server unix:/tmp/gunicorn.sock; }
  server {
    listen PORT;
    client_max_body_size 5m;
    location ~ ^/(ping|invocations) { proxy_pass http://gunicorn; }
    location / { return 404 "{}"; }
  }
}
"""


def main() -> None:
    if sys.argv[1:] != ["serve"]:
        sys.exit(f"expected the argument serve, got {sys.argv[1:]}")
    Path("/tmp/nginx.conf").write_text(NGINX.replace("PORT", os.environ["SAGEMAKER_BIND_TO_PORT"]))
    nginx = subprocess.Popen(["/usr/sbin/nginx", "-c", "/tmp/nginx.conf"])
    gunicorn = subprocess.Popen([sys.executable, *GUNICORN, "flask_app:app"])

    def end(*_: Any) -> None:
        nginx.send_signal(signal.SIGQUIT)
        gunicorn.terminate()

    signal.signal(signal.SIGTERM, end)
    first = os.wait()[0]
    end()
    print("serve: ended", "nginx" if first == nginx.pid else "gunicorn", "first", flush=True)


if __name__ == "__main__":
    main()
