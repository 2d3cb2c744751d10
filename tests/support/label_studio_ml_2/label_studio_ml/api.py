"""The routes, as the real ones call a model: the number of the project only, and a few kinds of webhooks only."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import wraps
from typing import Any

from flask import Flask, jsonify, request

from .model import LabelStudioMLBase

TRAIN_EVENTS = ("ANNOTATION_CREATED", "ANNOTATION_UPDATED", "ANNOTATION_DELETED", "START_TRAINING")


def init_app(
    model_class: type[LabelStudioMLBase], basic_auth_user: str | None = None, basic_auth_pass: str | None = None
) -> Flask:
    app = Flask(__name__)
    user, password = basic_auth_user or os.environ.get("BASIC_AUTH_USER"), os.environ.get("BASIC_AUTH_PASS")
    credentials = (user, basic_auth_pass or password)

    @app.before_request
    def check_auth() -> Any:
        sent = request.authorization
        if all(credentials) and (sent is None or (sent.username, sent.password) != credentials):
            return "Unauthorized", 401
        return None

    @app.get("/health")
    def health() -> Any:
        return jsonify(status="UP", model_class=model_class.__name__)

    @app.post("/setup")
    @_answers_errors
    def setup() -> Any:
        body = request.get_json()
        model = model_class(project_id=body["project"].split(".", 1)[0], label_config=body.get("schema"))
        if body.get("extra_params"):
            model.set_extra_params(body["extra_params"])
        return jsonify(model_version=model.get("model_version"))

    @app.post("/predict")
    @_answers_errors
    def predict() -> Any:
        body = request.get_json()
        model = model_class(project_id=str(body["project"]).split(".", 1)[0], label_config=body.get("label_config"))
        params = body.get("params", {})
        context = params.pop("context", {})
        return jsonify(results=model.predict(body.get("tasks"), context=context, **params) or [])

    @app.post("/webhook")
    def webhook() -> Any:
        body = request.get_json()
        event = body.pop("action")
        if event not in TRAIN_EVENTS:
            return jsonify(status="Unknown event"), 200
        model = model_class(str(body["project"]["id"]), label_config=body["project"]["label_config"])
        return jsonify(result=model.fit(event, body), status="ok"), 201

    return app


def _answers_errors(view: Callable[[], Any]) -> Callable[[], Any]:
    @wraps(view)
    def answer() -> Any:
        try:
            return view()
        except Exception as exc:
            return jsonify(status=500, detail=f"{type(exc).__name__}: {exc}"), 500

    return answer
