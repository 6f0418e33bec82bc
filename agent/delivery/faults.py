"""What goes wrong on the way to the broker."""

from __future__ import annotations


class UplinkError(Exception):
    """The broker cannot be reached, refused us, or the connection was lost."""
