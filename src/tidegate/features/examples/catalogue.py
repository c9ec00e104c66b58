"""The examples: what each is, how it is planned, and which library it needs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tidegate.domain.errors import NotFound
from tidegate.domain.suggestions import suggest


@dataclass(frozen=True)
class Example:
    """``module`` (in ``tidegate.features.examples``) trains it. ``answers`` are what it is planned by; without any,
    the planner has an example of the same name. ``shows``: the kind of endpoint. ``extra``: of the installation.
    ``client`` (in ``tidegate.features.examples.clients``) asks it. ``programs``: which it needs, and what
    installs each; ``trust``: what the server has to allow its models."""

    name: str
    module: str
    title: str
    shows: str
    extra: str
    answers: Mapping[str, Any] | None = None
    client: str = "realtime"
    programs: Mapping[str, str] = field(default_factory=dict)
    trust: frozenset[str] = frozenset()


EXAMPLES = (
    Example("payroll-fraud", "fraud", "Payroll fraud", "real-time, linear shift, compared predictions", "xgboost"),
    Example(
        "monthly-attrition",
        "attrition",
        "Monthly attrition",
        "a batch job over 50,000 rows",
        "xgboost",
        client="scores",
    ),
    Example(
        "client-attrition", "client_attrition", "Attrition per client", "1,000 models on one endpoint", "xgboost"
    ),
    Example(
        "learning-recommendations",
        "recommendations",
        "Learning recommendations",
        "real-time, all at once; 20 rows a request",
        "lightgbm",
    ),
    Example(
        "salary-explained",
        "salary_explained",
        "Salary with explanation",
        "model and SHAP values side by side",
        "xgboost",
    ),
    Example(
        "salary-benchmarking",
        "salary_benchmarking",
        "Ad-hoc salary benchmarking",
        "serverless: runs only while it is asked",
        "sklearn",
    ),
    Example(
        "hr-intents",
        "intents",
        "HR intents",
        "text to a label, real-time",
        "sklearn",
        {
            **{"name": "hr-intents", "latency": "500ms", "payload": "1 KB", "processing_time": "5ms", "rate": 5},
            **{"pattern": "sustained", "shape": "business_hours", "criticality": "low", "user_facing": True},
            **{"model_kind": "text", "model_size": "50 MB", "frameworks": ["sklearn"]},
        },
    ),
    Example(
        "assist",
        "assist",
        "Assist, a chatbot",
        "a language model, streamed; a page to chat with",
        "gguf",
        {
            **{"name": "assist", "latency": "8s", "payload": "4 KB", "processing_time": "1s", "rate": 1},
            **{"pattern": "variable", "shape": "business_hours", "criticality": "medium", "user_facing": True},
            **{"playbook": "assist", "model_kind": "llm", "model_size": "100 MB", "frameworks": ["gguf"]},
        },
    ),
    Example(
        "document-ocr",
        "documents",
        "Document OCR",
        "asynchronous; a pipeline of four stages that read scans",
        "ocr",
        {
            **{
                "name": "document-ocr",
                "latency": "30m",
                "payload": "60 MB",
                "processing_time": "2s",
                "rate": 0.1,
            },
            **{"pattern": "variable", "shape": "business_hours", "criticality": "medium", "model_kind": "tabular"},
            **{"model_size": "100 MB", "stages": ["preprocess", "recognise", "extract", "validate"]},
            **{"frameworks": ["python"] * 4},
        },
        client="scans",
        programs={"tesseract": "apt-get install tesseract-ocr"},
        trust=frozenset({"code"}),
    ),
)


def find_example(name: str) -> Example:
    """Raises NotFound that says which there are."""
    for one in EXAMPLES:
        if one.name == name:
            return one
    raise NotFound(f"there is no example {name!r}{suggest(name, (one.name for one in EXAMPLES))}")
