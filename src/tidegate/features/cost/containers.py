"""Bills of containers outside SageMaker: Fargate tasks, EC2 nodes of ECS and of EKS, behind a load balancer."""

from dataclasses import dataclass, replace

from tidegate.features.cost.bill import Bill, BillLine, Tariff, bill
from tidegate.features.cost.errors import above
from tidegate.features.cost.extras import NOTHING, Extras, alarms, balancer
from tidegate.features.cost.fleet import ScalingBounds, fleet, instances, shortage
from tidegate.features.cost.hosted import BatchJob, RequestWork
from tidegate.features.cost.traffic import Load
from tidegate.prices import EC2


@dataclass(frozen=True)
class Task:
    """A Fargate task."""

    vcpus: float
    memory_gb: float

    def __post_init__(self) -> None:
        above("vCPUs of a task", self.vcpus, 0)
        above("memory of a task", self.memory_gb, 0)


def fargate(tariff: Tariff, task: Task, scaling: ScalingBounds, load: Load, extras: Extras = NOTHING) -> Bill:
    """ECS tasks on Fargate: as many as instances would be, each answering ``scaling.per_instance``."""
    made = fleet(load, scaling)
    both = (
        ("fargate/vcpu-hour", task.vcpus, "vCPU"),
        ("fargate/gb-hour", task.memory_gb, "GB"),
    )
    lines: list[BillLine] = []
    for item, size, unit in both:
        rate = tariff.rate(item)
        scaled = replace(
            rate, unit="task-hour", amount=rate.amount * size, low=rate.low * size, high=rate.high * size
        )
        for line in instances(item, scaled, scaling, load, made):
            lines.append(BillLine(item, line.quantity * size, rate, f"{line.why}, {size:g} {unit} each"))
    lines += [*balancer(tariff, extras, load.requests, load.hours), alarms(tariff, extras)]
    return bill(lines, load.hours, shortage(scaling, load, made))


def ecs(tariff: Tariff, instance: str, scaling: ScalingBounds, load: Load, extras: Extras = NOTHING) -> Bill:
    """ECS on EC2: ``instance`` is a type without its ``ml.``."""
    rate = tariff.rate(EC2 + instance)
    made = fleet(load, scaling)
    volumes = extras.volume_gib * made.hours / 730
    lines = [
        *instances(EC2 + instance, rate, scaling, load, made),
        *balancer(tariff, extras, load.requests, load.hours),
        tariff.line("ebs/gp3-gb-month", volumes, f"a volume of {extras.volume_gib:g} GB at each node"),
        alarms(tariff, extras),
    ]
    return bill(lines, load.hours, shortage(scaling, load, made))


def eks(tariff: Tariff, instance: str, scaling: ScalingBounds, load: Load, extras: Extras = NOTHING) -> Bill:
    """EKS: nodes as for ECS and a control plane of its own. A team that has a cluster already pays none for more."""
    nodes = ecs(tariff, instance, scaling, load, extras)
    plane = tariff.line("eks/cluster-hour", float(load.hours), "the cluster's control plane at all hours")
    return Bill((plane, *nodes.lines), nodes.hours, nodes.warnings)


def node_job(tariff: Tariff, instance: str, job: BatchJob, work: RequestWork) -> Bill:
    """A year of batch jobs on EC2 nodes: the instance-hours alone. ``instance`` is a type without its ``ml.``."""
    item = EC2 + instance
    return bill(
        [BillLine(item, _job_hours(job, work), tariff.rate(item), f"{job.runs:g} jobs a year, EC2 instances")],
        8760.0,
    )


def fargate_job(tariff: Tariff, task: Task, job: BatchJob, work: RequestWork) -> Bill:
    """A year of batch jobs on Fargate."""
    hours, why = _job_hours(job, work), f"{job.runs:g} jobs a year"
    lines = [
        tariff.line("fargate/vcpu-hour", hours * task.vcpus, f"{why}, {task.vcpus:g} vCPU"),
        tariff.line("fargate/gb-hour", hours * task.memory_gb, f"{why}, their memory"),
    ]
    return bill(lines, 8760.0)


def _job_hours(job: BatchJob, work: RequestWork) -> float:
    return job.runs * job.hours(work) * job.instances
