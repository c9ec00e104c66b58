"""BentoML: a service of two workers with an async API."""

import os

import bentoml
import numpy
import xgboost


@bentoml.service(name="booster", workers=2, logging={"access": {"enabled": False}})
class Booster:
    def __init__(self):
        self.booster = xgboost.Booster({"nthread": 1})
        self.booster.load_model(os.environ["MODEL"])

    @bentoml.api
    async def predict(self, instances: list[list[float]]) -> list[float]:
        return self.booster.inplace_predict(numpy.asarray(instances, dtype=numpy.float32)).tolist()
