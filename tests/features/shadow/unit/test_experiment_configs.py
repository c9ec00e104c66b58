"""What a shadow test deploys beside an endpoint that has settings of its own."""

from dataclasses import replace
from datetime import timedelta

from tests.memory_store import MemoryTx
from tests.unit.service.test_deploy import START
from tidegate.domain.admission import Admission
from tidegate.domain.capture import Capture, Redaction
from tidegate.domain.endpoint import Endpoint, EndpointConfig
from tidegate.domain.fleet import RoutingStrategy, VariantSpec
from tidegate.domain.registry import ContainerDefinition, Model
from tidegate.domain.rollout import Version
from tidegate.features.shadow import configs as experiment_configs
from tidegate.features.shadow.records import ExperimentEnding, ExperimentVariant, ShadowExperiment, VariantAction

MODEL = Model("m1", (ContainerDefinition("tidegate/xgboost", "file:///m.ubj"),), START)
REDACTED = Capture("s3://captures/own", redaction=Redaction())
SERVING = VariantSpec(
    "blue",
    MODEL,
    4,
    instance_type="ml.m5.large",
    routing=RoutingStrategy.LEAST_OUTSTANDING_REQUESTS,
    startup_timeout=70.0,
    memory_limit=2**30,
    admission=Admission(max_in_flight=7),
    capture=REDACTED,
)
ENDPOINT = Endpoint("fraud", START, START, serving=Version(3, "gone", (SERVING,)))
TEST = ShadowExperiment(
    "a-test",
    "fraud",
    ExperimentVariant("blue", "m1", "ml.m5.large", 2),
    ExperimentVariant("green", "m2", "ml.c5.large", 1),
    25,
    START,
    START + timedelta(days=7),
    START,
    before="gone",
)
PROMOTION = ExperimentEnding(VariantAction.REMOVE, VariantAction.PROMOTE)


def made(test: ShadowExperiment) -> EndpointConfig:
    return experiment_configs.test_config(MemoryTx(), test, ENDPOINT, START)


def test_production_keeps_its_settings_and_its_instances() -> None:
    [blue], [green] = (config := made(TEST)).variants, config.shadows
    assert (blue.instance_count, blue.routing, blue.startup_timeout, blue.memory_limit, blue.admission) == (
        *(4, RoutingStrategy.LEAST_OUTSTANDING_REQUESTS, 70, 2**30, Admission(max_in_flight=7)),
    )
    assert (green.instance_count, green.instance_type, green.weight) == (1, "ml.c5.large", 0.25)
    assert config.capture == REDACTED


def test_captures_of_a_test_are_redacted_as_those_of_the_endpoint() -> None:
    own = Capture("s3://captures/test")
    assert made(replace(TEST, capture=own)).capture == replace(own, redaction=Redaction())
    alone = experiment_configs.test_config(MemoryTx(), replace(TEST, capture=own), None, START)
    assert alone.capture == own


def test_what_is_promoted_takes_over_the_settings() -> None:
    final = experiment_configs.final_config(MemoryTx(), replace(TEST, ending=PROMOTION), ENDPOINT, START)
    assert isinstance(final, EndpointConfig)
    [green] = final.variants
    assert (green.name, green.model_name, green.instance_type) == ("green", "m2", "ml.c5.large")
    assert (green.instance_count, green.admission.max_in_flight) == (4, 7)
    size = ExperimentVariant("green", "m2", "ml.c5.xlarge", 2)
    sized = replace(TEST, ending=replace(PROMOTION, desired=(size,)))
    final = experiment_configs.final_config(MemoryTx(), sized, ENDPOINT, START)
    assert isinstance(final, EndpointConfig)
    assert (final.variants[0].instance_type, final.variants[0].instance_count) == ("ml.c5.xlarge", 2)


def test_where_the_config_before_is_gone_its_variant_gets_another() -> None:
    final = experiment_configs.final_config(MemoryTx(), replace(TEST, ending=ExperimentEnding()), ENDPOINT, START)
    assert isinstance(final, EndpointConfig)
    assert (final.name, final.variants[0].name, final.shadows) == ("a-test-after-1", "blue", ())


def test_names_of_configs_are_as_long_as_they_may_be() -> None:
    config = made(replace(TEST, name="x" * 120))
    assert len(config.name) == 63 and config.name.endswith("xx-shadow-1")
