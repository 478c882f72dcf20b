"""
Read the books, now and as they were: the moments a read may name, and what is read at them.

`moment` says which moments there are, `past` folds a chain up to one, `known_days` in the order of the days; `views`,
`profit`, `exposure` and `statement` make of it what people ask for, the same for now and for the past, and
`plain_rows` what is printed.
`ledger.queries.Books` puts them together.
"""
