"""
Keep closed rows in a temporary file while events are replayed, so that memory follows what is open.
"""
