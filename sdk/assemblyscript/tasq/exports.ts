// The exports of the world tasq:handler/task-handler@0.1.0, around `handle` in ../handler.ts. canonical.mjs gives them their real names.
import { Header, Kind, Outcome, Task, bytes, seedWith, text, utf8 } from './tasq';
import { handle as run } from '../handler';

let blocks: usize[] = []; // what the host asked for
const result = memory.data(40, 8);
let kept: Outcome | null = null; // what `result` points to
let message: ArrayBuffer | null = null, code: ArrayBuffer | null = null;

export function cabi_realloc(old: usize, oldSize: usize, align: usize, size: usize): usize {
  const p = heap.alloc(size + 1);
  if (oldSize > 0) memory.copy(p, old, min(oldSize, size));
  blocks.push(p);
  return p;
}

// Payload and task are more than 16 flat values, so they come as one block.
export function handle(a: usize): usize {
  const task = new Task();
  task.id = text(a + 8);
  task.handler = text(a + 16);
  task.queue = text(a + 24);
  task.attempt = load<u32>(a, 32);
  task.run = load<u32>(a, 36);
  task.maxRetries = load<u32>(a, 40);
  task.contentType = text(a + 44);
  task.enqueuedAtMs = load<u64>(a, 56);
  task.dueAtMs = load<u64>(a, 64);
  task.deadlineMs = load<u64>(a, 72);
  for (let p: usize = load<u32>(a, 80), end = p + load<u32>(a, 84) * 16; p < end; p += 16) task.headers.push(new Header(text(p), text(p + 8)));
  for (let p: usize = load<u32>(a, 88), end = p + load<u32>(a, 92) * 8; p < end; p += 8) task.upstream.push(bytes(p));
  seedWith(task);
  const o = run(bytes(a), task);
  kept = o;
  memory.fill(result, 0, 40);
  if (o.kind == Kind.Ok) {
    const data = o.data!;
    store<u32>(result, <u32>data.dataStart, 8);
    store<u32>(result, data.length, 12);
  } else {
    const m = utf8(o.message), c = utf8(o.code);
    message = m, code = c;
    store<u8>(result, 1);
    store<u8>(result, <u8>o.kind, 8);
    store<u32>(result, <u32>changetype<usize>(m), 12);
    store<u32>(result, m.byteLength, 16);
    store<u32>(result, <u32>changetype<usize>(c), 20);
    store<u32>(result, c.byteLength, 24);
    store<u64>(result, o.afterMs, 32);
  }
  return result;
}

export function post_handle(result: usize): void {
  kept = null, message = null, code = null;
  for (let i = 0; i < blocks.length; i++) heap.free(blocks[i]);
  blocks.length = 0;
}
