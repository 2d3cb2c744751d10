"""Labelled texts for experiments.

`sources` finds them, `files` decodes them, `columns` and `exports` know which part of a file is the text and which the
answer, the question reads it, `cleaning` takes out what is no example, `splitting` holds the test out.
"""

from label_studio_al.simulate.data.columns import Said
from label_studio_al.simulate.data.dataset import Dataset
from label_studio_al.simulate.data.sources import read, read_config, read_data

__all__ = ["Dataset", "Said", "read", "read_config", "read_data"]
