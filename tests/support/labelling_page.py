"""Label Studio's own labelling page, used as an annotator does."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from playwright.sync_api import ConsoleMessage, Page, Request, Response, expect

from label_studio_al.cli.local import Login
from tests.support.studio import Served

# By the type of a result's items, what the page's controls show as answered.
FILLED_IN = """() => {
  const all = (path, of = document) => [...of.querySelectorAll(path)];
  const found = {
    choices: all(".lsf-choices :is(.ant-checkbox-checked, .ant-radio-checked) input").map(box => box.name),
    rating: all(".ant-rate").map(stars => all(".ant-rate-star-full", stars).length).filter(Boolean),
    taxonomy: all(".htx-taxonomy .ant-select-selection-item").map(path => path.title),
  };
  return Object.fromEntries(Object.entries(found).filter(([, chosen]) => chosen.length));
}"""

# What is marked in texts; of a span that lies in several elements, what is in each of them.
MARKED = """() => [document, ...[...document.querySelectorAll("iframe")].map(frame => frame.contentDocument)]
  .flatMap(page => page ? [...page.querySelectorAll(".htx-highlight")] : [])
  .map(mark => mark.textContent)"""


# The images that are asked about, by width and height as they are in their files.
IMAGES = """() => [...document.querySelectorAll(".lsf-main-content img, .lsf-editor img")]
  .filter(image => image.complete && image.naturalWidth)
  .map(image => [image.naturalWidth, image.naturalHeight])"""


@dataclass(frozen=True)
class Shown:
    """A task as the page shows it. predicted: the choices of its prediction; chosen: those that it opened with."""

    served: Served
    predicted: list[str]
    chosen: list[str]


class LabellingPage:
    """One project's label stream in a browser's tab."""

    def __init__(self, page: Page, url: str) -> None:
        self._page = page
        self._url = url
        # Milliseconds that the browser waited for each Submit, and from pressing it until the next task stood there.
        self.submits: list[float] = []
        self.nexts: list[float] = []
        # What the page reported as an error: must stay empty.
        self.errors: list[str] = []
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    def log_in(self, login: Login) -> None:
        """By the form."""
        self._page.goto(f"{self._url}/user/login/")
        self._page.fill("input[name=email]", login.email)
        self._page.fill("input[name=password]", login.password)
        self._page.press("input[name=password]", "Enter")
        self._page.wait_for_url(lambda url: "/user/login" not in url)
        # The page that comes then writes to the session: with SQLite it answers 500 where somebody else writes at once.
        self.errors.clear()

    def label_all_tasks(self, project_id: int) -> Shown:
        """Press "Label All Tasks" in the Data Manager."""
        self._page.goto(f"{self._url}/projects/{project_id}/data")
        with self._page.expect_response(_is_next) as answer:
            self._page.get_by_role("button", name="Label All Tasks").click()
        return self._shown(answer.value)

    def open(self, project_id: int, task_id: int) -> None:
        """Open a task from the Data Manager."""
        # Pictures that a label config has from elsewhere may never come.
        self._page.goto(f"{self._url}/projects/{project_id}/data?task={task_id}", wait_until="commit")
        expect(self._page.get_by_test_id("bottombar-submit-button")).to_be_visible(timeout=60_000)

    def filled_in(self) -> dict[str, list[Any]]:
        """By type, the answers that the page's controls show, in its order: choices, stars, last names of paths."""
        found: dict[str, list[Any]] = self._page.evaluate(FILLED_IN)
        return found

    def marked(self) -> list[str]:
        """What the spans hold that are drawn in texts."""
        found: list[str] = self._page.evaluate(MARKED)
        return found

    def images(self) -> list[tuple[int, int]]:
        """Width and height of each image that stands there, as it is in its file."""
        return [(width, height) for width, height in self._page.evaluate(IMAGES)]

    def choose(self, label: str, shown: Shown) -> None:
        """Leave what is filled in if it is right, else choose another label."""
        if shown.chosen != [label]:
            self._choices().locator("label", has_text=label).click()
        expect(self._page.locator("input:checked")).to_have_count(1)

    def tick(self, labels: Collection[str], shown: Shown) -> None:
        """Where any number may be chosen: choose these, and no other."""
        for label in set(labels) ^ set(shown.chosen):
            self._choices().locator("label", has_text=label).click()
        expect(self._page.locator("input:checked")).to_have_count(len(labels))

    def submit(self) -> Shown:
        """Press Submit; gives the task that comes next."""
        began = time.perf_counter()
        with (
            self._page.expect_response(_is_next) as answer,
            self._page.expect_request_finished(_is_submit) as submitted,
        ):
            self._page.get_by_test_id("bottombar-submit-button").click()
        timing = submitted.value.timing
        self.submits.append(timing["responseEnd"] - timing["requestStart"])
        shown = self._shown(answer.value)
        self.nexts.append(1000 * (time.perf_counter() - began))
        return shown

    def _shown(self, answer: Response) -> Shown:
        task: dict[str, Any] = answer.json()
        text = task["data"]["text"]
        expect(self._page.get_by_text(text, exact=True).last).to_be_visible()
        prediction = (task["predictions"] or [{}])[-1]
        result = prediction.get("result") or []
        predicted = result[0]["value"]["choices"] if result else []
        ticked = self._page.locator("input:checked")
        expect(ticked).to_have_count(len(predicted))
        label = predicted[0] if predicted else None
        served = Served(task["id"], text, prediction.get("model_version"), prediction.get("score"), label, 0.0)
        return Shown(served, predicted, [one.get_attribute("name") or "" for one in ticked.all()])

    def _hear(self, said: ConsoleMessage) -> None:
        address = said.location["url"]
        # A closed network has neither the tips for which Label Studio asks its maker, nor a label config's pictures.
        is_from_elsewhere = address.endswith("/heidi-tips") or not address.startswith(self._url)
        if said.type == "error" and not (address and is_from_elsewhere):
            self.errors.append(f"{said.text} ({address})")

    def _choices(self) -> Any:
        return self._page.locator(".lsf-choices")


def _is_next(answer: Response) -> bool:
    return "id=next_task" in answer.url


def _is_submit(request: Request) -> bool:
    return request.method == "POST" and "/annotations" in request.url
