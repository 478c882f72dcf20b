"""
Walk the events of a chain in ranges: fast where all is well, and event by event where it is not.
"""
