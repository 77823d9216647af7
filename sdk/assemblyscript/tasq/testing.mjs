// Runs a built handler in Node.js, for its tests: the host's functions are doubles, which `host` shows.
import { readFile } from 'node:fs/promises';

const decoder = new TextDecoder('utf-8', { fatal: true });
const encoder = new TextEncoder();
const kinds = ['retry', 'discard', 'snooze'];

/** `run(payload)`, of text or bytes, gives `{ ok }` or `{ kind, message, code, retryAfterMs }`, each time in a fresh instance. */
export async function load(path, host = { config: {}, logged: [] }) {
  const module = await WebAssembly.compile(await readFile(path));
  return (payload) => run(new Instance(module, host), payload);
}

class Instance {
  constructor(module, host) {
    const imports = {};
    for (const { module: from, name } of WebAssembly.Module.imports(module)) {
      (imports[from] ??= {})[name] = doubles(this, host)[`${from.split('/')[1].split('@')[0]}.${name}`] ?? (() => { throw new Error(`${from} ${name} has no double`); });
    }
    this.exports = new WebAssembly.Instance(module, imports).exports;
  }
  view() { return new DataView(this.exports.memory.buffer); }
  text(at, length) { return decoder.decode(new Uint8Array(this.exports.memory.buffer, at, length)); }
  pair(at) { return this.text(this.view().getUint32(at, true), this.view().getUint32(at + 4, true)); }
  /** Writes a text or bytes as the host does, and their address and length at `to`. */
  put(to, value) {
    const data = typeof value === 'string' ? encoder.encode(value) : value, at = this.exports.cabi_realloc(0, 0, 1, data.length);
    new Uint8Array(this.exports.memory.buffer).set(data, at);
    this.view().setUint32(to, at, true);
    this.view().setUint32(to + 4, data.length, true);
  }
}

const doubles = (guest, host) => ({
  'log.enabled': () => 1,
  'log.log': (level, at, length) => { host.logged.push(guest.text(at, length)); },
  'context.remaining-ms': () => 30_000n,
  'context.stopping': (out) => guest.view().setUint8(out, 0),
  'context.progress': () => {},
  'config.get': (at, length, out) => {
    const value = host.config[guest.text(at, length)];
    guest.view().setUint8(out, value === undefined ? 0 : 1);
    if (value !== undefined) guest.put(out + 4, value);
  },
});

function run(guest, payload) {
  const a = guest.exports.cabi_realloc(0, 0, 8, 96);
  new Uint8Array(guest.exports.memory.buffer, a, 96).fill(0);
  guest.put(a, payload);
  for (const [at, text] of [[8, 'test'], [16, 'test'], [24, 'default'], [44, 'application/json']]) guest.put(a + at, text);
  for (const [at, number] of [[32, 1], [36, 1], [40, 25]]) guest.view().setUint32(a + at, number, true);
  guest.view().setBigUint64(a + 72, 30_000n, true);
  const r = guest.exports['tasq:handler/handler@0.1.0#handle'](a), v = guest.view();
  const outcome = v.getUint8(r) === 0
    ? { ok: guest.pair(r + 8) }
    : { kind: kinds[v.getUint8(r + 8)], message: guest.pair(r + 12), code: guest.pair(r + 20), retryAfterMs: Number(v.getBigUint64(r + 32, true)) };
  guest.exports['cabi_post_tasq:handler/handler@0.1.0#handle'](r);
  return outcome;
}
