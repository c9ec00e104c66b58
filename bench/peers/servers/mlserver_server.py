"""MLServer with a custom runtime, in one process (parallel_workers 0: its workers cost more than a cheap model)."""

import json
import os
import sys

import xgboost
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceResponse

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"stderr": {"class": "logging.StreamHandler"}},
    "root": {"level": "WARNING", "handlers": ["stderr"]},
    "loggers": {"uvicorn.access": {"level": "WARNING"}, "mlserver": {"level": "WARNING"}},
}


class Booster(MLModel):
    async def load(self):
        self.booster = xgboost.Booster({"nthread": 1})
        self.booster.load_model(os.environ["MODEL"])
        return True

    async def predict(self, payload):
        scores = self.booster.inplace_predict(NumpyCodec.decode_input(payload.inputs[0]))
        return InferenceResponse(model_name=self.name, outputs=[NumpyCodec.encode_output("scores", scores)])


def main():
    ports = {"http_port": int(os.environ["PORT"]), "grpc_port": int(os.environ["PORT_2"])}
    settings = {**ports, "host": "127.0.0.1", "debug": False, "parallel_workers": 0, "metrics_endpoint": None}
    model = {"name": "booster", "implementation": "mlserver_server.Booster"}
    for name, data in (("settings", {**settings, "logging_settings": LOGGING}), ("model-settings", model)):
        with open(f"{name}.json", "w") as file:
            json.dump(data, file)
    command = os.path.join(os.path.dirname(sys.executable), "mlserver")
    os.execv(command, [command, "start", "."])


if __name__ == "__main__":
    main()
