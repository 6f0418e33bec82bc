"""What others build against and recompute: records, topics, proofs, tariff, ledger.

Imports nothing else of hubiao and does no input or output, so that an auditor can run it alone.
"""
