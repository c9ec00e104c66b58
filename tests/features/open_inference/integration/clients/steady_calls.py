"""Calls a model over gRPC at a steady rate until a file is there, on connections that stay open, and prints how many
calls were answered by whom and which failed: ``steady_calls.py FILE``, the JSON of ``test_clients.py``."""

import json
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import tritonclient.grpc as grpc_client

CONNECTIONS = 4


def call_until(asked: dict[str, Any], answered: Counter[str], failed: list[str]) -> None:
    options = [("grpc.use_local_subchannel_pool", 1)]  # a connection of its own
    client = grpc_client.InferenceServerClient(asked["grpc"], channel_args=options)
    rows = np.array(asked["rows"], np.float32)
    tensor = grpc_client.InferInput("x", list(rows.shape), "FP32")
    tensor.set_data_from_numpy(rows)
    stop = Path(asked["stop"])
    due = time.monotonic()
    while not stop.exists():
        due += CONNECTIONS / asked["rate"]
        time.sleep(max(0.0, due - time.monotonic()))
        try:
            found = client.infer(asked["model"], [tensor], headers=asked["headers"])
            answered[found.get_response().model_version] += 1
        except Exception as error:
            failed.append(str(error))


asked = json.loads(Path(sys.argv[1]).read_text())
answered: Counter[str] = Counter()
failed: list[str] = []
threads = [threading.Thread(target=call_until, args=(asked, answered, failed)) for _ in range(CONNECTIONS)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(json.dumps({"answered": answered, "failed": failed, "grpc": grpc.__version__}))
