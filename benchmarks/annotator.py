"""How long Submit takes in Label Studio's own page, in a browser, with this backend and without.

python -m benchmarks.annotator

Two projects of the bundled examples in one Label Studio, one of them connected; the tasks are labelled in turns of
ten, first the one and then the other, so that what else the machine does falls on both. What the backend learns from
its ten is waited for, so that it does not slow the other project.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import click
import numpy as np

from label_studio_al.cli.local import LocalLabelStudio, Login, environment_path, free_port, install
from label_studio_al.examples import example_tasks
from tests.support.backend_process import BackendProcess
from tests.support.chromium import chromium
from tests.support.labelling_page import LabellingPage
from tests.support.studio import Annotator, until

LOGIN = Login(email="admin@example.com", password="password-123", token="0123456789abcdef" * 2 + "01234567")
GOLD = {task["text"]: task["gold"] for task in example_tasks()}
AT_ONCE = 10
WITH, WITHOUT = KINDS = ("with this backend", "without")


@click.command()
@click.option("--tasks", "n_tasks", default=50, show_default=True, help="Labelled in each of the two projects.")
def main(n_tasks: int) -> None:
    """Print the table."""
    install(environment_path(), click.echo)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        studio = LocalLabelStudio(environment_path(), folder / "data", free_port(), LOGIN, folder / "server.log")
        with studio, chromium() as browser:
            studio.start(click.echo)
            admin = Annotator(studio.url, token=LOGIN.token)
            backend = BackendProcess(folder / "backend", studio.url, LOGIN.token).start()
            try:
                projects = {kind: admin.create_project(kind, sorted(set(GOLD.values())), list(GOLD)) for kind in KINDS}
                backend.connect(projects[WITH])
                pages = {kind: LabellingPage(browser.new_context().new_page(), studio.url) for kind in KINDS}
                for page in pages.values():
                    page.log_in(LOGIN)
                for n_labels in range(0, n_tasks, AT_ONCE):
                    is_odd = n_labels // AT_ONCE % 2
                    for kind in reversed(KINDS) if is_odd else KINDS:
                        label_some(pages[kind], projects[kind])
                        if kind == WITH:
                            await_rest(backend, projects[kind], n_labels + AT_ONCE)
            finally:
                backend.stop()
                admin.client.close()
    click.echo("| in the browser | Submit, median | 95 % | next task, median | 95 % |\n| --- | --- | --- | --- | --- |")
    took = {kind: np.percentile([page.submits, page.nexts], [50, 95], axis=1).T.ravel() for kind, page in pages.items()}
    for kind, figures in took.items():
        click.echo(f"| {kind} | " + " | ".join(f"{figure:.0f} ms" for figure in figures) + " |")
    click.echo("| ratio | " + " | ".join(f"{ratio:.2f}" for ratio in took[WITH] / took[WITHOUT]) + " |")


def await_rest(backend: BackendProcess, project_id: int, n_labels: int) -> None:
    """Wait until the backend has learnt what it was told."""
    until(lambda: backend.is_at_rest(project_id, n_labels), f"{n_labels} labels are learnt")


def label_some(page: LabellingPage, project_id: int) -> None:
    """Label ten tasks in a row."""
    shown = page.label_all_tasks(project_id)
    for _ in range(AT_ONCE):
        page.choose(GOLD[shown.served.text], shown)
        shown = page.submit()


if __name__ == "__main__":
    main()
