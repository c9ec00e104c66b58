"""Plans that AWS would refuse, and answers that do not go together: each was planned once without a word."""

from typing import Any

import pytest

from tidegate.domain.errors import Invalid, TidegateError
from tidegate.features.planner import candidates, erlang, units
from tidegate.features.planner import planning as planner
from tidegate.features.planner.alternatives import Alternative
from tidegate.features.planner.plan_promise import lines
from tidegate.features.planner.planning import Plan
from tidegate.features.planner.sizing import FleetSize
from tidegate.prices import MAIN_REGIONS, Catalogue

CATALOGUE = Catalogue.load()


def made(**given: Any) -> Plan:
    return planner.plan(planner.read({"name": "x", "rate": 20, **given}), CATALOGUE)


def example(name: str, **changes: Any) -> Plan:
    return planner.plan(planner.read({**planner.answers_of(name), **changes}), CATALOGUE)


def refusal(**given: Any) -> str:
    with pytest.raises(TidegateError) as raised:
        made(**given)
    assert "\n" not in raised.value.message
    return raised.value.message


def fleet(plan: Plan) -> FleetSize:
    assert isinstance(plan.size, FleetSize)
    return plan.size


def choice(plan: Plan, name: str) -> Alternative:
    return next(one for one in plan.choices if one.name == name)


def said(plan: Plan) -> str:
    return "\n".join(f"{note.say} {note.change}" for note in plan.notes)


JOB = {"individual_responses": False, "records": 50_000}
LLM = {"model_kind": "llm", "rate": 0.5}


# Instance types


def test_a_batch_job_has_a_type_of_transform() -> None:
    assert fleet(example("monthly-attrition")).type.name in candidates.allowed("transform")
    assert fleet(made(**JOB)).type.name != "ml.c5.large"


@pytest.mark.parametrize(
    "name", ["ml.c5.large", "ml.t2.medium", "ml.r5.xlarge", "ml.inf1.xlarge", "ml.p4d.24xlarge"]
)
def test_a_type_that_is_not_of_transform_is_refused_for_a_job(name: str) -> None:
    text = refusal(**JOB, instance_type=name, model_kind="tabular", frameworks=["python"])
    assert f"instance_type: {name} is not in SageMaker's TransformInstanceType" in text


@pytest.mark.parametrize("name", ["ml.r5.8xlarge", "ml.r5.16xlarge"])
def test_a_type_that_is_not_of_hosting_is_refused(name: str) -> None:
    assert "ProductionVariantInstanceType" in refusal(instance_type=name)


@pytest.mark.parametrize("kind", ["tabular", "images"])
@pytest.mark.parametrize("platform", ["kubernetes", "containers"])
def test_containers_have_names_of_ec2_or_sizes_of_fargate(platform: str, kind: str) -> None:
    plan = made(custom_logic=True, platform=platform, model_kind=kind)
    name = fleet(plan).type.name
    assert not name.startswith("ml.") and plan.spec["instance_type"] == name
    assert name.startswith("fargate:") == (platform == "containers" and kind == "tabular")


def test_a_task_has_a_size_that_fargate_has() -> None:
    plan = made(custom_logic=True, platform="containers", model_size="20 GB")
    size = fleet(plan).type
    assert size.memory_gib in dict(candidates.fargate_sizes())[size.vcpus]
    assert "Fargate size" in refusal(custom_logic=True, platform="containers", instance_type="fargate:36x72GB")


def test_an_ec2_type_is_taken_with_and_without_its_prefix() -> None:
    for name in ("m5.xlarge", "ml.m5.xlarge"):
        plan = made(custom_logic=True, platform="kubernetes", instance_type=name)
        assert plan.spec["instance_type"] == "m5.xlarge"


def test_the_cheapest_accelerator_is_chosen() -> None:
    assert fleet(made(model_kind="images", rate=5)).type.name == "ml.g4dn.xlarge"


def test_memory_alone_leads_to_a_type_of_much_memory() -> None:
    assert fleet(made(model_size="9 GB", rate=1)).type.family == "r5"


# Framework, accelerator and memory


def test_llama_cpp_is_refused_on_inferentia() -> None:
    text = refusal(**LLM, frameworks=["gguf"], model_size="140 GB", hardware="inferentia")
    assert "Neuron" in text and "hardware" in text
    assert "Neuron" in refusal(**LLM, frameworks=["gguf"], instance_type="ml.inf2.48xlarge")


