"""The command `label-studio-al`."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import click

from label_studio_al import __version__
from label_studio_al.runtime import logs
from label_studio_al.runtime.redaction import hide

_COMMANDS = (
    "autolabel",
    "connect",
    "demo",
    "doctor",
    "encoders",
    "export",
    "forget",
    "host-dir",
    "questions",
    "secrets",
    "serve",
    "simulate",
    "worker",
)


class _Commands(click.Group):
    """Imports a command's module when it is called: scikit-learn and the SDK take 100 MB each, and `serve`, which
    only watches its two processes, needs neither."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of the commands."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name."""
        if cmd_name not in _COMMANDS:
            return None
        name = cmd_name.replace("-", "_")
        command: click.Command = getattr(import_module(f"label_studio_al.cli.{name}"), name)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command. Error messages contain no secrets, and tracebacks no texts."""
        try:
            return super().invoke(ctx)
        except click.ClickException as exc:
            exc.message = hide(exc.message)  # type: ignore[misc]
            raise
        except (click.exceptions.Exit, click.Abort):
            raise
        except Exception as exc:
            click.echo(hide(logs.trace_of(exc)), err=True)
            raise click.ClickException(f"internal error ({type(exc).__name__}): please report the lines above") from exc


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="label-studio-al")
def main() -> None:
    """A live active-learning loop for Label Studio.

    Settings come from the environment; docs/settings.md lists them.
    """
