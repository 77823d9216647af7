// One operation of the contract per call, for the table of languages: the payload's "op" names it.
import { Answer, Header, NewTask, Outcome, Task, config, context, discard, enqueue, log, ok, okBytes, retry, snooze, store } from './tasq/tasq';
import { Parser, quoted } from './json';

const kinds = ['denied', 'invalid', 'too-large', 'too-many', 'conflict', 'unavailable', 'other'];

function utf8(text: string): Uint8Array { return Uint8Array.wrap(String.UTF8.encode(text)); }
function kind<T>(answer: Answer<T>): string { return answer.failed ? kinds[answer.kind] : 'ok'; }
function refused<T>(answer: Answer<T>): Outcome { return retry(`${kind(answer)}: ${answer.message}`).withCode(kind(answer)); }

function add(in_: Parser): Outcome {
  if (!in_.numbers.has('arg1') || !in_.numbers.has('arg2')) return discard('expected the numbers arg1 and arg2').withCode('invalid-payload');
  const sum = in_.numbers.get('arg1') + in_.numbers.get('arg2');
  return ok(`{"result":${sum == Math.floor(sum) ? (<i64>sum).toString() : sum.toString()}}`);
}

function see(t: Task): Outcome {
  const headers = t.headers.map<string>(h => `${quoted(h.name)}:${quoted(h.value)}`).join(',');
  const upstream = t.upstream.map<string>(u => quoted(String.UTF8.decodeUnsafe(u.dataStart, u.length))).join(',');
  return ok(`{"id":${quoted(t.id)},"handler":${quoted(t.handler)},"queue":${quoted(t.queue)},"attempt":${t.attempt},"run":${t.run},` +
    `"max_retries":${t.maxRetries},"content_type":${quoted(t.contentType)},"enqueued_at_ms":${t.enqueuedAtMs},"due_at_ms":${t.dueAtMs},` +
    `"deadline_ms":${t.deadlineMs},"headers":{${headers}},"upstream":[${upstream}]}`);
}

function logLines(): Outcome {
  log.warn('Größe 🙂', [new Header('user.id', 'Zoë')]);
  return ok(`{"trace":${log.traceEnabled()},"error":${log.errorEnabled()}}`);
}

function about(): Outcome {
  context.progress(50, 'half ✓');
  const stop = context.stopping();
  const stopping = stop == context.Stop.None ? 'null' : stop == context.Stop.Cancelled ? '"cancelled"' : '"shutting-down"';
  return ok(`{"remaining":${context.remainingMs()},"stopping":${stopping}}`);
}

function setting(name: string): string {
  const value = config.get(name);
  return value === null ? 'null' : quoted(value);
}

function followUp(): Outcome {
  const mail = new NewTask('mail', utf8('{"to":"Zoë"}'));
  mail.contentType = 'application/json';
  mail.queue = 'low';
  mail.delayMs = 5000;
  mail.headers = [new Header('a', 'b')];
  mail.options = [new Header('priority', 'high')];
  const id = enqueue(mail);
  if (id.failed) return refused(id);
  const forbidden = enqueue(new NewTask('forbidden', utf8('raw')));
  return ok(`{"id":${quoted(id.value)},"error":"${kind(forbidden)}","message":${quoted(forbidden.message)}}`);
}

function stored(key: string): string {
  const found = store.get(key), value = found.value;
  return found.failed ? `"${kind(found)}"` : value === null ? 'null' : quoted(String.UTF8.decodeUnsafe(value.dataStart, value.length));
}

function keep(): Outcome {
  const put = store.put('k', utf8('ü'), 60000);
  if (put.failed) return refused(put);
  let seen = `${stored('nothing')},${stored('k')},`;
  seen += `${store.replace('k', null, utf8('x'), 1000).value},${store.replace('k', utf8('ü'), utf8(''), 1000).value},${stored('k')},`;
  seen += `${store.replace('new', null, utf8('one'), 1000).value},${store.increment('n', 41).value},${store.increment('n', 1).value},`;
  store.remove('k');
  seen += `${stored('k')},${stored('forbidden')},"${kind(store.put('forbidden', utf8('')))}","${kind(store.increment('new', 1))}"`;
  return ok(`[${seen}]`);
}

function deep(n: i32): i32 { return deep(n + 1) + n; }

export function handle(payload: Uint8Array, task: Task): Outcome {
  const in_ = new Parser(payload);
  if (!in_.object()) return discard(`expected a flat object, found something else at byte ${in_.at}`).withCode('invalid-payload');
  if (!in_.texts.has('op')) return add(in_);
  const op = in_.texts.get('op');
  if (op == 'task') return see(task);
  if (op == 'size') return ok(`{"size":${in_.texts.get('pad').length}}`);
  if (op == 'big') return okBytes(new Uint8Array(<i32>in_.numbers.get('size')));
  if (op == 'random') return ok(Math.random().toString());
  if (op == 'none') return ok('');
  if (op == 'log') return logLines();
  if (op == 'context') return about();
  if (op == 'config') return ok(`{"present":${setting('GREETING')},"absent":${setting('NOPE')}}`);
  if (op == 'enqueue') return followUp();
  if (op == 'store') return keep();
  if (op == 'boom') return retry(in_.texts.get('message'));
  if (op == 'discard') return discard('no such user').withCode('no-user');
  if (op == 'retry') return retry('slow down', 30000).withCode('rate-limited');
  if (op == 'snooze') return snooze('closed', 60000);
  if (op == 'panic') throw new Error('oh no');
  if (op == 'deep') return ok(deep(0).toString());
  return discard(`unknown op ${op}`);
}
