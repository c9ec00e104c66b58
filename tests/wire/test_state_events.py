"""State changes as EventBridge's events: each once while all is well, in order, and none lost in between."""

from typing import Any

from tests.served_wire import ACCOUNT, REGION, Served
from tidegate.domain.errors import ArtifactError, Transient
from tidegate.reconcile.event_announcer import Announcer
from tidegate.service.state_events import MAX_LINES, AccountRegion

HERE = AccountRegion(REGION, ACCOUNT)


class Receiver:
    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.trouble: Exception | None = None

    def take(self, address: str, event: dict[str, Any]) -> None:
        if self.trouble is not None:
            raise self.trouble
        self.events.append(event)

    def told(self) -> list[tuple[str, object]]:
        """What each event is about, and its status."""
        found = [(e["detail-type"].removesuffix(" State Change"), e["detail"]) for e in self.events]
        return [
            (
                kind.removeprefix("SageMaker "),
                detail.get("EndpointStatus") or detail.get("ModelApprovalStatus"),
            )
            for kind, detail in found
        ]


def announcer(wire: Served, receiver: Receiver) -> Announcer:
    return Announcer(wire.store, wire.clock, HERE, "file:///events", receiver.take)


def turn(wire: Served, one: Announcer) -> None:
    wire.run(one.turn())


def deploy(sagemaker: Any, name: str) -> None:
    sagemaker.create_model(ModelName=name, PrimaryContainer={"Image": "tidegate/xgboost"})
    variant = {"VariantName": "a", "ModelName": name, "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}
    sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name, Tags=[{"Key": "team", "Value": "pay"}])


def test_each_state_of_an_endpoint_is_announced(sagemaker: Any, wire: Served) -> None:
    receiver = Receiver()
    one = announcer(wire, receiver)
    turn(wire, one)
    deploy(sagemaker, "fraud")
    turn(wire, one)
    wire.settle("fraud")
    turn(wire, one)
    sagemaker.delete_endpoint(EndpointName="fraud")
    wire.settle("fraud")
    turn(wire, one)
    turn(wire, one)
    assert receiver.told() == [
        ("Model", None),
        ("Endpoint Config", None),
        ("Endpoint", "CREATING"),
        ("Endpoint", "IN_SERVICE"),
        ("Endpoint", "DELETING"),
    ]
    created = receiver.events[2]
    arn = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:endpoint/fraud"
    assert (created["source"], created["resources"], created["time"]) == (
        "aws.sagemaker",
        [arn],
        "2026-03-01T12:00:00Z",
    )
    assert created["detail"]["EndpointArn"] == arn
    assert created["detail"]["EndpointConfigName"] == "fraud"
    assert created["detail"]["Tags"] == {"team": "pay"}


def test_an_approval_event_has_its_reason(sagemaker: Any, wire: Served) -> None:
    receiver = Receiver()
    one = announcer(wire, receiver)
    turn(wire, one)
    sagemaker.create_model_package_group(ModelPackageGroupName="fraud")
    arn = sagemaker.create_model_package(
        ModelPackageGroupName="fraud", InferenceSpecification={"Containers": [{"Image": "a"}]}
    )["ModelPackageArn"]
    sagemaker.update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Approved", ApprovalDescription="well")
    turn(wire, one)
    assert receiver.told() == [("Model Package", "PendingManualApproval"), ("Model Package", "Approved")]
    assert receiver.events[1]["detail"]["ApprovalDescription"] == "well"
    assert receiver.events[1]["resources"] == [arn]


def test_a_new_receiver_gets_new_events_and_a_known_one_those_it_missed(sagemaker: Any, wire: Served) -> None:
    sagemaker.create_model(ModelName="before", PrimaryContainer={"Image": "a"})
    first, second = Receiver(), Receiver()
    turn(wire, announcer(wire, first))
    sagemaker.create_model(ModelName="away", PrimaryContainer={"Image": "a"})
    turn(wire, announcer(wire, second))  # another controller, the same receiver
    assert first.events == []
    assert [event["detail"]["ModelName"] for event in second.events] == ["away"]


def test_an_event_that_could_not_be_delivered_is_sent_again_under_the_same_id(
    sagemaker: Any, wire: Served
) -> None:
    receiver = Receiver()
    one = announcer(wire, receiver)
    turn(wire, one)
    sagemaker.create_model(ModelName="a", PrimaryContainer={"Image": "a"})
    receiver.trouble = Transient("it is away")
    turn(wire, one)
    receiver.trouble = None
    turn(wire, one)
    assert receiver.events == []  # it is left alone for a while
    wire.clock.advance(20)
    turn(wire, one)
    [event] = receiver.events
    again = Receiver()
    turn(wire, Announcer(wire.store, wire.clock, HERE, "file:///other", again.take))
    assert event["detail"]["ModelName"] == "a"
    assert again.events == []


def test_events_beyond_one_batch_are_announced_in_later_turns(sagemaker: Any, wire: Served) -> None:
    receiver = Receiver()
    one = announcer(wire, receiver)
    turn(wire, one)
    for number in range(MAX_LINES):
        sagemaker.create_model(ModelName=f"m{number}", PrimaryContainer={"Image": "a"})
        sagemaker.delete_model(ModelName=f"m{number}")
    for _ in range(3):
        turn(wire, one)
    assert len({event["id"] for event in receiver.events}) == len(receiver.events) == 2 * MAX_LINES


def test_an_undeliverable_event_delays_no_other(sagemaker: Any, wire: Served) -> None:
    receiver = Receiver()
    one = announcer(wire, receiver)
    turn(wire, one)
    sagemaker.create_model(ModelName="a", PrimaryContainer={"Image": "a"})
    receiver.trouble = ArtifactError("never")
    turn(wire, one)
    receiver.trouble = None
    sagemaker.create_model(ModelName="b", PrimaryContainer={"Image": "a"})
    turn(wire, one)
    assert [event["detail"]["ModelName"] for event in receiver.events] == ["b"]
