// A tasq handler as a plain function. Runs on SpiderMonkey and on QuickJS.
//
//   export const handler = defineHandler(fields({ to: 'string' }), ({ to }, task) => { … });
//
// The payload arrives from JSON, checked; what doesn't fit is discarded. The value
// returned leaves as JSON, a Uint8Array as it is. Any exception is a retry; throw
// Discard, Retry or Snooze to say otherwise. Durations are milliseconds.

import * as hostConfig from 'tasq:handler/config@0.1.0';
import * as hostContext from 'tasq:handler/context@0.1.0';
import * as hostLog from 'tasq:handler/log@0.1.0';
import * as hostProducer from 'tasq:handler/producer@0.1.0';
import * as hostStore from 'tasq:handler/store@0.1.0';

/** Says what becomes of the task. Throw one of the three below. */
export class Failure extends Error {
  constructor(kind, message, code = '', after = 0) {
    super(message);
    Object.assign(this, { kind, code, after });
  }
}

/** Try again while retries are left, `after` a time or the task's own backoff. */
export class Retry extends Failure {
  constructor(message, { code = '', after = 0 } = {}) {
    super('retry', message, code, after);
  }
}

/** Never try again. */
export class Discard extends Failure {
  constructor(message, { code = '' } = {}) {
    super('discard', message, code);
  }
}

/** Not now: run again `after` a time, which costs no retry. */
export class Snooze extends Failure {
  constructor(after, message = '', { code = '' } = {}) {
    super('snooze', message, code, after);
  }
}

/** The host refused. `code`: denied, invalid, too-large, too-many, conflict, unavailable or other. */
export class HostError extends Error {
  constructor(code, message) {
    super(`${code}: ${message}`);
    this.code = code;
  }
}

/** `parse` checks the JSON value and throws at what doesn't fit: `fields`, a zod schema's `parse`, your own. `run` may be async only on SpiderMonkey. */
export function defineHandler(parse, run) {
  return define((payload) => parse(JSON.parse(decode(payload))), run);
}

/** For payloads that aren't JSON. */
export function defineRawHandler(run) {
  return define((payload) => payload, run);
}

/** fields({ to: 'string', retries: 'number' }): an object that has these. */
export function fields(shape) {
  return (value) => {
    if (typeof value !== 'object' || value === null) throw new TypeError('not an object');
    for (const [name, kind] of Object.entries(shape)) {
      if (typeof value[name] !== kind) throw new TypeError(`${name} must be a ${kind}`);
    }
    return value;
  };
}

/**
 * Follows this run up with another task once it has succeeded. Returns the id it will have.
 * `options`: queue (the handler's own by default), contentType, delay, headers, uniqueKey
 * (at most one unfinished task per key and queue), and options, named as in the batch
 * format: priority, max_retries, timeout and so on.
 */
export function enqueue(handler, payload, options = {}) {
  const contentType = options.contentType ?? (payload instanceof Uint8Array ? '' : 'application/json');
  return call(() =>
    hostProducer.enqueue({
      handler: text(handler),
      payload: toBytes(payload),
      contentType: text(contentType),
      queue: text(options.queue ?? ''),
      delayMs: ms(options.delay ?? 0),
      uniqueKey: text(options.uniqueKey ?? ''),
      headers: pairs(options.headers),
      options: pairs(options.options),
    }),
  );
}

export const context = {
  /** Milliseconds until the host stops this run. */
  remaining: () => Number(hostContext.remainingMs()),
  /** Cancelled or shutting-down: finish early. */
  stopping: () => hostContext.stopping() ?? undefined,
  progress: (percent, note = '') => hostContext.progress(Math.round(Math.min(Math.max(percent, 0), 100)) || 0, text(note)),
};

export const config = {
  get: (name) => hostConfig.get(text(name)) ?? undefined,
};

// Values are bytes; text is stored as UTF-8.
export const store = {
  get: (key) => call(() => hostStore.get(text(key))) ?? undefined,
  /** Without `ttl` the value stays until it is removed. */
  put: (key, value, { ttl = 0 } = {}) => call(() => hostStore.put(text(key), stored(value), ms(ttl))),
  /** Writes only where the key holds `expected`; undefined expects it to be absent. Without `ttl` the present one stays. */
  replace: (key, expected, value, { ttl = 0 } = {}) =>
    call(() => hostStore.replace(text(key), expected === undefined ? undefined : stored(expected), stored(value), ms(ttl))),
  /** The value is a decimal number. Without `ttl` the present one stays. */
  increment: (key, by = 1, { ttl = 0 } = {}) => {
    if (by !== (by | 0)) throw new RangeError(`a store counts in steps of 32 bits, not ${by}`);
    return Number(call(() => hostStore.increment(text(key), by, ms(ttl))));
  },
  remove: (key) => call(() => hostStore.remove(text(key))),
};

