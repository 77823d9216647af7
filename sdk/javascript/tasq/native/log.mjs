export const logged = [];
export const enabled = () => true;
export const log = (level, message, fields) => void logged.push({ level, message, fields });
