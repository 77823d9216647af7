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
import type * as wit from 'tasq:handler/types@0.1.0';

export type Task = Omit<wit.Task, 'enqueuedAtMs' | 'dueAtMs' | 'deadlineMs' | 'headers'> & {
  enqueuedAtMs: number;
  dueAtMs: number;
  deadlineMs: number;
  headers: Record<string, string>;
};

/** Says what becomes of the task. Throw one of the three below. */
export class Failure extends Error {
  constructor(
    readonly kind: wit.FailureKind,
    message: string,
    readonly code = '',
    readonly after = 0,
  ) {
    super(message);
  }
}

/** Try again while retries are left, `after` a time or the task's own backoff. */
export class Retry extends Failure {
  constructor(message: string, { code = '', after = 0 } = {}) {
    super('retry', message, code, after);
  }
}

/** Never try again. */
export class Discard extends Failure {
  constructor(message: string, { code = '' } = {}) {
    super('discard', message, code);
  }
}

/** Not now: run again `after` a time, which costs no retry. */
export class Snooze extends Failure {
  constructor(after: number, message = '', { code = '' } = {}) {
    super('snooze', message, code, after);
  }
}

/** The host refused; `code` says why. */
export class HostError extends Error {
  constructor(
    readonly code: wit.ErrorKind,
    message: string,
  ) {
    super(`${code}: ${message}`);
  }
}

type Result<T> = T | Promise<T>; // a promise only on SpiderMonkey

/** `parse` checks the JSON value and throws at what doesn't fit: `fields`, a zod schema's `parse`, your own. */
export function defineHandler<T>(parse: (value: unknown) => T, run: (payload: T, task: Task) => Result<unknown>) {
  return define((payload) => parse(JSON.parse(decode(payload))), run);
}

/** For payloads that aren't JSON. */
export function defineRawHandler(run: (payload: Uint8Array, task: Task) => Result<unknown>) {
  return define((payload) => payload, run);
}

type Kinds = { string: string; number: number; boolean: boolean };

/** fields({ to: 'string', retries: 'number' }): an object that has these. */
export function fields<const S extends Record<string, keyof Kinds>>(shape: S) {
  return (value: unknown) => {
    if (typeof value !== 'object' || value === null) throw new TypeError('not an object');
    for (const [name, kind] of Object.entries(shape)) {
      if (typeof (value as Record<string, unknown>)[name] !== kind) throw new TypeError(`${name} must be a ${kind}`);
    }
    return value as { [K in keyof S]: Kinds[S[K]] };
  };
}

export interface NewTask {
  /** The handler's own by default. */
  queue?: string;
  contentType?: string;
  delay?: number;
  /** At most one unfinished task per key and queue. */
  uniqueKey?: string;
  headers?: Record<string, unknown>;
  /** Named as in the batch format: priority, max_retries, timeout and so on. */
  options?: Record<string, unknown>;
}

/** Follows this run up with another task once it has succeeded. Returns the id it will have. */
export function enqueue(handler: string, payload: unknown, options: NewTask = {}): string {
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
  progress: (percent: number, note = '') => hostContext.progress(Math.round(Math.min(Math.max(percent, 0), 100)) || 0, text(note)),
};

export const config = {
  get: (name: string): string | undefined => hostConfig.get(text(name)) ?? undefined,
};

/** Text is stored as UTF-8. */
type Value = Uint8Array | string;

export const store = {
  get: (key: string): Uint8Array | undefined => call(() => hostStore.get(text(key))) ?? undefined,
  /** Without `ttl` the value stays until it is removed. */
  put: (key: string, value: Value, { ttl = 0 } = {}): void =>
    call(() => hostStore.put(text(key), stored(value), ms(ttl))),
  /** Writes only where the key holds `expected`; undefined expects it to be absent. Without `ttl` the present one stays. */
  replace: (key: string, expected: Value | undefined, value: Value, { ttl = 0 } = {}): boolean =>
    call(() => hostStore.replace(text(key), expected === undefined ? undefined : stored(expected), stored(value), ms(ttl))),
  /** The value is a decimal number. Without `ttl` the present one stays. */
  increment: (key: string, by = 1, { ttl = 0 } = {}): number => {
    if (by !== (by | 0)) throw new RangeError(`a store counts in steps of 32 bits, not ${by}`);
    return Number(call(() => hostStore.increment(text(key), by, ms(ttl))));
  },
  remove: (key: string): void => call(() => hostStore.remove(text(key))),
};

