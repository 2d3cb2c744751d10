"""Learning curves, and cost against error, as pictures. The only module that needs matplotlib."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from typing import Any

import numpy as np

from label_studio_al.learning.asking import RANDOM
from label_studio_al.learning.coding import is_error
from label_studio_al.runtime.errors import InvalidRequest
from label_studio_al.simulate.autolabel import Finish
from label_studio_al.simulate.summary import Curve, differences, differences_to_random

# Told apart by everybody. Source: Okabe and Ito 2008. Grey is left to random.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
DASHES = ("-", "--", "-.", ":")
RANDOM_COLOUR = "#767676"
METRIC_NAMES = {"accuracy": "Accuracy", "macro_f1": "Macro-F1", "micro_f1": "Micro-F1"}
_STYLE = {
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#999999",
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    # Letters stay letters: smaller, and they can be searched. The salt makes ids repeat.
    "svg.fonttype": "none",
    "svg.hashsalt": "label-studio-al",
}


def draw(curves: Sequence[Curve], full: float, metric: str, title: str) -> dict[str, bytes]:
    """The picture by its file's ending: svg and png. Raises InvalidRequest where matplotlib is missing.

    Curves above, below them the paired differences to random with their 95 % intervals, unless there is only random.
    """
    if not differences_to_random(curves):
        return _pictures(lambda figure: _draw(figure.add_subplot(), curves, full, metric, title), 4.8)
    return _pictures(lambda figure: _draw_both(figure, curves, full, metric, title), 7.4)


def draw_finishes(finishes: Sequence[Finish], title: str) -> dict[str, bytes]:
    """Cost against error: people's labels and wrong labels of the finished data set, one point a seed and budget."""
    return _pictures(lambda figure: _draw_finishes(figure.add_subplot(), finishes, title), 4.8)


def _pictures(draw_on: Callable[[Any], None], height: float) -> dict[str, bytes]:
    try:
        matplotlib, figures = import_module("matplotlib"), import_module("matplotlib.figure")
    except ImportError as exc:
        raise InvalidRequest("pictures need matplotlib: install it, then give the same command again") from exc
    with matplotlib.rc_context(_STYLE):
        figure = figures.Figure(figsize=(8.5, height), layout="constrained")
        draw_on(figure)
        # Beside the curves, so that it hides none of them however many there are.
        figure.legend(loc="outside right upper", frameon=False)
        return {"svg": _saved(figure, "svg", {"Date": None}), "png": _saved(figure, "png", {})}


def _draw_both(figure: Any, curves: Sequence[Curve], full: float, metric: str, title: str) -> None:
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    _draw(above, curves, full, metric, title)
    above.set_xlabel("")
    _draw_differences(below, curves)


def _draw(axes: Any, curves: Sequence[Curve], full: float, metric: str, title: str) -> None:
    for curve, colour, dash, zorder in _styled(curves):
        _draw_curve(axes, curve, colour, dash, zorder)
    for curve in curves:
        if curve.strategy == RANDOM:
            _draw_curve(axes, curve, RANDOM_COLOUR, "--", 3)
    axes.axhline(full, color="#333333", linewidth=1.2, linestyle=":", label="all labels", zorder=2)
    # The means fill the picture; the interval of two or three seeds may be too wide for it.
    means = np.concatenate([[full], *(curve.mean for curve in curves)])
    margin = max(0.01, 0.2 * float(np.ptp(means)))
    most = np.inf if is_error(metric) else 1.0
    axes.set_ylim(max(0.0, means.min() - margin), min(most, means.max() + margin / 2))
    axes.set_xlim(left=0)
    axes.set_title(title, loc="left", fontsize=12, fontweight="bold")
    n_seeds = len(curves[0].scores)
    caption = f"mean of {n_seeds} runs, 95 % interval" if n_seeds > 1 else "one run"
    axes.set_title(caption, loc="right", fontsize=10, color="#555555")
    axes.set_xlabel("Labels")
    axes.set_ylabel(METRIC_NAMES.get(metric, metric.replace("_", " ").capitalize()))


