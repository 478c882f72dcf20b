"""
Take what other engines recorded into the ledger, as facts.
"""
