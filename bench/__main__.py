"""Every benchmark, one after the other, tables kept in bench/results.md: ``python -m bench``."""

import subprocess
import sys

BENCHES = (
    ("bench.simulate_linear",),
    ("bench.weights", "--keep"),
    ("bench.byhand", "--keep"),
    ("bench.floor", "--keep"),
    ("bench.pipeline", "--keep"),
    ("bench.rollbacks", "--keep"),
    ("bench.kills", "--keep"),
    ("bench.updates", "--keep"),
    ("bench.sagemaker_engine", "--keep"),
    ("bench.shadow", "--keep"),
    ("bench.capture", "--keep"),
    ("bench.redaction", "--keep"),
    ("bench.multimodel", "--keep"),
    ("bench.coldstart", "--keep"),
    ("bench.many_endpoints", "--keep"),
    ("bench.batch", "--keep"),
    ("bench.batch", "--parquet", "--keep"),
    ("bench.batch", "--instances", "2", "--keep"),
    ("bench.scaling_sim", "--keep"),
    ("bench.overload", "--keep"),
    ("bench.noisy_neighbour", "--keep"),
    ("bench.peak", "--keep"),
    ("bench.evidence", "--keep"),
    ("bench.planted", "--keep"),
    ("bench.drift", "--keep"),
    ("bench.forecast_bill", "--keep"),
    ("bench.recommend", "--keep"),
    ("bench.openai_upstream", "--keep"),
    ("bench.asynchronous", "--keep"),
    ("bench.asynchronous", "--chaos", "100000", "--keep"),
)

if __name__ == "__main__":
    for module, *options in BENCHES:
        print(f"== {module}", flush=True)
        subprocess.run([sys.executable, "-m", module, *options], check=True)
