"""
Mend what a verification found, from copies whose bytes hash to what the signed chain says, and nothing else.

A plan names for each finding where the good bytes are, or why there are none (`planning`); applying it believes
nothing of the plan and proves all of it again (`applying`). Events come from a copy and are proven by a signed
checkpoint; what follows from events is made anew from them.
"""
