"""How turns, answers and memory grow with the pool, the people and the machines.

    python -m benchmarks.scale [--sections turn,scoring,...] [--sizes 10000,100000,1000000] [--plot FILE.svg]
    python -m benchmarks.scale --sections turn,scoring,predict --sizes 100000 --question multiple:20
    python -m benchmarks.scale --sections questions --sizes 100000
    python -m benchmarks.scale --sections turn --sizes 10000,100000 --question spans

Prints Markdown tables. Everything at all three sizes takes about 40 minutes on two cores. All sections but `live`
use a simulated Label Studio over HTTP (benchmarks/big_label_studio.py); the backend is always a real one, with
web server and worker in processes of their own, on TF-IDF features (AL_ENCODER=none).
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path

from benchmarks.scale.bench import Bench, Options
from benchmarks.scale.report import Report
from benchmarks.scale.texts import Asked, TextFile

Section = Callable[[Bench], None]


def sections() -> dict[str, Section]:
    """All sections, in the order in which they run."""
    from benchmarks.scale.answers import predict_section, webhook_section
    from benchmarks.scale.cluster import cluster_section
    from benchmarks.scale.fairness import fairness_section
    from benchmarks.scale.live import live_section
    from benchmarks.scale.questions import questions_section
    from benchmarks.scale.scoring import scoring_section
    from benchmarks.scale.shed import shed_section
    from benchmarks.scale.turns import turn_section

    return {
        "turn": turn_section,
        "scoring": scoring_section,
        "questions": questions_section,
        "predict": predict_section,
        "webhook": webhook_section,
        "shed": shed_section,
        "fairness": fairness_section,
        "cluster": cluster_section,
        "live": live_section,
    }


def run(bench: Bench, names: list[str]) -> list[str]:
    """Run sections one after the other. Gives the names of those that failed."""
    known, failed = sections(), []
    for name in names:
        bench.report.begin(name)
        try:
            known[name](bench)
        except Exception as exc:
            traceback.print_exc()
            bench.report.row("the section failed", None, "", f"{type(exc).__name__}: {exc}"[:300], False)
            failed.append(name)
    return failed


def main() -> None:
    names = list(sections())
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sections", default=",".join(names), help="which, with commas (default: all)")
    parser.add_argument("--sizes", default="10000,100000,1000000", help="tasks in the pool, with commas")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long webhooks are sent")
    parser.add_argument("--minutes", type=float, default=5.0, help="how long people label, in fairness and in cluster")
    parser.add_argument("--plot", type=Path, help="SVG of turn time against size; measures further sizes for it")
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    parser.add_argument(
        "--question",
        default="single",
        help="single: one of four labels (default); single:N: one of N; multiple:N: any of N; two:N: two questions, "
        "each with N labels of its own; spans: names in sentences, with four labels",
    )
    parser.add_argument("--labelled", type=int, default=500, help="tasks that have a label at first (default: 500)")
    parser.add_argument(
        "--fast-import", action="store_true", help="live: with Label Studio's own faster import of predictions"
    )
    given = parser.parse_args()
    wanted = given.sections.split(",")
    if unknown := sorted(set(wanted) - set(names)):
        parser.error(f"no section {', '.join(unknown)}: use some of {', '.join(names)}")
    sizes = tuple(sorted(map(int, given.sizes.split(","))))
    try:
        asked = Asked.parse(given.question)
    except ValueError as exc:
        parser.error(str(exc))
    if len(asked.questions) > 1 and "predict" in wanted:
        parser.error("predict is compared with scikit-learn's, which answers one question: leave it out of --sections")
    if asked.is_of_spans and (unfit := sorted({"predict", "scoring"} & set(wanted))):
        parser.error(f"{', '.join(unfit)} compare with a product of features, which spans are not: leave them out")
    options = Options(sizes, given.seconds, given.minutes, given.plot, given.fast_import, given.labelled)
    with tempfile.TemporaryDirectory(prefix="al-scale-") as name:
        folder = Path(name)
        texts = TextFile.make(folder / "texts", max(*sizes, 50_000), asked)
        bench = Bench(folder, texts, options, Report())
        failed = run(bench, wanted)
    if given.json:
        given.json.write_text(json.dumps(bench.report.as_json(), indent=1))
    sys.exit(f"failed: {', '.join(failed)}" if failed else 0)


if __name__ == "__main__":
    main()
