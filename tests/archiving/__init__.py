"""Check archives: what is written once, what a stranger finds in it, and what tampering leaves to be found."""