def test_llama_cpp_runs_on_gpus_or_processors() -> None:
    assert fleet(made(**LLM, frameworks=["gguf"], model_size="140 GB")).type.kind == "gpu"


@pytest.mark.parametrize(
    ("size", "type"), [("16 GB", "ml.inf2.8xlarge"), ("26 GB", "ml.inf2.24xlarge"), ("140 GB", "ml.inf2.48xlarge")]
)
def test_a_model_gets_the_inferentia_that_it_is_compiled_for(size: str, type: str) -> None:
    plan = made(**LLM, frameworks=["pytorch"], model_size=size, hardware="inferentia")
    assert fleet(plan).type.name == type
    assert "compiled by Neuron" in said(plan)


def test_replicas_of_a_sharded_model_are_counted_by_the_chips_that_they_span() -> None:
    plan = made(**LLM, frameworks=["pytorch"], model_size="140 GB", hardware="inferentia", processing_time="4s")
    assert fleet(plan).capacity == pytest.approx(8 / 4)
    assert "8 at a time by 1 replica over 12 accelerators" in fleet(plan).basis
    small = made(
        **LLM, frameworks=["pytorch"], model_size="10 GB", instance_type="ml.inf2.24xlarge", processing_time="4s"
    )
    assert fleet(small).capacity == pytest.approx(6 * 8 / 4)


def test_a_small_language_model_runs_on_processors_within_its_latency() -> None:
    plan = made(**LLM, frameworks=["gguf"], model_size="145 MB", latency="2s")
    assert fleet(plan).type.kind == "cpu"


def test_the_time_of_a_language_model_goes_with_its_size() -> None:
    times = [made(**LLM, model_size=size).facts["processing_time"] for size in ("145 MB", "5 GB", "16 GB")]
    assert times[0] < times[1] < times[2]


@pytest.mark.parametrize(
    ("kind", "frameworks"),
    [("llm", ["xgboost"]), ("images", ["lightgbm"]), ("tabular", ["gguf"]), ("text", ["shap"])],
)
def test_a_framework_that_does_not_serve_the_kind_is_asked_about(kind: str, frameworks: list[str]) -> None:
    assert refusal(model_kind=kind, frameworks=frameworks).startswith("model_kind and frameworks: ")


def test_trees_on_an_accelerator_are_asked_about() -> None:
    assert "xgboost cannot use GPUs" in refusal(instance_type="ml.g5.xlarge")
    assert "xgboost cannot use GPUs" in refusal(hardware="gpu")


@pytest.mark.parametrize("hardware", ["cpu", "gpu", "inferentia"])
@pytest.mark.parametrize("kind", ["tabular", "neural_network", "images", "text", "llm"])
def test_every_kind_runs_on_what_was_asked_for(kind: str, hardware: str) -> None:
    plan = made(model_kind=kind, frameworks=["pytorch"], hardware=hardware, processing_time="1s", rate=1)
    assert fleet(plan).type.kind == hardware and plan.choices


def test_a_framework_that_was_not_said_follows_the_kind() -> None:
    plan = made(model_kind="images")
    assert plan.answers.frameworks == ("pytorch",)
    assert any("frameworks is taken to be pytorch" in text for text in plan.assumptions)


def test_many_models_share_processors_or_a_gpu_that_can_be_shared() -> None:
    plan = made(alike_models=100, model_kind="images")
    assert fleet(plan).type.family == "g4dn"
    assert fleet(plan).least == 3, "100 GB, of which 30 % are hot, in 60 % of 16 GiB each"
    assert "cannot share Inferentia" in refusal(
        alike_models=100, model_kind="images", hardware="inferentia", frameworks=["pytorch"]
    )


def test_the_containers_of_a_pipeline_are_all_loaded() -> None:
    one, three = made(model_size="3 GB"), made(model_size="3 GB", stages=["a", "b", "c"])
    assert three.facts["memory_needed"] > 2 * one.facts["memory_needed"]


def test_arm_is_named_with_what_it_needs() -> None:
    assert "built for arm64" in said(made(instance_type="ml.c7g.xlarge"))
    assert not fleet(made()).type.family.startswith("c7g")


