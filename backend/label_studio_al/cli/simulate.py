"""`label-studio-al simulate`: compares strategies on texts with known labels."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from math import inf
from pathlib import Path

import click

from label_studio_al.cli.progress import Bar
from label_studio_al.learners.encoders import NONE, choose_encoders, load_encoder, load_image_encoder
from label_studio_al.learning.asking import AUTO
from label_studio_al.learning.coding import METRICS, is_error
from label_studio_al.learning.comparison import COMPARISON, TEXTS
from label_studio_al.learning.guarantee import DELTA, MAX_ERROR, Goal
from label_studio_al.learning.layouts import BOTH, EMBEDDINGS, TFIDF
from label_studio_al.runtime.computing import Computing
from label_studio_al.runtime.errors import InvalidRequest
from label_studio_al.runtime.logs import on_lines
from label_studio_al.runtime.settings import Settings, read_settings
from label_studio_al.simulate.autolabel import Finish, automate, finishes_csv, prepare_pool, summary
from label_studio_al.simulate.data import Dataset, Said, read, read_config
from label_studio_al.simulate.embedding import Encoders, Filling, open_image
from label_studio_al.simulate.experiment import Experiment
from label_studio_al.simulate.plot import draw, draw_finishes
from label_studio_al.simulate.replay import Options, plan
from label_studio_al.simulate.results import Results, curves_csv, write_whole
from label_studio_al.simulate.summary import (
    Curve,
    as_csv,
    as_numbers,
    as_text,
    by_question,
    curves_of,
    differences_table,
    file_names,
    table,
    wide_table,
)
from label_studio_al.wiring import say_errors

# By what spans are compared mostly: F1 of exact spans.
OF_SPANS = "micro_f1"


@click.command()
@click.argument("data")
@click.option("--strategies", default="auto,margin,random", show_default=True, help="Separated by commas.")
@click.option(
    "--seeds",
    "n_seeds",
    type=int,
    default=10,
    show_default=True,
    help="Runs of each strategy, each with its own order of DATA.",
)
@click.option("--budget", type=int, default=500, show_default=True, help="Labels per run.")
@click.option("--batch", type=int, default=20, show_default=True, help="Labels between two trainings.")
@click.option("--output", type=click.Path(path_type=Path), required=True, help="Folder for the results.")
@click.option(
    "--metric",
    help=f"What is compared: {', '.join(METRICS)}, or another one of the question's, such as mean_absolute_error.  "
    f"[default: {METRICS[0]}; of spans {OF_SPANS}]",
)
@click.option("--full", type=float, help="Score that counts as 100 %.  [default: the learner's with all labels]")
@click.option(
    "--config",
    "config_path",
    metavar="FILE",
    help="Label config (XML): what is asked, about which field.  [default: as the columns label or labels state]",
)
@click.option(
    "--question",
    help="The only question that counts, by its control's name, or by what a column states.  [default: all of them]",
)
@click.option(
    "--text-field", help="Field of the text.  [default: the label config's, or text; in an export: the only one]"
)
@click.option(
    "--label-field",
    help="Field of the label.  [default: the label config's control, or label, labels; in an export: the only control]",
)
@click.option("--separator", help="What separates several labels in a cell.  [default: cells are JSON lists]")
@click.option(
    "--features", type=click.Choice([AUTO, BOTH, TFIDF, EMBEDDINGS, TEXTS, COMPARISON]), default=AUTO, show_default=True
)
@click.option("--encoder", help="Encoder of texts.  [default: AL_ENCODER]")
@click.option("--image-encoder", help="Encoder of images.  [default: AL_IMAGE_ENCODER]")
@click.option("--audit-share", type=float, default=0.0, show_default=True, help="Share of each batch drawn at random.")
@click.option("--n-jobs", type=click.IntRange(min=1), help="Runs at the same time.  [default: as many as CPUs]")
@click.option("--dask", metavar="ADDRESS", help="Run on this Dask cluster.  [default: AL_DASK_SCHEDULER]")
@click.option("--autolabel", is_flag=True, help="Finish the data set instead: the model labels what it can.")
@click.option(
    "--max-error",
    type=float,
    default=MAX_ERROR,
    show_default=True,
    help="With --autolabel: maximum share of wrong labels.",
)
@click.option(
    "--delta",
    type=float,
    default=DELTA,
    show_default=True,
    help="With --autolabel: maximum probability that more are wrong.",
)
@click.option("--per-label", is_flag=True, help="With --autolabel: a guarantee and a threshold for each label.")
@click.option("--overwrite", is_flag=True, help="Replace the results of another experiment in the folder.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON document on standard output, messages on standard error."
)
@say_errors
def simulate(
    data: str,
    strategies: str,
    n_seeds: int,
    budget: int,
    batch: int,
    output: Path,
    metric: str | None,
    full: float | None,
    config_path: str | None,
    question: str | None,
    text_field: str | None,
    label_field: str | None,
    separator: str | None,
    features: str,
    encoder: str | None,
    image_encoder: str | None,
    audit_share: float,
    n_jobs: int | None,
    dask: str | None,
    autolabel: bool,
    max_error: float,
    delta: float,
    per_label: bool,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Replay the loop on labelled texts: how many labels does each strategy need?

    DATA is a table (.csv, .tsv, .txt, .jsonl, .json, also with .gz) with the fields text, label and, optionally, split
    (train or test); an export of Label Studio (JSON, JSON-MIN, CSV, TSV); examples; or 20newsgroups
    (20newsgroups:sci.med,sci.space takes other groups). A field labels instead of label holds JSON lists of labels.
    A field image names an image beside the file; a folder of images in folders that are named after their labels is
    read, too.
    With --config, the project's label config says what is asked and where the text is. Rows that are not examples are
    left out and reported. A field spans holds lists of [start, end, label]; .conll, .bio and .iob files hold tagged
    tokens. Several questions (of a label config, or columns such as label:topic and rating:tone) are
    replayed together, from one queue; each has its own table, and its name in front in curves.csv and summary.csv.

    Each seed has its own order of the data, which all strategies share. Below the table is the difference of each
    strategy to random, paired by seed, with its 95 % interval. If that contains 0, the two are not distinguishable.

    The output folder gets curves.csv, summary.csv, curves.png and curves.svg. Finished runs stay in it, and the same
    command resumes from them.

    With --autolabel the whole data set is labelled, with the first of the strategies: people label as many texts as the
    budget (also a fifth of it, two fifths and so on), partly drawn at random; the model labels what it can, so that at
    most --max-error of its labels are wrong; people label the rest. The output folder gets autolabel.csv, autolabel.png
    and autolabel.svg.
    """
    settings = read_settings(**({} if dask is None else {"dask_scheduler": dask}))
    runs = plan([name.strip() for name in strategies.split(",") if name.strip()], n_seeds)
    options = Options(budget, batch, features, audit_share)

    def say(text: str) -> None:
        click.echo(on_lines(text), err=as_json)

    config = None if config_path is None else read_config(Path(config_path))
    if config is not None and question is not None:
        config = config.only(question)
    dataset = read(data, Said(text_field, label_field, config, separator, question))
    _check_questions(dataset, full, autolabel=autolabel)
    metrics = {one.asks: metric or _usual_metric(one) for one in dataset.questions}
    for one in dataset.questions:
        _check_metric(metrics[one.asks], full, one)
    used = _encoders(settings, encoder, image_encoder, data)
    if autolabel:
        goal = Goal(max_error, delta, per_label=per_label)
        with closing(Computing(settings.threads, settings.dask_scheduler)) as computing, computing.slot():
            at_a_time = n_jobs or (None if settings.dask_scheduler else settings.threads)
            with _embedding_bar() as report:
                known = prepare_pool(dataset, Filling(used, output / "embeddings", report))
            first = [run for run in runs if run.strategy == runs[0].strategy]
            finishes = automate(known, first, options, goal, at_a_time)
        _tell(dataset, finishes, goal, output, say)
        if as_json:
            about = {"data": dataset.name, "notes": dataset.pool_notes, **asdict(goal), "output": str(output)}
            click.echo(json.dumps({**about, "finished": [asdict(one) for one in finishes]}, indent=2))
        return
    _describe(dataset, budget, say)
    with closing(Computing(settings.threads, settings.dask_scheduler)) as computing, computing.slot():
        if overwrite:
            Results.discard(output)
        experiment = Experiment.open(dataset, options, used, runs, output)
        _conduct(experiment, n_jobs or (None if settings.dask_scheduler else settings.threads), say)
    found = [_compare(experiment, one, metrics[one.asks], full) for one in dataset.questions]
    for compared in found:
        _tell_curves(compared, n_seeds, say)
    say(f"Written to {output}: {', '.join(_write(experiment, found))}")
    if as_json:
        document: dict[str, object] = {"data": dataset.name, "notes": dataset.notes}
        if len(set(metrics.values())) == 1:
            document["metric"] = found[0].metric
        numbers = [
            {
                "metric": of.metric,
                "with_all_labels": of.target,
                "n_seeds": n_seeds,
                "strategies": as_numbers(of.curves, of.target),
            }
            for of in found
        ]
        named = [{"question": of.question} | own for of, own in zip(found, numbers, strict=True)]
        document |= {"questions": named} if dataset.beside else numbers[0]
        click.echo(json.dumps({**document, "output": str(output)}, indent=2))


