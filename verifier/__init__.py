"""
Check a ledger from outside: read every row, hash every event, replay every rule, and name what is wrong.

The verifier shares the pure code with the ledger (bytes, hashes, the fold) and nothing that writes. It repairs
nothing; findings are data.
"""
