"""The ML backend protocol through a real Flask client and a real store."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from label_studio_al.runtime.settings import read_settings
from label_studio_al.store import Signer, Store
from label_studio_al.web import create_app
from label_studio_al.web.parts import Parts
from tests.support.clock import FakeClock
from tests.support.protocol import SECRET


@pytest.fixture
def app(tmp_path: Path, store: Store, signer: Signer, clock: FakeClock) -> Flask:
    settings = read_settings(model_dir=tmp_path, max_body_bytes=50_000_000)
    return create_app(Parts(settings, store, signer, clock), [SECRET])


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def connected(client: FlaskClient, payload: Callable[[str], dict[str, Any]]) -> FlaskClient:
    """A client whose project is set up."""
    assert client.post("/setup", json=payload("setup")).status_code == 200
    return client


@pytest.fixture(autouse=True)
def _no_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here may open a connection: texts are never fetched, Label Studio is never asked."""

    def refuse(_socket: socket.socket, address: object) -> None:
        raise AssertionError(f"the web edge connects to {address}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