# Limits of the services


@pytest.mark.parametrize(
    "given", [{"payload": "100 GB"}, {**JOB, "payload": "100 GB"}, {**JOB, "payload": "101 MB"}]
)
def test_what_is_too_large_is_refused_with_what_would_work(given: dict[str, Any]) -> None:
    text = refusal(**given)
    assert "100 MB" in text and "1 GB" in text and ("S3" in text)


def test_a_job_of_records_within_the_limit_is_planned() -> None:
    assert made(**JOB, payload="100 MB").place.mode == "batch"


def test_the_slowest_requests_decide_between_real_time_and_a_queue() -> None:
    assert made(processing_time="55s", rate=0.01, latency="3m").place.mode == "asynchronous"
    assert made(processing_time="29s", rate=0.01, latency="3m").place.mode == "real_time"
    assert "async_time" not in refusal(processing_time="40m", rate=0.01)


@pytest.mark.parametrize("platform", ["containers", "kubernetes"])
def test_a_job_that_is_too_large_is_refused_with_what_to_change(platform: str) -> None:
    large = {**JOB, "records": 10_000_000, "capacity": 1}
    assert refusal(**large).startswith("records: 10,000,000 records need")
    assert refusal(**large, custom_logic=True, platform=platform).startswith("records: 10,000,000 records need")


def test_many_models_are_no_batch_job() -> None:
    assert "a batch transform job has one model" in refusal(**JOB, alike_models=1000)


def test_a_queue_cannot_name_a_container() -> None:
    text = refusal(payload="60 MB", separate_invocation=True, frameworks=["xgboost", "shap"])
    assert "cannot name the container" in text


def test_serverless_stays_within_its_concurrency() -> None:
    plan = made(pattern="intermittent", rate=100, processing_time="2s", latency="10s")
    assert plan.place.mode == "real_time" and "200 requests at a time" in said(plan)
    assert plan.choices, "what else there is does not abort the plan"


def test_concurrency_is_a_quantile_of_what_comes_at_a_time() -> None:
    assert erlang.servers(0.6, 0.001) == 5, "Erlang B of 0.6 erlangs: 0.2 % with 4 servers, below 0.1 % with 5"
    assert erlang.servers(0.0, 0.001) == 1
    assert erlang.servers(100.0, 0.001) > 120


def test_lambda_takes_binary_data_as_base64() -> None:
    light = {"event_driven": True, "processing_time": "50ms", "frameworks": ["onnx"], "payload": "5 MB", "rate": 1}
    assert made(**light).place.target == "lambda"
    assert made(**light, model_kind="images", hardware="cpu").place.target == "sagemaker"


# Contradictions


@pytest.mark.parametrize(
    ("given", "keys"),
    [
        ({"pattern": "intermittent", "shape": "steady"}, "pattern and shape"),
        ({"pattern": "intermittent", "shape": "payroll"}, "pattern and shape"),
        ({"pattern": "sustained", "shape": "intermittent"}, "pattern and shape"),
        ({"idle_hours": 8, "shape": "diurnal"}, "idle_hours and shape"),
        ({"pattern": "intermittent", "latency": "500ms"}, "pattern and latency and consistent_latency"),
        ({"pattern": "intermittent", "consistent_latency": True}, "pattern and latency and consistent_latency"),
        ({"payload": "30 MB", "latency": "5s"}, "latency and payload"),
        ({"event_driven": True, "rate": 3000, "processing_time": "50ms"}, "event_driven and rate"),
    ],
)
def test_answers_that_contradict_each_other_are_asked_about(given: dict[str, Any], keys: str) -> None:
    text = refusal(**given)
    assert text.startswith(f"{keys}: ") and ("; set " in text or "; allow " in text)


@pytest.mark.parametrize(
    ("given", "shape"), [({"pattern": "intermittent"}, "intermittent"), ({"pattern": "variable"}, "diurnal")]
)
def test_a_curve_that_was_not_said_follows_the_pattern(given: dict[str, Any], shape: str) -> None:
    plan = made(**given, latency="10s")
    assert plan.answers.shape == shape
    assert any(text.startswith(f"shape is taken to be {shape}") for text in plan.assumptions)


