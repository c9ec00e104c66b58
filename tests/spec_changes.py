"""Every key of a spec file with a file that has it and one that differs in that key alone."""

import copy
from typing import Any, get_args

import msgspec

from tidegate.spec.sections import spec_file

MODEL = {"image": "tidegate/xgboost", "data": "file:///m/model.tar.gz"}
OTHER = {"image": "tidegate/xgboost", "data": "file:///m/other.tar.gz"}
ALARM = {"metric": "ModelLatency", "statistic": "p99", "above": "100ms"}
OWN = {"metric": "Lost", "statistic": "Sum", "above": 1, "namespace": "Own", "dimensions": {"a": "b"}}
QUERY = {"prometheus": "http://p:9090", "query": "lost", "above": 1, "headers": {"X-Scope": {"secret": "one"}}}
DOCUMENT = {"http": "http://checkout/health", "value": "$.rate", "below": 1}
PEAK = {"name": "noon", "starts": "cron(0 12 LW * ? *)", "lasts": "1h", "count": 2}

PLAIN: dict[str, Any] = {
    "endpoint": "fraud",
    "model": MODEL,
    "instances": 2,
    "quotas": {"rate": "5/s"},
    "rollout": {"strategy": "linear", "step": "25%", "wait": "1h", "final_bake": "1m"},
    "alarms": {"slow": ALARM, "own": OWN},
    "tags": {"team": "pay"},
}
WORKLOAD = {"rps": 5, "peaks": [{"name": "pay days", "factor": 4, "days": [15, -1]}], "figures": {"in": 2000}}
BASES: dict[str, dict[str, Any]] = {
    "planned": {**PLAIN, "workload": WORKLOAD},
    "job": {"endpoint": "fraud", "model": MODEL, "job": {"input": "s3://data/in/", "output": "s3://data/out/"}},
    "plain": PLAIN,
    "approved": {**PLAIN, "approval": {"role": "operator"}},
    "canary": {**PLAIN, "rollout": {"strategy": "canary", "size": "10%", "wait": "1h"}},
    "held back": {
        **PLAIN,
        "rollout": {
            "strategy": "canary",
            "size": "10%",
            "holdback": {"share": "1%", "for": "1d"},
            "stick": {"header": "X-Client"},
        },
    },
    "rolling": {**PLAIN, "rollout": {"strategy": "rolling", "batch": "10%", "wait": "1h"}},
    "signals": {**PLAIN, "alarms": {"lost": {**QUERY, "for": "1m"}, "rate": DOCUMENT}},
    "bare": {"endpoint": "fraud", "model": MODEL, "alarms": {"slow": ALARM}},
    "compared": {
        **PLAIN,
        "evidence": {
            "compare": ["errors", "latency", "predictions"],
            "tolerance": {"errors": "0.5%"},
            "minimum": 200,
        },
    },
    "assured": {
        **PLAIN,
        "evidence": {"assure": {"harm": {"errors": "1%", "latency": "50%"}, "before": "25%", "exposure": 20_000}},
    },
    "replayed": {
        "rollout": {"strategy": "canary", "size": "10%", "wait": "10m"},
        **PLAIN,
        "evidence": {
            "replay": {"rows": "s3://rows/q3.csv", "label": "fraud", "tolerance": {"auc": 0.01}},
            "assure": {"harm": {"errors": "1%"}, "before": "25%"},
        },
    },
    "paired": {
        "rollout": {"strategy": "canary", "size": "10%", "wait": "10m"},
        "endpoint": "fraud",
        "pipeline": [{"name": "a", **MODEL}, {"name": "b", **OTHER}],
        "evidence": {
            "compare": ["errors", "paired", "features", "text"],
            "assure": {"harm": {"predictions": {"bias": 93}}, "before": "25%"},
            "tolerance": {
                "paired": {"bias": 0.2},
                "features": {"rows": "2%"},
                "text": {"refusals": "5%"},
            },
        },
    },
    "judged": {
        "rollout": {"strategy": "canary", "size": "10%", "wait": "10m"},
        **PLAIN,
        "evidence": {
            "compare": ["errors", "judge"],
            "judge": {"url": "https://judge.example.com", "model": "judge-1", "headers": {"X-Team": "a"}},
            "tolerance": {"judge": "20%"},
        },
    },
    "pipeline": {"endpoint": "fraud", "pipeline": [{"name": "a", **MODEL}, {"name": "b", **OTHER}]},
    "containers": {"endpoint": "fraud", "containers": [{"name": "a", **MODEL}, {"name": "b", **OTHER}]},
    "variants": {
        "endpoint": "fraud",
        "variants": [{"name": "a", "model": MODEL}, {"name": "b", "model": OTHER}],
        "alarms": {"slow": {**ALARM, "variant": "a"}},
        "autoscaling": {"min": 1, "max": 3, "target": 2, "variant": "a"},
    },
    "contained": {
        "endpoint": "fraud",
        "model": {
            "container": "ghcr.example/fraud:1",
            "port": 8000,
            "headers": {"Authorization": {"secret": "one"}},
        },
    },
    "served": {"endpoint": "fraud", "model": {"url": "http://fraud:8000"}},
    "contained pipeline": {
        "endpoint": "fraud",
        "pipeline": [{"name": "a", "container": "ghcr.example/fraud:1", "port": 8000}, {"name": "b", **MODEL}],
    },
    "served pipeline": {
        "endpoint": "fraud",
        "pipeline": [{"name": "a", "url": "http://fraud:8000"}, {"name": "b", **MODEL}],
    },
    "following": {
        "endpoint": "fraud",
        "model": {**MODEL, "follow": {"address": "models:/fraud@champion", "every": "1m"}},
    },
    "many": {"endpoint": "fraud", "model": {**MODEL, "data": "file:///m/", "multi_model": {"memory": "1GiB"}}},
    "serverless": {"endpoint": "fraud", "model": MODEL, "serverless": {"memory": "1GiB", "max_concurrency": 20}},
    "shadow": {"endpoint": "fraud", "model": MODEL, "shadow": {"model": OTHER, "share": "20%"}},
    "async": {"endpoint": "fraud", "model": MODEL, "async": {"output": "file:///out"}},
    "watched": {
        "endpoint": "fraud",
        "model": MODEL,
        "capture": {"to": "file:///out"},
        "drift": {"baseline": "s3://baselines/fraud.json"},
    },
    "captured": {
        "endpoint": "fraud",
        "model": MODEL,
        "capture": {"to": "file:///out", "redact": {"fields": {"ssn": "drop"}, "key": "one"}},
    },
    "scaled": {"endpoint": "fraud", "model": MODEL, "autoscaling": {"min": 1, "max": 3, "target": 2}},
    "tracked": {
        "endpoint": "fraud",
        "model": MODEL,
        "autoscaling": {"min": 1, "max": 3, "target": 2, "rule": "aws"},
    },
    "peaks": {"endpoint": "fraud", "model": MODEL, "autoscaling": {"min": 1, "max": 3, "calendar": [PEAK]}},
    "forecast": {
        "endpoint": "fraud",
        "model": MODEL,
        "autoscaling": {"min": 1, "max": 3, "forecast": {"per_instance": 5}},
    },
}

