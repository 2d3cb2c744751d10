"""The official server's app with our model, and a server around it."""

from __future__ import annotations

import os
from typing import Any

import click

from label_studio_al import host
from label_studio_al.host.hosted import hosted
from label_studio_al.runtime.errors import BackendError, InvalidSettings
from label_studio_al.runtime.settings import Settings, read_settings
from label_studio_al.wiring import keep_files_private, say_errors, set_up_logging


def make_app() -> Any:
    """label-studio-ml's Flask app with our model. Raises HostNotInstalled, InvalidSettings."""
    settings = read_settings()
    set_up_logging(settings)
    keep_files_private()
    # Release 2.x reads it when it is imported, and would write into the current folder.
    os.environ.setdefault("MODEL_DIR", str(settings.model_dir))
    settings.model_dir.mkdir(parents=True, exist_ok=True)
    model_class = host.model_class()
    from label_studio_ml import api

    app = _of_release_1(api, model_class, settings) if hasattr(api, "_manager") else api.init_app(model_class)
    app.register_error_handler(BackendError, _answer_error)
    return app


def _of_release_1(api: Any, model_class: Any, settings: Settings) -> Any:
    from label_studio_al.host.release_1 import Manager

    if settings.is_protected:
        raise InvalidSettings(
            "BASIC_AUTH_USER and BASIC_AUTH_PASS are set, and label-studio-ml 1.0.9 checks neither: unset them and "
            "protect it by a proxy, or use label-studio-al serve"
        )
    # The app's views ask this object; init_app takes no other one.
    api._manager = Manager()
    return api.init_app(model_class, model_dir=str(settings.model_dir))


def _answer_error(exc: BackendError) -> tuple[dict[str, str], int]:
    return {"error": str(exc)}, exc.status


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("-p", "--port", type=click.IntRange(1, 65535), help="Port to listen on.  [default: PORT, or 9090]")
@say_errors
def run(host: str, port: int | None) -> None:
    """Serve label-studio-ml with the active-learning model. Ctrl-C stops it."""
    import waitress

    app, settings = make_app(), read_settings()
    # What was heard before the last stop need not wait for a request.
    hosted()
    port = port or settings.port
    click.echo(f"label-studio-ml with active learning listens on http://{host}:{port} - Ctrl-C stops it.", err=True)
    waitress.serve(
        app,
        host=host,
        port=port,
        threads=settings.web_threads,
        max_request_body_size=settings.max_body_bytes,
        ident=None,
    )
