"""Amazon SageMaker as a target.

``compile`` turns a desired deployment into AWS calls, purely. *Native mode* (``native``) makes those calls without
a controller: SageMaker's own guardrails shift the traffic. *Engine mode* (``engine``) lets the platform's rollout
machine drive two variants of one endpoint. It has never been run at AWS: docs/targets-sagemaker.md says what was
tested instead.
"""
