"""
Check a part of a chain, or two chains against each other, by the tiles of the tree over its events.

A tile is 256 events in a row, and a few hashes lead from it to the root of everything. So a part can be checked by
itself and say exactly what it was: a share each night (`scrub`), tiles that nobody could foresee (`sample`), one
stream (`stream`), the head at each start (`opening`), the first event at which two copies differ (`diverging`).

Each mode takes a copy (`copies`: a region's database or an archive) and returns a report that says what it left out.
"""
