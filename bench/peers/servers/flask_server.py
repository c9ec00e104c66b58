"""The classic SageMaker container: nginx, gunicorn with gevent workers on a unix socket, Flask."""

import os
import signal
import subprocess
import sys

import numpy
import xgboost
from flask import Flask, jsonify, request

NGINX = """
daemon off;
worker_processes 1;
user root;
pid {folder}/nginx.pid;
error_log stderr emerg;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  upstream gunicorn {{ server unix:{folder}/gunicorn.sock; }}
  server {{
    listen 127.0.0.1:{port};
    client_max_body_size 6m;
    keepalive_requests 1000000;
    location / {{ proxy_pass http://gunicorn; proxy_set_header Host $http_host; }}
  }}
}}
"""

app = Flask(__name__)
booster = xgboost.Booster({"nthread": 1})
booster.load_model(os.environ["MODEL"])


@app.post("/invocations")
def invocations():
    rows = numpy.asarray(request.get_json()["instances"], dtype=numpy.float32)
    return jsonify({"predictions": booster.inplace_predict(rows).tolist()})


@app.get("/ping")
def ping():
    return "\n"


def main():
    folder = os.getcwd()
    with open("nginx.conf", "w") as file:
        file.write(NGINX.format(folder=folder, port=os.environ["PORT"]))
    gunicorn = [sys.executable, "-m", "gunicorn", "--worker-class", "gevent", "--workers", "2"]
    gunicorn += ["--bind", f"unix:{folder}/gunicorn.sock", "--log-level", "warning"]
    gunicorn += ["--chdir", os.path.dirname(os.path.abspath(__file__)), "flask_server:app"]
    both = [subprocess.Popen(["nginx", "-e", "stderr", "-c", f"{folder}/nginx.conf"]), subprocess.Popen(gunicorn)]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        os.wait()  # one without the other is no server
    finally:
        for process in both:
            process.terminate()


if __name__ == "__main__":
    main()
