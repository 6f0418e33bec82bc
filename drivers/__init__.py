"""Talks to meters; knows no tenant, database or broker."""
