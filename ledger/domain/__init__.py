"""
Say what can happen, and what follows from it.

Pure: nothing here reads a clock, a file or a database.
"""
