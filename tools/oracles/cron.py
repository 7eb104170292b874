#!/usr/bin/env python3
"""Cron expressions and the local times that they match, by croniter.

croniter writes the last Friday L5 where croner writes 5L, so that is translated. 31W is left out: croniter takes it for the last
weekday of a shorter month, croner (as Quartz) for none.
"""

import random
import re
from datetime import datetime, timedelta
from pathlib import Path

from croniter import croniter

OUT = Path(__file__).resolve().parents[2] / "crates/schedule/tests/data/cron.txt"
STAMP = "%Y%m%dT%H%M%S"
MEMBERS = 8
pick = random.Random(7)
FIXED = """
30 9 * * 1-5
0 0 * * *
*/15 * * * *
0 */2 * * *
5,35 8-18 * * MON-FRI
0 9 1 * *
0 9 L * *
0 9 L 2 *
0 9 15W * *
0 9 1W * *
0 9 * * 5#3
0 9 * * 1#1
0 9 * * 2#5
0 9 * * 5L
0 9 * * 1L
0 0 29 2 *
0 12 13 * 5
0 12 1,15 * 1
0 0 1 1 *
59 23 31 12 *
0 9 * JAN,APR,JUL,OCT 1#1
0 9 1-7 * *
0 9 * * 0
0 9 * * 7
0 9 * * SUN
15 10 * * 6,0
0-10/5 14 * * *
23 0-20/2 * * *
10 4 1 */3 *
30 30 9 * * *
*/20 * * * * *
0 0 9-17 * * 1-5
15 */10 3 * * 2
""".strip().splitlines()


def field(low, high, names=None):
    form = pick.randrange(5)
    span = sorted(pick.sample(range(low, high + 1), 2))
    if form == 0:
        return "*"
    if form == 1:
        return str(pick.randint(low, high))
    if form == 2:
        return f"{span[0]}-{span[1]}"
    if form == 3:
        return ",".join(str(value) for value in sorted(pick.sample(range(low, high + 1), min(3, high - low))))
    return f"*/{pick.randint(2, max(2, (high - low) // 2))}"


def random_cron():
    day, weekday = field(1, 31), field(0, 6)
    # Where one day field has a star with a step, crons disagree on whether both must fit or one.
    if "*/" in day + weekday and day != "*" and weekday != "*":
        weekday = "*"
    month = field(1, 12) if pick.random() < 0.4 else "*"
    return " ".join([field(0, 59), field(0, 23), day, month, weekday])


def main():
    lines = [
        "# Made by tools/oracles/cron.py with croniter 7.0.0. Do not edit.",
        "# expression | local times from this on (included) | the first that match",
    ]
    expressions = FIXED + [random_cron() for _ in range(300)]
    for expression in expressions:
        start = datetime(2024, 1, 1) + timedelta(seconds=pick.randrange(4 * 365 * 86_400))
        theirs = re.sub(r"\b([0-7])L$", r"L\1", expression)
        found = croniter(
            theirs, start - timedelta(seconds=1), second_at_beginning=True, ret_type=datetime, max_years_between_matches=40
        )
        times = [found.get_next().strftime(STAMP) for _ in range(MEMBERS)]
        lines.append("|".join([expression, start.strftime(STAMP), ",".join(times)]))
    OUT.write_text("\n".join(lines) + "\n")


main()
