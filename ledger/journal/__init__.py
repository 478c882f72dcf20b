"""
Append: check, encode, link, store and project, in one transaction.
"""
