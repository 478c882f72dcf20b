"""
Tamper with a ledger in every way that is thought of, on real servers, and write down who noticed: `make tamper`.
"""
