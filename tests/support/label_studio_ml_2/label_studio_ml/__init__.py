"""A small stand-in for label-studio-ml 2.x, which is in no package registry.

Written from its published interface (the signatures of `LabelStudioMLBase`, what its routes take, call and answer), as
of the git checkouts that call themselves 2.0.1.dev0. It has no code of the real one, and nothing of what a model may
leave alone.
"""
