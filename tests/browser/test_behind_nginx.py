"""The status page behind the nginx of docs/proxy.md, in a real browser."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Browser, expect

from tests.support.backend_process import BackendProcess
from tests.support.nginx import environment, find_nginx, serve_example


def test_buttons_of_the_page_work_behind_nginx(
    tmp_path: Path, browser: Browser, payload: Callable[[str], dict[str, Any]]
) -> None:
    find_nginx()
    variables, project = environment(), payload("setup")
    login = variables["BASIC_AUTH_USER"], variables["BASIC_AUTH_PASS"]
    backend = BackendProcess(tmp_path / "backend", "http://127.0.0.1:9", None, **variables).start("--no-worker")
    try:
        httpx.post(f"{backend.url}/setup", json=project, auth=login).raise_for_status()
        with serve_example(tmp_path, backend.port) as port:
            context = browser.new_context(
                ignore_https_errors=True, http_credentials={"username": login[0], "password": login[1]}
            )
            page = context.new_page()
            page.goto(f"https://localhost:{port}/active-learning/")
            page.locator(".project").get_by_role("link").first.click()
            expect(page).to_have_url(f"https://localhost:{port}/active-learning/projects/{project['project']}")
            page.get_by_role("button", name="Pause").click()
            expect(page.get_by_role("button", name="Resume")).to_be_visible()
            expect(page.locator("#done")).to_contain_text("Paused.")
            (cookie,) = context.cookies()
            assert (cookie["secure"], cookie["path"]) == (True, "/active-learning")
            context.close()
    finally:
        backend.stop()
