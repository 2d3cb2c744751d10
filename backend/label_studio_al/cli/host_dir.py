"""`label-studio-al host-dir`: the model directory for the official server, label-studio-ml."""

from __future__ import annotations

from pathlib import Path

import click

MODEL_DIRECTORY = Path(__file__).parents[1] / "host" / "model_directory"


@click.command("host-dir")
def host_dir() -> None:
    """Print the model directory that label-studio-ml starts (docs/label-studio-ml.md)."""
    click.echo(MODEL_DIRECTORY)
