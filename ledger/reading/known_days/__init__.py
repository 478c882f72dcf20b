"""
Read what was known at one time about the days up to another: the chain folded in the order of the days.

`known` goes through the events in that order and has those wait that find no ground yet (`waiting`); `applying` asks
the rules, `without_ground` says what is left in the end, `misfits` what cannot be told. `counting` says what each event
posts when; `split_days`, `settled_shares`, `giving_back` and `given_away` move postings and events to where they count
beside a split, a hold or an allocation. `orders` are told by themselves, in the order of telling; `ground` is what all
of it stands on, and `charges` and `ending` are what no rule tells.
"""
