"""HR intents: what a person who writes to an assistant wants. The phrasings are written by hand, not gathered."""

from pathlib import Path
from typing import Any

import numpy as np
import skops.io
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from tidegate.features.examples.contract import SampleRequest, TrainedExample, TrainedVersion
from tidegate.features.examples.intent_phrases import FRAMES, PHRASINGS

TRAINED = 7
"""Of ten phrasings of each intent; the others are held out, so that nothing is known by heart."""
FEW = 3
SWAPPED = {"pto_balance": "pto_request", "pto_request": "pto_balance", "payday": "payslip", "payslip": "payday"}
Lines = list[tuple[str, str]]


def build(folder: Path, scale: float) -> TrainedExample:
    """Train three versions. ``scale`` changes nothing: it takes a second."""
    past, few, test = _lines(0, TRAINED), _lines(0, FEW), _lines(TRAINED, 10)
    swapped = [(text, SWAPPED.get(intent, intent)) for text, intent in past]
    models = {
        "v1": _train(folder / "v1.skops", few, letters=False),
        "better": _train(folder / "better.skops", past, letters=True),
        "worse": _train(folder / "worse.skops", swapped, letters=True),
    }
    about = {
        "v1": f"words and pairs of words of {FEW} phrasings of each of {len(PHRASINGS)} intents",
        "better": f"parts of words of {TRAINED} phrasings of each",
        "worse": "the same, with the names of two pairs of intents mixed up in the table of labels",
    }
    texts, wanted = [text for text, _ in test], np.array([intent for _, intent in test])
    versions = {
        name: TrainedVersion(
            about[name], (f"{name}.skops",), {"accuracy": float((model.predict(texts) == wanted).mean())}
        )
        for name, model in models.items()
    }
    rows = (
        f"{len(test)} requests in {10 - TRAINED} phrasings of each of {len(PHRASINGS)} intents that no version was "
        "trained on; written by hand for this example"
    )
    requests = [SampleRequest(f'"{text}"', expected=intent) for text, intent in test]
    return TrainedExample("accuracy", rows, versions, requests)


def _lines(first: int, end: int) -> Lines:
    """Each phrasing in every frame."""
    return [
        (frame.format(phrasing), intent)
        for intent, phrasings in PHRASINGS.items()
        for phrasing in phrasings[first:end]
        for frame in dict.fromkeys(FRAMES)
    ]


def _train(path: Path, lines: Lines, *, letters: bool) -> Any:
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    parts = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True)
    model = make_pipeline(parts if letters else words, LogisticRegression(C=20, max_iter=300))
    model.fit([text for text, _ in lines], [intent for _, intent in lines])
    path.parent.mkdir(parents=True, exist_ok=True)
    skops.io.dump(model, path)
    return model
