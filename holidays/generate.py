#!/usr/bin/env python3
"""Makes holidays.txt, the holiday data that is compiled into the library, and china-working-days.txt, what an
independent package says about China. holidays/README.md describes how to run it and the format.

usage: generate.py [--check]    --check writes nothing and fails if the files would change
"""

import argparse
import re
import sys
import warnings
from collections import defaultdict
from datetime import date, timedelta
from importlib import metadata
from pathlib import Path

import chinese_calendar
import holidays
from holidays.constants import PUBLIC
from holidays.registry import COUNTRIES

HERE = Path(__file__).resolve().parent
FIRST, LAST = 2020, 2035
EPOCH = date(FIRST, 1, 1)
# The year in which the pinned version of the package was published.
PUBLISHED = 2026
DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"

# Holidays that end in a year to come and would be taken for the end of what the package knows, and why they are not.
# Any other makes the generator fail, so that a new version of the package is looked at.
ENDS_ACCEPTED = {
    ("AR", "Bridge Public Holiday"): "decreed year by year, the other holidays are law",
    ("GH", "Public Holiday"): "declared day by day, the other holidays are law",
    ("PH", "Christmas Eve"): "proclaimed year by year, the other holidays are law",
    ("TM", "Non-working day"): "proclaimed year by year, the other holidays are law",
    ("TH", "Bridge Public Holiday"): "declared year by year, the other holidays are law",
}
# Where the package's tables of a lunar calendar end before LAST, by country or country-subdivision.
TABLES_END = {"NP": 2032, "IN-SK": 2032}


def base36(number):
    out = ""
    while True:
        number, digit = divmod(number, 36)
        out = DIGITS[digit] + out
        if number == 0:
            return out


def series(days):
    """Days as text: the first from 1 January 2020, then each from the one before, in base 36."""
    out, last = [], EPOCH
    for day in sorted(days):
        out.append(base36((day - last).days))
        last = day
    return " ".join(out)


def instance(entity, subdivision=None):
    """The package's public holidays, a year more on both sides, because observed days cross the year's end."""
    arguments = {"years": range(FIRST - 1, LAST + 2), "observed": True, "expand": False, "subdiv": subdivision}
    if PUBLIC in entity.supported_categories:
        arguments["categories"] = (PUBLIC,)
    if "en_US" in entity.supported_languages:
        arguments["language"] = "en_US"
    elif entity.supported_languages:
        sys.exit(f"{entity.__name__}: no names in en_US, only {entity.supported_languages}")
    try:
        return entity(islamic_show_estimated=True, **arguments)
    except TypeError:
        return entity(**arguments)


def pairs(found, until):
    """{(name, day)} of holidays and {day} of make-up workdays, within the years that are known."""
    known = lambda day: FIRST <= day.year <= until  # noqa: E731
    work = {day for day in found.weekend_workdays if known(day)}
    off = {(name, day) for day, names in found.items() if known(day) and day not in work for name in names.split("; ")}
    return off, work


def transfers(entity):
    """The years for which a government's decisions on transferred working days are in the package."""
    years = set()
    for attribute in dir(entity):
        table = getattr(entity, attribute)
        if re.fullmatch(r"special_(\w+_)?public_holidays(_observed)?", attribute) and isinstance(table, dict):
            for year, entries in table.items():
                entries = entries if entries and isinstance(entries[0], tuple) else (entries,)
                if any(len(entry) != 3 for entry in entries):
                    years.add(year)
    return {year for year in years if year >= FIRST}


def known_until(code, found):
    """The last year that the package really knows of a country, or of a subdivision, whose code is like DE-BY."""
    until = min(LAST, found.end_year, TABLES_END.get(code[:2], LAST), TABLES_END.get(code, LAST))
    # Where working days are transferred, the government decides on each year shortly before it.
    if years := transfers(found) | {day.year for day in found.weekend_workdays if day.year >= FIRST}:
        until = min(until, max(PUBLISHED, *years))
    present = defaultdict(set)
    for day, names in found.items():
        for name in names.split("; "):
            present[re.sub(r" \((observed|estimated|observed, estimated)\)$", "", name)].add(day.year)
    for name, years in present.items():
        end = max(years)
        ends = PUBLISHED <= end < until and years >= set(range(2022, end + 1))
        if ends and (code[:2], name) not in ENDS_ACCEPTED:
            sys.exit(f"{code}: '{name}' is there every year until {end} and never after: see ENDS_ACCEPTED and TABLES_END")
    return until


