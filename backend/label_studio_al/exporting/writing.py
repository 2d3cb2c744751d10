"""Writes a project's current model and its tasks into a folder."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version as release_of
from pathlib import Path

from label_studio_al.exporting import encoders as encoding
from label_studio_al.exporting.card import Compared, Facts, model_card
from label_studio_al.exporting.encoders import ExportedEncoder, exported_encoders
from label_studio_al.exporting.examples import example_of
from label_studio_al.exporting.forms import form_of
from label_studio_al.exporting.marked import in_text, text_of
from label_studio_al.exporting.model_files import COMPARED_TEXTS, PIPELINE, compared, write_model
from label_studio_al.exporting.pipeline import Sight, has_embeddings, looked_at
from label_studio_al.exporting.span_files import MODULE, has_vectors
from label_studio_al.exporting.span_model import ABOUT, ARRAYS, TOKENIZER
from label_studio_al.exporting.tables import FILES, IMAGE, TEXT, Row, open_table
from label_studio_al.learners.published import Models
from label_studio_al.learning.images import WithImages
from label_studio_al.learning.model import QuestionModel
from label_studio_al.learning.passages import Marking
from label_studio_al.learning.rows import blocks
from label_studio_al.learning.spans import answer_of, spans_of
from label_studio_al.questions import LabelConfig, Question, answers
from label_studio_al.runtime.errors import NotExportable
from label_studio_al.runtime.settings import read_project_settings
from label_studio_al.store import Project, Store, Version, VersionQuestion
from label_studio_al.wording import activity_sentence

TASKS_AT_ONCE = 2_000
_LIBRARIES = ("scikit-learn", "numpy", "scipy", "joblib")
_LIBRARIES_OF_SPANS = ("numpy",)
_ENCODER_LIBRARY = "tokenizers"
_ANY = ("README.md", "predict.py", "requirements.txt", *FILES.values())
_WRITTEN = (PIPELINE, ARRAYS, ABOUT, TOKENIZER, MODULE, encoding.MODULE, *_ANY)
_ONLY_TEXTS = Sight(texts=True, images=False, encoders=())


@dataclass(frozen=True)
class Current:
    """A project with its current version's model of a question. labels: people's answers now, by task."""

    project: Project
    version: Version
    model: QuestionModel
    config: LabelConfig
    question: Question
    labels: dict[int, str]
    task_ids: list[int]

    @property
    def asked(self) -> VersionQuestion:
        """What the model was trained on."""
        return self.version.questions[self.question.name]

    @property
    def has_texts(self) -> bool:
        """Whether tasks show texts."""
        layout = self.model.features.layout
        return not isinstance(layout, WithImages) or layout.has_texts

    def shown(self, text: str) -> str:
        """What a table shows of a task: its texts, or where it has none the addresses of its images."""
        layout = self.model.features.layout
        if not isinstance(layout, WithImages):
            return text
        return layout.read([text])[0] if layout.has_texts else "\n".join(layout.addresses(text))

    @property
    def sees(self) -> Sight:
        """What the model looks at. Raises NotExportable."""
        classifier = self.model.classifier
        return _ONLY_TEXTS if form_of(classifier).marks_spans else looked_at(self.model.features, classifier)

    @property
    def marking(self) -> Marking | None:
        """Where in a task's text the question's spans are; None if it asks for none."""
        marks = self.question.coding.marks
        return None if marks is None else self.config.content.markings[marks]


@dataclass(frozen=True)
class Export:
    """What was written. n_predicted: tasks with a text; largest_difference: of the file's probabilities from ours."""

    project: str
    version: str
    folder: str
    files: tuple[str, ...]
    labels: tuple[str, ...]
    n_learnt: int
    n_tasks: int
    n_labelled: int
    n_predicted: int
    n_compared: int
    largest_difference: float


