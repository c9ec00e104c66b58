"""A Flask application, run with Flask's own server. SageMaker's paths are for gunicorn, which is behind nginx."""

import os
from typing import Any

from flask import Flask, jsonify

app = Flask("scores")


@app.get("/healthz")
@app.get("/ping")
def health() -> str:
    return "healthy"


@app.post("/predict")
@app.post("/invocations")
def predict() -> Any:
    if "lies" in os.environ["FAULT"]:
        return jsonify(error="healthy only in /healthz"), 500
    return jsonify(predictions=[float(os.environ["PREDICTION"])])


if __name__ == "__main__":
    app.run("0.0.0.0", 5000)
