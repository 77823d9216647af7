import { defineHandler, fields, log, type Task } from './tasq/tasq.ts';

export function add({ arg1, arg2 }: { arg1: number; arg2: number }, task: Task) {
  log.info('adding', { attempt: task.attempt });
  return { result: arg1 + arg2 };
}

export const handler = defineHandler(fields({ arg1: 'number', arg2: 'number' }), add);