def test_no_critical_plan_is_told_to_be_intermittent() -> None:
    note = example("payroll-fraud", budget=10).notes[0]
    assert note.about == "budget" and "intermittent" not in note.change


def test_spot_is_said_to_be_none_of_sagemakers() -> None:
    plan = made(environment="test", spot=True)
    assert "no Spot instances" in said(plan) and "Spot" not in plan.rows[2].value
    assert "tidegate:capacity" not in plan.spec["tags"]


# Answers


@pytest.mark.parametrize(
    ("text", "rate"),
    [("3/day", 3 / 86_400), ("40/h", 40 / 3600), ("100 per minute", 100 / 60), ("1,200/min", 20.0), ("20", 20.0)],
)
def test_a_rate_is_taken_by_any_period(text: str, rate: float) -> None:
    assert planner.read({"rate": text}).rate == pytest.approx(rate)


@pytest.mark.parametrize("text", ["3/fortnight", "many/day", "3/", "0/day"])
def test_a_rate_that_is_none_is_named(text: str) -> None:
    with pytest.raises(Invalid, match=r"^rate: "):
        planner.read({"rate": text})


def test_the_deadline_of_a_job_is_asked_and_kept() -> None:
    slow = {**JOB, "records": 1_000_000, "processing_time": "50ms"}
    assumed, soon = made(**slow), made(**slow, deadline="1h")
    assert fleet(soon).most > fleet(assumed).most
    assert any(text.startswith("deadline is taken to be 4 h") for text in assumed.assumptions)
    assert not any("deadline" in text for text in soon.assumptions)
    assert "deadline" in refusal(**JOB, deadline="2m")


# Rollouts


def test_a_linear_rollout_has_steps_and_bakes_that_fit_a_guardrail() -> None:
    plan = made(criticality="high", reversible=False, user_facing=True, rate=2000)
    assert plan.rollout.wanted.title == "Linear: 10 % steps, 1-hour bake"
    count = plan.spec["instances"]
    step, wait = int(plan.spec["rollout"]["step"]), plan.spec["rollout"]["wait"]
    steps = -(-count // step) - 1
    assert 0.1 <= step / count <= 0.5 and steps * units.seconds(wait) + 1800 + 600 <= 8 * 3600
    assert "SageMaker" in "; ".join(plan.rollout.says)


def test_a_share_of_few_instances_is_the_share_that_they_have() -> None:
    plan = example("payroll-fraud")
    assert plan.strategy.first_part == 0.5 and plan.spec["rollout"]["step"] == "1"
    assert "1 of 2 are 50 % of the traffic; 25 % need 4 instances" in plan.rollout.says[0]
    assert plan.promise is not None and plan.promise.stages[0].share == 50


def test_one_instance_takes_all_traffic_at_once() -> None:
    plan = made(criticality="medium", user_facing=True, rate=1)
    assert plan.spec["instances"] == 1 and plan.spec["rollout"] == {"strategy": "all_at_once", "final_bake": "1h"}
    assert plan.strategy.title == "All at once" and "there is one" in plan.rollout.says[0]


def test_a_serverless_endpoint_is_updated_all_at_once_and_without_alarms() -> None:
    plan = made(pattern="intermittent", latency="10s", rate=1, criticality="high")
    assert plan.spec["rollout"] == {"strategy": "all_at_once", "alarms": []}
    assert "tidegate's engine" not in plan.rows[4].reason and "no alarm rolls back" in plan.rows[4].reason


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"custom_logic": True, "platform": "kubernetes"}, "Amazon EKS"),
        ({"custom_logic": True, "platform": "containers"}, "Amazon ECS"),
        ({"event_driven": True}, "AWS Lambda"),
    ],
)
def test_where_there_are_no_guardrails_tidegates_engine_shifts_the_traffic(
    given: dict[str, Any], name: str
) -> None:
    plan = made(**given, criticality="high")
    assert plan.strategy == plan.rollout.wanted
    assert name in plan.rollout.says[0] and "tidegate's engine shifts the traffic" in plan.rollout.says[0]
    assert plan.rollout.says[0] in plan.rows[4].reason


