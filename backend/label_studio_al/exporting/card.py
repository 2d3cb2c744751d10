"""The model card: what an exported model is, how good it is, and what it is not."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Any

from label_studio_al import __version__
from label_studio_al.exporting.encoders import FOLDERS, ExportedEncoder
from label_studio_al.exporting.examples import of_images
from label_studio_al.exporting.forms import Form, form_of
from label_studio_al.exporting.pipeline import Sight
from label_studio_al.labeling import project_id_of, version_name
from label_studio_al.learning.learner import Tuning
from label_studio_al.learning.model import QuestionModel
from label_studio_al.runtime.settings import ProjectSettings
from label_studio_al.store import Measurement, Project, Version, VersionQuestion

# What makes links, images, code and cells of a table.
_MARKDOWN = re.compile(r"[\\`*\[\]|!~]")
_MICRO_F1 = "micro_f1"
# Of more, only those that were given are listed.
MOST_LABELS = 200
# What a report measures, by its key.
_OF_ONE_LABEL = {"accuracy": "accuracy", "macro_f1": "macro-F1"}
_OF_SETS = {"accuracy": "exact match", _MICRO_F1: "micro-F1", "macro_f1": "macro-F1"}
# Where a question has them.
_MORE = {
    "mean_absolute_error": "mean absolute error",
    "quadratic_kappa": "quadratic-weighted kappa",
    "top_level_accuracy": "accuracy of the top level",
}


@dataclass(frozen=True)
class Compared:
    """On how many texts two models were compared, and by how much their probabilities differ at most."""

    n_texts: int
    difference: float


@dataclass(frozen=True)
class Facts:
    """What a card tells.

    label_counts: how many tasks it was trained on have each label. table: name of the file of tasks, if there is one.
    libraries: releases by name. embeddings: name of the encoder of words that it uses, if it does. encoders: slow ones
    that it looks through; has_their_files: whether their files were copied. compared: the file's probabilities with the
    backend's. now: seconds since 1970.
    """

    project: Project
    version: Version
    asked: VersionQuestion
    settings: ProjectSettings
    measurement: Measurement | None
    model: QuestionModel
    label_counts: Mapping[str, int]
    n_tasks: int
    table: str | None
    python: str
    libraries: Mapping[str, str]
    embeddings: str | None
    sees: Sight
    encoders: Sequence[ExportedEncoder]
    has_their_files: bool
    compared: Compared
    now: float


def model_card(facts: Facts) -> str:
    """The card, in Markdown."""
    version, form = facts.version, _form_of(facts)
    needs = "the packages of `requirements.txt` and nothing else"
    if facts.encoders and not facts.has_their_files:
        needs = "the packages of `requirements.txt`, and the encoder below"
    sections = [
        f"# {version.name} of project {project_id_of(facts.project.key)}",
        f"{form.what}, trained on labels that people gave in Label Studio and exported by "
        f"label-studio-active-learning {__version__} on {_day(facts.now)}. It is {form.is_made_of}: "
        f"{_goes_in(facts.sees)} in, {form.gives}. It needs {needs}.",
        f"```sh\npip install -r requirements.txt\npython predict.py {_example(facts.sees)}\n```",
        *_encoders(facts),
        "## Labels",
        *_labels(facts),
        f"{len(facts.asked.trained_on)} of {facts.n_tasks} tasks trained it, on {_day(version.created_at)}.",
        "## How good it is",
        *_quality(facts.measurement, "spans" if form.marks_spans else "labels"),
        "## How it was made",
        _table(("what", "value"), _making(facts)),
        "## What it is not",
        *_limits(facts),
    ]
    return "\n\n".join(sections) + "\n"


def _form_of(facts: Facts) -> Form:
    """Its words are about images where the model sees nothing else."""
    form = form_of(facts.model.classifier)
    if facts.sees.texts:
        return form
    return replace(
        form,
        what=of_images(form.what),
        gives=of_images(form.gives),
        knows=of_images(form.knows),
        cells=of_images(form.cells),
        holds=form.holds[:1],
    )


def _goes_in(sees: Sight) -> str:
    if not sees.images:
        return "texts"
    images = "images (paths, or images of Pillow; several of one task as a list)"
    return f"pairs of a text and its {images}" if sees.texts else images


def _example(sees: Sight) -> str:
    return " ".join(['"a text"'] * sees.texts + ["photo.jpg"] * sees.images)


def _encoders(facts: Facts) -> list[str]:
    """What it looks through."""
    said = []
    for one in facts.encoders:
        folder = FOLDERS[one.kind]
        rows = [(name, str(checksum)) for name, checksum in one.about["files"].items()]
        said += [
            f"## Encoder of {one.kind}s",
            f"It looks at {one.kind}s through {_cell(str(one.about['name']))} (fingerprint {one.about['fingerprint']}, "
            f"{one.about['n_dimensions']} dimensions), which `onnx_encoder.py` runs. When the model is loaded, the "
            "checksums of its files are compared.",
            _table(("file", "SHA-256"), rows),
            f"They are in the folder `{folder}`."
            if facts.has_their_files
            else f"They are not here: put them into the folder `{folder}` beside `model.joblib`, or name their folder "
            f"in the environment variable `{folder.upper()}`.",
            *([f"```sh\n{one.source}\n```"] if one.source and not facts.has_their_files else []),
        ]
    return said


def _labels(facts: Facts) -> list[str]:
    counts, thresholds = facts.label_counts, form_of(facts.model.classifier).thresholds(facts.model.classifier)
    names = list(dict.fromkeys([*facts.asked.labels, *sorted(counts)]))
    if thresholds is None:
        shown = names if len(names) <= MOST_LABELS else [name for name in names if name in counts]
        table = _table(("label", "tasks trained on"), [(name, str(counts.get(name, 0))) for name in shown])
        return [table, *([f"{len(names) - len(shown)} others were never given."] if len(shown) < len(names) else [])]
    cuts = {name: f"{threshold:.2f}" for name, threshold in thresholds.items()}
    rows = [(name, str(counts.get(name, 0)), cuts.get(name, "never predicted")) for name in names]
    return [
        _table(("label", "tasks trained on", "threshold"), rows),
        "A text has the labels whose probability is at least their threshold. One task may count for several labels.",
    ]


def _quality(measurement: Measurement | None, answers: str) -> list[str]:
    report = {} if measurement is None else measurement.report
    if measurement is None or not report:
        return ["It was not measured yet: measurements come after the first trainings."]
    audit, crossed = report["audit"], report["cross_validation"]
    is_of_sets = _MICRO_F1 in crossed
    measures = _OF_SETS if is_of_sets else _OF_ONE_LABEL
    measures = measures | {key: name for key, name in _MORE.items() if key in crossed}
    rows = [
        (f"{of}: {name}", _estimate(figures[key]), str(figures["n"]))
        for of, figures in (("audit", audit), ("cross-validation", crossed))
        for key, name in measures.items()
    ]
    version = version_name(measurement.version, "")
    return [
        f"Measured on {_day(measurement.created_at)}, of {version} with "
        f"{measurement.n_labels} labels. Intervals are 95 %.",
        _table(("measure", "value", "tasks"), rows),
        *([f"Exact match is the share of tasks whose {answers} are all right, with none too many."] * is_of_sets),
        "The audit is of tasks that were drawn at random and predicted before somebody labelled them: an unbiased "
        "estimate for the tasks that nobody had labelled. Cross-validation is on all labels, most of which the "
        "strategy chose, since they are hard: for comparing only.",
    ]


def _estimate(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return "too few to tell"
    return f"{found['value']:.3f} ({found['low']:.3f} to {found['high']:.3f})"


def _making(facts: Facts) -> list[tuple[str, str]]:
    tuning, compared = facts.model.tuning, facts.compared
    what = "texts" if facts.sees.texts else "images"
    embeddings = [
        *([facts.embeddings] if facts.embeddings else []),
        *(str(one.about["name"]) for one in facts.encoders),
    ]
    return [
        ("features", tuning.sentence()),
        ("embeddings", ", ".join(embeddings) or "none"),
        ("calibration", _calibration(tuning)),
        *((name, str(value)) for name, value in facts.settings.model_dump(exclude={"features", "thumbnails"}).items()),
        ("Python", facts.python),
        *facts.libraries.items(),
        (
            "compared with the backend",
            f"{compared.n_texts} {what}, largest difference {compared.difference:.1e}",
        ),
    ]


def _calibration(tuning: Tuning) -> str:
    if not tuning.n_labels:
        return "none: too few labels to tell how sure it may be"
    return f"temperature {tuning.temperature:.2f}, from cross-validation on {tuning.n_labels} labels"


def _limits(facts: Facts) -> list[str]:
    form = _form_of(facts)
    limits = [
        f"- {form.knows}",
        "- It was measured on this project's tasks. Texts of another kind, language or time may be answered wrongly "
        "with a high probability.",
        *(f"- {one}" for one in form.holds),
    ]
    if facts.table:
        limits.append(
            f"- `{facts.table}` holds the texts as they are. Where `is_learnt` is true, the model was trained on that "
            "task: its prediction there says nothing of its quality."
        )
    if facts.table and form.cells:
        limits.append(f"- In `{facts.table}`, {form.cells}")
    if facts.table and facts.table.endswith(".csv"):
        limits.append(
            "- Spreadsheets take a text that begins with `=`, `+`, `-` or `@` for a formula: such texts have an "
            "apostrophe in front in the CSV file, unless it was exported with `--no-quote-formulas`."
        )
    return ["\n".join(limits)]


def _table(names: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [names, tuple("---" for _ in names), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def _cell(value: str) -> str:
    """A text in one cell, and nothing but a text: names of labels may hold markup that somebody else wrote."""
    text = _MARKDOWN.sub(r"\\\g<0>", " ".join(value.split()))
    return html.escape(text, quote=False)


def _day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
