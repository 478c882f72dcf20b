"""
Work out profit and loss by day, from what known days hold.

`results` goes through the days; `result_lines` keeps a line from one day to the next; `flows` are what was brought or
cost beside trades, `remainders` what splits rounded; `marks_ahead` says of which days marks are in other shares than
the books; `fx_result` is what conversions have earned.
"""
