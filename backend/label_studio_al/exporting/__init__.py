"""A project's model and data in files that others can use without this package."""

from label_studio_al.exporting.tables import FORMATS, check_format
from label_studio_al.exporting.writing import Export, check_folder, export, read_current

__all__ = ["FORMATS", "Export", "check_folder", "check_format", "export", "read_current"]
