"""The web edge: Label Studio's ML backend protocol and the state for people and machines."""

from label_studio_al.web.app import create_app

__all__ = ["create_app"]