def _draw_curve(axes: Any, curve: Curve, colour: str, dash: str, zorder: float) -> None:
    low, high = curve.interval()
    axes.fill_between(curve.n_labels, low, high, color=colour, alpha=0.13, linewidth=0, zorder=1)
    line = axes.plot(curve.n_labels, curve.mean, color=colour, linestyle=dash, linewidth=2, zorder=zorder)[0]
    line.set_label(curve.strategy)
    if len(curve.n_labels) == 1:
        line.set_marker("o")


def _styled(curves: Sequence[Curve]) -> Iterator[tuple[Curve, str, str, float]]:
    """Every curve but random with its colour, dash and place above the others."""
    for place, curve in enumerate(curve for curve in curves if curve.strategy != RANDOM):
        dash = DASHES[place // len(COLOURS) % len(DASHES)]
        yield curve, COLOURS[place % len(COLOURS)], dash, 10 + len(curves) - place


def _draw_differences(axes: Any, curves: Sequence[Curve]) -> None:
    """Each strategy minus random, a dot where the interval does not hold 0; the area's difference in the legend."""
    found = differences_to_random(curves)
    random = next(curve for curve in curves if curve.strategy == RANDOM)
    axes.axhline(0, color=RANDOM_COLOUR, linestyle="--", linewidth=2, zorder=3)
    for curve, colour, dash, zorder in _styled(curves):
        mean, low, high = differences(curve.scores, random.scores)
        axes.fill_between(curve.n_labels, low, high, color=colour, alpha=0.13, linewidth=0, zorder=1)
        line = axes.plot(curve.n_labels, mean, color=colour, linestyle=dash, linewidth=1.6, zorder=zorder)[0]
        is_apart = (low > 0) | (high < 0)
        axes.plot(curve.n_labels[is_apart], mean[is_apart], "o", color=colour, markersize=4, zorder=zorder)
        area = found[curve.strategy]["area"]
        line.set_label(f"{curve.strategy}: area {area.mean:+.3f},\n{area.verdict}")
    axes.set_title("minus random, paired by seed; dots: the interval does not hold 0", loc="left", fontsize=10)
    axes.set_xlabel("Labels")
    axes.set_ylabel("Difference")


def _draw_finishes(axes: Any, finishes: Sequence[Finish], title: str) -> None:
    for place, budget in enumerate(sorted({one.budget for one in finishes})):
        ours = [one for one in finishes if one.budget == budget]
        costs = [one.n_by_people for one in ours]
        errors = [100 * one.final_error for one in ours]
        colour = COLOURS[place % len(COLOURS)]
        axes.plot(costs, errors, "o", color=colour, alpha=0.8, label=f"{budget} labels first", clip_on=False, zorder=3)
    n_tasks, max_error = finishes[0].n_tasks, finishes[0].max_error
    axes.plot([n_tasks], [0], "s", color=RANDOM_COLOUR, label="all by hand", clip_on=False, zorder=3)
    # What is promised of the automatic labels, as a share of the finished data set.
    axes.plot(
        [0, n_tasks], [100 * max_error, 0], color="#333333", linewidth=1.2, linestyle=":", label="promised at most"
    )
    axes.set_xlim(0, n_tasks)
    axes.set_ylim(0, 110 * max_error)
    axes.set_title(title, loc="left", fontsize=12, fontweight="bold")
    axes.set_xlabel("Labels by people until every task is labelled")
    axes.set_ylabel("Wrong labels in the finished data set, %")


def _saved(figure: Any, kind: str, metadata: dict[str, Any]) -> bytes:
    content = io.BytesIO()
    figure.savefig(content, format=kind, dpi=150, metadata=metadata)
    return content.getvalue()
