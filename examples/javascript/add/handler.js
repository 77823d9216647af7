import { defineHandler, fields, log } from './tasq/tasq.js';

export function add({ arg1, arg2 }, task) {
  log.info('adding', { attempt: task.attempt });
  return { result: arg1 + arg2 };
}

export const handler = defineHandler(fields({ arg1: 'number', arg2: 'number' }), add);
