"""`label-studio-al serve`: the web server and the worker, each in a process of its own."""

from __future__ import annotations

import logging
import os
import sys

import click

from label_studio_al.cli.local import port_is_free
from label_studio_al.runtime.errors import PortInUse
from label_studio_al.runtime.settings import read_settings
from label_studio_al.wiring import keep_files_private, say_errors, set_up_logging

LOOPBACK = ("127.0.0.1", "::1", "localhost")

log = logging.getLogger(__name__)


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(1, 65535), help="Port to listen on.  [default: PORT, or 9090]")
@click.option("--worker/--no-worker", "with_worker", default=True, help="Also run a worker.  [default: worker]")
@click.option("--web-only", is_flag=True, hidden=True)
@say_errors
def serve(host: str, port: int | None, with_worker: bool, web_only: bool) -> None:
    """Run the web server, and a worker in a second process. Ctrl-C stops both."""
    settings = read_settings()
    port = port or settings.port
    if web_only:
        from label_studio_al.cli.web import run_web

        return run_web(host, port)
    set_up_logging(settings)
    keep_files_private()
    if not port_is_free(port, host):
        raise PortInUse(f"port {port} of {host} is already in use: stop the program that uses it, or give --port")
    if host not in LOOPBACK and not settings.is_protected:
        log.warning(
            "listening on %s without BASIC_AUTH_USER and BASIC_AUTH_PASS: everybody who reaches it may come in", host
        )
    click.echo(f"Active learning listens on http://{host}:{port} - Ctrl-C stops it.", err=True)
    # What was imported to read the settings is let go of: from here on two processes are kept running, and no more.
    keeping = ["-m", "label_studio_al.runtime.keeping", settings.log_level, settings.log_format]
    os.execv(sys.executable, [sys.executable, *keeping, host, str(port), "worker" if with_worker else "no-worker"])
