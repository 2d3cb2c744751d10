"""How turns, answers and memory grow with the pool, the people and the machines: `python -m benchmarks.scale`."""