GONE = object()
CHANGES: dict[str, tuple[str, str, Any]] = {
    "SpecFile.model": ("plain", "model", OTHER),
    "SpecFile.target": ("plain", "target", "elsewhere"),
    "SpecFile.pipeline": ("pipeline", "pipeline", [{"name": "a", **OTHER}, {"name": "b", **MODEL}]),
    "SpecFile.containers": ("containers", "containers", [{"name": "a", **OTHER}, {"name": "b", **MODEL}]),
    "SpecFile.instances": ("plain", "instances", 3),
    "SpecFile.instance_type": ("plain", "instance_type", "ml.c5.xlarge"),
    "SpecFile.routing": ("plain", "routing", "least_outstanding_requests"),
    "SpecFile.startup_timeout": ("plain", "startup_timeout", "90s"),
    "SpecFile.memory": ("plain", "memory", "2GiB"),
    "SpecFile.download_timeout": ("plain", "download_timeout", "90s"),
    "SpecFile.max_in_flight": ("plain", "max_in_flight", 7),
    "SpecFile.queue_time": ("plain", "queue_time", "50ms"),
    "SpecFile.quotas": ("plain", "quotas", GONE),
    "SpecFile.variants": ("variants", "variants", [{"name": "a", "model": OTHER}, {"name": "b", "model": OTHER}]),
    "SpecFile.serverless": ("serverless", "serverless", {"memory": "2GiB", "max_concurrency": 20}),
    "SpecFile.shadow": ("shadow", "shadow", GONE),
    "SpecFile.async": ("async", "async", {"output": "file:///elsewhere"}),
    "SpecFile.capture": ("captured", "capture", GONE),
    "SpecFile.drift": ("watched", "drift", GONE),
    "SpecFile.autoscaling": ("scaled", "autoscaling", GONE),
    "SpecFile.rollout": ("plain", "rollout", GONE),
    "SpecFile.alarms": ("plain", "alarms", {"slow": ALARM}),
    "SpecFile.tags": ("plain", "tags", {"team": "risk"}),
    "SpecFile.job": ("job", "job", {"input": "s3://other/", "output": "s3://data/out/"}),
    "SpecFile.workload": ("planned", "workload", GONE),
    **{
        f"TransformSection.{key}": ("job", f"job.{key}", value)
        for key, value in (
            *(
                ("input", "s3://other/"),
                ("output", "s3://other/"),
                ("content_type", "text/csv"),
                ("split", "line"),
            ),
            *(("join", True), ("on_bad_rows", "errors"), ("megabytes", 7), ("timeout", "20m")),
        )
    },
    **{
        f"WorkloadSpec.{key}": ("planned", f"workload.{key}", value)
        for key, value in (
            *(
                ("place", "lambda"),
                ("region", "eu-central-1"),
                ("year", 2027),
                ("traffic", "payroll"),
                ("rps", 6.0),
            ),
            *(("peaks", GONE), ("figures", {"in": 3000.0})),
        )
    },
    **{
        f"WorkloadPeak.{key}": ("planned", f"workload.peaks.0.{key}", value)
        for key, value in (
            *(
                ("name", "month end"),
                ("factor", 5.0),
                ("days", [-1]),
                ("months", [1]),
                ("working", True),
                ("ahead", 1),
            ),
        )
    },
    "ModelSpec.image": ("plain", "model.image", "tidegate/auto"),
    "ModelSpec.data": ("plain", "model.data", "file:///m/later.tar.gz"),
    "ModelSpec.environment": ("plain", "model.environment", {"THREADS": 2}),
    "ModelSpec.method": ("plain", "model.method", "predict_proba"),
    "ModelSpec.fingerprint": ("plain", "model.fingerprint", "abc"),
    "ModelSpec.follow": ("following", "model.follow", GONE),
    "FollowSpec.address": ("following", "model.follow.address", "models:/fraud@next"),
    "FollowSpec.every": ("following", "model.follow.every", "2m"),
    "FollowSpec.restore": ("following", "model.follow.restore", True),
    "ModelSpec.multi_model": ("many", "model.multi_model", {"memory": "2GiB"}),
    "ContainerSection.name": ("pipeline", "pipeline.0.name", "c"),
    "ContainerSection.image": ("pipeline", "pipeline.0.image", "tidegate/auto"),
    "ContainerSection.data": ("pipeline", "pipeline.0.data", "file:///m/later.tar.gz"),
    "ContainerSection.environment": ("pipeline", "pipeline.0.environment", {"THREADS": 2}),
    "ContainerSection.method": ("pipeline", "pipeline.0.method", "predict_proba"),
    "ContainerSection.fingerprint": ("pipeline", "pipeline.0.fingerprint", "abc"),
    "ContainerSection.follow": ("pipeline", "pipeline.0.follow", {"address": "models:/fraud@next"}),
    "ContainerSection.multi_model": ("pipeline", "pipeline.0.multi_model", {"memory": "1GiB"}),
    **{
        f"{section}.{key}": (f"{base}{more}", f"{path}.{key}", value)
        for section, more, path in (("ModelSpec", "", "model"), ("ContainerSection", " pipeline", "pipeline.0"))
        for base, key, value in (
            ("contained", "container", "ghcr.example/fraud:2"),
            ("served", "url", ["http://fraud:8000", "http://other"]),
            ("contained", "port", 9000),
            ("contained", "health", "/healthz"),
            ("contained", "predict", "/predict"),
            ("contained", "arguments", ["--quiet"]),
            ("served", "headers", {"X-Team": "risk"}),
            ("contained", "protocol", "openai"),
            ("served", "prediction", "$.scores[0]"),
            ("contained", "gpus", 1),
        )
    },
    "SecretSpec.secret": ("contained", "model.headers.Authorization.secret", "two"),
    "MultiModelSpec.memory": ("many", "model.multi_model.memory", "2GiB"),
    "MultiModelSpec.pin": ("many", "model.multi_model.pin", ["a.tar.gz"]),
    "MultiModelSpec.prefetch": ("many", "model.multi_model.prefetch", ["a.tar.gz"]),
    "MultiModelSpec.minimum_stay": ("many", "model.multi_model.minimum_stay", "20s"),
    "MultiModelSpec.loading": ("many", "model.multi_model.loading", 3),
    "MultiModelSpec.disk": ("many", "model.multi_model.disk", "10GiB"),
    "MultiModelSpec.cache": ("many", "model.multi_model.cache", False),
    "VariantSection.name": ("variants", "variants.1.name", "c"),
    "VariantSection.model": ("variants", "variants.1.model", MODEL),
    "VariantSection.pipeline": (
        "variants",
        "variants.1",
        {"name": "b", "pipeline": BASES["pipeline"]["pipeline"]},
    ),
    "VariantSection.containers": (
        "variants",
        "variants.1",
        {"name": "b", "containers": BASES["containers"]["containers"]},
    ),
    "VariantSection.instances": ("variants", "variants.1.instances", 2),
    "VariantSection.instance_type": ("variants", "variants.1.instance_type", "ml.c5.xlarge"),
    "VariantSection.weight": ("variants", "variants.1.weight", 3.0),
    "VariantSection.routing": ("variants", "variants.1.routing", "least_outstanding_requests"),
    "VariantSection.startup_timeout": ("variants", "variants.1.startup_timeout", "90s"),
    "VariantSection.memory": ("variants", "variants.1.memory", "2GiB"),
    "SpecFile.devices": ("plain", "devices", 1),
    "VariantSection.devices": ("variants", "variants.1.devices", 1),
    "VariantSection.download_timeout": ("variants", "variants.1.download_timeout", "90s"),
    "VariantSection.max_in_flight": ("variants", "variants.1.max_in_flight", 7),
    "VariantSection.queue_time": ("variants", "variants.1.queue_time", "50ms"),
    "ServerlessSpec.memory": ("serverless", "serverless.memory", "2GiB"),
    "ServerlessSpec.max_concurrency": ("serverless", "serverless.max_concurrency", 30),
    "ServerlessSpec.provisioned": ("serverless", "serverless.provisioned", 5),
    "ServerlessSpec.idle_after": ("serverless", "serverless.idle_after", "1m"),
    "ServerlessSpec.per_instance": ("serverless", "serverless.per_instance", 5),
    "ShadowSpec.model": ("shadow", "shadow.model", {**OTHER, "data": "file:///m/third.tar.gz"}),
    "ShadowSpec.share": ("shadow", "shadow.share", "30%"),
    "ShadowSpec.name": ("shadow", "shadow.name", "ghost"),
    "ShadowSpec.instances": ("shadow", "shadow.instances", 2),
    "ShadowSpec.instance_type": ("shadow", "shadow.instance_type", "ml.c5.xlarge"),
    "ShadowSpec.routing": ("shadow", "shadow.routing", "least_outstanding_requests"),
    "ShadowSpec.startup_timeout": ("shadow", "shadow.startup_timeout", "90s"),
    "ShadowSpec.memory": ("shadow", "shadow.memory", "2GiB"),
    "ShadowSpec.devices": ("shadow", "shadow.devices", 1),
    "ShadowSpec.download_timeout": ("shadow", "shadow.download_timeout", "90s"),
    "AsyncSpec.output": ("async", "async.output", "file:///elsewhere"),
    "AsyncSpec.failure": ("async", "async.failure", "file:///failed"),
    "AsyncSpec.max_concurrent": ("async", "async.max_concurrent", 5),
    "AsyncSpec.success": ("async", "async.success", ["https://hooks.example/a"]),
    "AsyncSpec.error": ("async", "async.error", ["https://hooks.example/b"]),
    "AsyncSpec.include_response": ("async", "async.include_response", True),
    "AsyncSpec.retries": ("async", "async.retries", 2),
    "AsyncSpec.idle_after": ("async", "async.idle_after", "5m"),
    "CaptureSection.to": ("captured", "capture.to", "file:///elsewhere"),
    "CaptureSection.sample": ("captured", "capture.sample", "20%"),
    "CaptureSection.sides": ("captured", "capture.sides", ["input"]),
    "CaptureSection.csv": ("captured", "capture.csv", ["text/plain"]),
    "CaptureSection.json": ("captured", "capture.json", ["application/jsonlines"]),
    "CaptureSection.kms_key": ("captured", "capture", {"to": "s3://out/k", "kms_key": "alias/captures"}),
    "CaptureSection.keep": ("captured", "capture.keep", "1GiB"),
    "CaptureSection.redact": ("captured", "capture.redact", GONE),
    "DriftSection.baseline": ("watched", "drift.baseline", "file:///b/other.json"),
    "DriftSection.every": ("watched", "drift.every", "1h"),
    "DriftSection.window": ("watched", "drift.window", "1h"),
    "DriftSection.by": ("watched", "drift.by", ["country"]),
    "DriftSection.columns": ("watched", "drift.columns", ["amount", "country"]),
    "DriftSection.score": ("watched", "drift.score", "predictions[0].score"),
    "DriftSection.least": ("watched", "drift.least", 0.2),
    "DriftSection.false_alarms": ("watched", "drift.false_alarms", 0.01),
    "DriftSection.zone": ("watched", "drift.zone", "Europe/Berlin"),
    "RedactSpec.fields": ("captured", "capture.redact.fields", {"iban": "drop"}),
    "RedactSpec.detect": ("captured", "capture.redact.detect", ["email"]),
    "RedactSpec.columns": ("captured", "capture.redact.columns", ["ssn", "amount"]),
    "RedactSpec.key": ("captured", "capture.redact.key", "two"),
    "QuotasSpec.rate": ("plain", "quotas.rate", "6/s"),
    "QuotasSpec.by": ("plain", "quotas.by", "header X-Client"),
    "QuotasSpec.burst": ("plain", "quotas.burst", 9.0),
    "QuotasSpec.clients": ("plain", "quotas.clients", {"acme": "9/s"}),
    "RolloutSpec.strategy": ("bare", "rollout", {"strategy": "canary", "size": "10%"}),
    "RolloutSpec.size": ("canary", "rollout.size", "20%"),
    "RolloutSpec.step": ("plain", "rollout.step", "50%"),
    "RolloutSpec.batch": ("rolling", "rollout.batch", "20%"),
    "RolloutSpec.rollback_batch": ("rolling", "rollout.rollback_batch", "50%"),
    "RolloutSpec.wait": ("plain", "rollout.wait", "25s"),
    "RolloutSpec.final_bake": ("plain", "rollout.final_bake", "2m"),
    "RolloutSpec.timeout": ("plain", "rollout.timeout", "9h"),
    "RolloutSpec.alarms": ("plain", "rollout.alarms", ["slow"]),
    "RolloutSpec.stick": ("plain", "rollout.stick", {"header": "X-Client"}),
    "StickSpec.header": ("held back", "rollout.stick.header", "X-Tenant"),
    "RolloutSpec.holdback": ("canary", "rollout.holdback", {"share": "1%", "for": "24h"}),
    "HoldbackSpec.share": ("held back", "rollout.holdback.share", "2%"),
    "HoldbackSpec.for": ("held back", "rollout.holdback.for", "1h"),
    "RolloutSpec.require_evidence": ("plain", "rollout.require_evidence", True),
    "SpecFile.evidence": ("plain", "evidence", {}),
    "SpecFile.approval": ("plain", "approval", {"role": "admin"}),
    "ApprovalSpec.role": ("approved", "approval.role", "admin"),
    "ApprovalSpec.not": ("approved", "approval.not", "nobody"),
    "EvidenceSpec.compare": ("compared", "evidence.compare", ["errors", "predictions"]),
    "EvidenceSpec.tolerance": ("compared", "evidence.tolerance", GONE),
    "EvidenceSpec.false_rollback_rate": ("compared", "evidence.false_rollback_rate", "2%"),
    "EvidenceSpec.action": ("compared", "evidence.action", "gate"),
    "EvidenceSpec.minimum": ("compared", "evidence.minimum", 50),
    "EvidenceSpec.deadline": ("compared", "evidence.deadline", "2h"),
    "EvidenceSpec.on_no_data": ("compared", "evidence.on_no_data", "advance"),
    "EvidenceSpec.on_rising": ("compared", "evidence.on_rising", "advance"),
    "ToleranceSpec.errors": ("compared", "evidence.tolerance.errors", "1%"),
    "ToleranceSpec.latency": ("compared", "evidence.tolerance.latency", "10%"),
    "ToleranceSpec.predictions": ("compared", "evidence.tolerance.predictions", "5%"),
    "EvidenceSpec.replay": ("replayed", "evidence.replay", GONE),
    "ReplaySpec.rows": ("replayed", "evidence.replay.rows", "s3://rows/q4.parquet"),
    "ReplaySpec.label": ("replayed", "evidence.replay.label", ["default", "loss"]),
    "ReplaySpec.labels": (
        *("replayed", "evidence.replay"),
        {"rows": "s3://captures/fraud", "labels": "s3://labels/fraud"},
    ),
    "ReplaySpec.leave_out": ("replayed", "evidence.replay.leave_out", ["id"]),
    "ReplaySpec.columns": ("replayed", "evidence.replay.columns", ["amount", "tenure"]),
    "ReplaySpec.by": ("replayed", "evidence.replay.by", "country"),
    "ReplaySpec.score": ("replayed", "evidence.replay.score", "predictions[0].score"),
    "ReplaySpec.tolerance": ("replayed", "evidence.replay.tolerance", GONE),
    "ReplaySpec.least_labels": ("replayed", "evidence.replay.least_labels", 50),
    "ReplaySpec.within": ("replayed", "evidence.replay.within", "5m"),
    "ReplayToleranceSpec.auc": ("replayed", "evidence.replay.tolerance.auc", 0.03),
    "ReplayToleranceSpec.calibration": ("replayed", "evidence.replay.tolerance.calibration", 0.03),
    "ReplayToleranceSpec.mean": ("replayed", "evidence.replay.tolerance.mean", "5%"),
    "ReplayToleranceSpec.slice": ("replayed", "evidence.replay.tolerance.slice", "20%"),
    "ReplayToleranceSpec.error": ("replayed", "evidence.replay.tolerance.error", "2%"),
    "EvidenceSpec.assure": ("assured", "evidence.assure", GONE),
    "AssureSpec.harm": ("assured", "evidence.assure.harm", {"errors": "2%"}),
    "AssureSpec.before": ("assured", "evidence.assure.before", "50%"),
    "AssureSpec.missed": ("assured", "evidence.assure.missed", "2%"),
    "AssureSpec.exposure": ("assured", "evidence.assure.exposure", 5000),
    "AssureSpec.failed": ("assured", "evidence.assure.failed", 50),
    "AssureSpec.ramp": ("assured", "evidence.assure.ramp", "auto"),
    "AssureSpec.unit": ("assured", "evidence.assure.unit", "second"),
    "HarmSpec.errors": ("assured", "evidence.assure.harm.errors", "0.5%"),
    "HarmSpec.latency": ("assured", "evidence.assure.harm.latency", "100%"),
    "HarmSpec.predictions": ("paired", "evidence.assure.harm.predictions", {"spread": 40}),
    "HarmSpec.auc": ("replayed", "evidence.assure.harm.auc", 0.02),
    "HarmSpec.recall": ("replayed", "evidence.assure.harm.recall", "1%"),
    "HarmSpec.mean_error": ("replayed", "evidence.assure.harm.mean_error", "5%"),
    "PredictionHarmSpec.bias": ("paired", "evidence.assure.harm.predictions.bias", 50),
    "PredictionHarmSpec.spread": ("paired", "evidence.assure.harm.predictions.spread", 50),
    "PredictionHarmSpec.distance": ("paired", "evidence.assure.harm.predictions.distance", 50),
    "PredictionHarmSpec.top_bias": ("paired", "evidence.assure.harm.predictions.top_bias", 50),
    "PredictionHarmSpec.moved": ("paired", "evidence.assure.harm.predictions.moved", "20%"),
    "PredictionHarmSpec.top": ("paired", "evidence.assure.harm.predictions.top", "60%"),
    "PredictionHarmSpec.order": ("paired", "evidence.assure.harm.predictions.order", "20%"),
    "EvidenceSpec.slices": ("paired", "evidence.slices", ["country", 3]),
    "EvidenceSpec.judge": ("judged", "evidence.judge", {"url": "https://other.example.com", "model": "judge-1"}),
    "JudgeSpec.url": ("judged", "evidence.judge.url", "https://other.example.com"),
    "JudgeSpec.model": ("judged", "evidence.judge.model", "judge-2"),
    "JudgeSpec.headers": ("judged", "evidence.judge.headers", {"Authorization": {"secret": "judge"}}),
    "JudgeSpec.asks": ("judged", "evidence.judge.asks", 200),
    "JudgeSpec.labels": ("judged", "evidence.judge.labels", 80),
    "JudgeSpec.rubric": ("judged", "evidence.judge.rubric", "Which answer is more polite?"),
    "ToleranceSpec.judge": ("judged", "evidence.tolerance.judge", "5%"),
    "EvidenceSpec.copies": ("paired", "evidence.copies", "30s"),
    "EvidenceSpec.on_features": ("paired", "evidence.on_features", "rollback"),
    "ToleranceSpec.paired": ("paired", "evidence.tolerance.paired", GONE),
    "ToleranceSpec.features": ("paired", "evidence.tolerance.features", GONE),
    "PairedSpec.distance": ("paired", "evidence.tolerance.paired.distance", 0.1),
    "PairedSpec.bias": ("paired", "evidence.tolerance.paired.bias", 0.1),
    "PairedSpec.moved": ("paired", "evidence.tolerance.paired.moved", "5%"),
    "PairedSpec.top": ("paired", "evidence.tolerance.paired.top", "50%"),
    "PairedSpec.top_bias": ("paired", "evidence.tolerance.paired.top_bias", 0.3),
    "PairedSpec.order": ("paired", "evidence.tolerance.paired.order", "10%"),
    "PairedSpec.slice": ("paired", "evidence.tolerance.paired.slice", 0.5),
    "PairedSpec.failed": ("paired", "evidence.tolerance.paired.failed", "2%"),
    "FeatureSpec.rows": ("paired", "evidence.tolerance.features.rows", "5%"),
    "FeatureSpec.scale": ("paired", "evidence.tolerance.features.scale", "10%"),
    "FeatureSpec.shift": ("paired", "evidence.tolerance.features.shift", 0.5),
    "ToleranceSpec.text": ("paired", "evidence.tolerance.text", GONE),
    "TextSpec.refusals": ("paired", "evidence.tolerance.text.refusals", "3%"),
    "TextSpec.repetitions": ("paired", "evidence.tolerance.text.repetitions", "3%"),
    "TextSpec.empty": ("paired", "evidence.tolerance.text.empty", "3%"),
    "TextSpec.length": ("paired", "evidence.tolerance.text.length", "20%"),
    "TextSpec.first_token": ("paired", "evidence.tolerance.text.first_token", "50%"),
    "TextSpec.speed": ("paired", "evidence.tolerance.text.speed", "50%"),
    "AlarmSpec.metric": ("plain", "alarms.slow.metric", "OverheadLatency"),
    "AlarmSpec.statistic": ("plain", "alarms.slow.statistic", "p95"),
    "AlarmSpec.prometheus": ("signals", "alarms.lost.prometheus", "http://other:9090"),
    "AlarmSpec.query": ("signals", "alarms.lost.query", "missed"),
    "AlarmSpec.headers": ("signals", "alarms.lost.headers.X-Scope.secret", "two"),
    "AlarmSpec.for": ("signals", "alarms.lost.for", "2m"),
    "AlarmSpec.http": ("signals", "alarms.rate.http", "http://other/health"),
    "AlarmSpec.value": ("signals", "alarms.rate.value", "$.rates[0]"),
    "AlarmSpec.above": ("plain", "alarms.slow.above", "200ms"),
    "AlarmSpec.at_least": ("plain", "alarms.slow", {**ALARM, "above": None, "at_least": "100ms"}),
    "AlarmSpec.below": ("plain", "alarms.slow", {**ALARM, "above": None, "below": "100ms"}),
    "AlarmSpec.at_most": ("plain", "alarms.slow", {**ALARM, "above": None, "at_most": "100ms"}),
    "AlarmSpec.period": ("plain", "alarms.slow.period", "30s"),
    "AlarmSpec.periods": ("plain", "alarms.slow.periods", 5),
    "AlarmSpec.datapoints": ("plain", "alarms.slow.datapoints", 2),
    "AlarmSpec.missing": ("plain", "alarms.slow.missing", "breaching"),
    "AlarmSpec.scope": ("plain", "alarms.slow.scope", "endpoint"),
    "AlarmSpec.variant": ("variants", "alarms.slow.variant", "b"),
    "AlarmSpec.namespace": ("plain", "alarms.own.namespace", "Other"),
    "AlarmSpec.dimensions": ("plain", "alarms.own.dimensions", {"a": "c"}),
    "AlarmSpec.description": ("plain", "alarms.slow.description", "too slow"),
    "AutoscalingSpec.min": ("scaled", "autoscaling.min", 2),
    "AutoscalingSpec.max": ("scaled", "autoscaling.max", 5),
    "AutoscalingSpec.target": ("scaled", "autoscaling.target", 4.0),
    "AutoscalingSpec.metric": ("tracked", "autoscaling.metric", "cpu"),
    "AutoscalingSpec.rule": ("scaled", "autoscaling.rule", "aws"),
    "AutoscalingSpec.queue_time": ("scaled", "autoscaling.queue_time", "50ms"),
    "AutoscalingSpec.scale_in_after": ("scaled", "autoscaling.scale_in_after", "2m"),
    "AutoscalingSpec.calendar": ("peaks", "autoscaling.calendar", [PEAK, {**PEAK, "name": "late"}]),
    "AutoscalingSpec.forecast": ("scaled", "autoscaling.forecast", {"per_instance": 4}),
    "AutoscalingSpec.variant": ("variants", "autoscaling.variant", "b"),
    "PeakSpec.name": ("peaks", "autoscaling.calendar.0.name", "late"),
    "PeakSpec.starts": ("peaks", "autoscaling.calendar.0.starts", "cron(0 13 LW * ? *)"),
    "PeakSpec.lasts": ("peaks", "autoscaling.calendar.0.lasts", "2h"),
    "PeakSpec.count": ("peaks", "autoscaling.calendar.0.count", 3),
    "PeakSpec.timezone": ("peaks", "autoscaling.calendar.0.timezone", "Europe/Zurich"),
    "PeakSpec.holidays": ("peaks", "autoscaling.calendar.0.holidays", "CH"),
    "ForecastSpec.per_instance": ("forecast", "autoscaling.forecast.per_instance", 6),
    "ForecastSpec.season": ("forecast", "autoscaling.forecast.season", "1d"),
}
"""``Structure.key`` -> a base, where in it, and the other value."""


