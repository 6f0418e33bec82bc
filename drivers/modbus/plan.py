"""Which requests read a set of registers with the fewest bytes on the wire (no I/O).

    registers   [a a]   [b b b b]        [c c]            each value read whole, never cut between two requests
    requests    |---------------|        |---|            a gap costs two bytes a register, a request its frames

What may be read is the caller's to say, window by window: holes, refused blocks, the longest request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple


class Block(NamedTuple):
    """`size` registers from `start`, addresses as on the wire."""

    start: int
    size: int

    @property
    def end(self) -> int:
        """The address after the last register."""
        return self.start + self.size

    def holds(self, other: Block) -> bool:
        return self.start <= other.start and other.end <= self.end


REQUEST_COST = 20  # bytes: request 8, reply's frame 5, two silences of 3.5 characters


def plan(
    wanted: Iterable[Block], may_read: Callable[[Block], bool], *, request_cost: int = REQUEST_COST
) -> list[Block]:
    """The cheapest requests, in address order, such that each wanted block lies whole in one of them.

    A request costs `request_cost` + 2 bytes a register. `may_read` must say no to a block that holds a block it says
    no to. Raises ValueError if a wanted block itself may not be read.

    Windows of an optimal set can be ordered with neither holding another; then the values that each is the first to
    hold are neighbours in (start, end) order, so the best split of that order into runs is the best set of all.
    """
    order = sorted(set(wanted), key=lambda block: (block.start, block.end))
    best: list[tuple[int, list[Block]]] = [(0, [])]  # cost and requests for the first so many values
    for stop in range(1, len(order) + 1):
        choices = []
        end = 0
        for first in range(stop - 1, -1, -1):
            end = max(end, order[first].end)
            window = Block(order[first].start, end - order[first].start)
            if not may_read(window):
                break  # every longer window holds this one
            cost, requests = best[first]
            choices.append((cost + request_cost + 2 * window.size, [*requests, window]))
        if not choices:
            raise ValueError(f"{order[stop - 1].size} registers at {order[stop - 1].start} may not be read")
        best.append(min(choices, key=lambda choice: (choice[0], len(choice[1]))))
    return best[-1][1]
