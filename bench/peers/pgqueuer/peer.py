"""The peer pgqueuer: one job per due row, the job calls remind() for its row.

python peer.py install      makes its schema
python peer.py enqueue SQL  one job for each id that the query gives
python peer.py work         works the queue off, then ends

The database is named by PGHOST, PGPORT, PGUSER, PGDATABASE. BATCH and CONNECTIONS are for trying other settings;
NOTES.md says what was tried.
"""

import os
import sys
from datetime import timedelta

import asyncpg
import uvloop
from pgqueuer import AsyncpgPoolDriver, Job, PgQueuer, Queries
from pgqueuer.types import QueueExecutionMode

BATCH = int(os.environ.get("BATCH", "500"))
CONNECTIONS = int(os.environ.get("CONNECTIONS", "10"))
PORTION = 10_000


async def enqueue(pool, query):
    queries = Queries(AsyncpgPoolDriver(pool))
    ids = [row[0] for row in await pool.fetch(query)]
    for start in range(0, len(ids), PORTION):
        payloads = [str(id).encode() for id in ids[start : start + PORTION]]
        await queries.enqueue(["remind"] * len(payloads), payloads, [0] * len(payloads))
    await pool.execute("vacuum analyze pgqueuer")


async def work(pool):
    queuer = PgQueuer(AsyncpgPoolDriver(pool))

    @queuer.entrypoint("remind")
    async def remind(job: Job) -> None:
        await pool.execute("select remind(c) from contracts c where id = $1", int(job.payload))

    await queuer.qm.run(
        dequeue_timeout=timedelta(milliseconds=100),
        batch_size=BATCH,
        mode=QueueExecutionMode.drain,
        log_aggregation_interval=timedelta(0),
    )


async def keep(_connection):
    """The pool would reset the session after each job, by statements of its own: the job leaves nothing to reset."""


async def main(command, *arguments):
    async with asyncpg.create_pool(min_size=CONNECTIONS, max_size=CONNECTIONS, reset=keep) as pool:
        if command == "install":
            await Queries(AsyncpgPoolDriver(pool)).install()
        elif command == "enqueue":
            await enqueue(pool, *arguments)
        elif command == "work":
            await work(pool)
        else:
            raise SystemExit(f"unknown command {command}")


uvloop.run(main(*sys.argv[1:]))
