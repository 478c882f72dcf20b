"""
Put a chain where it can be read without its database: entries, payloads, tiles and checkpoints, each written once.

The layout is C2SP tlog-tiles with segments of payloads beside it, in a folder; docs/FORMAT.md
describes it to whoever reads it. Nothing is archived that no checkpoint covers, and nothing is written over.
"""
