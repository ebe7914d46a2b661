// A peer of athook for the delivery bench: deliveries as jobs of graphile-worker.
//
// Each job has all that its delivery needs: URL, token, id and body. The worker signs it as Standard Webhooks
// and athook do, and posts it with undici; an answer that is no success fails the job, which graphile-worker
// runs again later. It keeps no attempts, knows no repeated events, and is fair to nobody. Nothing is logged.

import { createHmac } from 'node:crypto';
import { createServer } from 'node:http';
import { parseArgs } from 'node:util';

import { Logger, run } from 'graphile-worker';
import { Agent, request } from 'undici';

/** Jobs at once. */
const CONCURRENCY = 64;
const CONNECTIONS = 10;
/** With --batches: jobs fetched at once, and how long completed ones wait for others, in milliseconds. */
const FETCHED_JOBS = 500;
const COMPLETE_AFTER_MS = 10;
/** How long a delivery may take, in milliseconds. */
const LIMIT_MS = 15_000;

const { values: args } = parseArgs({
  options: {
    // The address for health checks.
    listen: { type: 'string' },
    database: { type: 'string' },
    // Fetches and completes jobs in batches, which is off by default.
    batches: { type: 'boolean', default: false },
  },
});
for (const name of ['listen', 'database']) {
  if (args[name] === undefined) {
    console.error(`error: --${name} is missing`);
    process.exit(2);
  }
}

const dispatcher = new Agent({ headersTimeout: LIMIT_MS, bodyTimeout: LIMIT_MS });

async function deliver({ id, url, token, body }) {
  const seconds = Math.floor(Date.now() / 1000);
  const key = Buffer.from(token.slice('whsec_'.length), 'base64');
  const signature = createHmac('sha256', key).update(`${id}.${seconds}.${body}`).digest('base64');
  const response = await request(url, {
    dispatcher,
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      'user-agent': 'graphile-worker',
      'webhook-id': id,
      'webhook-timestamp': String(seconds),
      'webhook-signature': `v1,${signature}`,
      'x-webhook-signature': `sha256=${createHmac('sha256', token).update(body).digest('hex')}`,
    },
    body,
  });
  await response.body.dump();
  if (response.statusCode < 200 || response.statusCode > 299) {
    throw new Error(`status ${response.statusCode}`);
  }
}

const batches = {
  localQueue: { size: FETCHED_JOBS },
  completeJobBatchDelay: COMPLETE_AFTER_MS,
  failJobBatchDelay: COMPLETE_AFTER_MS,
};
const runner = await run({
  preset: {
    worker: {
      connectionString: args.database,
      concurrentJobs: CONCURRENCY,
      maxPoolSize: CONNECTIONS,
      preparedStatements: true,
      logger: new Logger(() => () => {}),
      ...(args.batches ? batches : {}),
    },
  },
  taskList: { deliver },
});

const [host, port] = args.listen.split(':');
createServer((_, response) => response.end()).listen(Number(port), host);
await runner.promise;
