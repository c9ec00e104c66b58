"""The resources of SageMaker SDK v3 (``sagemaker-core``), unchanged, against a running platform.

Its requirements do not fit those of the tests: it has an environment of its own (``make .venv-sdk3/.done``).
"""

import json
import os
import subprocess
import tarfile
from pathlib import Path

import numpy as np
import pytest
import xgboost

from tidegate.host.platform import Platform

ROOT = Path(__file__).parents[2]
SDK = Path(os.environ.get("TIDEGATE_TEST_SDK3") or ROOT / ".venv-sdk3") / "bin" / "python"
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(400),
    pytest.mark.skipif(not SDK.exists(), reason="needs the SageMaker SDK v3: make .venv-sdk3/.done"),
]
FLOW = """
import json
import sys

from sagemaker.core.resources import Endpoint, EndpointConfig, Model
from sagemaker.core.shapes import ContainerDefinition, ProductionVariant

container = ContainerDefinition(image="tidegate/xgboost", model_data_url=sys.argv[1])
role = "arn:aws:iam::123456789012:role/tidegate"
model = Model.create(model_name="fraud", primary_container=container, execution_role_arn=role)
variant = ProductionVariant(
    variant_name="main", model_name="fraud", initial_instance_count=1, instance_type="ml.m5.large"
)
config = EndpointConfig.create(endpoint_config_name="fraud", production_variants=[variant])
endpoint = Endpoint.create(endpoint_name="fraud", endpoint_config_name="fraud")
endpoint.wait_for_status("InService", poll=1, timeout=200)
answer = endpoint.invoke(body=b"0.5,1.0,-1.0", content_type="text/csv", accept="text/csv").body.read()
listed = [each.endpoint_name for each in Endpoint.get_all()]
endpoint.delete()
endpoint.wait_for_delete(poll=1, timeout=100)
config.delete()
model.delete()
left = [len(list(kind.get_all())) for kind in (Endpoint, EndpointConfig, Model)]
print("found", json.dumps({"answer": answer.decode(), "listed": listed, "left": left}))
"""


def test_resources_are_created_invoked_and_deleted(tmp_path: Path) -> None:
    rows = np.random.default_rng(2).normal(size=(100, 3))
    booster = xgboost.train(
        {"objective": "binary:logistic", "nthread": 1}, xgboost.DMatrix(rows, rows[:, 0] > 0), 5
    )
    saved, archive = tmp_path / "xgboost-model", tmp_path / "model.tar.gz"
    saved.write_bytes(bytes(booster.save_raw("ubj")))
    with tarfile.open(archive, "w:gz") as packing:
        packing.add(saved, saved.name)
    with Platform() as platform:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "AWS_ENDPOINT_URL": platform.url,
            "AWS_ACCESS_KEY_ID": "any",
            "AWS_SECRET_ACCESS_KEY": "any",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_REGION": "us-east-1",
        }
        command = [str(SDK), "-c", FLOW, archive.as_uri()]
        ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout.rpartition("found ")[2])  # behind the boxes of the SDK's waiting
    (expected,) = booster.inplace_predict(np.array([[0.5, 1.0, -1.0]]))
    assert float(told["answer"]) == pytest.approx(float(expected), rel=1e-6)
    assert (told["listed"], told["left"]) == (["fraud"], [0, 0, 0])
