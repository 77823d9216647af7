// Takes personal data out of any JSON: teaches a payload of any shape, a setting, a raw result, and log lines that say nothing they shouldn't.
//
// E-mail addresses, card numbers and IP addresses become labels, [email 1], wherever they stand; the same one has the same label in the whole document,
// so that it can still be followed. Fields with a name of the setting `hide` (commas between; `password,secret,token` without it) lose their value.
import { config, defineHandler, encode, log } from './tasq/tasq.js';

// Each repetition has a bound: a text without any match is still looked through once.
const KINDS = [
  { kind: 'email', pattern: /[\p{L}\p{N}._%+-]{1,64}@(?:[\p{L}\p{N}-]{1,63}\.){1,8}\p{L}{2,24}/gu, norm: (found) => found.toLowerCase() },
  // In groups as they are printed, or in one; numbers of cards begin with 2 to 6.
  { kind: 'card', pattern: /(?<!\d)(?=[2-6])(?:\d{4}([ -])\d{4}\1\d{4}\1\d{4}|\d{4}([ -])\d{6}\2\d{4,5}|\d{13,19})(?!\d)/g, norm: digits, holds: luhn },
  { kind: 'ip', pattern: /(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?!\.?\d)/g, norm: (found) => found, holds: (found) => found.split('.').every((part) => part < 256) },
];

function digits(found) {
  return found.replace(/\D/g, '');
}

function luhn(found) {
  const sum = [...digits(found)].reverse().reduce((sum, digit, at) => sum + (at % 2 ? [0, 2, 4, 6, 8, 1, 3, 5, 7, 9][digit] : Number(digit)), 0);
  return sum % 10 === 0;
}

/** The document without personal data, and how many of each kind were in it. */
export function redact(document, hide) {
  const labels = new Map(), counts = { hidden: 0, email: 0, card: 0, ip: 0 };

  const label = (kind, norm) => {
    const known = labels.get(kind + norm) ?? `[${kind} ${++counts[kind]}]`;
    labels.set(kind + norm, known);
    return known;
  };
  const text = (value) =>
    KINDS.reduce((value, { kind, pattern, norm, holds }) => value.replace(pattern, (found) => (holds?.(found) === false ? found : label(kind, norm(found)))), value);
  const walk = (value) => {
    if (typeof value === 'string') return text(value);
    if (Array.isArray(value)) return value.map(walk);
    if (typeof value === 'object' && value !== null) return Object.fromEntries(Object.entries(value).map(field));
    // A card's number may be written as a number.
    const shown = text(String(value));
    return shown === String(value) ? value : shown;
  };
  const field = ([name, value]) => {
    if (!hide.has(name.toLowerCase())) return [text(name), walk(value)];
    counts.hidden++;
    return [name, '[hidden]'];
  };
  return { document: walk(document), counts };
}

/** The setting as a set of names. */
export function names(setting) {
  return new Set(setting.split(',').map((name) => name.trim().toLowerCase()).filter(Boolean));
}

const anything = (value) => value;

export const handler = defineHandler(anything, (payload) => {
  const { document, counts } = redact(payload, names(config.get('hide') ?? 'password,secret,token'));
  log.info('redacted', counts);
  return encode(JSON.stringify(document));
});
