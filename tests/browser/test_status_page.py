"""The status page in a real browser."""

from __future__ import annotations

import time

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import LABELS_A_TURN, N_TURNS, Site

WIDTHS = [380, 1280]
# Aimed at is a new version within 3 s of the switch.
SHOWN_SECONDS = 3.0


def urls(site: Site) -> list[str]:
    return [f"{site.url}/", site.page_url]


def test_pages_show_what_the_loop_did(site: Site, page: Page) -> None:
    page.goto(f"{site.url}/")
    expect(page.locator(".project")).to_have_count(2)
    page.get_by_role("link", name=site.project.title).first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text(site.project.title)
    expect(page.locator("#live-figures")).to_contain_text(site.bench.version(site.project).name)
    expect(page.locator("#live-figures")).to_contain_text(f"{LABELS_A_TURN * N_TURNS}")
    expect(page.locator("#live-curve svg")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_axe_finds_nothing_serious(site: Site, page: Page, width: int, scheme: str) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    # axe is put into the page, which lets no foreign scripts run: it is evaluated by the browser itself.
    for url in urls(site):
        page.goto(url)
        for summary in page.locator("summary").all():
            summary.click()
        found = Axe().run(page).response["violations"]
        serious = [
            (one["id"], one["nodes"][0]["html"])
            for one in found
            if one["impact"] in ("serious", "critical", "moderate")
        ]
        assert serious == []


def test_nothing_sticks_out_at_phone_width(site: Site, page: Page) -> None:
    page.set_viewport_size({"width": 380, "height": 800})
    for url in urls(site):
        page.goto(url)
        for summary in page.locator("summary").all():
            summary.click()
        assert page.evaluate("document.documentElement.scrollWidth") <= 380


def test_everything_works_without_javascript(site: Site, browser: Browser) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(site.page_url)
    expect(page.locator("#live-figures")).to_contain_text(site.bench.version(site.project).name)
    expect(page.locator("#live")).to_be_hidden()
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("#live-now")).to_contain_text("Paused")
    page.get_by_role("button", name="Resume").click()
    expect(page.locator("#done")).to_contain_text("Resumed")
    assert not site.bench.store.projects.get(site.project.key).is_paused
    context.close()


def test_a_new_version_is_shown_within_three_seconds_of_the_switch(site: Site, page: Page) -> None:
    page.goto(site.page_url)
    page.get_by_text("The numbers").click()
    before = site.bench.version(site.project).name
    expect(page.locator("#live-figures")).to_contain_text(before)
    site.label(LABELS_A_TURN)
    switched = time.monotonic()
    after = site.bench.version(site.project).name
    assert after != before
    expect(page.locator("#live-figures")).to_contain_text(after, timeout=1000 * SHOWN_SECONDS)
    assert time.monotonic() - switched < SHOWN_SECONDS
    # What was open stays open.
    expect(page.locator("#d-curve table")).to_be_visible()


def test_points_of_the_map_open_their_tasks(site: Site, page: Page) -> None:
    page.route("http://label-studio.test/**", lambda route: route.fulfill(body="the task"))
    page.goto(site.page_url)
    asked = (site.project.queue() or [])[0]
    # The first to be asked lies above all others.
    page.locator("#live-map .next a").last.click()
    expect(page).to_have_url(f"http://label-studio.test/projects/{site.project.id}/data?task={asked}")


def test_map_follows_the_labels_and_is_not_sent_in_between(site: Site, page: Page) -> None:
    page.goto(site.page_url)
    points = page.locator("#live-map [class^=l] a")
    before = points.count()
    with page.expect_response(lambda answer: "have=" in answer.url) as kept:
        pass
    assert len(kept.value.body()) < len(page.content()) / 2
    expect(points).to_have_count(before)
    page.locator("#d-map summary").click()
    site.label(1)
    expect(points).to_have_count(before + 1)
    expect(page.locator("#d-map table")).to_be_visible()


def test_page_of_one_of_several_questions_stays_live(site: Site, page: Page) -> None:
    site.bench.turn(site.connected)
    page.goto(f"{site.url}/projects/{site.connected.key}")
    page.get_by_role("link", name="tone").click()
    with page.expect_response(lambda answer: "have=" in answer.url) as refreshed:
        pass
    assert refreshed.value.status == 200
    expect(page.locator("#live")).to_have_text("Live")
    expect(page.locator("#live-labels")).to_contain_text("quiet")


def test_buttons_work_and_say_so(site: Site, page: Page) -> None:
    page.goto(site.page_url)
    page.get_by_role("button", name="Retrain now").click()
    expect(page.locator("#done")).to_contain_text("A new version is asked for")
    project = site.bench.store.projects.get(site.project.key)
    assert project.wanted_revision == project.revision
    page.locator("#d-settings summary").click()
    page.get_by_label("strategy").select_option("margin")
    page.get_by_role("button", name="Change the settings").click()
    expect(page.locator("#done")).to_contain_text("The settings are changed")
    site.bench.turn(site.project)
    (connection,) = [one for one in site.bench.fake.connections.values() if one["project"] == site.project.id]
    assert connection["extra_params"]["strategy"] == "margin"


def test_the_page_can_be_used_by_keyboard(site: Site, page: Page) -> None:
    page.goto(site.page_url)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
