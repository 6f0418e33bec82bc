"""What a province asks of its parks, in the SQL that DuckDB and Spark both speak and answer alike (no I/O).

The table is `records`: the columns of audit.rows with `park` and `month` from the path. Each question is about parks
one by one, so it may be asked of any number of them at once. Kept to what both engines mean the same by: no float, no
average, no date function, no `max_by` (DuckDB passes over nulls, Spark does not), no order of nulls that matters.
Of what was revised the newest revision counts: found by a join with REVISED, since a window over all rows to find the
newest of each costs three times as much (measured). An engine makes those small tables first and keeps them: Spark
takes a query's result to be as large as what it reads, and would sort all records by five to seven columns to join.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from contract.records import plain

# name → which index is the newest at each slot that was revised
REVISED = {
    "revised_readings": """
SELECT park, gateway, epoch, meter, slot_s, MAX(seq) AS newest
FROM records WHERE kind = 'reading' AND fork = 0 AND meter IS NOT NULL AND slot_s IS NOT NULL AND revision > 0
GROUP BY park, gateway, epoch, meter, slot_s""",
    "revised_intervals": """
SELECT park, gateway, epoch, COALESCE(tenant, '') AS tenant, COALESCE(point, '') AS point, role, slot_s,
       MAX(seq) AS newest
FROM records WHERE kind = 'interval' AND fork = 0 AND role IS NOT NULL AND period IS NOT NULL AND revision > 0
GROUP BY park, gateway, epoch, COALESCE(tenant, ''), COALESCE(point, ''), role, slot_s""",
}

# each log: what there is, indexes without a record, further records at an index
LOGS = """
SELECT park, gateway, epoch,
       COUNT(*) AS records,
       MAX(seq) + 1 - SUM(CASE WHEN fork = 0 THEN 1 ELSE 0 END) AS holes,
       SUM(CASE WHEN fork > 0 THEN 1 ELSE 0 END) AS forks,
       SUM(CASE WHEN kind = 'gap' THEN 1 ELSE 0 END) AS gaps,
       SUM(CASE WHEN kind = 'event' THEN 1 ELSE 0 END) AS events,
       SUM(CASE WHEN revision > 0 THEN 1 ELSE 0 END) AS revisions,
       MIN(at_ms) AS first_ms, MAX(at_ms) AS last_ms
FROM records GROUP BY park, gateway, epoch ORDER BY park, gateway, epoch"""

# each meter: slots with a reading, by quality; seconds between neighbours beyond the smallest step; registers that fell
METERS = """
WITH found AS (
  SELECT park, gateway, epoch, meter, slot_s, seq, quality, register
  FROM records WHERE kind = 'reading' AND fork = 0 AND meter IS NOT NULL AND slot_s IS NOT NULL),
steps AS (
  SELECT f.park, f.gateway, f.epoch, f.meter, f.slot_s, f.quality, f.register,
         f.slot_s - LAG(f.slot_s) OVER (PARTITION BY f.park, f.gateway, f.epoch, f.meter ORDER BY f.slot_s) AS step_s,
         LAG(f.register) OVER (PARTITION BY f.park, f.gateway, f.epoch, f.meter ORDER BY f.slot_s) AS before
  FROM found f LEFT JOIN revised_readings r ON f.park = r.park AND f.gateway = r.gateway AND f.epoch = r.epoch
    AND f.meter = r.meter AND f.slot_s = r.slot_s
  WHERE r.newest IS NULL OR r.newest = f.seq)
SELECT park, gateway, epoch, meter,
       COUNT(*) AS slots,
       SUM(CASE WHEN quality = 'measured' THEN 1 ELSE 0 END) AS measured,
       SUM(CASE WHEN quality = 'interpolated' THEN 1 ELSE 0 END) AS interpolated,
       SUM(CASE WHEN quality = 'estimated' THEN 1 ELSE 0 END) AS estimated,
       SUM(CASE WHEN quality = 'substituted' THEN 1 ELSE 0 END) AS substituted,
       MIN(slot_s) AS first_slot_s, MAX(slot_s) AS last_slot_s,
       COALESCE(MAX(step_s), 0) - COALESCE(MIN(step_s), 0) AS longest_hole_s,
       SUM(CASE WHEN register < before THEN 1 ELSE 0 END) AS falls
FROM steps GROUP BY park, gateway, epoch, meter ORDER BY park, gateway, epoch, meter"""

# each holder and period: its intervals in their newest revision, their energy, and how many have none that is exact
ENERGY = """
WITH found AS (
  SELECT park, gateway, epoch, COALESCE(tenant, '') AS tenant, COALESCE(point, '') AS point, role, slot_s, seq,
         period, quality, kwh
  FROM records WHERE kind = 'interval' AND fork = 0 AND role IS NOT NULL AND period IS NOT NULL)
SELECT f.park, f.tenant, f.point, f.role, f.period,
       COUNT(*) AS intervals,
       SUM(f.kwh) AS kwh,
       SUM(CASE WHEN f.quality = 'measured' THEN f.kwh ELSE NULL END) AS measured_kwh,
       SUM(CASE WHEN f.kwh IS NULL THEN 1 ELSE 0 END) AS unreadable
FROM found f LEFT JOIN revised_intervals r ON f.park = r.park AND f.gateway = r.gateway AND f.epoch = r.epoch
  AND f.tenant = r.tenant AND f.point = r.point AND f.role = r.role AND f.slot_s = r.slot_s
WHERE r.newest IS NULL OR r.newest = f.seq
GROUP BY f.park, f.tenant, f.point, f.role, f.period ORDER BY f.park, f.tenant, f.point, f.role, f.period"""

QUESTIONS = {"logs": LOGS, "meters": METERS, "energy": ENERGY}

Answer = dict[str, Any]


def answers(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[Answer]:
    """Rows as an engine gives them, in plain JSON: decimals as text without trailing zeros."""
    return [dict(zip(columns, map(_plain, row), strict=True)) for row in rows]


def _plain(value: Any) -> Any:
    return plain(value.normalize()) if isinstance(value, Decimal) else value
