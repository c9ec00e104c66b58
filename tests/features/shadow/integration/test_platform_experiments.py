"""A shadow test on a whole platform: copies, the comparison by prediction, promotion."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.scene import Scene
from tidegate.cli.app import app
from tidegate.host.platform import Platform, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.e2e]
ROW = [0.1, 0.2, 0.3, 0.4]


def test_a_shadow_test_runs_is_compared_and_its_shadow_promoted(
    platform: Platform, scene: Scene, models: tuple[str, str]
) -> None:
    first, second = scene.model(models[0]), scene.model(models[1])
    production = {
        "VariantName": "blue",
        "ModelName": first,
        "InitialInstanceCount": 1,
        "InstanceType": "ml.c5.large",
    }
    scene.sagemaker.create_endpoint_config(EndpointConfigName=first, ProductionVariants=[production])
    scene.create("tested", first)

    def variant(name: str, model: str) -> dict[str, Any]:
        size = {"InstanceType": "ml.c5.large", "InstanceCount": 1}
        infrastructure = {"InfrastructureType": "RealTimeInference", "RealTimeInferenceConfig": size}
        return {"VariantName": name, "ModelName": model, "InfrastructureConfig": infrastructure}

    def status(word: str) -> None:
        def there() -> bool:
            return bool(scene.sagemaker.describe_inference_experiment(Name="test")["Status"] == word)

        wait_until(there, word, 90)

    def answer() -> str:
        return str(scene.invoke("tested", [ROW])["Body"].read())

    before = answer()
    shadows = [{"ShadowModelVariantName": "green", "SamplingPercentage": 100}]
    scene.sagemaker.create_inference_experiment(
        Name="test",
        Type="ShadowMode",
        RoleArn="arn:aws:iam::123456789012:role/r",
        EndpointName="tested",
        Schedule={"EndTime": datetime.now(UTC) + timedelta(hours=1)},
        ModelVariants=[variant("blue", first), variant("green", second)],
        ShadowModeConfig={"SourceModelVariantName": "blue", "ShadowModelVariants": shadows},
    )
    status("Running")

    def compared() -> dict[str, Any] | None:
        assert answer() == before, "no answer comes from the shadow"
        done = CliRunner().invoke(
            app, ["compare", "--shadow", "tested", "--json"], env={"TIDEGATE_URL": platform.url}
        )
        document: dict[str, Any] = json.loads(done.stdout)
        return document if document["comparisons"][0]["compared"] else None

    found = wait_until(compared, "a pair of predictions", 60)
    assert found is not None and (found["experiment"]["name"], found["experiment"]["status"]) == (
        "test",
        "Running",
    )
    assert found["comparisons"][0]["agreement"] == 0 and found["comparisons"][0]["mean_difference"] > 0
    words = CliRunner().invoke(app, ["compare", "--shadow", "tested"], env={"TIDEGATE_URL": platform.url}).stdout
    assert words.startswith("inference experiment test: Running, until ")
    scene.sagemaker.stop_inference_experiment(
        Name="test", ModelVariantActions={"blue": "Remove", "green": "Promote"}, DesiredState="Completed"
    )
    status("Completed")
    assert [one["VariantName"] for one in scene.describe("tested")["ProductionVariants"]] == ["green"]
    assert answer() != before
