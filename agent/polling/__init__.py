"""Lines: who is asked when, what is asked, and what is done between sweeps. Knows no ledger, log or broker."""
