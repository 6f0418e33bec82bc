"""The agent on the gateway: polls, validates, keeps the ledger and the log, publishes."""
