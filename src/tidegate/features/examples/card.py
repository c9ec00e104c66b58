"""The model card of an example, in Markdown: what it is for, what it was measured on, and its versions."""

from tidegate.features.examples.catalogue import Example
from tidegate.features.examples.contract import TEXT, TrainedExample

NOTE = {
    "moved": "`moved` is the part of predictions that crossed a quantile (5, 25, 50, 75, 95 %) of the version that "
    "serves before: what a rollout with `evidence: {compare: [predictions]}` holds against its tolerance.",
    "lengths moved": "`lengths moved` is the same of the answers' lengths, in tokens.",
}


def render_card(example: Example, trained: TrainedExample) -> str:
    measures = list(dict.fromkeys(key for one in trained.versions.values() for key in one.quality))
    lines = [
        f"# {example.title}",
        "",
        f"An example to deploy and to break: {example.shows}. It is no model to decide about people with: the data "
        "are not real.",
        "",
        f"Measured on {trained.rows}.",
        "",
        f"| Version | {' | '.join(measures)} | What it is |",
        f"|---|{'---:|' * len(measures)}---|",
    ]
    for name, version in trained.versions.items():
        values = [f"{version.quality[key]:.3f}" if key in version.quality else "" for key in measures]
        lines.append(f"| {name} | {' | '.join(values)} | {version.about} |")
    lines += ["", f"Versions are ranked by {trained.measure}; higher is better.", ""]
    lines += [f"{text}\n" for key, text in NOTE.items() if key in measures]
    return "\n".join([*lines, _what_sees_it(trained), ""])


def _what_sees_it(trained: TrainedExample) -> str:
    if trained.evidence == TEXT:
        return (
            "The rollout of `worse` compares texts, their length among others; nobody reads whether they are true."
        )
    if trained.evidence:
        return f"The rollout of `worse` compares predictions and allows {trained.evidence} of them to move."
    unseen = "The rollout of `worse` does not see it: nothing fails, and nothing is slower."
    return f"{unseen} `tidegate compare` with `rows.csv` does, before any traffic." if trained.table else unseen