@dataclass(frozen=True)
class _Compared:
    """The curves of one question. target: the score that counts as 100 %."""

    question: str
    metric: str
    curves: list[Curve]
    target: float


def _compare(experiment: Experiment, one: Dataset, metric: str, full: float | None) -> _Compared:
    target = experiment.results.full(one.asks)[metric] if full is None else full
    # Spans are looked for word by word, so how long a text is says what it costs.
    by_characters = one.coding.marks is not None
    curves = curves_of(experiment.curves_of(one.asks), metric, by_characters=by_characters)
    return _Compared(one.asks, metric, curves, target)


def _tell_curves(compared: _Compared, n_seeds: int, say: Callable[[str], None]) -> None:
    if compared.question:
        say(f"\n{compared.question}")
    say(f"\n{as_text(table(compared.curves, compared.target))}\n")
    if len(compared.curves) > 1:
        say(f"{as_text(differences_table(compared.curves))}\n")
    full = f"{compared.metric} with all labels: {compared.target:.4f}"
    say(f"{full}; area and labels are of the mean over {n_seeds} seeds")


def _write(experiment: Experiment, found: Sequence[_Compared]) -> list[str]:
    """Write tables, and a picture of each question. Returns the files' names."""
    tables = {one.question: wide_table(one.curves, one.target) for one in found}
    experiment.results.write("curves.csv", curves_csv(experiment.curves()))
    experiment.results.write("summary.csv", as_csv(by_question(tables)))
    written = ["curves.csv", "summary.csv"]
    for one, name in zip(found, file_names([one.question for one in found]), strict=True):
        title = f"{experiment.dataset.name}: {one.question}" if one.question else experiment.dataset.name
        for kind, picture in draw(one.curves, one.target, one.metric, title).items():
            written.append(f"curves-{name}.{kind}" if name else f"curves.{kind}")
            experiment.results.write(written[-1], picture)
    return written


