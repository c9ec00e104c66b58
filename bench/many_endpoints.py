"""Dedicated endpoints on one machine, one XGBoost replica each: what they take while nobody asks, and share.

    python -m bench.many_endpoints [--endpoints 3,10,30,100] [--seconds 30] [--keep]

Private memory is what would be free again if one worker ended. Shared libraries count for none of it, nor do pages
that a forked worker has not written to.
"""

import argparse
import time
from collections.abc import Callable, Sequence

import psutil

from bench import tables
from bench.guarded import guarded_platform
from tests.scene import Scene, train
from tidegate.host.platform import Platform, wait_until

LISTS = 50


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--endpoints", type=_numbers, default=[3, 10, 30, 100])
    parser.add_argument("--seconds", type=float, default=30, help="of rest that are measured")
    parser.add_argument("--keep", action="store_true", help="write the table to bench/results.md")
    given = parser.parse_args()
    rows = [measure(count, given.seconds) for count in given.endpoints]
    header = [
        *("endpoints", "created, each", "controller at rest", "all at rest", "controller", "list p50, max"),
        *("a worker: private, resident", "adopted after a restart"),
    ]
    tables.show(
        "many-endpoints", "Many dedicated endpoints", header, rows, keep=given.keep, command="many_endpoints"
    )


def measure(count: int, seconds: float) -> list[object]:
    with guarded_platform() as platform:
        scene = Scene(platform)
        names = [f"e{number}" for number in range(count)]
        begun = time.monotonic()
        urls = [train(platform.state / "models", seed) for seed in range(min(count, 4))]
        configs = [scene.config(url) for url in urls]
        begun = time.monotonic()
        for number, name in enumerate(names):
            scene.create(name, configs[number % len(configs)])
        created = (time.monotonic() - begun) / count
        controller = psutil.Process(platform.controller_pid)
        rest, everything = _at_rest(platform, controller, seconds)
        lists = [_timed(lambda: scene.sagemaker.list_endpoints(MaxResults=100)) for _ in range(LISTS)]
        held = controller.memory_info().rss
        workers = [_memory(process) for process in platform.workers().values()]
        adopted = _adopt(platform, scene, names)
    private, resident = (tables.percentile([float(one[index]) for one in workers], 50) for index in (0, 1))
    slowest = f"{tables.percentile(lists, 50) * 1000:.0f}, {max(lists) * 1000:.0f} ms"
    return [
        *(count, f"{created:.2f} s", f"{rest:.1%}", f"{everything:.1%}", _mebibytes(held), slowest),
        *(f"{_mebibytes(private)}, {_mebibytes(resident)}", f"{adopted:.1f} s"),
    ]


def _at_rest(platform: Platform, controller: psutil.Process, seconds: float) -> tuple[float, float]:
    """Shares of a core: of the controller, and of all processes."""
    everything = platform.processes()
    time.sleep(5)
    before, all_before, begun = _spent([controller]), _spent(everything), time.monotonic()
    time.sleep(seconds)
    passed = time.monotonic() - begun
    return (_spent([controller]) - before) / passed, (_spent(everything) - all_before) / passed


def _spent(processes: Sequence[psutil.Process]) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in processes if process.is_running())


def _timed(call: Callable[[], object]) -> float:
    begun = time.monotonic()
    call()
    return time.monotonic() - begun


def _memory(process: psutil.Process) -> tuple[int, int]:
    full = process.memory_full_info()
    return full.uss, full.rss


def _adopt(platform: Platform, scene: Scene, names: Sequence[str]) -> float:
    """Seconds from the start of a new controller until each endpoint has its instance."""
    platform.kill_controller()
    begun = time.monotonic()
    platform.start()

    def all_there() -> bool:
        return all(scene.describe(name)["ProductionVariants"][0]["CurrentInstanceCount"] == 1 for name in names)

    wait_until(all_there, "all endpoints are adopted", 120)
    return time.monotonic() - begun


def _mebibytes(size: float) -> str:
    return f"{size / 2**20:.0f} MB"


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",") if part]


if __name__ == "__main__":
    main()
