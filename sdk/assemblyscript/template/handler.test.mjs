import assert from 'node:assert/strict';
import test from 'node:test';
import { load } from './tasq/testing.mjs';

const run = await load('handler.wasm');

test('adds the numbers', () => {
  assert.deepEqual(run('{"arg1":5,"arg2":4}'), { ok: '{"result":9}' });
});

test('discards what is not two numbers', () => {
  for (const bad of ['{not json', '', '[1,2]', '{"arg1":5}', '{"arg1":"x","arg2":2}', '{"arg1":1e308,"arg2":1e308}']) {
    assert.equal(run(bad).kind, 'discard', bad);
  }
});
