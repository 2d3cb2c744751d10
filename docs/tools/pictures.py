"""Draws the pictures of docs/images that explain the loop: `python -m docs.tools.pictures`.

They stand on a card of their own and follow the reader's light or dark scheme. A test compares the files with what
this draws.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

IMAGES = Path(__file__).parents[1] / "images"
LINE = 18
_STYLE = """
svg { --card: #ffffff; --edge: #d5d9e3; --ink: #1f2937; --soft: #5b6475; --box: #f3f4f8; --line: #7b8496;
  --our: #e3e8fd; --our-edge: #4456c7; --good: #d9f2e3; --good-edge: #237a4b; --odd: #fdebd0; --odd-edge: #a8620a; }
@media (prefers-color-scheme: dark) {
  svg { --card: #1c202b; --edge: #3a4152; --ink: #e8ebf2; --soft: #aab2c3; --box: #2a3040; --line: #8b94a8;
    --our: #2c3568; --our-edge: #8d9cff; --good: #1f4a34; --good-edge: #5fc990; --odd: #553a14; --odd-edge: #eab364; } }
text { font: 14px system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; fill: var(--ink); }
.soft { fill: var(--soft); font-size: 13px; } .head { font-weight: 600; } .middle { text-anchor: middle; }
.end { text-anchor: end; }
.card { fill: var(--card); stroke: var(--edge); } .box { fill: var(--box); stroke: var(--edge); }
.our { fill: var(--our); stroke: var(--our-edge); } .good { fill: var(--good); stroke: var(--good-edge); }
.odd { fill: var(--odd); stroke: var(--odd-edge); } .frame { fill: none; stroke: var(--edge); stroke-dasharray: 5 4; }
.line { fill: none; stroke: var(--line); stroke-width: 1.6; } .tip { fill: var(--line); }
"""


class Picture:
    """An SVG of one card; x to the right, y down, in pixels."""

    def __init__(self, width: int, height: int, title: str, description: str) -> None:
        self._root = ElementTree.Element(
            "svg",
            xmlns="http://www.w3.org/2000/svg",
            viewBox=f"0 0 {width} {height}",
            width=str(width),
            height=str(height),
            role="img",
        )
        self._root.set("aria-labelledby", "title description")
        self._add("title", title, id="title")
        self._add("desc", description, id="description")
        self._add("style", _STYLE)
        tip = ElementTree.SubElement(
            self._add("defs"),
            "marker",
            {"id": "tip", "viewBox": "0 0 8 8", "refX": "7", "refY": "4", "markerWidth": "8", "markerHeight": "8"},
            orient="auto",
            markerUnits="userSpaceOnUse",
        )
        ElementTree.SubElement(tip, "path", {"d": "M0 0 L8 4 L0 8 z", "class": "tip"})
        self.box(0.5, 0.5, width - 1, height - 1, "card", radius=12)

    def box(self, x: float, y: float, width: float, height: float, kind: str, *lines: str, radius: int = 8) -> None:
        """A box with lines of text in its middle, the first one bold."""
        self._add("rect", None, {"class": kind}, x=x, y=y, width=width, height=height, rx=radius)
        first = y + height / 2 - LINE * (len(lines) - 1) / 2 + 5
        for number, line in enumerate(lines):
            self.text(x + width / 2, first + LINE * number, line, "middle head" if number == 0 else "middle soft")

    def dot(self, x: float, y: float, kind: str) -> None:
        """A task."""
        self._add("circle", None, {"class": kind}, cx=x, cy=y, r=5)

    def text(self, x: float, y: float, line: str, kind: str = "soft") -> None:
        """A line of text that begins, is centred or ends at x."""
        self._add("text", line, {"class": kind}, x=x, y=y)

    def texts(self, x: float, y: float, lines: tuple[str, ...], kind: str = "soft") -> None:
        """Lines below each other."""
        for number, line in enumerate(lines):
            self.text(x, y + LINE * number, line, kind)

    def line(self, *points: tuple[float, float], tip: bool = True) -> None:
        """A line through points, with a tip at its end."""
        path = "M" + " L".join(f"{x:g} {y:g}" for x, y in points)
        self._add("path", None, {"class": "line", **({"marker-end": "url(#tip)"} if tip else {})}, d=path)

    def svg(self) -> str:
        """The file's text."""
        ElementTree.indent(self._root)
        return ElementTree.tostring(self._root, encoding="unicode") + "\n"

    def _add(
        self, name: str, text: str | None = None, named: dict[str, str] | None = None, /, **values: float | str
    ) -> ElementTree.Element:
        attributes = {key: f"{value:g}" if isinstance(value, float | int) else value for key, value in values.items()}
        element = ElementTree.SubElement(self._root, name, attributes | (named or {}))
        element.text = text
        return element


def loop() -> Picture:
    """Who tells whom what."""
    picture = Picture(
        760,
        300,
        "The loop",
        "The annotator labels in Label Studio. Label Studio tells the plugin's web process, which stores the label "
        "and asks the worker for a turn. The worker trains, ranks the tasks and pushes predictions and scores of the "
        "next ones to Label Studio, which serves the most informative one, with its label filled in.",
    )
    picture.box(470, 24, 270, 252, "frame")
    picture.text(605, 46, "this plugin", "middle soft")
    picture.box(24, 108, 130, 98, "box", "Annotator")
    picture.box(262, 60, 130, 194, "box", "Label Studio")
    picture.box(500, 60, 210, 62, "our", "web", "answers in milliseconds")
    picture.box(500, 186, 210, 68, "our", "worker", "trains, measures, ranks")
    picture.line((154, 130), (258, 130))
    picture.text(206, 120, "labels", "middle soft")
    picture.line((262, 176), (158, 176))
    picture.texts(208, 198, ("the next task,", "its label filled in"), "middle soft")
    picture.line((392, 94), (496, 94))
    picture.text(432, 84, "webhook", "middle soft")
    picture.line((605, 122), (605, 182))
    picture.texts(616, 148, ("label stored,", "a turn asked for"))
    picture.line((500, 212), (396, 212))
    picture.texts(431, 234, ("predictions,", "scores"), "middle soft")
    return picture


def turn() -> Picture:
    """What happens at the same time while a turn runs."""
    picture = Picture(
        760,
        372,
        "One turn",
        "While the annotator goes on labelling by the old version, the worker trains, ranks the pool, pushes the first "
        "predictions under a new version and only then switches Label Studio to it; it measures afterwards, pushes the "
        "rest of the window little by little and deletes the old predictions when nobody labels.",
    )
    lanes = {"Annotator": 40, "Label Studio": 116, "web": 192, "worker": 268}
    for name, y in lanes.items():
        picture.text(112, y + 33, name, "end head")
    for x, width, kind, name in (
        (124, 78, "box", "Submit"),
        (212, 150, "box", "labels on"),
        (372, 160, "box", "labels on"),
    ):
        picture.box(x, 50, width, 38, kind, name)
    picture.box(542, 50, 196, 38, "good", "filled in by al-13-k3f7a")
    picture.box(124, 126, 440, 38, "box", "the queue follows version al-12-k3f7a")
    picture.box(568, 126, 170, 38, "good", "follows al-13-k3f7a")
    picture.box(190, 202, 66, 38, "our", "stores")
    for x, width, kind, name in (
        (262, 62, "our", "train"),
        (330, 56, "our", "rank"),
        (392, 64, "our", "push"),
        (462, 64, "good", "switch"),
        (532, 78, "box", "measure"),
        (616, 52, "our", "rest"),
        (674, 64, "box", "prune"),
    ):
        picture.box(x, 278, width, 38, kind, name)
    picture.line((163, 88), (163, 145), (163, 221), (186, 221))
    picture.line((223, 240), (223, 297), (258, 297))
    picture.line((424, 278), (424, 168))
    picture.texts(420, 206, ("the first", "of al-13-k3f7a"), "soft end")
    picture.line((494, 278), (494, 240), (572, 240), (572, 168))
    picture.line((642, 278), (642, 168))
    picture.texts(650, 206, ("the others", "of al-13-k3f7a"))
    picture.text(124, 352, "time →")
    picture.text(738, 352, "older predictions are deleted when nobody has labelled for 15 seconds", "end soft")
    return picture


def window() -> Picture:
    """From the pool to the next task."""
    picture = Picture(
        760,
        352,
        "Pool and window",
        "All tasks that nobody has labelled are the pool. A turn ranks it and pushes the most informative ones, the "
        "window, to Label Studio with a score, lowest first. Every tenth place goes to a task drawn at random, which "
        "measures the model. Annotators get the first task that nobody else has open.",
    )
    picture.text(120, 36, "Pool", "middle head")
    picture.text(120, 58, "nobody has labelled these", "middle soft")
    chosen = {(2, 1), (8, 2), (5, 4), (1, 6), (9, 7), (4, 9)}
    for column in range(11):
        for row in range(12):
            place = (column, row)
            kind = "odd" if place == (6, 8) else "our" if place in chosen else "box"
            picture.dot(30 + 18 * column, 84 + 18 * row, kind)
    picture.texts(120, 318, ("ranked anew by every turn,", "at any size"), "middle soft")
    picture.line((226, 182), (282, 182))
    picture.text(254, 172, "rank", "middle soft")
    picture.text(420, 36, "Window", "middle head")
    picture.text(420, 58, "50 to 100 tasks, pushed with a score", "middle soft")
    rows = (
        ("0.00", "Billing or Account access?", "our"),
        ("0.03", "Praise or Feature request?", "our"),
        ("0.03", "drawn at random: measures", "odd"),
        ("0.04", "Billing or Technical problem?", "our"),
        ("0.07", "unlike anything so far", "our"),
        ("…", "", "box"),
    )
    for number, (score, reason, kind) in enumerate(rows):
        y = 76 + 38 * number
        picture.box(296, y, 248, 32, kind)
        picture.text(310, y + 21, score, "head")
        picture.text(352, y + 21, reason, "soft")
    picture.texts(420, 322, ("lowest score first; the label is filled in",), "middle soft")
    picture.box(620, 70, 116, 44, "good", "you")
    picture.box(620, 132, 116, 44, "good", "a colleague")
    picture.line((544, 92), (616, 92))
    picture.line((544, 130), (580, 130), (580, 154), (616, 154))
    picture.texts(678, 206, ("two people never", "get the same task"), "middle soft")
    picture.texts(678, 262, ("half used up:", "topped up;", "enough new labels:", "a new version"), "middle soft")
    return picture


def order() -> Picture:
    """Which task Label Studio serves next."""
    picture = Picture(
        760,
        416,
        "Which task comes next",
        "Label Studio first finishes tasks that somebody began. Then it takes the tasks that have a prediction of the "
        "project's model version and that nobody else has open: the one with the lowest score, or with two and more "
        "project members one of them at random. If there is none, it takes any task at random.",
    )
    picture.box(24, 24, 220, 44, "box", "Label All Tasks, Submit")
    questions = (
        (96, "Has somebody begun a task that", "still lacks annotations?", "that task", "box"),
        (192, "Has an unlocked task a prediction", "of the project's model version?", "", ""),
        (288, "Has the project two or more", "members (rows of ProjectMember)?", "one of the window, at random", "odd"),
    )
    picture.line((134, 68), (134, 92))
    for y, first, second, yes, kind in questions:
        picture.box(24, y, 272, 64, "our", "")
        picture.texts(160, y + 28, (first, second), "middle")
        if yes:
            picture.line((296, y + 32), (428, y + 32))
            picture.text(312, y + 24, "yes")
            picture.box(432, y + 8, 304, 48, kind, yes)
    for y, answer in ((160, "no"), (256, "yes")):
        picture.line((134, y), (134, y + 28))
        picture.text(144, y + 21, answer)
    picture.line((296, 224), (428, 224))
    picture.text(312, 216, "no")
    picture.box(432, 196, 304, 56, "odd", "any task, at random", "so the window is topped up in time")
    picture.line((134, 352), (134, 376), (428, 376))
    picture.text(312, 368, "no")
    picture.box(432, 352, 304, 48, "good", "the lowest score: most informative")
    return picture


def auto() -> Picture:
    """What the strategy `auto` does, as labels come."""
    picture = Picture(
        760,
        248,
        "The strategy auto, for a project of 5 labels",
        "Up to 20 labels, the pool is covered. Up to 40 it is covered on while a label was not met or labels turn up "
        "evenly. Up to 200, while labels turn up evenly, half covers and half asks where the model hesitates. From "
        "then on cluster margin: where the model hesitates, a few of each kind.",
    )
    picture.text(24, 38, "A project of 5 labels", "head")
    parts = (
        (24, 140, "our", ("cover", "one of each kind")),
        (168, 160, "our", ("cover finer", "smaller groups")),
        (332, 200, "good", ("half and half", "cover, cluster margin")),
        (536, 200, "odd", ("cluster margin", "where it hesitates")),
    )
    for x, width, kind, lines in parts:
        picture.box(x, 58, width, 74, kind, *lines)
    for x, name in ((24, "0"), (166, "20"), (330, "40"), (534, "200 labels")):
        picture.line((x, 132), (x, 146), tip=False)
        picture.text(x, 162, name, "middle soft" if x > 24 else "soft")
    picture.texts(248, 196, ("while a label was not met,", "or they turn up evenly"), "middle soft")
    picture.texts(432, 196, ("while they", "turn up evenly"), "middle soft")
    picture.texts(636, 196, ("where labels are rare:", "already from 20 or 40 on"), "middle soft")
    return picture


PICTURES: dict[str, Callable[[], Picture]] = {
    "loop": loop,
    "turn": turn,
    "window": window,
    "order": order,
    "auto": auto,
}


def write() -> None:
    """Draw all of them."""
    for name, draw in PICTURES.items():
        (IMAGES / f"{name}.svg").write_text(draw().svg(), encoding="utf-8")


if __name__ == "__main__":
    write()
