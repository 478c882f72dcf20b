"""
Feed the parsers millions of changed inputs: whatever comes, only a named error, in bounded memory and time.

`mutation` changes real examples along their structure, `examples` makes those, `targets` and `folders` say what is fed
and what must hold of what is accepted, `feeding` does it under a limit of memory, and `python -m tests.fuzz` (`make
fuzz`) runs it for as long as one likes. Every run prints its seed; an input that broke something is kept as a file.
"""