class Tables:
    """Names and series, each stored once, by number."""

    def __init__(self):
        self.names, self.series = {}, {}

    def number(self, table, value):
        return base36(table.setdefault(value, len(table)))

    def line(self, mark, entries):
        """`entries` {(name, day)} as one line of name.series."""
        days = defaultdict(set)
        for name, day in entries:
            if re.search(r"[\t\n;]", name):
                sys.exit(f"a name that the format cannot hold: {name!r}")
            days[name].add(day)
        items = [f"{self.number(self.names, n)}.{self.number(self.series, series(days[n]))}" for n in sorted(days)]
        return [f"{mark}\t{' '.join(items)}"] if items else []

    def days(self, mark, days):
        return [f"{mark}\t{self.number(self.series, series(days))}"] if days else []


def title(name):
    """UnitedStates → United States."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=DR)(?=Congo)", " ", name)
    return re.sub(r" (And|Of|The)(?= )", lambda found: found.group().lower(), spaced)


def weekend(found):
    """The days off of the week as it is now, 1 for Monday to 7."""
    return "".join(str(day + 1) for day in sorted(found._get_weekend(date(PUBLISHED, 12, 31))))


def country(name, code, code3, tables):
    entity = getattr(holidays, code)
    found = instance(entity)
    until = known_until(code, found)
    off, work = pairs(found, until)
    lines = [f"C\t{code}\t{code3}\t{title(name)}\t{until}\t{weekend(found)}"]
    lines += tables.line("+", off) + tables.days("w", work)
    aliases = defaultdict(list)
    for alias, target in sorted(entity.subdivisions_aliases.items()):
        aliases[target].append(alias)
    for subdivision in sorted(entity.subdivisions):
        its = instance(entity, subdivision)
        its_until = known_until(f"{code}-{subdivision}", its)
        its_off, its_work = pairs(its, its_until)
        lines.append("\t".join(["D", subdivision, str(its_until), weekend(its), *aliases[subdivision]]))
        lines += tables.line("-", off - its_off) + tables.line("+", its_off - off)
        lines += tables.days("x", work - its_work) + tables.days("w", its_work - work)
    return lines


def generate():
    tables, body = Tables(), []
    for name, code, code3, *_ in sorted(COUNTRIES.values(), key=lambda names: names[1]):
        body += country(name, code, code3, tables)
    version = metadata.version("holidays")
    head = [
        "# Public holidays of the world's countries; made by holidays/generate.py, see holidays/README.md.",
        f"# Data from the Python package holidays {version}, (c) Vacanza Team and individual contributors, MIT licence,",
        "# from PyPI; the licence's text is in holidays/LICENSE-holidays.",
        f"V\t{version}\t{FIRST}\t{LAST}",
    ]
    head += [f"N\t{name}" for name in tables.names] + [f"S\t{days}" for days in tables.series]
    return "\n".join(head + body) + "\n"


def china():
    """One line a year: for each day 1 if it is a working day, from another package than the data."""
    lines = ["# Working days of China (1) and days off (0) from 1 January on, by the Python package chinesecalendar "
             + metadata.version("chinesecalendar")]
    for year in range(FIRST, PUBLISHED + 1):
        first = date(year, 1, 1)
        days = (first + timedelta(n) for n in range((date(year + 1, 1, 1) - first).days))
        lines.append(f"{year} " + "".join("1" if chinese_calendar.is_workday(day) else "0" for day in days))
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    warnings.simplefilter("ignore")
    for line in (HERE / "requirements.txt").read_text().split():
        package, version = line.split("==")
        if metadata.version(package) != version:
            sys.exit(f"{package} {metadata.version(package)} is installed, requirements.txt wants {version}")
    differs = False
    for name, text in (("holidays.txt", generate()), ("china-working-days.txt", china())):
        path = HERE / name
        same = path.exists() and path.read_text() == text
        differs |= not same
        if not check:
            path.write_text(text)
        print(f"{name}: {len(text.encode())} bytes{'' if same else ', changed'}")
    return 1 if check and differs else 0


if __name__ == "__main__":
    sys.exit(main())
