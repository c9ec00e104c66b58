"""Configs that need what not every target can do."""

from dataclasses import replace

from tests.memory_store import MemoryTx
from tests.unit.service.test_deploy import START
from tidegate.domain.admission import DEFAULT_ADMISSION, Quotas, TokenBucket
from tidegate.domain.asynchronous import AsyncConfig
from tidegate.domain.capture import Capture
from tidegate.domain.endpoint import EndpointConfig, ProductionVariant
from tidegate.domain.fleet import Serverless
from tidegate.domain.registry import MULTI_MODEL, SINGLE_MODEL, ContainerDefinition, Model
from tidegate.service.record_kinds import CONFIG, MODEL

WORDS = {
    "serverless": "serverless variants",
    "asynchronous": "asynchronous inference",
    "shadow": "shadow variants",
    "multi_model": "multi-model containers",
    "capture": "data capture",
    "devices": "devices for replicas",
    "admission": "quotas of clients, max_in_flight or queue_time",
}


def configure(tx: MemoryTx, need: str) -> tuple[str, str]:
    """Saves a config that has the need. Returns its name and the words of a refusal."""
    container = ContainerDefinition(
        "tidegate/xgboost", "file:///m", mode=MULTI_MODEL if need == "multi_model" else SINGLE_MODEL
    )
    tx.put(MODEL, "m", Model("m", (container,), START), expect=0, now=START)
    quotas = Quotas(TokenBucket(5.0, 5.0)) if need == "admission" else None
    admission = replace(DEFAULT_ADMISSION, quotas=quotas)
    serverless = Serverless(2**30, 5) if need == "serverless" else None
    variant = ProductionVariant(
        "v", "m", 1, "local", serverless=serverless, devices=int(need == "devices"), admission=admission
    )
    shadows = (ProductionVariant("s", "m", 1, "local"),) if need == "shadow" else ()
    queue = AsyncConfig(output="file:///answers") if need == "asynchronous" else None
    capture = Capture("file:///captures") if need == "capture" else None
    config = EndpointConfig("c", (variant,), START, shadows=shadows, asynchronous=queue, capture=capture)
    tx.put(CONFIG, "c", config, expect=0, now=START)
    return "c", WORDS[need]
