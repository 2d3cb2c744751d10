"""Runs Python where this package was never installed."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

# Without `site` and PYTHONPATH, so without a path to this package: as where it was never installed.
ELSEWHERE = f"""
import sys
sys.path.append({sysconfig.get_path("purelib")!r})
try:
    import label_studio_al
except ImportError:
    pass
else:
    raise SystemExit("this package can be imported")
"""


def run_elsewhere(folder: Path, code: str, sent: str) -> str:
    """What the code says that runs in a folder; it must not fail, nor warn."""
    command = [sys.executable, "-E", "-W", "error", "-S", "-c", ELSEWHERE + code]
    done = subprocess.run(command, cwd=folder, input=sent, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
