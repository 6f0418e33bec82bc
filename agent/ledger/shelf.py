"""Two days of what the books hold for every meter or subject, by slot: the newest as objects, the rest packed (pure).

    owners 0–31    │ page │ page │ page │ …  │ objects │      a page: one slot of GROUP owners, deflated together
    owners 32–63   │ page │ page │ page │ …  │ objects │      10 to 40 bytes an entry instead of 1 to 2 kB
                     slot ─────────────────▶   newest

A park's slots are written once and then seldom looked at again: for a day, a statement, a late value. Neighbours at a
slot are much alike, so they pack well together; each is pickled alone, so that one is had without the others.
"""

from __future__ import annotations

import pickle
import zlib
from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import Generic, TypeVar

Owner = TypeVar("Owner", bound=Hashable)
Entry = TypeVar("Entry")
GROUP = 32  # owners of a page: deflate looks back 32 KiB, and an entry is a few hundred bytes
OPEN = 128  # pages kept inflated between two `pack`: a day of a group, 10 kB each


class Shelves(Generic[Owner, Entry]):
    """(owner, slot in UTC seconds) → entry. Entries are never changed, only replaced."""

    __slots__ = ("_fresh", "_open", "_packed", "_places")

    def __init__(self) -> None:
        self._fresh: dict[int, dict[Owner, Entry]] = {}  # slot → owner → entry; hides what is packed of the same
        self._packed: dict[int, dict[int, bytes]] = {}  # slot → group → page
        self._places: dict[Owner, tuple[int, int]] = {}  # owner → group, place in its pages
        self._open: dict[tuple[int, int], list[bytes]] = {}  # slot, group → pickles, the longest open first

    def put(self, owner: Owner, slot_s: int, entry: Entry) -> None:
        """Takes an entry, or a slot's new one."""
        self._fresh.setdefault(slot_s, {})[owner] = entry
        self._places.setdefault(owner, divmod(len(self._places), GROUP))

    def get(self, owner: Owner, slot_s: int) -> Entry | None:
        """What an owner has at a slot."""
        fresh = self._fresh.get(slot_s)
        if fresh is not None and (entry := fresh.get(owner)) is not None:
            return entry
        place = self._places.get(owner)
        if place is None or slot_s not in self._packed:
            return None
        pickled = self._page(slot_s, place[0])[place[1]]
        return pickle.loads(pickled) if pickled else None

    def between(self, owner: Owner, from_s: int, to_s: int) -> dict[int, Entry]:
        """What an owner has within `[from_s, to_s)`, in order of time."""
        slots = (slot_s for slot_s in self.slots() if from_s <= slot_s < to_s)
        return {slot_s: entry for slot_s in slots if (entry := self.get(owner, slot_s)) is not None}

    def slots(self) -> list[int]:
        """Slots at which anybody has an entry, in order."""
        return sorted(self._fresh.keys() | self._packed.keys())

    def rows(self) -> dict[Owner, Row[Owner, Entry]]:
        """Each owner's own entries."""
        return {owner: Row(self, owner) for owner in self._places}

    def pack(self, before_s: int) -> None:
        """Packs slots before an instant."""
        self._open.clear()
        for slot_s in [slot_s for slot_s in self._fresh if slot_s < before_s]:
            self._pack(slot_s)
            del self._fresh[slot_s]

    def forget(self, before_s: int, but: Callable[[int], bool] = lambda _slot_s: False) -> None:
        """Forgets slots before an instant, apart from some."""
        for slots in (self._fresh, self._packed):
            for slot_s in [slot_s for slot_s in slots if slot_s < before_s and not but(slot_s)]:
                del slots[slot_s]

    def copy(self) -> Shelves[Owner, Entry]:
        """As it stands; whoever copies may be another thread, and neither waits for the other."""
        copied: Shelves[Owner, Entry] = Shelves()  # what is fresh first: an entry leaves there when it is packed
        copied._fresh = {slot_s: entries.copy() for slot_s, entries in self._fresh.copy().items()}
        copied._packed = {slot_s: pages.copy() for slot_s, pages in self._packed.copy().items()}
        copied._places = self._places.copy()
        return copied

    def _pack(self, slot_s: int) -> None:
        groups: dict[int, dict[int, bytes]] = {}
        for owner, entry in self._fresh[slot_s].items():
            group, place = self._places[owner]
            groups.setdefault(group, {})[place] = pickle.dumps(entry, pickle.HIGHEST_PROTOCOL)
        pages = self._packed.setdefault(slot_s, {})
        for group, pickled in groups.items():
            page = self._page(slot_s, group)
            for place, one in pickled.items():
                page[place] = one
            pages[group] = zlib.compress(pickle.dumps(page, pickle.HIGHEST_PROTOCOL))
        self._open.clear()

    def _page(self, slot_s: int, group: int) -> list[bytes]:
        """A page's pickles by place, empty where an owner has nothing."""
        page = self._open.get((slot_s, group))
        if page is None:
            packed = self._packed[slot_s].get(group)
            page = [b""] * GROUP if packed is None else pickle.loads(zlib.decompress(packed))
            if len(self._open) >= OPEN:
                del self._open[next(iter(self._open))]
            self._open[slot_s, group] = page
        return page


class Row(Mapping[int, Entry], Generic[Owner, Entry]):
    """One owner's entries, by slot."""

    __slots__ = ("_owner", "_shelves")

    def __init__(self, shelves: Shelves[Owner, Entry], owner: Owner) -> None:
        self._shelves, self._owner = shelves, owner

    def __getitem__(self, slot_s: int) -> Entry:
        entry = self._shelves.get(self._owner, slot_s)
        if entry is None:
            raise KeyError(slot_s)
        return entry

    def __iter__(self) -> Iterator[int]:
        return (slot_s for slot_s in self._shelves.slots() if self._shelves.get(self._owner, slot_s) is not None)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def newest(self) -> int | None:
        """The last slot that has an entry."""
        return next((s for s in reversed(self._shelves.slots()) if self._shelves.get(self._owner, s) is not None), None)

    def between(self, from_s: int, to_s: int) -> dict[int, Entry]:
        """What is held of `[from_s, to_s)`, in order of time."""
        return self._shelves.between(self._owner, from_s, to_s)
