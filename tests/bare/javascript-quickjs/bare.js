// A handler made from wit/ alone, by componentize-qjs, with the text that QuickJS lacks made by hand, and a u64 that is a number where jco's is a BigInt: nothing of sdk/javascript is in it.
import { get as setting } from 'tasq:handler/config@0.1.0';
import { progress } from 'tasq:handler/context@0.1.0';
import { log } from 'tasq:handler/log@0.1.0';
import * as store from 'tasq:handler/store@0.1.0';

export const handler = {
  handle(payload, task) {
    let sum;
    try {
      const { arg1, arg2 } = JSON.parse(String.fromCharCode(...payload));
      sum = arg1 + arg2;
    } catch {}
    if (!Number.isFinite(sum)) throw { kind: 'discard', message: 'expected arg1 and arg2', code: 'invalid-payload', retryAfterMs: 0 };
    log('warn', 'größer', [{ name: 'attempt', value: String(task.attempt) }]);
    progress(50, 'half');
    let refused = false;
    try {
      store.get('x');
    } catch (e) {
      refused = e.payload.message.includes('store');
    }
    return Uint8Array.from(JSON.stringify({ result: sum, greeting: setting('greeting'), refused }), (character) => character.charCodeAt(0));
  },
};