export const log = {
  enabled: (level) => {
    // An unknown one would be a trap on QuickJS.
    if (!['trace', 'debug', 'info', 'warn', 'error'].includes(level)) throw new TypeError(`there is no level ${level}`);
    return hostLog.enabled(level);
  },
  trace: (message, fields) => hostLog.log('trace', text(message), pairs(fields)),
  debug: (message, fields) => hostLog.log('debug', text(message), pairs(fields)),
  info: (message, fields) => hostLog.log('info', text(message), pairs(fields)),
  warn: (message, fields) => hostLog.log('warn', text(message), pairs(fields)),
  error: (message, fields) => hostLog.log('error', text(message), pairs(fields)),
};

/** Strict: throws at what isn't UTF-8. */
export function decode(bytes) {
  if (!quickjs) return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  let s = '';
  for (let i = 0; i < bytes.length; i += 8192) s += String.fromCharCode(...bytes.subarray(i, i + 8192));
  try {
    return decodeURIComponent(escape(s));
  } catch {
    throw new TypeError('not UTF-8');
  }
}

export function encode(value) {
  if (!quickjs) return new TextEncoder().encode(value);
  const s = unescape(encodeURIComponent(text(value)));
  const bytes = new Uint8Array(s.length);
  for (let i = 0; i < s.length; i++) bytes[i] = s.charCodeAt(i);
  return bytes;
}

// ---------------------------------------------------------------------------

const quickjs = typeof TextDecoder === 'undefined';

function define(parse, run) {
  return {
    handle(payload, task) {
      try {
        const result = run(parsed(parse, payload), plain(task));
        if (!(result instanceof Promise)) return toBytes(result);
        if (quickjs) throw new Error('QuickJS has no event loop: an async handler needs SpiderMonkey');
        return result.then(toBytes).catch((e) => {
          throw failure(e);
        });
      } catch (e) {
        throw failure(e);
      }
    },
  };
}

function parsed(parse, payload) {
  try {
    return parse(payload);
  } catch (e) {
    throw e instanceof Failure ? e : new Discard(`invalid payload: ${e instanceof Error ? e.message : e}`, { code: 'invalid-payload' });
  }
}

// The engines differ: u64 is a bigint on SpiderMonkey and a number on QuickJS, which also
// makes a u32 above 2³¹ negative.
function plain(task) {
  return {
    ...task,
    attempt: task.attempt >>> 0,
    run: task.run >>> 0,
    maxRetries: task.maxRetries >>> 0,
    enqueuedAtMs: Number(task.enqueuedAtMs),
    dueAtMs: Number(task.dueAtMs),
    deadlineMs: Number(task.deadlineMs),
    headers: Object.fromEntries(task.headers.map(({ name, value }) => [name, value])),
  };
}

// A plain record: an Error thrown to the host is a trap.
function failure(e) {
  if (e instanceof Failure) return { kind: e.kind, message: text(e.message), code: text(e.code), retryAfterMs: ms(e.after) };
  const [code, stack] = e instanceof Error ? [e.name, `\n${e.stack ?? ''}`.trimEnd()] : ['', ''];
  return { kind: 'retry', message: text(`${e}${stack}`), code: text(code), retryAfterMs: 0 };
}

function toBytes(value) {
  if (value === undefined || value === null) return new Uint8Array();
  return value instanceof Uint8Array ? value : encode(JSON.stringify(value));
}

// Anything else would be stored as nothing on SpiderMonkey, and be a trap on QuickJS.
function stored(value) {
  if (typeof value === 'string') return encode(value);
  if (value instanceof Uint8Array) return value;
  throw new TypeError('the store holds text and bytes');
}

/** The host's error arrives as `payload` of an Error. */
function call(f) {
  try {
    return f();
  } catch (e) {
    const error = e?.payload;
    throw error?.kind ? new HostError(error.kind, error.message) : e;
  }
}

function pairs(values = {}) {
  return Object.entries(values).map(([name, value]) => ({ name: text(name), value: text(value) }));
}

/** A lone surrogate, or no string at all, would be a trap on QuickJS. */
function text(value) {
  return String(value).replace(/[\ud800-\udfff]/gu, '\ufffd');
}

/** A fraction would be a trap on SpiderMonkey. */
function ms(value) {
  return Math.round(Math.min(Math.max(value, 0), Number.MAX_SAFE_INTEGER)) || 0;
}
