"""`label-studio-al doctor`: finds out what is wrong, and says how to fix it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from dataclasses import asdict, replace

import click

from label_studio_al.cli.connect import connect_project
from label_studio_al.doctor import Doing, Result, Setup, examine
from label_studio_al.doctor.findings import FAILURE, OK, SKIPPED, WARNING
from label_studio_al.runtime.clock import Clock
from label_studio_al.runtime.logs import on_one_line
from label_studio_al.runtime.redaction import hide
from label_studio_al.runtime.settings import read_settings
from label_studio_al.studio.transport import Limits, bounded_client
from label_studio_al.wiring import keep_files_private, make_studio, say_errors, webhook_keys

ANSWER_SECONDS = 5.0
ANSWER_BYTES = 16 * 1024 * 1024
_COLORS = {OK: "green", WARNING: "yellow", FAILURE: "red", SKIPPED: "bright_black"}


@click.command()
@click.option("--project", "project_ids", type=int, multiple=True, help="Number of a project.  [default: all known]")
@click.option("--backend-url", help="URL at which Label Studio reaches this backend.  [default: AL_BACKEND_URL]")
@click.option("--fix", is_flag=True, help="Repair what can be repaired.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on standard output.")
@say_errors
def doctor(project_ids: tuple[int, ...], backend_url: str | None, fix: bool, as_json: bool) -> None:
    """Find out what is wrong and how to fix it. The exit code is 1 if something does not work.

    Run it on the backend's machine, with the backend's environment, while the backend runs.
    """
    settings = read_settings()
    keep_files_private()
    url = (backend_url or settings.reached_at).rstrip("/")
    doing = Doing(
        make_studio,
        webhook_keys,
        lambda project_id: connect_project(settings, project_id, url, None, lambda _line: None),
    )
    setup = Setup(
        settings,
        url,
        doing,
        Clock(),
        bounded_client(
            Limits(read_seconds=ANSWER_SECONDS, seconds=3 * ANSWER_SECONDS, n_bytes=ANSWER_BYTES), settings.ca_bundle
        ),
    )
    try:
        results = _say(examine(setup, project_ids, fix=fix), quietly=as_json)
    finally:
        setup.close()
    if as_json:
        is_well = all(result.state != FAILURE for result in results)
        click.echo(json.dumps({"ok": is_well, "findings": [asdict(result) for result in results]}, indent=2))
    if any(result.state == FAILURE for result in results):
        sys.exit(1)


def _say(results: Iterable[Result], *, quietly: bool) -> list[Result]:
    """Say each result as soon as it is there. Gives all of them."""
    found: list[Result] = []
    for said in results:
        # It may quote what Label Studio, or another server, answered.
        result = replace(said, sentence=hide(said.sentence), mended=said.mended and hide(said.mended))
        if not quietly:
            if result.project is not None and (not found or found[-1].project != result.project):
                click.echo(f"\nProject {result.project}")
            for line in _lines(result):
                click.echo(line)
        found.append(result)
    if not quietly:
        counts = ((sum(one.state == state for one in found), state) for state in (FAILURE, WARNING))
        click.echo("\n" + ", ".join(f"{n} {state}{'' if n == 1 else 's'}" for n, state in counts))
    return found


def _lines(result: Result) -> Iterable[str]:
    if result.mended is not None:
        yield f"{click.style('fixed  ', fg='green')}  {result.check}: {on_one_line(result.mended)}"
    state = click.style(f"{result.state:7}", fg=_COLORS[result.state])
    yield f"{state}  {result.check}: {on_one_line(result.sentence)}"
