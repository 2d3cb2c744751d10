"""Offline experiments: how many labels a strategy would have needed on texts with known labels.

`data` reads them, `replay` is the loop without Label Studio, `results` keeps the runs, `experiment` makes them all,
`summary` counts, `plot` draws.
"""
