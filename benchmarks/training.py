"""Seconds of one training, beside scikit-learn's on every column.

    python -m benchmarks.training

10,000 made-up messages of four labels, one thread, the best of five.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from benchmarks.strategies import best_of
from benchmarks.texts import make_texts
from label_studio_al.learners.encoders import find_encoder
from label_studio_al.learning.classifier import REGULARISATION_C, balance, fit_classifier
from label_studio_al.learning.features import Features
from label_studio_al.learning.labelled import Labelled
from label_studio_al.learning.learner import tune
from label_studio_al.runtime.settings import read_settings

N_TASKS = 10_000
REPETITIONS = 5


def main() -> None:
    texts, labels = make_texts(N_TASKS, seed=0)
    features, X = Features.fit_transform(texts, find_encoder(read_settings().encoder))
    y = np.array(labels)
    print(f"{X.views[0].shape[1]} TF-IDF columns, {X.views[1].shape[1]} dense ones\n")
    print("| labels | TF-IDF | every column, TF-IDF | ratio | all features | features and calibration decided |")
    print("| --- | --- | --- | --- | --- | --- |")
    for n in (100, 1_000):
        tfidf, some = X.views[0][:n], y[:n]
        theirs = LogisticRegression(C=REGULARISATION_C, max_iter=300, tol=1e-3)
        ours, every, everything, decision = (
            best_of(run, REPETITIONS)
            for run in (
                partial(fit_classifier, tfidf, some),
                partial(theirs.fit, tfidf, some, sample_weight=balance(some)),
                partial(fit_classifier, X[:n], some),
                partial(tune, Labelled(X[:n], some, np.arange(n)), features.choices(), "auto", 0),
            )
        )
        seconds = [ours, every, everything, decision]
        ms, everything_ms, all_ms, decision_ms = (f"{1000 * value:.0f} ms" for value in seconds)
        print(f"| {n} | {ms} | {everything_ms} | {ours / every:.2f} | {all_ms} | {decision_ms} |", flush=True)


if __name__ == "__main__":
    with threadpool_limits(1):
        main()
