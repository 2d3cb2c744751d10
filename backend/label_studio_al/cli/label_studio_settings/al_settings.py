"""Settings of a Label Studio that this package starts: Label Studio's own, but for how it uses SQLite.

By default a transaction that has read, and wants to write after another one has written, fails with "database is
locked". Label Studio then runs the whole request again: a Submit that was stored gets 409, and the labelling page
stands still. A transaction that begins with the right to write waits for its turn instead.
"""

# Label Studio looks at its settings, which are these, while it still makes the last of them.
from core.settings.base import *  # noqa: F403

SENTRY_DSN = ""

from core.settings.label_studio import *  # noqa: E402, F403
from core.settings.label_studio import DATABASES  # noqa: E402

DATABASES["default"]["OPTIONS"] = {"transaction_mode": "IMMEDIATE", "timeout": 20}
