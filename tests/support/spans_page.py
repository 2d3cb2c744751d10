"""Label Studio's own labelling page where spans of a text are marked: with the mouse, as annotators do."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from playwright.sync_api import Response

from tests.support.labelling_page import LabellingPage, Shown
from tests.support.studio import Served, until

# A text is looked at as code points; a line break counts as one.
_WALK = """
  const frame = document.querySelector("iframe.lsf-htx-richtext");
  const root = frame ? frame.contentDocument.body : document.querySelector(".lsf-htx-richtext");
  const pieces = [];
  if (root) {
    const walker = root.ownerDocument.createTreeWalker(root, NodeFilter.SHOW_ALL);
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
      if (node.nodeType === Node.TEXT_NODE) pieces.push([node, [...node.textContent]]);
      else if (node.nodeName === "BR") pieces.push([null, ["\\n"]]);
    }
  }
"""
TEXT = f"() => {{ {_WALK} return pieces.map(([, characters]) => characters.join('')).join(''); }}"
DRAWN = f"""() => {{ {_WALK}
  const found = [];
  let place = 0;
  for (const [node, characters] of pieces) {{
    const mark = node && node.parentElement.closest(".htx-highlight");
    if (mark && found.length && found.at(-1).mark === mark) found.at(-1).end += characters.length;
    else if (mark) found.push({{ mark, start: place, end: place + characters.length }});
    place += characters.length;
  }}
  return found.map(({{ mark, start, end }}) => [start, end, (mark.dataset.label ?? "").replace(/^\\d+:/, "")]);
}}"""
# Where the mouse goes down and up to select some characters: a pixel inside of the first and of the last one.
ENDS = f"""([start, end]) => {{ {_WALK}
  const range = root.ownerDocument.createRange();
  let place = 0;
  for (const [node, characters] of pieces) {{
    const units = count => characters.slice(0, count).join("").length;
    if (node && start >= place && start < place + characters.length) range.setStart(node, units(start - place));
    if (node && end > place && end <= place + characters.length) range.setEnd(node, units(end - place));
    place += characters.length;
  }}
  const boxes = [...range.getClientRects()].filter(box => box.width);
  const isRightToLeft = /[\\u0590-\\u08ff]/.test(range.toString());
  const [from, to] = isRightToLeft ? ["right", "left"] : ["left", "right"];
  const inside = (box, side) => [box[side] + (side === "left" ? 1 : -1), (box.top + box.bottom) / 2];
  return [inside(boxes[0], from), inside(boxes.at(-1), to)];
}}"""


def said(start: int, end: int, label: str) -> str:
    """A span as this page's `Shown` has it."""
    return f"{start}-{end} {label}"


class SpansPage(LabellingPage):
    """A label stream of texts on <Text>. Keys 1, 2 and so on choose the config's labels.

    aliases: by what is shown of a label, how annotations call it.
    """

    aliases: Mapping[str, str] = MappingProxyType({})

    def text(self) -> str:
        """The text that stands there."""
        found: str = self._page.evaluate(TEXT)
        return found

    def drawn(self) -> list[str]:
        """The spans that are drawn, where the page has their characters."""
        found = self._page.evaluate(DRAWN)
        return [said(start, end, self.aliases.get(label, label)) for start, end, label in found]

    def mark(self, start: int, end: int, key: str) -> None:
        """Choose a label and select its span with the mouse."""
        before = self.drawn()
        self._page.keyboard.press(key)
        (x, y), (to_x, to_y) = self._ends(start, end)
        self._page.mouse.move(x, y)
        self._page.mouse.down()
        self._page.mouse.move(to_x, to_y, steps=3)
        self._page.mouse.up()
        until(lambda: len(self.drawn()) == len(before) + 1, lambda: f"{start}-{end} is marked: {self.drawn()}", 10)

    def _ends(self, start: int, end: int) -> list[list[float]]:
        """Where a span begins and ends on the page, once that stands still: what is loaded late moves the text."""
        found: list[list[float]] = []

        def stands_still() -> bool:
            nonlocal found
            before, found = found, self._page.evaluate(ENDS, [start, end])
            return before == found

        until(stands_still, f"{start}-{end} stands still", 10)
        return found

    def unmark(self, start: int, end: int) -> None:
        """Click on a span and delete it."""
        before = self.drawn()
        (x, y), (to_x, _) = self._ends(start, end)
        self._page.mouse.click((x + to_x) / 2, y)
        self._page.keyboard.press("Backspace")
        until(lambda: len(self.drawn()) == len(before) - 1, lambda: f"{start}-{end} is deleted: {self.drawn()}", 10)

    def _shown(self, answer: Response) -> Shown:
        task: dict[str, Any] = answer.json()
        text = task["data"]["text"]
        until(lambda: self.text() == text.replace("\r", "\n"), lambda: f"{text!r} is shown: {self.text()!r}")
        prediction = (task["predictions"] or [{}])[-1]
        values = [item["value"] for item in prediction.get("result") or []]
        predicted = [said(one["start"], one["end"], one["labels"][0]) for one in values]
        until(lambda: len(self.drawn()) == len(predicted), lambda: f"{predicted} are drawn: {self.drawn()}", 20)
        served = Served(task["id"], text, prediction.get("model_version"), prediction.get("score"), None, 0.0)
        return Shown(served, predicted, self.drawn())
