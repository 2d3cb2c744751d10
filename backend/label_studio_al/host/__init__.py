"""This backend inside the official server, label-studio-ml: its model class, for release 1.0.9 and for 2.x.

Nothing here needs our own web server, so it works with the Flask 1.1.2 that label-studio-ml 1.0.9 pins.
"""

from __future__ import annotations

from typing import Any


def model_class() -> Any:
    """The model for the installed release of label-studio-ml. Raises HostNotInstalled."""
    from label_studio_al.runtime.errors import HostNotInstalled

    try:
        from label_studio_ml import model
    except ImportError as exc:
        raise HostNotInstalled(
            f"label-studio-ml cannot be imported ({exc}): docs/label-studio-ml.md has the two commands that install it"
        ) from exc
    if hasattr(model, "LabelStudioMLManager"):
        from label_studio_al.host.release_1 import ActiveLearning as OfRelease1

        return OfRelease1
    from label_studio_al.host.release_2 import ActiveLearning as OfRelease2

    return OfRelease2
