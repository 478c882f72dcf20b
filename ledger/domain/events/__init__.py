"""
Declare what can happen: one struct per event type, one file per family.
"""
