"""What is kept of every label, and what is reported."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from label_studio_al.learning.classifier import fit_classifier
from label_studio_al.learning.learner import Tuning
from label_studio_al.learning.model import Model
from label_studio_al.questions import parse_config
from label_studio_al.runtime.settings import ProjectSettings
from label_studio_al.store import Measurement, Prediction, Signer, Store, Version, model_kind
from label_studio_al.turns.measuring import COMPARED_LABELS_APART, Measured, keep_predictions, measure
from label_studio_al.turns.subject import Subject
from tests.support.build import KEY, config_xml, event, make_pool, task
from tests.support.versions import asked, classifier_of, new_version, one_model, stored

WORDS = {"A": "match goal team coach league", "B": "bank stock price market profit"}
N = 120
CONFIG = parse_config(config_xml())


def truth(task_id: int) -> str:
    return "AB"[task_id % 2]


class Setting:
    """A project of 120 tasks: even ones speak of A, odd ones of B."""

    def __init__(self, store: Store, signer: Signer, folder: Path) -> None:
        draw = np.random.default_rng(0)
        texts = {place: " ".join(draw.choice(WORDS[truth(place)].split(), 4)) for place in range(1, N + 1)}
        store.projects.register(KEY, config_xml(), None, 0.0)
        store.updates.hear(event(tasks=tuple(task(place, text) for place, text in texts.items())), 0.0)
        self.store, self.signer = store, signer
        self.pool = make_pool(store, signer, folder)
        self.pool.refresh(np.inf)
        self.number = 0

    def publish(
        self,
        n_labels: int,
        audits: frozenset[int] = frozenset(),
        slips: frozenset[int] = frozenset(),
        trained_on: Sequence[int] = (),
    ) -> tuple[Version, Model]:
        """A version trained on n tasks (1 to n unless they are given), with all others in its window.

        slips: tasks that were labelled wrong.
        """
        tasks = trained_on or range(1, n_labels + 1)
        labels = {place: truth(place + (place in slips)) for place in tasks}
        rows = self.pool.X[self.pool.rows(list(labels))]
        classifier = fit_classifier(rows, np.array(list(labels.values())))
        self.number += 1
        new = new_version(
            number=self.number,
            created_at=0.0,
            revision=0,
            ranked_by="margin",
            labels=("A", "B"),
            trained_on=labels,
            features_id=self.pool.features_id,
            artifact=self.signer.dump(stored(classifier, "margin", Tuning("tfidf")), model_kind(KEY, self.number, 0.0)),
            window=[(place, 0.5) for place in range(1, N + 1) if place not in labels],
            audits=audits,
        )
        model = one_model(self.pool.features, classifier, "margin", Tuning("tfidf"))
        return self.store.versions.publish(KEY, new, is_switched=True), model

    def measure(self, version: Version, model: Model) -> Measurement | None:
        known = asked(version)
        of = Measured(CONFIG.question, known, model.trained["topic"])
        return measure(self.store, self.subject(known.trained_on, version), version, of, 1.0)

    def subject(self, labels: Mapping[int, str], version: Version) -> Subject:
        """A turn that has found these labels."""
        project, changes = self.store.projects.get(KEY), self.pool.refresh(np.inf)
        return Subject(
            project, CONFIG, ProjectSettings(), self.pool, changes, {"topic": labels}, sorted(labels), version
        )

    def keep(self, version: Version, model: Model, labels: Mapping[int, str]) -> None:
        keep_predictions(self.store, self.subject(labels, version), version, model)


@pytest.fixture
def setting(store: Store, signer: Signer, tmp_path: Path) -> Setting:
    return Setting(store, signer, tmp_path)


def test_prediction_of_each_new_label_is_kept_before_it_is_learnt(setting: Setting) -> None:
    version, model = setting.publish(20, audits=frozenset({22, 30}))
    labels = {place: truth(place) for place in range(1, 25)}
    setting.keep(version, model, labels)
    kept = setting.store.measurements.predictions(KEY)
    assert [one.task_id for one in kept] == [21, 22, 23, 24]
    assert [one.is_audit for one in kept] == [False, True, False, False]
    assert {one.n_labels for one in kept} == {20}
    proba = classifier_of(model).predict_proba(setting.pool.X[setting.pool.rows([21])])[0]
    assert kept[0].predicted == str(classifier_of(model).classes[proba.argmax()])
    assert kept[0].probability == pytest.approx(proba.max(), abs=1e-6)


def test_prediction_of_a_later_version_does_not_replace_the_first(setting: Setting) -> None:
    first = Prediction(task_id=30, question="topic", predicted="A", probability=0.9, n_labels=10, is_audit=True)
    setting.store.measurements.keep_predictions(KEY, [first])
    version, model = setting.publish(20)
    setting.keep(version, model, {30: "B"})
    assert setting.store.measurements.predictions(KEY) == [first]


def test_report_measures_the_audit_on_labels_as_they_are_now(setting: Setting) -> None:
    audits = frozenset(range(21, 41))
    version, model = setting.publish(20, audits)
    setting.keep(version, model, {place: truth(place) for place in range(1, 41)})
    newest, model = setting.publish(40)
    measured = setting.measure(newest, model)
    assert measured is not None
    audit = measured.report["audit"]
    assert audit["n"] == 20
    assert audit["accuracy"]["low"] <= audit["accuracy"]["value"] <= audit["accuracy"]["high"]
    assert audit["accuracy"]["value"] == 1.0
    assert measured.report["cross_validation"]["n"] == 40
    assert json.loads(json.dumps(measured.report)) is not None
    assert set(measured.report) == {
        "features",
        "labels",
        "audit",
        "cross_validation",
        "confusing_pairs",
        "suspects",
        "learning_curve",
        "random_baseline",
        "agreement",
        "stop",
        "forecast",
    }
    assert "tfidf" in measured.report["features"]


def test_versions_are_compared_a_batch_apart(setting: Setting) -> None:
    kappas = []
    for n_labels in (20, 25, 20 + COMPARED_LABELS_APART, 45, 40 + COMPARED_LABELS_APART):
        measured = setting.measure(*setting.publish(n_labels))
        assert measured is not None
        kappas.append(measured.kappa)
    assert [kappa is None for kappa in kappas] == [True, True, False, True, False]
    assert all(0 <= kappa <= 1 for kappa in kappas if kappa is not None)
    kept = [one.predictions is not None for one in setting.store.measurements.all(KEY)]
    assert kept == [False, False, False, False, True]


def test_nothing_is_measured_again_without_growth(setting: Setting) -> None:
    version, model = setting.publish(40)
    assert setting.measure(version, model) is not None
    assert setting.measure(version, model) is None
    assert setting.measure(*setting.publish(44)) is None
    assert setting.measure(*setting.publish(45)) is not None
    assert len(setting.store.measurements.all(KEY)) == 2


def test_corrected_labels_are_measured_again(setting: Setting) -> None:
    assert setting.measure(*setting.publish(40, slips=frozenset({1, 3, 5, 7, 9}))) is not None
    measured = setting.measure(*setting.publish(40))
    assert measured is not None
    assert measured.report["labels"] == {"A": 20, "B": 20}


def test_figures_of_labels_that_were_deleted_are_gone(setting: Setting) -> None:
    audits = frozenset(range(81, 91))
    for n_labels in (20, 40, 60, 80):
        version, model = setting.publish(n_labels, audits)
        setting.measure(version, model)
    setting.keep(version, model, {place: truth(place) for place in audits})
    measured = setting.measure(*setting.publish(90))
    assert measured is not None
    assert (measured.report["audit"]["n"], len(measured.report["agreement"])) == (10, 3)

    trained_on = [*range(1, 31), *audits]
    measured = setting.measure(*setting.publish(len(trained_on), trained_on=trained_on))
    assert measured is not None
    assert measured.report["audit"]["n"] == 0
    assert measured.report["learning_curve"] == []
    assert len(measured.report["agreement"]) == 1
    assert [one.n_labels for one in setting.store.measurements.all(KEY)] == [20, 40, 40]


@pytest.mark.parametrize(("n_audits", "stop"), [(19, None), (20, True)])
def test_stop_is_advised_when_versions_agree_and_audits_were_labelled(
    setting: Setting, n_audits: int, stop: bool | None
) -> None:
    audits = range(21, 21 + n_audits)
    version, model = setting.publish(20, audits=frozenset(audits))
    setting.keep(version, model, {place: truth(place) for place in audits})
    for n_labels in (40, 60, 80, 100):
        measured = setting.measure(*setting.publish(n_labels))
    assert measured is not None
    assert measured.report["agreement"] == [1.0, 1.0, 1.0]
    assert measured.report["stop"]["stop"] is stop
    assert "kappa" in measured.report["stop"]["reason"]


def test_old_reports_are_not_kept(setting: Setting) -> None:
    for n_labels in (20, 40):
        setting.measure(*setting.publish(n_labels))
    older, newest = setting.store.measurements.all(KEY)
    assert older.report == {}
    assert newest.report
    assert setting.store.measurements.newest(KEY, "topic") == newest


def test_slips_are_reported_by_their_tasks(setting: Setting) -> None:
    measured = setting.measure(*setting.publish(80, slips=frozenset({17, 40})))
    assert measured is not None
    assert {one["task_id"] for one in measured.report["suspects"]} == {17, 40}
    assert {(one["task_id"], one["label"], one["predicted"]) for one in measured.report["suspects"]} == {
        (17, "A", "B"),
        (40, "B", "A"),
    }
    (pair,) = measured.report["confusing_pairs"]
    assert (pair["labels"], pair["count"], set(pair["task_ids"])) == (["A", "B"], 2, {17, 40})


def test_random_baseline_is_of_the_labels_that_were_drawn(setting: Setting) -> None:
    audits = frozenset(range(21, 61))
    version, model = setting.publish(20, audits)
    setting.keep(version, model, {place: truth(place) for place in range(1, 81)})
    measured = setting.measure(*setting.publish(80))
    assert measured is not None
    points = measured.report["random_baseline"]
    assert [(point["n_labels"], point["n"]) for point in points] == [(10, 40), (20, 40)]
    assert all(point["accuracy"]["low"] <= point["accuracy"]["value"] <= point["accuracy"]["high"] for point in points)