def keys() -> set[str]:
    """Of every structure that a spec file may have, but the endpoint's name, which makes it another endpoint."""
    found: set[str] = set()
    waiting: list[Any] = [spec_file()]
    seen: set[Any] = set()
    while waiting:
        kind = waiting.pop()
        if kind in seen:
            continue
        seen.add(kind)
        waiting += get_args(kind)
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            for field in msgspec.structs.fields(kind):
                found.add(f"{kind.__name__}.{field.encode_name}")
                waiting.append(field.type)
    return found - {"SpecFile.endpoint"}


REFUSED = ("ContainerSection.multi_model", "ContainerSection.gpus", "ContainerSection.follow")
"""A container among several cannot have many models or accelerators of its own, or follow a registry: the file's own
rules refuse it."""
JOBS = frozenset(key for key in CHANGES if CHANGES[key][0] == "job")
"""Keys of a job, which is no endpoint and is not deployed."""


def pair(key: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """A spec and the same with another value of the key."""
    base, path, value = CHANGES[key]
    before = copy.deepcopy(BASES[base])
    after = copy.deepcopy(before)
    where: Any = after
    *steps, last = (int(step) if step.isdecimal() else step for step in path.split("."))
    for step in steps:
        where = where[step]
    if value is GONE:
        del where[last]
    else:
        where[last] = copy.deepcopy(value)
    return before, after
