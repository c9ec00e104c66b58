"""MLflow: the model saved in its XGBoost flavour, then ``mlflow models serve`` with two workers."""

import os
import sys

import mlflow.xgboost
import xgboost

if __name__ == "__main__":
    booster = xgboost.Booster({"nthread": 1})
    booster.load_model(os.environ["MODEL"])
    mlflow.xgboost.save_model(booster, "saved", pip_requirements=[])
    command = os.path.join(os.path.dirname(sys.executable), "mlflow")
    serve = [command, "models", "serve", "--model-uri", "saved", "--host", "127.0.0.1"]
    os.execv(command, [*serve, "--port", os.environ["PORT"], "--workers", "2", "--env-manager", "local"])
