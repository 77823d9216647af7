// What tests/tests/languages.rs asks of every language: one operation a call, each part of tasq used once.

import { add } from './handler.ts';
import * as tasq from './tasq/tasq.ts';
import { decode, Discard, encode, Retry, Snooze, type Task } from './tasq/tasq.ts';

type Payload = { op?: string; arg1: number; arg2: number; pad: string; size: number; message: string };

export const handler = tasq.defineHandler((value) => value as Payload, probe);

function probe(payload: Payload, task: Task): unknown {
  switch (payload.op) {
    case undefined:
      return add(payload, task);
    case 'task': {
      const { maxRetries, contentType, enqueuedAtMs, dueAtMs, deadlineMs, upstream, ...rest } = task;
      const times = { enqueued_at_ms: enqueuedAtMs, due_at_ms: dueAtMs, deadline_ms: deadlineMs };
      return { ...rest, ...times, max_retries: maxRetries, content_type: contentType, upstream: upstream.map(decode) };
    }
    case 'size':
      return { size: payload.pad.length };
    case 'big':
      return new Uint8Array(payload.size);
    case 'random':
      return Math.random();
    case 'none':
      return undefined;
    case 'log':
      tasq.log.warn('Größe 🙂', { 'user.id': 'Zoë' });
      return { trace: tasq.log.enabled('trace'), error: tasq.log.enabled('error') };
    case 'context':
      tasq.context.progress(50, 'half ✓');
      return { remaining: tasq.context.remaining(), stopping: tasq.context.stopping() ?? null };
    case 'config':
      return { present: tasq.config.get('GREETING'), absent: tasq.config.get('NOPE') ?? null };
    case 'enqueue': {
      const id = tasq.enqueue('mail', { to: 'Zoë' }, { queue: 'low', delay: 5000, headers: { a: 'b' }, options: { priority: 'high' } });
      const [error, message] = refusal(() => tasq.enqueue('forbidden', new Uint8Array()));
      return { id, error, message };
    }
    case 'store':
      return store();
    case 'decrement':
      return tasq.store.increment('down', -50);
    case 'boom':
      throw new Error(payload.message);
    case 'discard':
      throw new Discard('no such user', { code: 'no-user' });
    case 'retry':
      throw new Retry('slow down', { code: 'rate-limited', after: 30_000 });
    case 'snooze':
      throw new Snooze(60_000, 'closed');
    case 'deep':
      return deep(0);
    case 'async':
      return Promise.resolve({ later: true });
    default:
      throw new Discard(`unknown op ${payload.op}`);
  }
}

function store() {
  const { get, put, replace, increment, remove } = tasq.store;
  const shown = (bytes: Uint8Array | undefined) => (bytes ? decode(bytes) : null);
  put('k', 'ü', { ttl: 60_000 });
  const seen: unknown[] = [shown(get('nothing')), shown(get('k'))];
  seen.push(replace('k', undefined, 'x'), replace('k', encode('ü'), ''), shown(get('k')));
  seen.push(replace('new', undefined, 'one', { ttl: 1000 }), increment('n', 41), increment('n'));
  remove('k');
  const refused = [() => get('forbidden'), () => put('forbidden', ''), () => increment('new')];
  seen.push(shown(get('k')), ...refused.map((f) => refusal(f)[0]));
  return seen;
}

function refusal(f: () => unknown): string[] {
  try {
    f();
  } catch (e) {
    const { code, message } = e as tasq.HostError;
    return [code, message.replace(`${code}: `, '')];
  }
  return ['accepted'];
}

function deep(n: number): number {
  return deep(n + 1) + 1;
}
