// The database: one transaction, and so one commit, for each call.
//
// Owns the statements and the settings of the connection, which are those of athook's core-service: WAL, and
// fsync at each commit. `athook core-service migrate` creates the schema beforehand.

import Database from 'better-sqlite3';

import { InvalidRequestError } from '@atproto/xrpc-server';

import { seal, urlHash } from './seal.js';

/** How long to wait for the lock of another process. */
const LOCK_LIMIT_MS = 4_000;

export class Store {
  createSecret;
  createWebhook;

  /** `limit` is the limit of secrets, and of webhooks, for each owner. */
  constructor(file, limit) {
    const database = new Database(file, { fileMustExist: true, timeout: LOCK_LIMIT_MS });
    database.pragma('journal_mode = WAL');
    database.pragma('synchronous = FULL');
    database.pragma('foreign_keys = ON');

    // Counts first, since a row needs its account. A row that is over the limit rolls the transaction back.
    const count = (secrets, webhooks, column) =>
      database
        .prepare(
          `INSERT INTO account (did, secrets, webhooks) VALUES (?, ${secrets}, ${webhooks})
           ON CONFLICT (did) DO UPDATE SET ${column} = ${column} + 1 RETURNING ${column}`,
        )
        .pluck();
    const countSecret = count(1, 0, 'secrets');
    const countWebhook = count(0, 1, 'webhooks');
    const insertSecret = database.prepare(
      'INSERT INTO secret (id, owner_did, name, sealed_token, created_at_ms) VALUES (?, ?, ?, ?, ?)',
    );
    const insertWebhook = database.prepare(
      `INSERT INTO webhook (id, owner_did, sealed_url, url_hash, events, active, name, description, prefix, suffix,
         rewrite, mute_words, streamplace_format, secret_name, created_at_ms, error_count)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0)`,
    );

    const writeSecret = database.transaction((owner, row) => {
      const secrets = countSecret.get(owner);
      insert(insertSecret, row, 'AlreadyExists', 'a secret with this name exists already');
      if (secrets > limit) {
        throw new InvalidRequestError(`the limit of ${limit} secrets is reached`);
      }
    }).immediate;
    const writeWebhook = database.transaction((owner, row) => {
      const webhooks = countWebhook.get(owner);
      insert(insertWebhook, row, 'DuplicateWebhook', 'a webhook with this URL exists already');
      if (webhooks > limit) {
        throw new InvalidRequestError(`the limit of ${limit} webhooks is reached`, 'TooManyWebhooks');
      }
    }).immediate;

    this.createSecret = ({ id, owner, name, token, createdAtMs }) => {
      writeSecret(owner, [id, owner, name, seal('token', owner, name, token), createdAtMs]);
    };
    this.createWebhook = ({ id, owner, createdAtMs, webhook }) => {
      writeWebhook(owner, [
        id,
        owner,
        seal('url', owner, id, webhook.url),
        urlHash(webhook.url),
        webhook.events.join(','),
        Number(webhook.active),
        webhook.name ?? null,
        webhook.description ?? null,
        webhook.prefix ?? null,
        webhook.suffix ?? null,
        JSON.stringify((webhook.rewrite ?? []).map(({ from, to }) => [from, to])),
        JSON.stringify(webhook.muteWords ?? []),
        Number(webhook.streamplaceFormat),
        webhook.secretId ?? null,
        createdAtMs,
      ]);
    };
  }
}

/** Inserts a row. Constraint errors become the errors of the lexicon. */
function insert(statement, row, existsName, existsMessage) {
  try {
    statement.run(row);
  } catch (error) {
    if (error.code === 'SQLITE_CONSTRAINT_UNIQUE') {
      throw new InvalidRequestError(existsMessage, existsName);
    }
    if (error.code === 'SQLITE_CONSTRAINT_FOREIGNKEY') {
      throw new InvalidRequestError('input.secretId: names no secret of the caller');
    }
    throw error;
  }
}
