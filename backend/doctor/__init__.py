"""Finds out what is wrong with a setup and says how to mend it - start at `examination.py`, which has the order."""

from backend.doctor.examination import Result, examine
from backend.doctor.setup import Setup

__all__ = ["Result", "Setup", "examine"]
