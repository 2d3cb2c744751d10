"""Finds out what is wrong with a setup and says how to fix it. Start reading at `examination.py`, which has the order
of the checks."""

from label_studio_al.doctor.examination import Result, examine
from label_studio_al.doctor.setup import Doing, Setup

__all__ = ["Doing", "Result", "Setup", "examine"]
