"""
Compare the ledger with what venues and custodians state, and follow each difference until it is resolved.
"""
