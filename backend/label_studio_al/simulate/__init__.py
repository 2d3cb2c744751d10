"""Offline experiments: what a strategy would have cost in labels on texts whose labels are known.

`data` reads them, `replay` is the loop without Label Studio, `results` keeps the runs, `experiment` makes them all,
`summary` counts, `plot` draws.
"""
