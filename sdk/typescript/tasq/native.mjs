// Lets Node.js run a handler's tests: node --import ./tasq/native.mjs --test
// The modules in native/ stand in for the host; what a handler did is in what they export.
import { register } from 'node:module';
import { isMainThread } from 'node:worker_threads';

if (isMainThread) register(import.meta.url);

export function resolve(specifier, context, next) {
  const [, name] = /^tasq:handler\/(\w+)@/.exec(specifier) ?? [];
  return name ? { url: new URL(`native/${name}.mjs`, import.meta.url).href, shortCircuit: true } : next(specifier, context);
}
