"""Simulated meters, buses and brokers: the truth first, then meters that show it, then wires that spoil it."""
