// A peer of athook for the load bench: two of its procedures in one Node process, on the reference XRPC
// library and better-sqlite3.
//
// Owns the command line, the HTTP server and the checks of the two procedures' input. callers.js
// authenticates, seal.js encrypts, store.js writes the rows.
//
// The library is configured for speed, as its own services are in production: responses are not checked
// against the lexicon, there are no rate limits and no log, and Express sends neither an ETag nor its name.
// All checks of requests are on.

import { readFileSync, readdirSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { parseLexiconDoc } from '@atproto/lexicon';
import { InvalidRequestError, Server } from '@atproto/xrpc-server';

import { Callers } from './callers.js';
import { newToken, newUuid, uuidText } from './seal.js';
import { Store } from './store.js';

const CREATE_SECRET = 'place.wisp.v2.secret.create';
const CREATE_WEBHOOK = 'place.stream.server.createWebhook';

/** The largest body, as in athook's gateway. */
const MAX_BODY_BYTES = 64 * 1024;
/** The longest URL. */
const MAX_URL_BYTES = 2048;
const MAX_REWRITE_RULES = 50;
const MAX_MUTE_WORDS = 100;
/** 32 to 256 bytes of printable ASCII without space. */
const TOKEN = /^[!-~]{32,256}$/;
/** How long an idle connection is kept. */
const KEEP_ALIVE_MS = 65_000;

// Express and the library read this when the server is created.
process.env.NODE_ENV = 'production';

const { values: args } = parseArgs({
  options: {
    listen: { type: 'string' },
    database: { type: 'string' },
    'did-documents': { type: 'string' },
    lexicons: { type: 'string' },
    'service-did': { type: 'string' },
    // The limit of secrets, and of webhooks, for each caller.
    limit: { type: 'string' },
    // How signatures are checked: `threads`, `openssl` or `library`; see callers.js.
    signatures: { type: 'string', default: 'threads' },
  },
});
for (const name of ['listen', 'database', 'did-documents', 'lexicons', 'service-did', 'limit']) {
  if (args[name] === undefined) {
    console.error(`error: --${name} is missing`);
    process.exit(2);
  }
}

const store = new Store(args.database, Number(args.limit));
const callers = new Callers(args['did-documents'], args['service-did'], args.signatures);

const xrpc = new Server(lexiconDocuments(args.lexicons), {
  validateResponse: false,
  payload: { jsonLimit: MAX_BODY_BYTES },
});
xrpc.method(CREATE_SECRET, { auth: callers.verifier(CREATE_SECRET), handler: createSecret });
xrpc.method(CREATE_WEBHOOK, { auth: callers.verifier(CREATE_WEBHOOK), handler: createWebhook });
xrpc.routes.get('/xrpc/_health', (_request, response) => response.json({ version: 'peer' }));

// The server's router is a complete Express application. Mounting it in another one would only cost time.
const application = xrpc.router;
application.disable('x-powered-by');
application.disable('etag');

const [, host, port] = args.listen.match(/^(.+):(\d+)$/);
createServer({ keepAliveTimeout: KEEP_ALIVE_MS, noDelay: true }, application).listen(Number(port), host);

/** Every lexicon document below a folder. */
function lexiconDocuments(folder) {
  const files = readdirSync(folder, { recursive: true }).filter((name) => name.endsWith('.json'));
  return files.map((name) => parseLexiconDoc(JSON.parse(readFileSync(join(folder, name), 'utf8'))));
}

/** place.wisp.v2.secret.create */
function createSecret({ input, auth }) {
  const { name, token = newToken() } = input.body;
  if (!TOKEN.test(token)) {
    throw new InvalidRequestError('input.token: must be 32 to 256 bytes of printable ASCII without space');
  }
  const createdAtMs = Date.now();
  store.createSecret({ id: newUuid(createdAtMs), owner: auth.credentials.did, name, token, createdAtMs });
  return {
    encoding: 'application/json',
    body: { name, token, createdAt: new Date(createdAtMs).toISOString() },
  };
}

/** place.stream.server.createWebhook, without probing the URL: the bench turns athook's probes off too. */
function createWebhook({ input, auth }) {
  const { active, name, description, prefix, suffix, rewrite, muteWords, streamplaceFormat, secretId } = input.body;
  const url = webhookUrl(input.body.url);
  const events = [...new Set(input.body.events)];
  if (events.length === 0) {
    throw new InvalidRequestError('input.events: must have an entry');
  }
  if (rewrite?.length > MAX_REWRITE_RULES) {
    throw new InvalidRequestError(`input.rewrite: must have at most ${MAX_REWRITE_RULES} entries`);
  }
  if (muteWords?.length > MAX_MUTE_WORDS) {
    throw new InvalidRequestError(`input.muteWords: must have at most ${MAX_MUTE_WORDS} entries`);
  }
  if (muteWords?.some((word) => word.trim() === '')) {
    throw new InvalidRequestError('input.muteWords: must not be blank');
  }

  const createdAtMs = Date.now();
  const id = newUuid(createdAtMs);
  const owner = auth.credentials.did;
  const webhook = {
    id: uuidText(id),
    url,
    events,
    active: active ?? false,
    createdAt: new Date(createdAtMs).toISOString(),
    name: name || undefined,
    description: description || undefined,
    prefix: prefix || undefined,
    suffix: suffix || undefined,
    rewrite: rewrite?.length ? rewrite.map(({ from, to }) => ({ from, to })) : undefined,
    muteWords: muteWords?.length ? muteWords : undefined,
    streamplaceFormat: streamplaceFormat ?? false,
    secretId,
    errorCount: 0,
  };
  store.createWebhook({ id, owner, createdAtMs, webhook });
  return { encoding: 'application/json', body: { webhook } };
}

/** The normal form of a URL (WHATWG URL standard), without its fragment. */
function webhookUrl(text) {
  const url = Buffer.byteLength(text) <= MAX_URL_BYTES && URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol !== 'https:' || url.username !== '' || url.password !== '') {
    throw new InvalidRequestError(
      `input.url: must be an https URL of at most ${MAX_URL_BYTES} bytes without user name and password`,
      'InvalidUrl',
    );
  }
  url.hash = '';
  return url.href;
}
