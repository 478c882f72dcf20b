"""
Read the books: balances, positions, orders, executions, statements, quarantine and breaks, now and as they were.

Every read is one snapshot of the database: what it returns was all true together, at `At.seq`. `at` names a past
moment (`Seq`, `RecordedAt`, `Known`); the past is folded anew from the events, each checked on the way, unless an
asynchronous history that reaches far enough holds it. What cannot be told is an error and never an empty answer.

`opened` finds the moment and the rows of it, each other module is a kind of question, and `books` joins them.
"""

from ledger.queries.books import Books
from ledger.reading.moment import At, Known, Moment, RecordedAt, Seq

__all__ = ["At", "Books", "Known", "Moment", "RecordedAt", "Seq"]
