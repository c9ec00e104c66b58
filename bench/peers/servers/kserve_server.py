"""KServe's own model server with a custom Model. Its options are on the command line."""

import os

import numpy
import xgboost
from kserve import Model, ModelServer
from kserve.protocol.rest.server import RESTServer


class Booster(Model):
    def __init__(self):
        super().__init__("booster")
        self.load()

    def load(self):
        self.booster = xgboost.Booster({"nthread": 1})
        self.booster.load_model(os.environ["MODEL"])
        self.ready = True
        return self.ready

    async def predict(self, payload, headers=None, response_headers=None):
        rows = numpy.asarray(payload["instances"], dtype=numpy.float32)
        return {"predictions": self.booster.inplace_predict(rows).tolist()}


def on_loopback():
    """KServe listens on all interfaces and has no option for it."""
    begin = RESTServer.__init__

    def init(self, *given, **named):
        begin(self, *given, **named)
        self.config.host = "127.0.0.1"

    RESTServer.__init__ = init


if __name__ == "__main__":
    on_loopback()
    ModelServer().start([Booster()])
