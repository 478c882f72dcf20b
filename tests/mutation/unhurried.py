"""
Let Hypothesis take its time, and fewer examples, where the tests are run once for each of a thousand mutants.

On a busy machine a deadline passes for reasons that no mutant has, and would count as one that was noticed; and a
verdict should be the same the next time, so the examples are.
"""

from hypothesis import settings

settings.register_profile("mutation", deadline=None, max_examples=25, database=None, derandomize=True)
settings.load_profile("mutation")
