"""
Decide what each event requires and what follows from it, one module per family of events.

A rule checks first and changes after; what it finds broken it raises as `Broken`, and the fold decides what that
means: a command is refused, a fact is quarantined.
"""
