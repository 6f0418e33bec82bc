"""The log on disk: leaves and signatures in one transaction, keys, epochs, receipts, room."""
