"""
Change the program one operator at a time, and see that a test notices: `python -m tests.mutation` (`make mutation`).

mutmut makes the mutants; `runner` notes which test calls which function, and runs for each mutant those tests alone, in
a fork of one process that has collected them. `groups` says what is mutated and by which tests; each group has a folder
of its own under build/mutation, where a run that was stopped goes on. `page` writes docs/MUTATION.md from what the
folders hold and from `survivors`, the reasons why a mutant may live.
"""