def test_instances_are_replaced_a_few_at_a_time_where_the_quota_has_none_for_two_fleets() -> None:
    known = {"rate": 95, "processing_time": "20ms", "shape": "payroll", "criticality": "high"}
    plan = made(**known, quota=12)
    assert plan.spec["autoscaling"]["max"] == 10
    assert plan.spec["rollout"]["strategy"] == "rolling" and plan.strategy.kind == "rolling"
    assert "11 instances and not 20" in plan.rollout.says[0]
    assert made(**known, quota=20).strategy.kind == "linear"


@pytest.mark.parametrize("name", planner.examples())
def test_alarms_have_periods_in_which_sagemaker_publishes(name: str) -> None:
    assert {alarm["period"] for alarm in example(name).spec.get("alarms", {}).values()} <= {"1m", "5m", "15m"}


def test_a_fleet_of_accelerators_is_told_of_its_second_half() -> None:
    assert "strategy: rolling" in said(made(**{**LLM, "rate": 20}))


def test_production_on_one_instance_is_said() -> None:
    assert "one instance serves the quiet hours" in said(made(criticality="low"))
    assert "one instance" not in said(made(criticality="low", environment="test"))


def test_the_mean_and_the_quantile_are_told_in_an_order_that_explains_them() -> None:
    for name in ("payroll-fraud", "learning-recommendations", "assist"):
        promise = example(name).promise
        assert promise is not None
        for one, line in zip(promise.wanted, lines(promise)[1:], strict=False):
            if one.seen and one.most_requests is not None and one.requests > one.most_requests:
                assert line.index("95 of 100") < line.index("the average") and "other 5" in line


# Alternatives and prices


@pytest.mark.parametrize("name", planner.examples())
def test_every_alternative_says_why_it_was_not_taken(name: str) -> None:
    for one in example(name).choices:
        assert one.because and one.say.endswith(f"; not taken: {one.because}")


def test_serverless_is_cheaper_for_fraud_and_no_choice() -> None:
    found = choice(example("payroll-fraud"), "serverless")
    assert found.month is not None and found.month < example("payroll-fraud").bill.month
    assert "a start from zero takes seconds" in found.because


def test_a_test_is_not_told_to_commit_for_years() -> None:
    assert not any("savings" in one.name for one in made(environment="test").choices)


@pytest.mark.parametrize("region", MAIN_REGIONS)
@pytest.mark.parametrize("name", planner.examples())
def test_the_main_regions_are_planned_with_prices_that_say_where_they_are_from(region: str, name: str) -> None:
    plan = example(name, region=region)
    borrowed = [line for line in plan.bill.lines if line.rate.stands_in]
    assert all("us-east-1" in line.rate.source and line.rate.region == "us-east-1" for line in borrowed)
    assert ("stand in" in said(plan)) == bool(borrowed)
    assert bool(plan.prices.stand_ins) == bool(borrowed) and (region != "us-east-1" or not borrowed)
    for line in borrowed:
        assert line.rate.amount == CATALOGUE.rate(line.rate.item, "us-east-1").amount, "nothing is derived"


def test_a_region_without_prices_is_refused_with_how_to_get_them() -> None:
    assert "tidegate cost prices update --region sa-east-1" in refusal(region="sa-east-1")


def test_images_of_a_job_are_objects_of_their_own_in_the_bill_and_in_the_job() -> None:
    plan = made(**{**JOB, "records": 1_000_000}, payload="2 MB", model_kind="images")
    amounts = {line.item: line.amount for line in plan.bill.lines}
    assert amounts["s3/put"] == pytest.approx(12 * 2 * 1e6 / 1000 * 0.005)
    assert amounts["s3/gb-month"] > 1, "the bytes of every record are kept"
    assert plan.spec["job"]["content_type"] == "application/x-image"
    assert "split" not in plan.spec["job"] and "join" not in plan.spec["job"]


def test_a_cluster_that_is_there_is_not_paid_twice() -> None:
    plan = made(custom_logic=True, platform="kubernetes")
    items = {line.item for line in plan.bill.lines}
    assert "eks/cluster-hour" not in items and "ebs/gp3-gb-month" in items
    assert "NAT gateways, logs" in said(plan)


@pytest.mark.parametrize("text", ["1,5", "1.000", "1.500", "1,0000", "1.000/h", "1.000.000"])
def test_a_number_that_two_countries_read_in_two_ways_is_asked_for_again(text: str) -> None:
    assert refusal(rate=text).startswith("rate: ")


