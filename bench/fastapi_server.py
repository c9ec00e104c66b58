"""What people write by hand: FastAPI and XGBoost, two uvicorn workers. The thing to compare with, not to ship.

MODEL=model.ubj uvicorn bench.fastapi_server:app --workers 2
"""

import os

import numpy
import xgboost
from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI()
booster = xgboost.Booster({"nthread": 1})
if model := os.environ.get("MODEL"):
    booster.load_model(model)


class Rows(BaseModel):
    instances: list[list[float]]


@app.post("/invocations")
async def invocations(rows: Rows) -> dict[str, list[float]]:
    scores = booster.inplace_predict(numpy.asarray(rows.instances, dtype=numpy.float32))
    return {"predictions": scores.tolist()}


@app.get("/ping")
async def ping() -> dict[str, str]:
    return {"status": "ok"}
