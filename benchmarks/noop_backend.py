"""An ML backend that does nothing: what Label Studio itself costs."""

from __future__ import annotations

import sys

from flask import Flask, request
from gunicorn.app.base import BaseApplication

app = Flask(__name__)


@app.get("/health")
@app.post("/setup")
@app.post("/webhook")
def answer():
    return {"status": "UP", "model_version": "noop"}


@app.post("/predict")
def predict():
    tasks = request.get_json()["tasks"]
    return {"results": [{"result": [], "score": 0.5, "model_version": "noop"} for _ in tasks]}


class Server(BaseApplication):
    def load_config(self) -> None:
        options = {
            "bind": f"127.0.0.1:{sys.argv[1]}",
            "worker_class": "gthread",
            "threads": 8,
            "keepalive": 30,
            "loglevel": "warning",
        }
        for name, value in options.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        return app


if __name__ == "__main__":
    Server().run()
