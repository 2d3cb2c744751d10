"""Log lines tell what happened and to what, and never a secret or a text."""

from __future__ import annotations

import io
import json
import logging
import sys
import threading
import warnings
from collections.abc import Iterator

import pytest

from label_studio_al.runtime import logs
from label_studio_al.runtime.errors import StudioRefused

SECRET = "hunter2 and some more"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJ0b2tlbl90eXBlIjoicmVmcmVzaCJ9.abcdefghijklmnop"
TEXT = "dear sir, my card was charged twice"
log = logging.getLogger("label_studio_al.test")


@pytest.fixture(autouse=True)
def _untouched() -> Iterator[None]:
    """Logging as it was before."""
    root = logging.getLogger()
    kept = (
        root.handlers[:],
        root.level,
        logging.getLogger("label_studio_al").level,
        sys.excepthook,
        threading.excepthook,
    )
    yield
    root.handlers[:] = kept[0]
    root.setLevel(kept[1])
    logging.getLogger("label_studio_al").setLevel(kept[2])
    sys.excepthook, threading.excepthook = kept[3:]
    logging.captureWarnings(False)


@pytest.fixture
def stderr(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    return stream


@pytest.fixture(params=["text", "json"])
def line_format(request: pytest.FixtureRequest, stderr: io.StringIO) -> str:
    logs.set_up("DEBUG", request.param, [SECRET, None, "abc"])
    return str(request.param)


def test_a_line_carries_what_it_is_about(line_format: str, stderr: io.StringIO) -> None:
    with logs.context(request="r-1"), logs.context(project="3.17", turn=4):
        log.info("trained on %d labels", 12)
    log.info("outside")
    first, second = stderr.getvalue().splitlines()
    if line_format == "json":
        assert (
            json.loads(first).items()
            >= {
                "level": "INFO",
                "logger": "label_studio_al.test",
                "message": "trained on 12 labels",
                "request": "r-1",
                "project": "3.17",
                "turn": "4",
            }.items()
        )
        assert "request" not in json.loads(second)
    else:
        assert first.endswith("INFO label_studio_al.test request=r-1 project=3.17 turn=4: trained on 12 labels")
        assert second.endswith("INFO label_studio_al.test: outside")


def test_fields_that_become_known_later_stay_until_the_end_of_the_block(line_format: str, stderr: io.StringIO) -> None:
    with logs.context(request="r-1"):
        logs.add(project="3.17", version="al-4")
        log.info("inside")
    log.info("outside")
    inside, outside = stderr.getvalue().splitlines()
    assert all(part in inside for part in ("r-1", "3.17", "al-4"))
    assert not any(part in outside for part in ("r-1", "3.17", "al-4"))


@pytest.mark.parametrize(
    "message",
    [
        f"the password is {SECRET}",
        f"key {JWT}",
        "Authorization: Token 0123456789abcdef0123456789abcdef01234567",
        "Token 0123456789abcdef0123456789abcdef01234567 was refused",
        "{'token': '0123456789abcdef0123456789abcdef01234567', 'task_data_password': 'open sesame'}",
        "postgresql+psycopg://al:opensesame@db/al",
        "Cookie: sessionid=opensesame",
        "X-AL-Secret: opensesame",
        "password=opensesame&user=u",
    ],
)
def test_secrets_are_hidden_wherever_they_come_from(line_format: str, stderr: io.StringIO, message: str) -> None:
    log.error("it said: %s", message)
    with logs.context(request=message):
        logging.getLogger("some.library").warning(message.replace("%", "%%"))
    written = stderr.getvalue()
    for secret in (SECRET, JWT, "0123456789abcdef", "sesame"):
        assert secret not in written
    assert "***" in written


def test_one_event_is_one_line_that_ends(line_format: str, stderr: io.StringIO) -> None:
    log.warning("a line\n2026-01-01 ERROR forged: another\r\x1b[2J%s", "x" * 100_000)
    written = stderr.getvalue()
    assert written.count("\n") == 1
    assert "\x1b" not in written
    assert len(written) < 10_000


def test_messages_of_exceptions_that_may_hold_texts_are_withheld(line_format: str, stderr: io.StringIO) -> None:
    try:
        try:
            raise ValueError(TEXT)
        except ValueError as exc:
            raise StudioRefused("the user may not do this") from exc
    except StudioRefused as exc:
        log.error("it failed", exc_info=exc)
    written = stderr.getvalue()
    assert TEXT not in written
    assert "StudioRefused: the user may not do this" in written
    assert "ValueError: (message withheld" in written
    assert "test_logs.py" in written


def test_uncaught_errors_and_warnings_go_through_the_log(line_format: str, stderr: io.StringIO) -> None:
    def fail() -> None:
        raise ValueError(TEXT)

    thread = threading.Thread(target=fail)
    # Not pytest's own hook, which would fail this test.
    hook = threading.excepthook
    threading.excepthook = hook
    thread.start()
    thread.join()
    try:
        fail()
    except ValueError as exc:
        sys.excepthook(ValueError, exc, exc.__traceback__)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)
        warnings.warn(f"token={SECRET}", stacklevel=1)
    written = stderr.getvalue()
    assert written.count("uncaught ValueError") == 2
    assert TEXT not in written
    assert SECRET not in written
