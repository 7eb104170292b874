// The peer graphile-worker: one job per due row, the job calls remind() for its row.
//
//   node peer.js install      makes its schema
//   node peer.js enqueue SQL  one job for each id that the query gives
//   node peer.js work         works the queue off, then ends
//
// The database is named by PGHOST, PGPORT, PGUSER, PGDATABASE. CONCURRENCY, BATCH and DELAY are for trying other
// settings; NOTES.md says what was tried.
import { Logger, run, runMigrations } from "graphile-worker";
import pg from "pg";

const concurrency = Number(process.env.CONCURRENCY ?? 24);
const batch = Number(process.env.BATCH ?? 500);
const delay = Number(process.env.DELAY ?? 0);

const pool = new pg.Pool({ max: concurrency + 4 });
const logger = new Logger(() => () => {});
// Jobs are fetched and completed in batches, as its manual recommends for high throughput.
const preset = {
  worker: {
    maxPoolSize: concurrency + 4,
    concurrentJobs: concurrency,
    localQueue: { size: batch },
    completeJobBatchDelay: delay,
    failJobBatchDelay: delay,
  },
};
const call = { name: "remind", text: "select remind(c) from contracts c where id = $1" };
const taskList = {
  remind: (payload, { withPgClient }) => withPgClient((client) => client.query({ ...call, values: [payload.id] })),
};

async function enqueue(query) {
  await pool.query(
    `select count(*) from graphile_worker.add_jobs(array(
       select row('remind', json_build_object('id', d.id), null, null, null, null, null, null)::graphile_worker.job_spec
       from (${query}) d (id)))`,
  );
  await pool.query("vacuum analyze graphile_worker._private_jobs");
}

async function work() {
  const runner = await run({ pgPool: pool, preset, taskList, logger, noHandleSignals: true });
  for (;;) {
    const { rows } = await pool.query("select not exists (select from graphile_worker._private_jobs) as is_done");
    if (rows[0].is_done) break;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  await runner.stop();
}

const [, , command, query] = process.argv;
if (command === "install") await runMigrations({ pgPool: pool, preset });
else if (command === "enqueue") await enqueue(query);
else if (command === "work") await work();
else throw new Error(`unknown command ${command}`);
await pool.end();
