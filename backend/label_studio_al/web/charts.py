"""Charts as inline SVG without styles or scripts of their own: `static/page.css` draws them, in light and dark."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

_SIZE = (640, 260)
_TAGS = ("svg", "g", "path", "rect", "text", "line", "circle")
# Classes and geometry; nothing that could carry a style, a script or an address.
_ATTRIBUTES = (
    "viewBox",
    "class",
    "transform",
    "d",
    "x",
    "y",
    "x1",
    "x2",
    "y1",
    "y2",
    "cx",
    "cy",
    "r",
    "width",
    "height",
)
_TOOLTIPS = {"tooltip", "tooltip-overlay", "text-overlay"}
_NAMESPACE = "http://www.w3.org/2000/svg"


def learning_curve(audit: Sequence[dict[str, Any]], baseline: Sequence[dict[str, Any]]) -> Markup:
    """Accuracy against the number of labels, on an axis of doublings. Its numbers stand in a table beside it."""
    counts = [point["n_labels"] for point in (*audit, *baseline)]
    doublings = range(math.floor(math.log2(min(counts))), math.ceil(math.log2(max(counts))) + 1)
    chart = _chart(
        xrange=(doublings[0], max(doublings[-1], doublings[0] + 1)),
        x_labels=[{"value": one, "label": f"{2**one:,}"} for one in doublings],
    )
    chart.add("interval of the baseline", _intervals(baseline), show_dots=False)
    chart.add("baseline", _values(baseline))
    chart.add("interval", _intervals(audit), show_dots=False)
    chart.add("audit", _values(audit))
    return _bare(chart.render_tree())


def automation_curve(points: Sequence[dict[str, Any]]) -> Markup:
    """Which share of the pool could be labelled automatically, against the error rate that is promised."""
    rates = [point["max_error"] for point in points]
    # The small rates lie too close together for a label each.
    shown = [rate for rate in rates if rate >= max(rates) / 8]
    chart = _chart(xrange=(0, max(rates)), x_labels=[{"value": rate, "label": f"{100 * rate:g} %"} for rate in shown])
    chart.add("share", [(point["max_error"], point["share"]) for point in points])
    return _bare(chart.render_tree())


def _chart(**options: Any) -> Any:
    """An empty drawing whose height is a share, from 0 to 1."""
    return _pygal().XY(
        width=_SIZE[0],
        height=_SIZE[1],
        css=[],
        js=[],
        no_prefix=True,
        show_legend=False,
        allow_interruptions=True,
        dots_size=4,
        margin=6,
        range=(0, 1),
        y_labels=[{"value": share, "label": f"{100 * share:.0f} %"} for share in (0, 0.25, 0.5, 0.75, 1)],
        **options,
    )


def _pygal() -> Any:
    # Not at the top: it takes 0.2 s.
    import pygal

    # For plugins, which we do not use, it joins in all imports from now on, which Python before 3.12 warns of.
    # To see whether this can go: `pygal.PluginImportFixer` has a find_spec, or is gone.
    sys.meta_path[:] = [one for one in sys.meta_path if not isinstance(one, pygal.PluginImportFixer)]
    return pygal


def _values(points: Sequence[dict[str, Any]]) -> list[tuple[float, float]]:
    return [(math.log2(point["n_labels"]), point["accuracy"]["value"]) for point in points]


def _intervals(points: Sequence[dict[str, Any]]) -> list[tuple[float, float] | None]:
    """A stroke a point, with gaps between them."""
    strokes: list[tuple[float, float] | None] = []
    for point in points:
        x = math.log2(point["n_labels"])
        strokes += [(x, point["accuracy"]["low"]), (x, point["accuracy"]["high"]), None]
    return strokes[:-1]


def _bare(tree: Any) -> Markup:
    """The drawing without what a strict Content-Security-Policy forbids, and without pygal's tooltips."""
    # Tags and attributes are from the lists above, texts are escaped.
    return Markup("".join(_written(tree)))  # noqa: S704


def _written(node: Any) -> list[str]:
    tag = str(node.tag).removeprefix(f"{{{_NAMESPACE}}}")
    if tag not in _TAGS or _TOOLTIPS & {*(node.get("class") or "").split()}:
        return []
    attributes = {name: node.get(name) for name in _ATTRIBUTES if node.get(name) is not None}
    if tag == "svg":
        attributes |= {"aria-hidden": "true", "focusable": "false"}
    inside = [Markup.escape(node.text or "")] if tag == "text" else [part for one in node for part in _written(one)]
    given = "".join(f' {name}="{Markup.escape(value)}"' for name, value in attributes.items())
    return [f"<{tag}{given}>", *inside, f"</{tag}>"]
