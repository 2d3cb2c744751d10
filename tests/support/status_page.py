"""A project whose texts and names are somebody's attempt on whoever reads its page, and ways to read and press it."""

from __future__ import annotations

import re
from html import escape
from html.parser import HTMLParser
from typing import Any

from flask.testing import FlaskClient

from label_studio_al.store import Measurement, Store
from tests.support.build import KEY, config_xml, event, task
from tests.support.columns import set_columns
from tests.support.versions import new_version

HTML = {"Accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"}
EVIL = '<script>alert("1")</script>'
CONFIG = config_xml((escape(EVIL), "B"))
PAGE = f"/projects/{KEY}"


def fill(store: Store) -> Store:
    """Everything that a page can show: a title, texts, labels, a version, a window and measurements."""
    store.projects.register(KEY, CONFIG, {"strategy": "margin"}, 0.0)
    store.updates.hear(event("TASKS_CREATED", tasks=(task(1, EVIL), task(2), task(3))), 0.0)
    window = [(1, 0.9), (2, 0.8), (3, 0.7)]
    top_k = {1: [(EVIL, 0.41), ("B", 0.39)], 2: [("B", 0.6), (EVIL, 0.4)]}
    new = new_version(
        4,
        5.0,
        0,
        "margin",
        (EVIL, "B"),
        {7: EVIL, 8: "B"},
        None,
        b"a model",
        window,
        audits=frozenset({2}),
        top_k=top_k,
    )
    store.versions.publish(KEY, new, is_switched=True)
    set_columns(store, KEY, title=EVIL, n_tasks=3, n_fresh=12, n_due=20)
    suspect = {"task_id": 1, "label": EVIL, "predicted": "B", "probability": 0.9, "label_probability": 0.1}
    estimate = {"value": 0.75, "low": 0.5, "high": 0.9}
    report = {
        "audit": {"n": 20, "accuracy": estimate},
        "suspects": [suspect],
        "confusing_pairs": [{"labels": ["B", EVIL], "count": 3, "task_ids": [1]}],
        "learning_curve": [{"n_labels": n, "accuracy": estimate, "n": 10} for n in (6.5, 12.0)],
        "random_baseline": [{"n_labels": 10, "accuracy": estimate, "n": 30}],
        "stop": {"stop": False, "reason": "Keep labelling."},
        "forecast": {"reason": "Cannot tell yet."},
    }
    store.measurements.record(KEY, Measurement("topic", 4, 2, 5.0, None, None, report))
    return store


class Tags(HTMLParser):
    """All tags of a page with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def values(self, attribute: str) -> list[str]:
        """What an attribute is, wherever it stands."""
        return [attributes[attribute] or "" for _, attributes in self.found if attribute in attributes]


def get(client: FlaskClient, path: str = PAGE) -> str:
    """A page, as a browser gets it."""
    answer = client.get(path, headers=HTML)
    assert answer.status_code == 200
    assert answer.mimetype == "text/html"
    return answer.text


def press(client: FlaskClient, action: str, **fields: str) -> Any:
    """Send a form of the project's page."""
    return client.post(f"{PAGE}/{action}", data={"token": token_of(client), **fields}, headers=HTML)


def token_of(client: FlaskClient) -> str:
    """What the project's page gives its forms."""
    found = re.search(r'name="token" value="([^"]+)"', get(client))
    assert found
    return found[1]
