"""``tidegate recommend``: a real server, real loads, in a few seconds."""

import json
import subprocess
import sys
from pathlib import Path

import numpy
import psutil
import pytest

from tests.scene import train

pytestmark = pytest.mark.slow


def test_it_finds_a_configuration_and_leaves_nothing_running(tmp_path: Path) -> None:
    train(tmp_path, 1)
    rows = numpy.random.default_rng(0).normal(size=(20, 30))
    sample = tmp_path / "rows.csv"
    sample.write_text("\n".join(",".join(f"{value:.3f}" for value in row) for row in rows))
    command = [sys.executable, "-m", "tidegate.cli", "recommend", "--model", str(tmp_path / "model-1.tar.gz")]
    options = ["--sample", str(sample), "--slo", "p99=2s", "--rps", "100", "--budget", "1s"]
    done = subprocess.run([*command, *options, "--json"], capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["configuration"]["instances"] >= 1
    assert told["cpu_us"] > 0
    assert told["memory_bytes"] > 20 * 2**20
    offers = told["offers"]
    assert offers[0]["month"] == min(offer["month"] for offer in offers)
    assert all(offer["instances"] * offer["rate"] >= 100 for offer in offers)
    ended = [p for p in psutil.process_iter(["cmdline"]) if str(tmp_path) in " ".join(p.info["cmdline"] or ())]
    assert ended == []


def test_what_cannot_be_meant_is_said_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("1,2\n")
    for options, said in (
        (["--slo", "fast"], "expected something like p99=50ms"),
        (["--budget", "0s"], "too short to try anything"),
        (["--rps", "0"], "give a rate above 0"),
        (["--model", "nowhere.tar.gz"], "there is no such file"),
    ):
        given = {"--model": str(tmp_path / "rows.csv"), "--sample": str(tmp_path / "rows.csv")}
        given |= dict(zip(options[::2], options[1::2], strict=True))
        command = [sys.executable, "-m", "tidegate.cli", "recommend"]
        command += [word for pair in given.items() for word in pair]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 1
        assert said in done.stderr
