"""An ML backend that does nothing: what Label Studio itself costs."""

from __future__ import annotations

import sys

import waitress
from flask import Flask, request

app = Flask(__name__)


@app.get("/health")
@app.post("/setup")
@app.post("/webhook")
def answer() -> dict[str, str]:
    return {"status": "UP", "model_version": "noop"}


@app.post("/predict")
def predict():
    tasks = request.get_json()["tasks"]
    return {"results": [{"result": [], "score": 0.5, "model_version": "noop"} for _ in tasks]}


if __name__ == "__main__":
    waitress.serve(app, host="127.0.0.1", port=int(sys.argv[1]), threads=8)
