"""Two days of one meter's or one subject's entries, by slot: the newest as objects, the rest packed (pure).

    older                                  newest
    zlib │ zlib │ zlib │ zlib │ …    │ object │ object │      a packed chunk holds CHUNK steps
    40 to 80 bytes a step              1 to 2 kB each

A park's slots are written once and then seldom looked at again: for a day, a statement, a late value.
"""

from __future__ import annotations

import pickle
import zlib
from collections.abc import Iterator, Mapping
from typing import TypeVar

T = TypeVar("T")
CHUNK = 8  # steps: more would pack better, and leave more objects to wait for their neighbours


class Shelf(Mapping[int, T]):
    """Slot (UTC seconds) → entry, in order of time. Entries are never changed, only replaced."""

    __slots__ = ("_chunk_s", "_fresh", "_opened", "_packed")

    def __init__(self, step_s: int) -> None:
        self._chunk_s = CHUNK * step_s
        self._fresh: dict[int, T] = {}  # hides what is packed of the same slot
        self._packed: dict[int, bytes] = {}  # chunk's first second → its entries
        self._opened: tuple[int, dict[int, T]] = (-1, {})

    def __getitem__(self, slot_s: int) -> T:
        found = self._fresh.get(slot_s)
        return self._unpacked(slot_s - slot_s % self._chunk_s)[slot_s] if found is None else found

    def __iter__(self) -> Iterator[int]:
        slots = set(self._fresh)
        for chunk_s in self._packed:
            slots.update(self._unpacked(chunk_s))
        return iter(sorted(slots))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def put(self, slot_s: int, entry: T) -> None:
        """Takes an entry, or a slot's new one."""
        self._fresh[slot_s] = entry

    def newest(self) -> int | None:
        """The last slot that has an entry."""
        slots = [*self._fresh]
        if self._packed:
            slots += self._unpacked(max(self._packed))
        return max(slots, default=None)

    def between(self, from_s: int, to_s: int) -> dict[int, T]:
        """What is held of `[from_s, to_s)`, in order of time."""
        found: dict[int, T] = {}
        for chunk_s in sorted(self._packed):
            if chunk_s < to_s and chunk_s + self._chunk_s > from_s:
                found.update(self._unpacked(chunk_s))
        found.update(self._fresh)
        return {slot_s: found[slot_s] for slot_s in sorted(found) if from_s <= slot_s < to_s}

    def tidy(self, pack_before_s: int, forget_before_s: int) -> None:
        """Packs what begins before an instant, and forgets chunks that ended before another."""
        self._opened = (-1, {})
        old: dict[int, dict[int, T]] = {}
        for slot_s, entry in self._fresh.items():
            if slot_s < pack_before_s:
                old.setdefault(slot_s - slot_s % self._chunk_s, {})[slot_s] = entry
        for chunk_s, entries in old.items():
            whole = self._unpacked(chunk_s) | entries
            self._packed[chunk_s] = zlib.compress(pickle.dumps(whole, pickle.HIGHEST_PROTOCOL))
            for slot_s in entries:
                del self._fresh[slot_s]
        if old:
            self._opened = (-1, {})
        for chunk_s in [chunk_s for chunk_s in self._packed if chunk_s + self._chunk_s <= forget_before_s]:
            del self._packed[chunk_s]

    def copy(self) -> Shelf[T]:
        """As it stands; whoever copies may be another thread, and neither waits for the other."""
        copied: Shelf[T] = Shelf(self._chunk_s // CHUNK)
        copied._fresh = self._fresh.copy()  # first: an entry is packed before it leaves here
        copied._packed = self._packed.copy()
        return copied

    def _unpacked(self, chunk_s: int) -> dict[int, T]:
        """A chunk's entries; of the last one asked for they are kept until `tidy`. Empty where there is none."""
        if self._opened[0] != chunk_s:
            packed = self._packed.get(chunk_s)
            entries: dict[int, T] = {} if packed is None else pickle.loads(zlib.decompress(packed))
            self._opened = (chunk_s, entries)
        return self._opened[1]
