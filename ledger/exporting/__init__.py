"""
Write the books for other people's programs, which add them up for themselves.
"""
