import assert from 'node:assert';
import { test } from 'node:test';

import { handler, names, redact } from './handler.js';
import { logged } from './tasq/native/log.mjs';

const hide = names('password, Token');
const redacted = (document) => redact(document, hide).document;

test('gives the same one the same label, wherever it stands', () => {
  const document = { from: 'Zoë@example.org', to: ['ada@example.org', 'zoë@EXAMPLE.org'], 'ada@example.org': null };
  assert.deepEqual(redacted(document), { from: '[email 1]', to: ['[email 2]', '[email 1]'], '[email 2]': null });
});

test('knows cards by their check digit', () => {
  assert.equal(redacted('paid with 4111 1111 1111 1111, 12 left'), 'paid with [card 1], 12 left');
  assert.deepEqual(redacted([4111111111111111, 378282246310005]), ['[card 1]', '[card 2]']);
  assert.equal(redacted('4111 1111 1111 1112'), '4111 1111 1111 1112');
  assert.equal(redacted(1700000000123), 1700000000123);
});

test('knows addresses on the network', () => {
  assert.equal(redacted('from 192.0.2.7:80, not 300.1.1.1 or 1.2.3.4.5'), 'from [ip 1]:80, not 300.1.1.1 or 1.2.3.4.5');
});

test('hides fields by their name, with all that is in them', () => {
  const { document, counts } = redact({ user: { PASSWORD: { old: 'a', new: 'b' }, token: 1 } }, hide);
  assert.deepEqual(document, { user: { PASSWORD: '[hidden]', token: '[hidden]' } });
  assert.deepEqual(counts, { hidden: 2, email: 0, card: 0, ip: 0 });
});

test('leaves everything else as it was', () => {
  const document = [null, true, -1.5, '', 'größe @ home', { __proto__: null, a: [] }, []];
  assert.deepEqual(redacted(document), document);
  assert.deepEqual(redacted(JSON.parse('{"__proto__":{"a":1}}')), JSON.parse('{"__proto__":{"a":1}}'));
});

test('is quick where nothing is found', () => {
  for (const unit of ['a', '1', 'a@', '1.', '4111 ', 'a@a.']) redacted(unit.repeat(200_000 / unit.length));
});

test('logs counts, no data', () => {
  const bytes = handler.handle(new TextEncoder().encode('{"to":"zoe@example.org","secret":1}'), { headers: [] });
  assert.equal(new TextDecoder().decode(bytes), '{"to":"[email 1]","secret":"[hidden]"}');
  assert.ok(!JSON.stringify(logged).includes('example.org'));
});