def _encoders(settings: Settings, encoder: str | None, image_encoder: str | None, data: str) -> Encoders:
    """Those that are named, or else as a project has them. data: beside which the images lie."""
    chosen = choose_encoders(encoder or settings.encoder, settings.models_dir)
    images, given = image_encoder or settings.image_encoder, (settings.models_dir, settings.encoder_threads)
    return Encoders(
        fast=chosen.static,
        texts=None if chosen.slow is None else load_encoder(chosen.slow, *given),
        images=None if images == NONE else load_image_encoder(images, *given),
        image_of=partial(open_image, Path(data) if Path(data).is_dir() else Path(data).parent),
    )


def _check_questions(dataset: Dataset, full: float | None, *, autolabel: bool) -> None:
    """Raises InvalidRequest where what is wanted is about one question and there are several."""
    option = "--autolabel" if autolabel else "--full" if full is not None else None
    if option is not None and dataset.beside:
        asked = ", ".join(one.asks for one in dataset.questions)
        raise InvalidRequest(f"{option} is about one question: say which of {asked} with --question")


def _usual_metric(dataset: Dataset) -> str:
    return METRICS[0] if dataset.coding.marks is None else OF_SPANS


def _check_metric(metric: str, full: float | None, dataset: Dataset) -> None:
    """Raises InvalidRequest where these answers have no such metric, or it has no such value."""
    if metric not in dataset.coding.metrics:
        about = f"{dataset.asks}: " if dataset.asks else ""
        raise InvalidRequest(f"{about}metric must be one of {', '.join(dataset.coding.metrics)}, not {metric[:40]!r}")
    most = inf if is_error(metric) else 1
    if full is not None and not (0 < full <= most and full < inf):
        raise InvalidRequest(f"the full score must be above 0{'' if most > 1 else ' and at most 1'}, not {full}")


