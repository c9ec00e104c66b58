"""llama.cpp's own server on a port of loopback, in a process: ``python -m tests.llama_server MODEL PORT NAME``."""

import signal
import sys

import xllamacpp

SLOTS, CONTEXT = 4, 16_384
"""Requests that are generated at one time, and tokens of each."""


def main(model: str, port: int, name: str) -> None:
    parameters = xllamacpp.CommonParams()
    parameters.model.path = model
    parameters.model_alias = {name}
    parameters.n_ctx = SLOTS * CONTEXT
    parameters.n_parallel = SLOTS
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = 1
    parameters.cache_ram_mib = 0
    parameters.fit_params = parameters.ui = False
    parameters.endpoint_metrics = parameters.endpoint_slots = True
    parameters.verbosity = 1
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = port
    server = xllamacpp.Server(parameters)
    print(server.listening_address, flush=True)
    signal.sigwait({signal.SIGTERM, signal.SIGINT})


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