def read_current(store: Store, models: Models, key: str, name: str | None = None) -> Current:
    """The project's current model of a question. Raises NotExportable without one, ArtifactRejected, UnknownProject.

    models: that know the embeddings which are filled in later. name: the question's, where the config asks several.
    """
    while True:
        project = store.projects.get(key)
        version = store.versions.find(project.version_id)
        if project.version_id is None or (version is not None and not version.has_model):
            raise NotExportable(f"project {key} has no model yet: {activity_sentence(project.activity)}")
        model = None if version is None else models.get(key, version.id)
        if version is not None and model is not None:
            break
        # A turn has replaced the version meanwhile: the next one is there.
    config = project.config
    question = config.only(name).question
    asked = version.questions.get(question.name)
    if asked is None or asked.fingerprint != question.fingerprint:
        raise NotExportable(
            f"the label config of project {key} has changed since {version.name} was trained: wait for the next version"
        )
    if question.name not in model.trained:
        raise NotExportable(f"{version.name} of project {key} has no model for {question.name}: label more")
    labels = answers(store.annotations.all(key), config)[question.name]
    return Current(project, version, model.of(question.name), config, question, labels, store.tasks.ids(key))


def check_folder(folder: Path, *, overwrite: bool) -> None:
    """Raises NotExportable if something is in the way."""
    if folder.exists() and not folder.is_dir():
        raise NotExportable(f"{folder} must be a folder, it is a file")
    if folder.is_dir() and any(folder.iterdir()) and not overwrite:
        raise NotExportable(f"{folder} is not empty: give another folder, or --overwrite")


@dataclass(frozen=True)
class _Seen:
    encoders: Sequence[ExportedEncoder]
    has_their_files: bool
    compared: Compared


@dataclass(frozen=True)
class Target:
    """Where an export goes. table: one of FORMATS. quotes_formulas: of a CSV file.

    with_encoder: whether the files of an encoder that is needed are copied. models: where encoders lie that were
    fetched, None for the cache of Hugging Face.
    """

    folder: Path
    table: str
    quotes_formulas: bool = True
    with_encoder: bool = False
    models: Path | None = None


def export(store: Store, current: Current, target: Target, now: float, advance: Callable[[int], object]) -> Export:
    """Write model, card, example and tasks into the folder, all or nothing; files of an earlier export are replaced.

    advance: called with the number of tasks just done. Raises NotExportable.
    """
    form, sees = form_of(current.model.classifier), current.sees
    encoders = exported_encoders(sees.encoders, target.models)
    with _appearing(target.folder) as made:
        write_model(made, current.model, encoders)
        for one in encoders if target.with_encoder else ():
            one.copy_to(made)
        (made / "predict.py").write_text(example_of(form, sees), encoding="utf-8")
        n_predicted, some = 0, list[str]()
        columns = (form.column, TEXT if current.has_texts else IMAGE)
        with open_table(made, target.table, columns, quotes_formulas=target.quotes_formulas) as write:
            for texts, rows in _rows(store, current):
                write(rows)
                some += texts[: COMPARED_TEXTS - len(some)]
                n_predicted += len(texts)
                advance(len(rows))
        if sees.encoders and current.task_ids and not n_predicted:
            raise NotExportable(
                "no task has an embedding on this machine: wait until the worker has made some, and export where the "
                "worker's MODEL_DIR is"
            )
        found = compared(made, current.model, some, encoders)
        _describe(store, current, made, _Seen(encoders, target.with_encoder, found), now)
        files = tuple(sorted(path.name for path in made.iterdir()))
    return Export(
        project=current.project.key,
        version=current.version.name,
        folder=str(target.folder),
        files=files,
        labels=tuple(map(str, current.model.classifier.classes)),
        n_learnt=len(current.asked.trained_on),
        n_tasks=len(current.task_ids),
        n_labelled=len(current.labels),
        n_predicted=n_predicted,
        n_compared=found.n_texts,
        largest_difference=found.difference,
    )


