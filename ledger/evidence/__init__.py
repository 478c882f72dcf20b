"""
Speak the formats in which logs prove themselves to strangers: trees, tiles, notes, checkpoints, policies, proofs.

Pure: bytes in, bytes out. Nothing here knows an event, a database, a network or a clock. Where a format is
somebody else's, its specification is named, and its own examples are tests.
"""