type Fields = Record<string, unknown>;

export const log = {
  enabled: (level: hostLog.Level) => hostLog.enabled(level),
  trace: (message: string, fields?: Fields) => hostLog.log('trace', text(message), pairs(fields)),
  debug: (message: string, fields?: Fields) => hostLog.log('debug', text(message), pairs(fields)),
  info: (message: string, fields?: Fields) => hostLog.log('info', text(message), pairs(fields)),
  warn: (message: string, fields?: Fields) => hostLog.log('warn', text(message), pairs(fields)),
  error: (message: string, fields?: Fields) => hostLog.log('error', text(message), pairs(fields)),
};

/** Strict: throws at what isn't UTF-8. */
export function decode(bytes: Uint8Array): string {
  if (!quickjs) return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  let s = '';
  for (let i = 0; i < bytes.length; i += 8192) s += String.fromCharCode(...bytes.subarray(i, i + 8192));
  try {
    return decodeURIComponent(escape(s));
  } catch {
    throw new TypeError('not UTF-8');
  }
}

export function encode(value: string): Uint8Array {
  if (!quickjs) return new TextEncoder().encode(value);
  const s = unescape(encodeURIComponent(text(value)));
  const bytes = new Uint8Array(s.length);
  for (let i = 0; i < s.length; i++) bytes[i] = s.charCodeAt(i);
  return bytes;
}

// ---------------------------------------------------------------------------

declare function escape(s: string): string;
declare function unescape(s: string): string;

const quickjs = typeof TextDecoder === 'undefined';

function define<T>(parse: (payload: Uint8Array) => T, run: (payload: T, task: Task) => Result<unknown>) {
  return {
    handle(payload: Uint8Array, task: wit.Task): Uint8Array | Promise<Uint8Array> {
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

function parsed<T>(parse: (payload: Uint8Array) => T, payload: Uint8Array): T {
  try {
    return parse(payload);
  } catch (e) {
    throw e instanceof Failure ? e : new Discard(`invalid payload: ${e instanceof Error ? e.message : e}`, { code: 'invalid-payload' });
  }
}

// The engines differ: u64 is a bigint on SpiderMonkey and a number on QuickJS, which also
// makes a u32 above 2³¹ negative.
function plain(task: wit.Task): Task {
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
function failure(e: unknown): wit.Failure {
  if (e instanceof Failure) return { kind: e.kind, message: text(e.message), code: text(e.code), retryAfterMs: ms(e.after) };
  const [code, stack] = e instanceof Error ? [e.name, `\n${e.stack ?? ''}`.trimEnd()] : ['', ''];
  return { kind: 'retry', message: text(`${e}${stack}`), code: text(code), retryAfterMs: 0 };
}

function toBytes(value: unknown): Uint8Array {
  if (value === undefined || value === null) return new Uint8Array();
  return value instanceof Uint8Array ? value : encode(JSON.stringify(value));
}

// Anything else would be stored as nothing on SpiderMonkey, and be a trap on QuickJS.
function stored(value: Value): Uint8Array {
  if (typeof value === 'string') return encode(value);
  if (value instanceof Uint8Array) return value;
  throw new TypeError('the store holds text and bytes');
}

/** The host's error arrives as `payload` of an Error. */
function call<T>(f: () => T): T {
  try {
    return f();
  } catch (e) {
    const error = (e as { payload?: wit.HostError } | null)?.payload;
    throw error?.kind ? new HostError(error.kind, error.message) : e;
  }
}

function pairs(values: Record<string, unknown> = {}): wit.Header[] {
  return Object.entries(values).map(([name, value]) => ({ name: text(name), value: text(value) }));
}

/** A lone surrogate, or no string at all, would be a trap on QuickJS. */
function text(value: unknown): string {
  return String(value).replace(/[\ud800-\udfff]/gu, '\ufffd');
}

/** A fraction would be a trap on SpiderMonkey. */
function ms(value: number): number {
  return Math.round(Math.min(Math.max(value, 0), Number.MAX_SAFE_INTEGER)) || 0;
}
