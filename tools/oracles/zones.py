#!/usr/bin/env python3
"""Every zone's clock changes of 2024 to 2030, and the instants that zoneinfo (fold 0) gives local times around them.

From several versions of the tz database, because servers have one or the other; a zone on which they agree stands once.
"""

import subprocess
import sys
import tempfile
from datetime import datetime, timedelta, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

OUT = Path(__file__).resolve().parents[2] / "tests/cluster/tests/data/zones.txt"
VERSIONS = ["2025.2", "2026.3", "2026.6"]
FIRST, LAST = datetime(2024, 1, 1, tzinfo=timezone.utc), datetime(2031, 1, 1, tzinfo=timezone.utc)
SECOND = timedelta(seconds=1)
# Shorter than any zone keeps an offset.
STEP = timedelta(hours=12)


def offset(zone, at):
    return int(at.astimezone(zone).utcoffset().total_seconds())


def changes(zone):
    """(the first instant with the new offset, the offset before, the offset from then on), in seconds."""
    at = FIRST
    while at < LAST:
        before, after, later = offset(zone, at), offset(zone, at + STEP), at + STEP
        if before != after:
            low, high = at, later
            while high - low > SECOND:
                middle = low + timedelta(seconds=(high - low) // SECOND // 2)
                low, high = (middle, high) if offset(zone, middle) == before else (low, middle)
            yield int(high.timestamp()), before, after
        at = later


def probes(found):
    """Local times: one in each half-year, and around each change the last before, the first of what clocks pass twice or
    never, the middle of it, and the first after."""
    for year in range(2024, 2031):
        yield datetime(year, 1, 1, 12)
        yield datetime(year, 7, 1, 12)
    for at, before, after in found:
        low, high = sorted([at + before, at + after])
        for local in (low - 1, low, (low + high) // 2, high - 1, high):
            yield datetime(1970, 1, 1) + local * SECOND


def line(zone):
    found = list(changes(zone))
    first = offset(zone, FIRST)
    shown = [f"{at}:{before}:{after}" for at, before, after in found]
    # zoneinfo's fold is 0 unless said otherwise.
    resolved = [f"{local:%Y%m%dT%H%M%S}>{int(local.replace(tzinfo=zone).timestamp())}" for local in sorted(set(probes(found)))]
    return f"{first}|{','.join(shown)}|{','.join(resolved)}"


def zones(version):
    with tempfile.TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", folder, f"tzdata=={version}"]
        subprocess.run(pip, check=True)
        root = Path(folder) / "tzdata/zoneinfo"
        for name in (Path(folder) / "tzdata/zones").read_text().split():
            with open(root / name, "rb") as file:
                yield name, line(ZoneInfo.from_file(file, key=name))


def main():
    lines = {}
    for version in VERSIONS:
        for name, rules in zones(version):
            names = lines.setdefault(rules, [])
            if name not in names:
                names.append(name)
    out = [
        f"# Made by tools/oracles/zones.py with tzdata {', '.join(VERSIONS)}. Do not edit.",
        "# zones | offset at the start of 2024 | changes: instant:offset before:offset after | local time>instant",
    ]
    rows = [f"{','.join(sorted(names))}|{rules}" for rules, names in lines.items()]
    OUT.write_text("\n".join(out + sorted(rows)) + "\n")


main()
