"""The web server's process: waitress with threads around the Flask app.

waitress reads requests without a thread for each, and keeps large bodies on disk, so slow clients block nothing. It is
a single process, so when it is killed nothing keeps its port open.
"""

from __future__ import annotations

import signal
import threading
from typing import Any

import waitress

from label_studio_al.runtime.errors import PortInUse
from label_studio_al.runtime.settings import read_settings
from label_studio_al.wiring import (
    end_with_parent,
    keep_files_private,
    make_signer,
    open_store,
    set_up_logging,
    webhook_keys,
)

# Label Studio waits 1 s for a webhook, inside of the annotator's Submit: less than that is waited for a locked
# database. What is not written down is asked for later.
STORE_PATIENCE_SECONDS = 0.5
# Label Studio keeps a connection for each of its threads; slow and idle ones cost no thread.
CONNECTIONS = 1_000
SILENCE_SECONDS = 30
HEADER_BYTES = 32 * 1024
# At the end, what was counted is added to the database's sums.
LAST_WORDS_SECONDS = 5.0


def run_web(host: str, port: int) -> None:
    """Serve until SIGTERM."""
    settings = read_settings()
    set_up_logging(settings)
    keep_files_private()
    end_with_parent()
    from label_studio_al.web import create_app
    from label_studio_al.web.intake import Intake
    from label_studio_al.web.parts import Parts

    store = open_store(settings, STORE_PATIENCE_SECONDS)
    signer, keys = make_signer(settings), webhook_keys(settings)
    app = create_app(Parts(settings, store, signer), keys, host=host)
    dispatchers: dict[int, Any] = {}
    try:
        server = waitress.create_server(
            app,
            map=dispatchers,
            host=host,
            port=port,
            threads=settings.web_threads,
            connection_limit=CONNECTIONS,
            channel_timeout=SILENCE_SECONDS,
            cleanup_interval=5,
            max_request_header_size=HEADER_BYTES,
            # waitress refuses bodies of this size already.
            max_request_body_size=settings.max_body_bytes + 1,
            ident=None,
            # Left to `Proxies`, which knows sub-paths and counts proxies.
            clear_untrusted_proxy_headers=not settings.trusted_proxies,
        )
    except OSError as exc:
        raise PortInUse(f"port {port} of {host} cannot be listened on: {exc.strerror}") from exc
    guard, proxies = app.extensions["guard"], app.extensions["proxies"]
    Intake(guard, proxies, settings.max_body_bytes).attach(dispatchers)
    app.extensions["gate"].n_waiting = lambda: len(server.task_dispatcher.queue)
    is_over = threading.Event()
    keep_up = threading.Thread(target=app.extensions["parts"].keep_up, args=[is_over], name="keep-up", daemon=True)
    keep_up.start()
    signal.signal(signal.SIGTERM, _end)
    server.run()
    is_over.set()
    keep_up.join(LAST_WORDS_SECONDS)
    store.close()


def _end(*_: object) -> None:
    # waitress ends its loop on this one, after the requests that it is working on.
    raise SystemExit
