"""`label-studio-al export`: the current model as a scikit-learn pipeline, with labels and predictions."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

import click

from label_studio_al.exporting import FORMATS, Export, check_folder, check_format, read_current
from label_studio_al.exporting import export as write_export
from label_studio_al.exporting.writing import Target
from label_studio_al.learners.published import Models
from label_studio_al.runtime.clock import Clock
from label_studio_al.runtime.errors import UnknownProject
from label_studio_al.runtime.settings import read_settings
from label_studio_al.store import Store
from label_studio_al.wiring import keep_files_private, make_signer, open_store, say_errors


@click.command()
@click.option("--project", "project_id", type=int, required=True, help="Number of the project in Label Studio.")
@click.option("--output", "folder", type=click.Path(path_type=Path), required=True, help="Folder to write to.")
@click.option(
    "--data",
    "table",
    type=click.Choice(FORMATS),
    default="csv",
    show_default=True,
    help="Format of the table of all tasks with labels and predictions.",
)
@click.option(
    "--quote-formulas/--no-quote-formulas",
    default=True,
    help="In tasks.csv, put an apostrophe before texts that a spreadsheet would compute.  [default: quote-formulas]",
)
@click.option("--with-encoder", is_flag=True, help="Copy the files of a slow encoder that the model needs.")
@click.option("--question", "name", help="Which of several questions, by its control's name.")
@click.option("--overwrite", is_flag=True, help="Replace the files of an earlier export.")
@click.option("--json", "as_json", is_flag=True, help="Print what was done as JSON.")
@say_errors
def export(
    project_id: int,
    folder: Path,
    table: str,
    quote_formulas: bool,
    with_encoder: bool,
    name: str | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Write the current model so that it does not need this package, and the tasks.

    The folder gets model.joblib, a scikit-learn pipeline (of spans span_model.py, which needs NumPy alone), README.md
    (the model card), predict.py (an example), requirements.txt and tasks.csv. Texts with spans also go to conll (BIO
    tags), spacy (JSON lines with entities) and docbin (for spacy train).
    """
    settings = read_settings()
    check_format(table)
    check_folder(folder, overwrite=overwrite)
    keep_files_private()
    store = open_store(settings)
    try:
        models = Models(store, make_signer(settings), embeddings=settings.embeddings_dir)
        current = read_current(store, models, _key(store, project_id), name)
        target = Target(folder, table, quote_formulas, with_encoder, settings.models_dir)
        with click.progressbar(
            length=len(current.task_ids),
            label=f"{len(current.task_ids)} tasks",
            file=sys.stderr,
            hidden=as_json or not sys.stderr.isatty(),
        ) as bar:
            done = write_export(store, current, target, Clock().now(), bar.update)
    finally:
        store.close()
    click.echo(json.dumps(asdict(done)) if as_json else _sentence(done))


def _key(store: Store, project_id: int) -> str:
    """The project of this number; of several, which different databases of Label Studio have had, the newest."""
    keys = store.projects.keys(project_id)
    if not keys:
        raise UnknownProject(f"project {project_id} is not known here: connect it first")
    return max(keys, key=lambda key: int(key.partition(".")[2]))


def _sentence(done: Export) -> str:
    compared = f"the same probabilities on {done.n_compared} tasks, to {done.largest_difference:.0e}"
    return (
        f"{done.version} of project {done.project}: {len(done.labels)} labels, trained on {done.n_learnt} tasks\n"
        f"{done.n_tasks} tasks: {done.n_labelled} labelled, {done.n_predicted} predicted\n"
        f"Written to {done.folder}: {', '.join(done.files)} ({compared})"
    )
