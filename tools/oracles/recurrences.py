#!/usr/bin/env python3
"""1,000 random DAILY to YEARLY recurrence rules and their members by python-dateutil.

Left out is what dateutil reads differently from RFC 5545: numbered and plain weekdays in one BYDAY (it intersects them),
BYSETPOS in a first week that the start cuts short, and the weeks 52, 53, -52 and -53 (it takes 1 January 2022 for week 53).
"""

import random
import warnings
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path

from dateutil.rrule import rrulestr

OUT = Path(__file__).resolve().parents[2] / "crates/schedule/tests/data/dateutil.txt"
DAYS = ["MO", "TU", "WE", "TH", "FR", "SA", "SU"]
RULES, MEMBERS, YEARS = 1_000, 10, 60
STAMP = "%Y%m%dT%H%M%S"
pick = random.Random(5545)


def some(values, most=3):
    return sorted(pick.sample(list(values), pick.randint(1, most)))


def signed(limit, most=3):
    return some([n for n in range(-limit, limit + 1) if n], most)


def joined(values):
    return ",".join(str(value) for value in values)


def by_parts(freq):
    parts = {}
    chance = lambda p: pick.random() < p
    if chance(0.35):
        parts["BYMONTH"] = joined(some(range(1, 13), 4))
    if freq == "YEARLY" and chance(0.15):
        parts["BYWEEKNO"] = joined(some([n for n in range(-51, 52) if n]))
    if freq == "YEARLY" and "BYWEEKNO" not in parts and chance(0.2):
        parts["BYYEARDAY"] = joined(signed(366, 5))
    if freq != "WEEKLY" and chance(0.3):
        parts["BYMONTHDAY"] = joined(signed(31, 5))
    if chance(0.45):
        days = some(DAYS, 4)
        if freq in ("YEARLY", "MONTHLY") and "BYWEEKNO" not in parts and chance(0.5):
            limit = 5 if freq == "MONTHLY" or "BYMONTH" in parts else 53
            days = [f"{pick.choice([n for n in range(-limit, limit + 1) if n])}{day}" for day in days]
        parts["BYDAY"] = joined(days)
    if chance(0.25):
        parts["BYHOUR"] = joined(some(range(24)))
    if chance(0.2):
        parts["BYMINUTE"] = joined(some(range(60)))
    if chance(0.1):
        parts["BYSECOND"] = joined(some(range(60)))
    if parts and chance(0.25):
        parts["BYSETPOS"] = joined(signed(4, 2))
    return parts


def random_rule():
    start = datetime(2000, 1, 1) + timedelta(seconds=pick.randrange(40 * 366 * 86_400))
    if pick.random() < 0.4:
        start = start.replace(hour=9, minute=0, second=0)
    freq = pick.choice(["YEARLY", "MONTHLY", "WEEKLY", "DAILY"])
    parts = {"FREQ": freq}
    if pick.random() < 0.5:
        parts["INTERVAL"] = str(pick.choice([2, 2, 3, 4, 5, 6, 7, 10, 12, 13, 18, 100]))
    parts |= by_parts(freq)
    week_start = pick.choice(DAYS) if pick.random() < 0.3 else "MO"
    if week_start != "MO":
        parts["WKST"] = week_start
    if freq == "WEEKLY" and "BYSETPOS" in parts:
        start -= timedelta(days=(start.weekday() - DAYS.index(week_start)) % 7)
    end = pick.random()
    if end < 0.25:
        parts["COUNT"] = str(pick.randint(1, 8))
    elif end < 0.45:
        parts["UNTIL"] = (start + timedelta(days=pick.randint(0, 4_000), seconds=pick.choice([0, 0, 1, -1, 5_000]))).strftime(STAMP)
    return start, ";".join(f"{name}={value}" for name, value in parts.items())


def members(start, rule):
    """The first members, and some from a day in the far middle on; nothing after 60 years."""
    warnings.simplefilter("ignore")
    limit = start.replace(year=start.year + YEARS, day=min(start.day, 28))
    bounded = rule if "UNTIL" in rule else f"{rule};UNTIL={limit.strftime(STAMP)}"
    all_members = list(islice(rrulestr(bounded, dtstart=start), 3_000))
    complete = len(all_members) < 3_000
    first = all_members[:MEMBERS]
    rest = all_members[MEMBERS:]
    if not rest:
        return limit, first, None, []
    at = pick.randrange(len(rest))
    since = rest[at] - timedelta(seconds=pick.choice([0, 1, 40_000]))
    later = [member for member in all_members if member >= since][:3]
    if not complete and len(later) < 3:
        later = []
    return limit, first, since, later


def main():
    lines = [
        "# Made by tools/oracles/recurrences.py with python-dateutil 2.9.0.post0. Do not edit.",
        "# start | rule | last time that was looked at | first members | from | members from there",
    ]
    shown = lambda values: ",".join(value.strftime(STAMP) for value in values)
    while len(lines) < RULES + 2:
        start, rule = random_rule()
        limit, first, since, later = members(start, rule)
        if not first and pick.random() < 0.9:
            continue
        since = since.strftime(STAMP) if since else ""
        lines.append("|".join([start.strftime(STAMP), rule, limit.strftime(STAMP), shown(first), since, shown(later)]))
    OUT.write_text("\n".join(lines) + "\n")


main()
