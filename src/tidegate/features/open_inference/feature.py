"""The manifest of the feature open_inference."""

from tidegate.domain.feature import Feature, Loop

FEATURE = Feature(
    name="open_inference",
    summary="The Open Inference Protocol (KServe's V2), REST and gRPC.",
    page="open-inference.md",
    loops=(Loop(".server_status:make_status", 0.0, setting="grpc_port"),),
    hooks={
        "check_settings": ".server_status:check_settings",
        "proxy_rules": ".proxy_rules:render_rules",
        "worker_protocol": ".worker.protocol:OpenInference",
    },
)
