"""A FastAPI application, run with uvicorn."""

import os
from typing import Any

from fastapi import FastAPI, HTTPException

app = FastAPI()


@app.get("/healthz")
def health() -> dict[str, str]:
    return {"status": "healthy"}


@app.post("/predict")
async def predict(rows: list[list[float]]) -> Any:
    if "lies" in os.environ["FAULT"]:
        raise HTTPException(500, "healthy only in /healthz")
    return {"predictions": [float(os.environ["PREDICTION"]) for _ in rows]}
