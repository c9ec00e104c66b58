"""LitServe: two workers and two API servers, its fast queue."""

import os

import litserve
import numpy
import xgboost


class Booster(litserve.LitAPI):
    def setup(self, device):
        self.booster = xgboost.Booster({"nthread": 1})
        self.booster.load_model(os.environ["MODEL"])

    def decode_request(self, request):
        return numpy.asarray(request["instances"], dtype=numpy.float32)

    def predict(self, x):
        return self.booster.inplace_predict(x)

    def encode_response(self, output):
        return {"predictions": output.tolist()}


if __name__ == "__main__":
    server = litserve.LitServer(Booster(), accelerator="cpu", workers_per_device=2, fast_queue=True)
    server.run(
        host="127.0.0.1",
        port=int(os.environ["PORT"]),
        num_api_servers=2,
        log_level="error",
        generate_client_file=False,
        access_log=False,
    )
