// What wit/handler.wit says, for both engines: SpiderMonkey makes u64 and s64 bigints,
// QuickJS numbers, and both take numbers. SpiderMonkey's none is undefined, QuickJS's null.

type Int64 = number | bigint;

declare module 'tasq:handler/types@0.1.0' {
  export interface Header {
    name: string;
    value: string;
  }
  export interface Task {
    /** The same over all runs: use it as an idempotency key. */
    id: string;
    handler: string;
    queue: string;
    /** 1 at first; one more after each run that failed. */
    attempt: number;
    /** 1 at first; one more for each start. Above 1, side effects may already have happened. */
    run: number;
    /** Runs allowed after the first one failed; 0 means a single one. */
    maxRetries: number;
    contentType: string;
    enqueuedAtMs: Int64;
    /** When this run was due: the tick, for a cron task. */
    dueAtMs: Int64;
    deadlineMs: Int64;
    headers: Header[];
    /** Results of the tasks that this one follows. */
    upstream: Uint8Array[];
  }
  export type FailureKind = 'retry' | 'discard' | 'snooze';
  export interface Failure {
    kind: FailureKind;
    message: string;
    code: string;
    retryAfterMs: Int64;
  }
  export type ErrorKind = 'denied' | 'invalid' | 'too-large' | 'too-many' | 'conflict' | 'unavailable' | 'other';
  /** The `payload` of the error that a refused call throws. */
  export interface HostError {
    kind: ErrorKind;
    message: string;
  }
}

declare module 'tasq:handler/context@0.1.0' {
  export function remainingMs(): Int64;
  export type Stop = 'cancelled' | 'shutting-down';
  export function stopping(): Stop | null | undefined;
  export function progress(percent: number, note: string): void;
}

declare module 'tasq:handler/log@0.1.0' {
  import type { Header } from 'tasq:handler/types@0.1.0';
  export type Level = 'trace' | 'debug' | 'info' | 'warn' | 'error';
  export function enabled(level: Level): boolean;
  export function log(level: Level, message: string, fields: Header[]): void;
}

declare module 'tasq:handler/config@0.1.0' {
  export function get(name: string): string | null | undefined;
}

declare module 'tasq:handler/producer@0.1.0' {
  import type { Header } from 'tasq:handler/types@0.1.0';
  export function enqueue(task: {
    handler: string;
    payload: Uint8Array;
    contentType: string;
    queue: string;
    delayMs: Int64;
    uniqueKey: string;
    headers: Header[];
    options: Header[];
  }): string;
}

declare module 'tasq:handler/store@0.1.0' {
  export function get(key: string): Uint8Array | null | undefined;
  export function put(key: string, value: Uint8Array, ttlMs: Int64): void;
  export function replace(key: string, expected: Uint8Array | undefined, value: Uint8Array, ttlMs: Int64): boolean;
  export function increment(key: string, by: number, ttlMs: Int64): Int64;
  export function remove(key: string): void;
}
