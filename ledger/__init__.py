"""
Keep an immutable, hash-chained history of trading events.

Today this package holds the pure middle of the ledger: exact amounts (`ledger.domain`) and the bytes and
hashes of the chain (`ledger.chain`). docs/FORMAT.md specifies every byte.
"""
