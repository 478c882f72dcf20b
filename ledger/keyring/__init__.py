"""
Look after the keys that a chain names: list their files, let one take over from another, end one, keep a copy of all.

Private halves are in files and nowhere else: no database, no event and no argument of a command ever holds one.
"""
