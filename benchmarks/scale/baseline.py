"""What /predict costs at least in Python: Flask and a scikit-learn pipeline, as the official sklearn example has them.

    python -m benchmarks.scale.baseline PORT TEXTS N_LABELLED

The model is trained at the start and stays in memory; a request costs `transform` and `predict_proba`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import waitress
from flask import Flask, request
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MultiLabelBinarizer

from benchmarks.scale.texts import TextFile
from tests.support.studio import CHOICES, choices


def create_app(texts: TextFile, n_labelled: int) -> Flask:
    """A backend that only predicts."""
    linear, chosen = LogisticRegression(C=10.0), [texts.chosen(row)[CHOICES] for row in range(n_labelled)]
    binarizer = MultiLabelBinarizer().fit(chosen)
    if texts.asked.is_multiple:
        model = make_pipeline(TfidfVectorizer(), OneVsRestClassifier(linear))
        model.fit(texts.texts(0, n_labelled), binarizer.transform(chosen))
    else:
        model = make_pipeline(TfidfVectorizer(), linear).fit(texts.texts(0, n_labelled), [one for (one,) in chosen])
    app = Flask(__name__)

    @app.get("/health")
    def health() -> dict[str, Any]:
        return {"status": "UP"}

    @app.post("/predict")
    def predict() -> dict[str, Any]:
        proba = model.predict_proba([task["data"]["text"] for task in request.get_json()["tasks"]])
        if texts.asked.is_multiple:
            said, scores = binarizer.inverse_transform(proba >= 0.5), np.maximum(proba, 1 - proba).prod(axis=1)
        else:
            said, scores = model.classes_[proba.argmax(axis=1), None].tolist(), proba.max(axis=1)
        pairs = zip(said, scores.tolist(), strict=True)
        return {"results": [{"result": choices(labels), "score": score} for labels, score in pairs]}

    return app


if __name__ == "__main__":
    # One process and eight threads, as the backend has it.
    served = create_app(TextFile(Path(sys.argv[2])), int(sys.argv[3]))
    waitress.serve(served, host="127.0.0.1", port=int(sys.argv[1]), threads=8)
