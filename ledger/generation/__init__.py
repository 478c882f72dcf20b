"""
Make up a trading firm: requests of any number for benchmarks, tests and demos, the same from the same seed.
"""
