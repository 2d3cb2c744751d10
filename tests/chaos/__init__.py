"""Labelling goes on while everything around it fails; when the faults stop, nothing may be lost.

    python -m tests.chaos --seed 17 --database sqlite        one schedule again
    python -m tests.chaos --schedules 200                    many

`schedule.py` draws a schedule from a seed, `run.py` carries it out, `check.py` compares the end with what must be.
"""
