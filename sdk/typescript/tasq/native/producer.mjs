export const enqueued = [];
export const enqueue = (task) => `task-${enqueued.push(task)}`;
