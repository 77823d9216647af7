// Nothing expires.
export const stored = new Map();
const text = (bytes) => bytes && new TextDecoder().decode(bytes);
export const get = (key) => stored.get(key);
export const put = (key, value) => void stored.set(key, value);
export const remove = (key) => void stored.delete(key);

export function replace(key, expected, value) {
  const matches = text(stored.get(key)) === text(expected);
  if (matches) stored.set(key, value);
  return matches;
}

export function increment(key, by) {
  const value = Number(text(stored.get(key)) ?? '0') + by;
  if (!Number.isSafeInteger(value)) throw Object.assign(new Error(), { payload: { kind: 'invalid', message: `${key} holds no number` } });
  stored.set(key, new TextEncoder().encode(String(value)));
  return value;
}
