"""Takes the screenshots of docs/images from a real run: `python -m docs.tools.screenshots`.

Starts the demo in an empty folder (a real Label Studio, a real backend), labels its tasks as they are served, with the
labels of label_studio_al/examples, and photographs what people then see in Chromium (CHROMIUM, or /usr/bin/chromium).
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import click
import httpx
from PIL import Image
from playwright.sync_api import Page

from label_studio_al.cli.local import Login, free_port
from label_studio_al.examples import example_tasks
from tests.support.chromium import chromium
from tests.support.labelling_page import LabellingPage
from tests.support.studio import Annotator, until

IMAGES = Path(__file__).parents[1] / "images"
SIZE = {"width": 1200, "height": 760}
# Few enough for small files, enough for text to look smooth.
COLOURS = 64
LIMIT_BYTES = 200_000
PROJECT = 1


@dataclass(frozen=True)
class Demo:
    """A running demo."""

    studio_url: str
    backend_url: str
    login: Login


@click.command()
@click.option("--labels", "n_labels", default=120, show_default=True, help="Tasks that are labelled before.")
def main(n_labels: int) -> None:
    """Take all screenshots anew."""
    with tempfile.TemporaryDirectory() as folder, running_demo(Path(folder)) as demo:
        click.echo(f"Labelling {n_labels} tasks")
        label(demo, n_labels)
        with chromium() as browser:
            page = browser.new_page(viewport=SIZE, color_scheme="light")
            photograph_label_studio(page, demo)
            photograph_status(page, demo)


@contextmanager
def running_demo(folder: Path) -> Iterator[Demo]:
    """`label-studio-al demo` in an empty folder, ready to label."""
    studio_port, port = free_port(), free_port()
    command = [sys.executable, "-m", "label_studio_al", "demo", "--data-dir", str(folder)]
    command += ["--label-studio-port", str(studio_port), "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        for line in process.stdout:
            click.echo(line, nl=False)
            if line.startswith("Ready to label"):
                break
        login = Login(**json.loads((folder / "login.json").read_text(encoding="utf-8")))
        yield Demo(f"http://127.0.0.1:{studio_port}", f"http://127.0.0.1:{port}", login)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)


def label(demo: Demo, n_labels: int) -> None:
    """Label tasks in the queue's order, and wait for what is learnt from them."""
    gold = {task["text"]: task["gold"] for task in example_tasks()}
    annotator = Annotator(demo.studio_url, token=demo.login.token)
    for _ in range(n_labels):
        task = annotator.next(PROJECT)
        annotator.submit(task.task_id, gold[task.text])
    annotator.client.close()
    # Measured, and nothing left to do.
    until(lambda: is_at_rest(demo, n_labels), "everything is learnt and measured", seconds=180)


def is_at_rest(demo: Demo, n_labels: int) -> bool:
    """Whether all labels are heard, what is due to be learnt and measured is, and the next version waits for labels."""
    (state,) = [one for one in httpx.get(f"{demo.backend_url}/status").json()["projects"] if one["project"] == PROJECT]
    is_heard = state["n_annotations"] == n_labels and state["activity"].startswith("waiting for")
    return is_heard and state["version"]["is_switched"] and state["quality"] is not None


def photograph_label_studio(page: Page, demo: Demo) -> None:
    """The labelling page with the label filled in, and the tab of the next tasks."""
    LabellingPage(page, demo.studio_url).log_in(demo.login)
    page.goto(f"{demo.studio_url}/projects/{PROJECT}/data")
    page.get_by_text("Most informative first").first.click()
    settle(page)
    save(page, "label-studio-tab")
    page.get_by_role("button", name="Label All Tasks").click()
    page.wait_for_selector("text=What is this message about?")
    settle(page)
    save(page, "label-studio-task")


def photograph_status(page: Page, demo: Demo) -> None:
    """What the admin sees."""
    page.goto(f"{demo.backend_url}/")
    page.locator("main a[href*='/projects/']").first.click()
    settle(page)
    save(page, "status-project", full_page=True)


def settle(page: Page) -> None:
    """Wait until nothing is loaded and nothing moves any more."""
    page.wait_for_load_state("networkidle")
    time.sleep(1)


def save(page: Page, name: str, *, full_page: bool = False) -> None:
    """A PNG of few colours. Raises ValueError if it is too large for a page."""
    image = Image.open(BytesIO(page.screenshot(full_page=full_page))).convert("RGB")
    path = IMAGES / f"{name}.png"
    image.quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
    if path.stat().st_size > LIMIT_BYTES:
        raise ValueError(f"{path.name} may have {LIMIT_BYTES} bytes, has {path.stat().st_size}")
    click.echo(f"  {path.name}: {path.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
