"""
Turn events into bytes, and bytes into a chain of hashes.

Pure: nothing here knows an event type, a clock or a database. docs/FORMAT.md specifies the bytes.
"""