@pytest.mark.parametrize(("text", "rate"), [("1,500", 1500), ("3,600/h", 1), ("1.5", 1.5), ("0.125", 0.125)])
def test_commas_stand_before_three_digits(text: str, rate: float) -> None:
    assert planner.read({"name": "x", "rate": text}).rate == rate


@pytest.mark.parametrize(("text", "seconds"), [("0.2 seconds", 0.2), ("2 minutes", 120), ("1h30m", 5400)])
def test_times_are_read_in_words(text: str, seconds: float) -> None:
    assert planner.read({"name": "x", "rate": 1, "latency": text}).latency == pytest.approx(seconds)


def test_the_next_type_is_the_second_cheapest() -> None:
    plan = made(rate=300, model_kind="images", latency="500ms", processing_time="50ms", frameworks=["pytorch"])
    second = choice(plan, "other_type").month
    assert second is not None
    for one in CATALOGUE.instances():
        try:
            other = made(
                **{"rate": 300, "model_kind": "images", "latency": "500ms", "processing_time": "50ms"},
                **{"frameworks": ["pytorch"], "instance_type": one.name, "hardware": "any"},
            )
        except TidegateError:
            continue
        known = one.name == fleet(plan).type.name or one.family in ("p2", "p3", "inf1", "g5g")
        assert known or one.kind == "cpu" or other.bill.month >= second - 0.01, one.name


def test_a_type_of_another_region_is_marked() -> None:
    plan = made(region="eu-central-1", instance_type="ml.c7g.large")
    assert "(not known to exist in eu-central-1)" in plan.rows[2].value
    assert "is not known to exist in eu-central-1" in said(plan)
    assert "not known" not in made().rows[2].value


def test_a_few_long_requests_run_nothing_in_between() -> None:
    plan = made(rate="2/h", processing_time="20m", model_kind="images")
    assert plan.place.mode == "asynchronous" and plan.spec["autoscaling"]["min"] == 0
    assert "InvocationTimeoutSeconds: 2400" in said(plan)
    assert plan.spec["alarms"]["waiting"]["metric"] == "ApproximateAgeOfOldestRequest"
    assert "waiting" not in plan.spec["rollout"]["alarms"]


def test_the_largest_line_of_a_bill_is_named_with_its_assumption() -> None:
    plan = made(
        **{"individual_responses": False, "records": 500_000_000, "runs_per_month": 730, "payload": "1 KB"},
        **{"deadline": "50m", "processing_time": "0.1ms"},
    )
    assert "the largest part is s3/put" in said(plan) and "1,000 records in each file" in said(plan)
    assert "larger files (records_per_object)" in plan.rows[5].change
    assert any(text.startswith("records_per_object is taken to be 1,000") for text in plan.assumptions)


def test_one_slowest_hundredth_decides_and_is_promised() -> None:
    plan = made(latency="100ms", processing_time="10ms", p99="40ms", criticality="high")
    assert plan.facts["slowest"] == pytest.approx(0.04)
    assert planner.plan(planner.read({"name": "x", "rate": 20, "processing_time": "4ms"}), CATALOGUE).facts[
        "slowest"
    ] == pytest.approx(0.008)
    assert "p99 and processing_time" in refusal(processing_time="20ms", p99="10ms")


def test_alarms_are_solved_for_until_good_versions_stay() -> None:
    plan = made(rate=0.4, latency="100ms", processing_time="40ms", criticality="medium")
    assert plan.promise is not None and plan.promise.false_alarm <= 0.01


def test_more_availability_has_more_instances() -> None:
    counts = [fleet(made(availability=part)).least for part in (99, 99.9, 99.99)]
    assert counts == [1, 2, 3]
    assert "99.99 %" in said(made(availability=99.99))


def test_hardware_that_was_asked_for_and_costs_more_is_said() -> None:
    plan = made(**{**LLM, "rate": 4}, frameworks=["pytorch"], model_size="16 GB", hardware="inferentia")
    assert "hardware: inferentia costs" in said(plan)


def test_a_framework_without_a_runtime_is_told_what_serves_it() -> None:
    assert "catboost is not served as it is: export it to ONNX" in refusal(frameworks=["catboost"])


def test_a_budget_is_met_or_the_least_is_said() -> None:
    text = said(made(budget=1))
    assert "no single change meets it, the least is $" in text
