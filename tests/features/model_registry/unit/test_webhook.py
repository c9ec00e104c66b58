"""Which webhooks of MLflow are taken: its own function signs them here."""

from pathlib import Path

import pytest

from tests.gateway_harness import GatewayHarness
from tidegate.features.model_registry.loop import DELIVERY, OLDEST, SIGNATURE, TIMESTAMP, is_signed
from tidegate.settings import Settings

delivery = pytest.importorskip("mlflow.webhooks.delivery")
NOW, BODY = 1_800_000_000, '{"entity": "model_version_alias"}'
SECRET = "shared"


def sign(secret: str = SECRET, at: int = NOW) -> dict[str, str]:
    made = delivery._generate_hmac_signature(secret, "one", str(at), BODY)
    return {DELIVERY: "one", TIMESTAMP: str(at), SIGNATURE: made}


@pytest.mark.parametrize("late", [0, OLDEST, -OLDEST])
def test_a_webhook_that_mlflow_signed_is_taken(late: int) -> None:
    assert is_signed(SECRET.encode(), sign(), BODY.encode(), NOW + late)


@pytest.mark.parametrize(
    ("headers", "body", "late"),
    [
        (sign("another"), BODY, 0),
        (sign(), BODY + " ", 0),
        (sign(), BODY, OLDEST + 1),
        (sign(), BODY, -OLDEST - 1),
        (sign() | {DELIVERY: "two"}, BODY, 0),
        (sign() | {TIMESTAMP: str(NOW + 1)}, BODY, 0),
        (sign() | {TIMESTAMP: "soon"}, BODY, 0),
        (sign() | {SIGNATURE: "v1,"}, BODY, 0),
        ({}, BODY, 0),
    ],
)
def test_a_webhook_that_is_forged_changed_or_old_is_not(headers: dict[str, str], body: str, late: int) -> None:
    assert not is_signed(SECRET.encode(), headers, body.encode(), NOW + late)


@pytest.mark.anyio
@pytest.mark.parametrize(("secret", "status", "kicked"), [(SECRET, 202, ["registry.one"]), ("another", 403, [])])
async def test_a_webhook_only_wakes_the_loop(tmp_path: Path, secret: str, status: int, kicked: list[str]) -> None:
    (tmp_path / "mlflow-webhook").write_text(f"{SECRET}\n")
    harness = GatewayHarness(settings=Settings(secrets=tmp_path))
    headers = {**sign(secret, int(harness.clock.now().timestamp())), "content-type": "application/json"}
    async with harness.client() as client:
        answer = await client.post("/tidegate/v1/registry/webhook", content=BODY, headers=headers)
    assert (answer.status_code, harness.kicked) == (status, kicked)


@pytest.mark.anyio
async def test_a_server_without_the_secret_takes_no_webhook() -> None:
    harness = GatewayHarness()
    async with harness.client() as client:
        answer = await client.post("/tidegate/v1/registry/webhook", content=BODY, headers=sign())
    assert answer.status_code == 403 and "TIDEGATE_SECRETS" in answer.text and harness.kicked == []
