"""Campaigns and measurements: one command a figure. Nothing here is installed with the agent."""
