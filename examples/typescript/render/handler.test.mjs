import assert from 'node:assert';
import { test } from 'node:test';

import { parse, render } from './handler.js';

test('fills in values', () => {
  assert.equal(render('Dear {{name}}, {{ order.total }} €', { name: 'Zoë', order: { total: 5 } }), 'Dear Zoë, 5 €');
  assert.equal(render('{{#items}}- {{n}} for {{who}}\n{{/items}}', { who: 'Ada', items: [{ n: 1 }, { n: 2 }] }), '- 1 for Ada\n- 2 for Ada\n');
  assert.equal(render('{{#tags}}#{{item}} {{/tags}}', { tags: ['a', 'b'] }), '#a #b ');
});

test('says what is missing', () => {
  assert.throws(() => render('{{nobody}}', {}), { message: /nobody/, code: 'missing-value' });
  assert.throws(() => render('{{constructor}}', {}), { code: 'missing-value' });
  assert.throws(() => render('{{#n}}x{{/n}}', { n: 1 }), { code: 'not-a-list' });
  assert.equal(render('{{nobody}}', {}, '?'), '?');
});

test('says what was expected where', () => {
  assert.throws(() => parse([]), /expected an object/);
  assert.throws(() => parse({ template: 1, values: {} }), /template: expected a text/);
  assert.throws(() => parse({ template: '', values: [] }), /values: expected an object/);
});
