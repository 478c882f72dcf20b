"""
Measure the ledger against floors of the same run: what PostgreSQL alone does with the same rows.

A number without its floor says more about the machine than about the ledger. Each measure and its floor take turns,
round after round, so that a slow minute of the machine hits both.
"""