def _rows(store: Store, current: Current) -> Iterator[tuple[list[str], list[Row]]]:
    """The tasks, a batch at a time, with the texts that are predicted."""
    trained_on = current.asked.trained_on
    for block in blocks(len(current.task_ids), TASKS_AT_ONCE):
        tasks = store.tasks.some(current.project.key, current.task_ids[block])
        texts = {task.id: current.config.text_of(task.data) for task in tasks}
        known = _those_known(current, {task_id: text for task_id, text in texts.items() if text is not None})
        said = current.question.coding.decide(current.model.believe(list(known.values())))
        predicted = dict(zip(known, said.pairs(), strict=True))
        marking = current.marking
        rows = [
            Row(
                task_id=task_id,
                text=None if text is None else current.shown(text),
                label=current.labels.get(task_id),
                predicted=predicted[task_id][0] if task_id in known else None,
                probability=predicted[task_id][1] if task_id in known else None,
                is_learnt=task_id in trained_on,
            )
            for task_id, text in texts.items()
        ]
        yield list(known.values()), rows if marking is None else [_in_plain_text(row, marking) for row in rows]


def _those_known(current: Current, texts: dict[int, str]) -> dict[int, str]:
    """The texts of tasks of which the model knows all that it looks at: embeddings may not be there yet."""
    if not current.sees.encoders:
        return texts
    is_known = current.model.knows(list(texts.values()))
    return {task_id: text for (task_id, text), known in zip(texts.items(), is_known, strict=True) if known}


def _in_plain_text(row: Row, marking: Marking) -> Row:
    """With the text that spans are marked in, and their places in it."""
    if row.text is None:
        return row
    passages = marking.passages(row.text)

    def placed(answer: str | None) -> str | None:
        return None if answer is None else answer_of(in_text(spans_of(answer), passages))

    return replace(row, text=text_of(passages), label=placed(row.label), predicted=placed(row.predicted))


def _describe(store: Store, current: Current, folder: Path, seen: _Seen, now: float) -> None:
    model = current.model
    marks_spans = form_of(model.classifier).marks_spans
    embeds = has_vectors(model) if marks_spans else has_embeddings(model)
    names = (*(_LIBRARIES_OF_SPANS if marks_spans else _LIBRARIES), *([_ENCODER_LIBRARY] if embeds else []))
    libraries = {name: release_of(name) for name in names} | encoding.releases(seen.encoders)
    pinned = [f"{name}=={release}\n" for name, release in libraries.items()]
    (folder / "requirements.txt").write_text("".join(pinned), encoding="utf-8")
    facts = Facts(
        project=current.project,
        version=current.version,
        settings=read_project_settings(current.project.extra_params),
        asked=current.asked,
        measurement=store.measurements.newest(current.project.key, current.question.name),
        model=model,
        label_counts=current.question.coding.counts(current.asked.trained_on.values()),
        n_tasks=len(current.task_ids),
        table=next((path.name for path in folder.glob("tasks.*")), None),
        python=platform.python_version(),
        libraries=libraries,
        embeddings=model.features.encoder.name if embeds and model.features.encoder is not None else None,
        sees=current.sees,
        encoders=seen.encoders,
        has_their_files=seen.has_their_files,
        compared=seen.compared,
        now=now,
    )
    (folder / "README.md").write_text(model_card(facts), encoding="utf-8")


@contextmanager
def _appearing(folder: Path) -> Iterator[Path]:
    """A folder beside the wanted one, whose files take their place at the end, or are gone."""
    made: Path | None = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(dir=folder, prefix=".export-"))
        yield made
        for name in _WRITTEN:
            if (made / name).exists():
                os.replace(made / name, folder / name)
            else:
                (folder / name).unlink(missing_ok=True)
        for name in encoding.FOLDERS.values():
            # Of an export without them they stay: somebody may have put them there.
            if (made / name).exists():
                shutil.rmtree(folder / name, ignore_errors=True)
                os.replace(made / name, folder / name)
    except OSError as exc:
        raise NotExportable(f"cannot write to {folder}: {exc.strerror or type(exc).__name__}") from exc
    finally:
        if made is not None:
            shutil.rmtree(made, ignore_errors=True)
