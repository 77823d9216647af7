import assert from 'node:assert';
import { test } from 'node:test';

import { add } from './handler.js';

test('adds', () => {
  assert.deepEqual(add({ arg1: 5, arg2: 4 }, { attempt: 1 }), { result: 9 });
});
