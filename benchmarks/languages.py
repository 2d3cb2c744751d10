"""What a model learns from few labels in languages of several scripts, from words and topics and from embeddings.

    python -m benchmarks.languages

Made-up sentences of tests/support/languages.py: four labels, so chance is 0.25. Accuracy on all other sentences, the
mean of the seeds.
"""

from __future__ import annotations

from statistics import mean

import click
from threadpoolctl import threadpool_limits

from label_studio_al.learners.encoders import find_encoder
from label_studio_al.learning.layouts import BOTH, EMBEDDINGS, TFIDF
from label_studio_al.runtime.settings import read_settings
from tests.support.languages import LANGUAGES, N_SENTENCES, accuracy

N_LABELS = (60, 100)


@click.command()
@click.option("--seeds", default=5, help="Runs, each with its own sentences.")
def main(seeds: int) -> None:
    encoder = find_encoder(read_settings().encoder)
    choices = (TFIDF,) if encoder is None else (TFIDF, EMBEDDINGS, BOTH)
    print(f"{N_SENTENCES} sentences; encoder: {'none' if encoder is None else encoder.name}\n")
    columns = [f"{choice}, {n} labels" for choice in choices for n in N_LABELS]
    print("| language | " + " | ".join(columns) + " |")
    print("| --- " * (len(columns) + 1) + "|")
    for name in LANGUAGES:
        cells = [
            mean(accuracy(name, n, seed, None if choice == TFIDF else encoder, choice) for seed in range(seeds))
            for choice in choices
            for n in N_LABELS
        ]
        print(f"| {name} | " + " | ".join(f"{cell:.2f}" for cell in cells) + " |", flush=True)


if __name__ == "__main__":
    with threadpool_limits(1):
        main()
