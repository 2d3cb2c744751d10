"""The web server's process: gunicorn with threads around the Flask app."""

from __future__ import annotations

import sys
from typing import Any

import click
from gunicorn.app.base import BaseApplication

from backend.cli.wiring import end_with_parent, exit_code, make_signer, open_store, set_up_logging, webhook_secret
from backend.errors import BackendError
from backend.settings import Settings, read_settings

# A whole tab of tasks in one /predict may take a while; Label Studio itself waits 100 s.
REQUEST_SECONDS = 120


class WebServer(BaseApplication):  # type: ignore[misc]
    """gunicorn with one process and several threads: requests are short, and the models are shared."""

    def __init__(self, settings: Settings, host: str, port: int) -> None:
        self._settings = settings
        self._bind = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        super().__init__()

    def load_config(self) -> None:
        """gunicorn's settings."""
        options: dict[str, Any] = {
            "bind": self._bind,
            "worker_class": "gthread",
            "workers": 1,
            "threads": self._settings.web_threads,
            "timeout": REQUEST_SECONDS,
            "graceful_timeout": 10,
            # Label Studio keeps a connection for each of its threads; a kept one saves a handshake a call.
            "keepalive": 30,
            "loglevel": "warning",
            "on_starting": lambda _arbiter: end_with_parent(),
            "control_socket_disable": True,
        }
        for name, value in options.items():
            if name in self.cfg.settings:
                self.cfg.set(name, value)

    def load(self) -> Any:
        """The app, made and imported in the process that answers: gunicorn's other one only watches it."""
        from backend.jobs import JobClient
        from backend.web import create_app

        settings = self._settings
        try:
            store = open_store(settings)
        except BackendError as exc:
            # gunicorn would print a traceback.
            click.echo(f"Error: {exc}", err=True)
            sys.exit(exit_code(exc))
        return create_app(
            settings,
            store,
            JobClient(settings.jobs_url),
            make_signer(settings),
            webhook_secret(settings),
        )


def run_web(host: str, port: int) -> None:
    """Serve until SIGTERM."""
    settings = read_settings()
    set_up_logging(settings.log_level)
    WebServer(settings, host, port).run()
