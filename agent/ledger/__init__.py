"""Findings to records: values at slots, what better values change, intervals, days and statements."""