def _tell(dataset: Dataset, finishes: Sequence[Finish], goal: Goal, output: Path, say: Callable[[str], None]) -> None:
    """Print and write what finishing the data set takes."""
    say("\n  ".join([f"{dataset.name}: {finishes[0].n_tasks} texts, all of them the pool", *dataset.pool_notes]))
    say(f"\n{as_text(summary(finishes))}\n")
    say(
        f"guaranteed: at most {goal.max_error:.2%} of the automatic labels wrong, with a probability of "
        f"{1 - goal.delta:.2%}; 'wrong of automatic' is of the worst seed; everything else is a mean"
    )
    write_whole(output / "autolabel.csv", finishes_csv(finishes))
    for kind, picture in draw_finishes(finishes, dataset.name).items():
        write_whole(output / f"autolabel.{kind}", picture)
    say(f"Written to {output}: autolabel.csv, autolabel.svg, autolabel.png")


def _describe(dataset: Dataset, budget: int, say: Callable[[str], None]) -> None:
    n_train, n_test = len(dataset.train_rows), len(dataset.test_rows)
    counts = [len(one.offered or one.coding.classes(one.labels[one.labels != ""])) for one in dataset.questions]
    labels = [f"{n} label{'s' * (n != 1)}" for n in counts]
    what = f"{len(labels)} questions" if dataset.beside else labels[0]
    say(f"{dataset.name}: {what}, {n_train} texts to label, {n_test} to test")
    for one, n_labels in zip(dataset.questions, labels, strict=True):
        if dataset.beside:
            answered = (one.labels != "")[one.train_rows].sum(), (one.labels != "")[one.test_rows].sum()
            say(f"  {one.asks}: {n_labels}, answered in {answered[0]} and {answered[1]} of them")
    for note in dataset.notes:
        say(f"  {note}")
    if budget > n_train:
        say(f"  budget: {n_train}, not {budget}, since there are no more texts to label")


def _conduct(experiment: Experiment, n_jobs: int | None, say: Callable[[str], None]) -> None:
    n_missing = len(experiment.missing())
    if n_missing < len(experiment.runs):
        say(f"  {len(experiment.runs) - n_missing} of {len(experiment.runs)} runs are there from before")
    with (
        _embedding_bar() as report,
        click.progressbar(
            experiment.conduct(n_jobs, report),
            length=n_missing,
            label=f"{n_missing} runs",
            file=sys.stderr,
            hidden=not (n_missing and sys.stderr.isatty()),
            item_show_func=lambda run: f"{run.strategy}, seed {run.seed}" if run else "",
        ) as finished,
    ):
        for _ in finished:
            pass


@contextmanager
def _embedding_bar() -> Iterator[Callable[[int, int], None]]:
    """Draws how many texts or images are embedded, where somebody looks."""
    bar = Bar()
    try:
        yield lambda done, total: bar.show({"what": "embeddings", "done": done, "total": total})
    finally:
        bar.end()
