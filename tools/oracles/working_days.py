#!/usr/bin/env python3
"""Calendars of Germany, the United States and China by the package holidays, and what the four shifts make of a task on
the 31st; China's working days of 2026 by chinesecalendar, which is somebody else's work."""

from datetime import date, timedelta
from pathlib import Path

import chinese_calendar
import holidays

OUT = Path(__file__).resolve().parents[2] / "crates/schedule/tests/data/working_days.txt"
COUNTRIES = {"DE": (2026, 2028), "US": (2026, 2028), "CN": (2024, 2026)}
ONE = timedelta(days=1)


def calendar(country, first, last):
    """Days that differ from their weekday: +date works, -date does not."""
    days = holidays.country_holidays(country, years=range(first - 1, last + 2))
    span = lambda day: date(first - 1, 12, 1) <= day <= date(last + 1, 1, 31)
    off = {day for day in days if span(day)}
    on = {day for day in days.weekend_workdays if span(day)} if hasattr(days, "weekend_workdays") else set()
    return off - on, on


def works(day, off, on):
    return day in on or (day not in off and day.weekday() < 5)


def walk(day, step, off, on):
    while not works(day, off, on):
        day += step
    return day


def shifted(day, shift, off, on):
    if works(day, off, on):
        return day
    following, preceding = walk(day, ONE, off, on), walk(day, -ONE, off, on)
    if shift == "following":
        return following
    if shift == "preceding":
        return preceding
    if shift == "modified_following":
        return following if following.month == day.month else preceding
    return None


def month_days(first, last, clamped):
    """The 31st of each month; clamped: else the last day, otherwise: only months that have one."""
    for year in range(first, last + 1):
        for month in range(1, 13):
            end = date(year + month // 12, month % 12 + 1, 1) - ONE
            if clamped or end.day == 31:
                yield end


def main():
    lines = ["# Made by tools/oracles/working_days.py with holidays 0.109 and chinesecalendar 1.11.0. Do not edit."]
    stamp = lambda day: day.strftime("%Y%m%d")
    for country, (first, last) in COUNTRIES.items():
        off, on = calendar(country, first, last)
        days = [f"-{stamp(day)}" for day in sorted(off)] + [f"+{stamp(day)}" for day in sorted(on)]
        lines.append(f"calendar|{country}|{','.join(days)}")
        for clamped in (True, False):
            for shift in ("following", "preceding", "modified_following", "drop"):
                pairs = {}
                for nominal in month_days(first, last, clamped):
                    due = shifted(nominal, shift, off, on)
                    if due and (due not in pairs or due == nominal):
                        pairs[due] = nominal
                text = ",".join(f"{stamp(pairs[due])}>{stamp(due)}" for due in sorted(pairs))
                lines.append(f"on_31|{country}|{'clamped' if clamped else 'skipped'}|{shift}|{text}")
    year = [date(2026, 1, 1) + n * ONE for n in range(365)]
    lines.append("works|CN|" + ",".join(stamp(day) for day in year if chinese_calendar.is_workday(day)))
    OUT.write_text("\n".join(lines) + "\n")


main()
