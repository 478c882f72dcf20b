"""
Read the books, now and as they were: the moments a read may name, and what is read at them.

`moment` says which moments there are, `past` folds a chain up to one, `known` in the order of the days, `views`,
`statement` and `shown` make of a state what people ask for, the same for now and for the past. `ledger.queries.Books`
puts them together. P&L belongs beside `views`, as a function over the same sources.
"""
