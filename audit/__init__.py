"""Upstream: settles, checks markups, verifies evidence. Never imports the agent; of drivers only the pure codecs."""
