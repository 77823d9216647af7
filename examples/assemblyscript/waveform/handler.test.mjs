import assert from 'node:assert/strict';
import test from 'node:test';
import { load } from './tasq/testing.mjs';

const run = await load('handler.wasm', { config: { points: '4' }, logged: [] });

/** A WAV file of these samples, with a chunk that nobody knows before them. */
function wav(samples, { format = 1, bits = 16, channels = 1, rate = 8000 } = {}) {
  const step = bits / 8, size = samples.length * step, file = Buffer.alloc(12 + 24 + 12 + 8 + size);
  file.write('RIFF', 0), file.writeUInt32LE(file.length - 8, 4), file.write('WAVEfmt ', 8), file.writeUInt32LE(16, 16);
  file.writeUInt16LE(format, 20), file.writeUInt16LE(channels, 22), file.writeUInt32LE(rate, 24);
  file.writeUInt16LE(step * channels, 32), file.writeUInt16LE(bits, 34);
  file.write('LIST', 36), file.writeUInt32LE(3, 40), file.write('odd', 44); // and a byte of padding
  file.write('data', 48), file.writeUInt32LE(size, 52);
  samples.forEach((sample, i) => {
    const at = 56 + i * step;
    if (format === 3) file.writeFloatLE(sample, at);
    else if (bits === 8) file.writeUInt8(sample, at);
    else file.writeIntLE(sample, at, step);
  });
  return file;
}

const seen = (...args) => JSON.parse(run(wav(...args)).ok);

test('measures each kind of sample', () => {
  const expected = { seconds: 0.001, rate: 8000, channels: 1, loudness: -7.455, peaks: [0, 0.5, 1, 0.25] };
  assert.deepEqual(seen([0, 0, 16384, -8192, -32768, 0, 8192, 8192]).peaks, expected.peaks);
  assert.deepEqual(seen([128, 128, 192, 96, 0, 128, 160, 160], { bits: 8 }).peaks, expected.peaks);
  assert.deepEqual(seen([0, 0, 4194304, -2097152, -8388608, 0, 2097152, 2097152], { bits: 24 }).peaks, expected.peaks);
  assert.deepEqual(seen([0, 0, 2 ** 30, -(2 ** 29), -(2 ** 31), 0, 2 ** 29, 2 ** 29], { bits: 32 }).peaks, expected.peaks);
  assert.deepEqual(seen([0, 0, 0.5, -0.25, -1, NaN, 0.25, 0.25], { format: 3, bits: 32 }), expected);
});

test('takes channels together', () => {
  assert.deepEqual(seen([0, 32767, -32768, 0], { channels: 2, rate: 2 }), { seconds: 1, rate: 2, channels: 2, loudness: -3.01, peaks: [0, 1, 0, 1] });
});

test('hears silence', () => {
  assert.deepEqual(seen([0, 0, 0, 0]), { seconds: 0.001, rate: 8000, channels: 1, loudness: -120, peaks: [0, 0, 0, 0] });
  assert.deepEqual(seen([]).peaks, [0, 0, 0, 0]);
});

test('takes what is there of a file that was cut off', () => {
  assert.deepEqual(JSON.parse(run(wav([0, 0, 16384, 16384]).subarray(0, -1)).ok).peaks, [0, 0, 0, 0.5]);
});

test('discards what it cannot read', () => {
  const whole = wav([1, 2, 3, 4]);
  for (const bad of ['', 'text', 'RIFF    WAVE', whole.subarray(0, 30), whole.subarray(0, 48)]) {
    assert.deepEqual([run(bad).kind, run(bad).code], ['discard', 'invalid-payload'], String(bad));
  }
  for (let at = 12; at < 56; at++) {
    for (const byte of [0, 1, 0x7f, 0x80, 0xff]) {
      const spoilt = Buffer.from(whole);
      spoilt[at] = byte;
      assert.notEqual(run(spoilt), undefined); // whatever it is, no trap
    }
  }
  assert.equal(run(wav([1, 2], { bits: 32, format: 7 })).code, 'other-format');
});

test('has as many points as are wanted', async () => {
  const many = await load('handler.wasm', { config: { points: '1000' }, logged: [] });
  assert.equal(JSON.parse(many(wav([1, 2, 3])).ok).peaks.length, 1000);
  for (const points of ['0', '-1', 'x', '', '99999999999']) {
    const other = await load('handler.wasm', { config: { points }, logged: [] });
    assert.equal(other(wav([1])).code, 'invalid-setting', points);
  }
});
