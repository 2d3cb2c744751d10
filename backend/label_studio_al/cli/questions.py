"""`label-studio-al questions`: what becomes of each control of a label config."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from label_studio_al.learners.registry import is_seen
from label_studio_al.questions import read_controls
from label_studio_al.runtime.errors import InvalidRequest
from label_studio_al.runtime.logs import on_one_line
from label_studio_al.runtime.settings import read_settings
from label_studio_al.wiring import say_errors
from label_studio_al.wording import config_lines, control_facts, fields_of, images_sentence

NOTHING_LEARNED = 1


@click.command()
@click.argument("config", type=click.Path(path_type=Path, allow_dash=True))
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@say_errors
def questions(config: Path, as_json: bool) -> None:
    """Say of each control of a label config whether it is learned, and by what, or why it is left to people.

    CONFIG is a file with the label config as Label Studio shows it under Settings > Labeling Interface > Code; - reads
    it from standard input. Ends with 0 where something is learned, with 1 where nothing is. Whether images are seen
    is said of AL_IMAGE_ENCODER.
    """
    xml = _read(config)
    controls = read_controls(xml)
    image_encoder = read_settings().image_encoder
    is_learned = any(control.question is not None for control in controls) and is_seen(xml, image_encoder)
    if as_json:
        said = {"learned": is_learned, "reads": fields_of(xml), "images": images_sentence(xml, image_encoder)}
        click.echo(json.dumps({**said, "controls": [control_facts(one) for one in controls]}, indent=2))
    else:
        for line in config_lines(xml, image_encoder):
            click.echo(on_one_line(line))
        if not controls:
            click.echo("the label config has no control: nothing is asked")
    sys.exit(0 if is_learned else NOTHING_LEARNED)


def _read(path: Path) -> str:
    try:
        content = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
        return content.decode()
    except UnicodeDecodeError:
        raise InvalidRequest(f"{path}: the label config must be text (UTF-8)") from None
    except OSError as exc:
        raise InvalidRequest(f"{path}: {exc.strerror}") from None
