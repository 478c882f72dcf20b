"""
Verify an archive from its files alone: no database, no network but the store's, and a policy that the auditor brings.

`ranges` checks a run of bundles by itself and returns what it cannot know: the link before its first event, the tree
above its tiles, the groups that reach over its ends. `joining` fits ranges together in order (`seams`, `groups`,
`tiers`), whoever checked them and when; `checkpoints` judges what was signed, and `verification` makes the report.
So every index is bound twice, by BLAKE3 to its neighbours and by SHA-256 to the signed root, by any number of workers
in any order.
"""
