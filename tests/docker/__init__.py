"""Docker without an engine: the files are read, and what they say is run in a root directory of its own."""
