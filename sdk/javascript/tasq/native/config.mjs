export const settings = new Map();
export const get = (name) => settings.get(name);
