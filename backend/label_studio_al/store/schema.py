"""The tables.

Without `from __future__ import annotations`, whose name is a table's here.
"""

from typing import Any

import sqlalchemy as sa

from label_studio_al.questions import NO_OFFERS
from label_studio_al.store.activity import STARTING, Activity

metadata = sa.MetaData()

# One row a Label Studio project. `revision` counts everything that was heard; rows below carry the revision that
# changed them last, so "what is new since" is one comparison.
projects = sa.Table(
    "projects",
    metadata,
    sa.Column("key", sa.String(64), primary_key=True),
    # As Label Studio's API gave it; none without a token.
    sa.Column("title", sa.Text),
    sa.Column("label_config", sa.Text, nullable=False),
    # What all tasks offer where the label config leaves it to them, by field (questions/offers.py).
    sa.Column("offers", sa.Text, nullable=False, server_default=NO_OFFERS),
    sa.Column("extra_params", sa.Text, nullable=False, default="{}"),
    sa.Column("revision", sa.BigInteger, nullable=False, default=0),
    sa.Column("seen_revision", sa.BigInteger, nullable=False, default=-1),
    sa.Column("n_turns", sa.BigInteger, nullable=False, default=0),
    sa.Column("heard_at", sa.Float, nullable=False, default=0.0),
    # When Label Studio was last asked what changed, up to which of its own times (ISO 8601), and whether to ask now.
    sa.Column("synced_at", sa.Float),
    sa.Column("changed_through", sa.String(40)),
    sa.Column("sync_wanted", sa.Boolean, nullable=False, default=True),
    # The comparison of everything: when the last one ended; of one that is going on, the revision at its beginning
    # and the last task id that was compared.
    sa.Column("compared_at", sa.Float),
    sa.Column("comparing_since", sa.BigInteger),
    sa.Column("compared_through", sa.BigInteger, nullable=False, server_default="0"),
    # Marks of rows that were deleted up to this revision are gone: who has seen less must look at all ids.
    sa.Column("purged_revision", sa.BigInteger, nullable=False, server_default="-1"),
    # As of the last turn: counting a million rows takes longer than a status page may.
    sa.Column("n_tasks", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("n_annotations", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("n_labelled", sa.BigInteger, nullable=False, server_default="0"),
    # Labelled tasks by question and label, e.g. {"topic": {"Billing": 12}}; new labels since the last training, and how
    # many make the next due.
    sa.Column("label_counts", sa.Text, nullable=False, server_default="{}"),
    sa.Column("n_fresh", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("n_due", sa.BigInteger, nullable=False, server_default="0"),
    # What was not read in the last turn, and why, e.g. [{"reason": "no_text", "n": 12, "task_id": 5, "sentence": ...}].
    sa.Column("unread", sa.Text, nullable=False, server_default="[]"),
    # How far a long step has come, e.g. {"what": "sync", "done": 4100, "total": 10000}.
    sa.Column("progress", sa.Text),
    # Somebody told another label config than the one before; events and /setup may tell it late and out of order.
    sa.Column("config_wanted", sa.Boolean, nullable=False, default=False),
    # A version is wanted whatever the growth, unless the published one has seen this revision.
    sa.Column("wanted_revision", sa.BigInteger, nullable=False, default=-1),
    sa.Column("version_id", sa.BigInteger),
    sa.Column("last_number", sa.BigInteger, nullable=False, default=0),
    sa.Column("is_switched", sa.Boolean, nullable=False, default=False),
    # Whether nothing of the version's window is left to be pushed.
    sa.Column("is_window_pushed", sa.Boolean, nullable=False, server_default=sa.true()),
    sa.Column("is_arranged", sa.Boolean, nullable=False, default=False),
    # Names of older versions whose predictions Label Studio still holds.
    sa.Column("stale_versions", sa.Text, nullable=False, default="[]"),
    # What is being done or waited for (store/activity.py).
    sa.Column("activity", sa.Text, nullable=False, default=Activity(STARTING).dumps()),
    sa.Column("error", sa.Text),
    sa.Column("unreachable_since", sa.Float),
    # Turns in a row that failed, and that began and did not end: whoever took them was killed.
    sa.Column("n_failures", sa.Integer, nullable=False, default=0),
    sa.Column("n_unfinished", sa.Integer, nullable=False, server_default="0"),
    sa.Column("retry_at", sa.Float),
    # Turns failed again and again at this revision: only news start another one.
    sa.Column("parked_revision", sa.BigInteger),
    # Somebody asked that no turns be taken; what is heard meanwhile waits.
    sa.Column("is_paused", sa.Boolean, nullable=False, server_default=sa.false()),
    # Settings that somebody chose here, to be written into the connection's extra params in Label Studio.
    sa.Column("wanted_params", sa.Text),
)


def _belongs_to_project(**options: Any) -> sa.Column[str]:
    return sa.Column("project_key", sa.String(64), sa.ForeignKey("projects.key", ondelete="CASCADE"), **options)


# Deleted rows stay as marks without content until the next full sync, so that a late event cannot revive them.
tasks = sa.Table(
    "tasks",
    metadata,
    _belongs_to_project(primary_key=True),
    sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("data", sa.Text, nullable=False),
    sa.Column("revision", sa.BigInteger, nullable=False),
    sa.Column("is_deleted", sa.Boolean, nullable=False, default=False),
    sa.Index("tasks_by_revision", "project_key", "revision", "id"),
)

annotations = sa.Table(
    "annotations",
    metadata,
    _belongs_to_project(primary_key=True),
    sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("task_id", sa.BigInteger, nullable=False),
    sa.Column("result", sa.Text, nullable=False),
    sa.Column("was_cancelled", sa.Boolean, nullable=False, default=False),
    sa.Column("updated_at", sa.String(40), nullable=False),
    sa.Column("revision", sa.BigInteger, nullable=False),
    sa.Column("is_deleted", sa.Boolean, nullable=False, default=False),
    # Set by this backend, and by no person since.
    sa.Column("is_automatic", sa.Boolean, nullable=False, server_default=sa.false()),
    # The number of the user who gave it, in Label Studio; none where it did not say.
    sa.Column("completed_by", sa.BigInteger),
    # How many seconds that took; none where it did not say.
    sa.Column("lead_time", sa.Float),
    sa.Column("ground_truth", sa.Boolean, nullable=False, server_default=sa.false()),
    # Ids, parents and sizes of the result's items, and relations (labeling/details.py). Not in `result`: most results
    # are equal, and turns read each different one once.
    sa.Column("item_details", sa.Text),
    sa.Index("annotations_by_task", "project_key", "task_id"),
    sa.Index("annotations_by_revision", "project_key", "revision"),
)

# Tasks of which events said that they, or labels of theirs, were changed or deleted: Label Studio is to be asked.
claims = sa.Table(
    "claims",
    metadata,
    _belongs_to_project(primary_key=True),
    sa.Column("task_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("revision", sa.BigInteger, nullable=False),
)

features = sa.Table(
    "features",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    _belongs_to_project(nullable=False, index=True),
    sa.Column("field", sa.Text, nullable=False),
    sa.Column("created_at", sa.Float, nullable=False),
    sa.Column("artifact", sa.LargeBinary, nullable=False),
)

versions = sa.Table(
    "versions",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    _belongs_to_project(nullable=False),
    sa.Column("number", sa.BigInteger, nullable=False),
    sa.Column("created_at", sa.Float, nullable=False),
    sa.Column("revision", sa.BigInteger, nullable=False),
    sa.Column("ranked_by", sa.String(32), nullable=False),
    # By question: the labels that the config offered, and the answers by task.
    sa.Column("labels", sa.Text, nullable=False),
    sa.Column("learnt", sa.Text, key="trained_on", nullable=False),
    # By question: its fingerprint, which is an empty text for one label out of several.
    sa.Column("question", sa.Text, key="questions", nullable=False, server_default=""),
    # Tasks with an answer to any question.
    sa.Column("n_labels", sa.Integer, nullable=False, server_default="0"),
    # Of `trained_on`, how many tasks have each label: reading a million tasks takes longer than a status page may.
    sa.Column("label_counts", sa.Text, nullable=False, server_default="{}"),
    sa.Column("features_id", sa.Integer),
    sa.Column("artifact", sa.LargeBinary),
    sa.Column("late_audits", sa.Text, nullable=False, default="[]"),
    # Whose name Label Studio shows; empty for versions of a release that did not tell.
    sa.Column("installation", sa.String(16), nullable=False, server_default=""),
    sa.UniqueConstraint("project_key", "number"),
)

# The tasks that are asked by a version, in the order in which they are to be asked.
window = sa.Table(
    "window_tasks",
    metadata,
    sa.Column("version_id", sa.ForeignKey("versions.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    sa.Column("task_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("informativeness", sa.Float, nullable=False),
    # Drawn at random, not chosen by the strategy.
    sa.Column("is_audit", sa.Boolean, nullable=False, default=False),
    # By question: what the version held most probable, [[answer, probability], ...]; none before the first model.
    sa.Column("guesses", sa.Text, key="top_k"),
    # Whether Label Studio has its prediction.
    sa.Column("is_pushed", sa.Boolean, nullable=False, server_default=sa.true()),
)

# What the version that was current had predicted for a task before people labelled it.
outcomes = sa.Table(
    "outcomes",
    metadata,
    _belongs_to_project(primary_key=True),
    sa.Column("task_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("question", sa.Text, primary_key=True),
    sa.Column("predicted", sa.Text, nullable=False),
    sa.Column("probability", sa.Float, nullable=False),
    sa.Column("n_labels", sa.Integer, nullable=False),
    sa.Column("is_audit", sa.Boolean, nullable=False),
)

# How good the versions were at a question; `predictions` maps task ids to answers, for the next comparison.
measurements = sa.Table(
    "measurements",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    _belongs_to_project(nullable=False, index=True),
    sa.Column("question", sa.Text, nullable=False, server_default=""),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Column("n_labels", sa.Integer, nullable=False),
    sa.Column("created_at", sa.Float, nullable=False),
    sa.Column("kappa", sa.Float),
    sa.Column("predictions", sa.Text),
    sa.Column("report", sa.Text, nullable=False),
)

# Each time labels were set automatically. `report` is JSON for people, `covered_audits` the audit labels that spoke for
# it, `watch` how the verification stands.
runs = sa.Table(
    "autolabel_runs",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    _belongs_to_project(nullable=False),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("created_at", sa.Float, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("max_error", sa.Float, nullable=False),
    sa.Column("delta", sa.Float, nullable=False),
    sa.Column("n_batches", sa.Integer, nullable=False, server_default="0"),
    sa.Column("report", sa.Text, nullable=False),
    sa.Column("covered_audits", sa.Text, nullable=False, server_default="[]"),
    sa.Column("watch", sa.Text),
    sa.UniqueConstraint("project_key", "number"),
)

# The tasks of a run. Those that are held back for people (state `check`) are never labelled automatically. label: JSON,
# the answer to each question, e.g. {"topic": "Billing"}; probability: that all of it is right.
automatic_labels = sa.Table(
    "automatic_labels",
    metadata,
    sa.Column("run_id", sa.ForeignKey("autolabel_runs.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    sa.Column("task_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("label", sa.Text, nullable=False),
    sa.Column("probability", sa.Float, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    # The batch that it was sent in last; none before.
    sa.Column("batch", sa.Integer),
    sa.Column("annotation_id", sa.BigInteger),
)

# Looks at the audit labels, each of which spends some of the permitted risk: `signature` tells one from another.
looks = sa.Table(
    "autolabel_looks",
    metadata,
    _belongs_to_project(primary_key=True),
    sa.Column("after_run", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("signature", sa.String(64), primary_key=True),
    sa.Column("number", sa.Integer, nullable=False),
)

# The newest plan of each project, whether it was applied or not. report: JSON for people.
plans = sa.Table(
    "autolabel_plans",
    metadata,
    _belongs_to_project(primary_key=True),
    sa.Column("made_at", sa.Float, nullable=False),
    sa.Column("report", sa.Text, nullable=False),
)

# A map of each project's pool. landmarks: JSON, the tasks whose places are fixed (turns/mapping.py). picture: JSON,
# what the status page draws (turns/pictures.py). n_points: tasks that it shows one by one.
maps = sa.Table(
    "maps",
    metadata,
    _belongs_to_project(primary_key=True),
    sa.Column("made_at", sa.Float, nullable=False),
    sa.Column("landmarks", sa.Text, nullable=False),
    sa.Column("picture", sa.Text, nullable=False),
    sa.Column("n_points", sa.Integer, nullable=False),
)

turns = sa.Table(
    "turns",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    _belongs_to_project(nullable=False, index=True),
    sa.Column("started_at", sa.Float, nullable=False),
    sa.Column("seconds", sa.Float, nullable=False),
    sa.Column("steps", sa.Text, nullable=False),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("version", sa.BigInteger),
    sa.Column("n_labels", sa.Integer),
)

# How often things happened, summed over all processes and hosts. `labels`: JSON, e.g. {"outcome":"published"}.
counts = sa.Table(
    "counts",
    metadata,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("labels", sa.String(255), primary_key=True),
    sa.Column("value", sa.Float, nullable=False),
)
