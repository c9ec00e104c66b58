"""Updates of all four kinds, one after the other, under steady load: no request may fail.

python -m bench.updates [--updates 200] [--rate 200] [--keep]
"""

import argparse
import itertools
import time
from collections.abc import Sequence

from bench import tables
from tests.scene import KINDS, Scene, train
from tidegate.host.platform import Platform
from tidegate.load import LoadGenerator

BODY = ",".join(["0.1"] * 30).encode()
HEADER = ["kind", "updates", "requests", "failed", "finished", "seconds an update, median"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--updates", type=int, default=200)
    parser.add_argument("--rate", type=float, default=200)
    parser.add_argument("--keep", action="store_true", help="write the table to bench/results.md")
    given = parser.parse_args()
    with Platform() as platform:
        models = train(platform.state / "models", 1), train(platform.state / "models", 2)
        rows = measure(Scene(platform), models, platform.url, BODY, given.updates, given.rate)
    tables.show("updates", "Updates under load", HEADER, rows, keep=given.keep)


def measure(
    scene: Scene,
    models: tuple[str, str],
    front: str,
    body: bytes,
    updates: int,
    rate: float,
    *,
    endpoint: str = "bench",
    kinds: Sequence[str] = tuple(KINDS),
) -> list[list[object]]:
    """Rows for HEADER: of each kind, and of all. ``front``: the URL of what clients ask for predictions; ``body``: a
    request."""
    scene.create(endpoint, scene.config(models[0], instances=2))
    took: dict[str, list[float]] = {kind: [] for kind in kinds}
    finished = dict.fromkeys(kinds, 0)
    with LoadGenerator(
        front, f"/endpoints/{endpoint}/invocations", body, {"Content-Type": "text/csv"}, rate
    ) as load:
        for number, kind in zip(range(updates), itertools.cycle(kinds), strict=False):
            config = scene.config(models[(number + 1) % 2], instances=2)
            began = time.monotonic()
            scene.update(endpoint, config, KINDS[kind]())
            settled = scene.settled(endpoint, 240)
            took[kind].append(time.monotonic() - began)
            finished[kind] += settled["EndpointConfigName"] == config and "FailureReason" not in settled
            print(
                f"{number + 1}/{updates} {kind}: {took[kind][-1]:.1f} s, {load.snapshot().failed} failed",
                flush=True,
            )
        report = load.stop()
    for failure in report.failures[:20]:
        print(failure)
    rows: list[list[object]] = []
    for kind, times in took.items():
        middle = f"{tables.percentile(times, 50):.1f}" if times else "-"
        rows.append([kind, len(times), "", "", f"{finished[kind]}/{len(times)}", middle])
    rows.append(["all", updates, report.total.count, report.failed, f"{sum(finished.values())}/{updates}", ""])
    return rows


if __name__ == "__main__":
    main()
