export const progressed = [];
export const remainingMs = () => 30_000;
export const stopping = () => undefined;
export const progress = (percent, note) => void progressed.push({ percent, note });
