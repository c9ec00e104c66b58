"""How long it takes to simulate an 8-hour linear rollout, and a crowd of 1,000 of them at once.

python bench/simulate_linear.py [--crowd N]
"""

import argparse
import time

from tests.samples import linear, percent, version
from tidegate.domain.rollout import Phase
from tidegate.features.rehearse.rehearsal.simulation import RolloutTimeline, simulate

HOURS = 8
STEPS = 10


def eight_hours() -> RolloutTimeline:
    """Ten steps of 10 %; nine waits and the final bake share the eight hours."""
    wait = HOURS * 3600 // STEPS
    return simulate(version("old", 4), version("new", 4), linear(percent(10), wait, wait), startup=60.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--crowd", type=int, default=1000)
    crowd = parser.parse_args().crowd
    began = time.perf_counter()
    timeline = eight_hours()
    one = time.perf_counter() - began
    assert timeline.phase is Phase.SUCCEEDED
    print(f"one linear rollout of {timeline.seconds / 3600:.2f} h, {len(timeline.moments)} moments: {one:.4f} s")
    began = time.perf_counter()
    hours = sum(eight_hours().seconds for _ in range(crowd)) / 3600
    all_of_them = time.perf_counter() - began
    print(f"{crowd} of them, {hours / 24:.0f} simulated days: {all_of_them:.2f} s")


if __name__ == "__main__":
    main()
