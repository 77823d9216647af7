// Fills in a template: teaches a payload that is checked by hand, codes for what can't be done, and a setting.
//
// {"template": "Dear {{name}}, …", "values": {"name": "Zoë"}} gives the text. {{#items}}…{{/items}} repeats for each object of a list,
// {{a.b}} looks into objects. The setting `missing` is what stands for a value that isn't there; without it the task is discarded.
import { Discard, config, defineHandler, encode } from './tasq/tasq.ts';

export type Value = string | number | boolean | null | Value[] | { [name: string]: Value };
export interface Order { template: string; values: Record<string, Value> }

const isObject = (value: unknown): value is Record<string, Value> => typeof value === 'object' && value !== null && !Array.isArray(value);

/** Names what was expected where, so that a producer can mend it. */
export function parse(value: unknown): Order {
  if (!isObject(value)) throw new Error('expected an object');
  const { template, values } = value;
  if (typeof template !== 'string') throw new Error('template: expected a text');
  if (!isObject(values)) throw new Error('values: expected an object');
  return { template, values };
}

export function render(template: string, values: Record<string, Value>, missing?: string): string {
  // The same name may stand inside of its own section, so a section ends with the last one's end only where none begins between.
  const section = /\{\{#\s*([\w.]+)\s*\}\}([\s\S]*?)\{\{\/\s*\1\s*\}\}/g;
  const repeated = template.replace(section, (_, name: string, body: string) => {
    const list = look(values, name);
    if (!Array.isArray(list)) throw new Discard(`{{#${name}}}: expected a list`, { code: 'not-a-list' });
    return list.map((item) => render(body, isObject(item) ? { ...values, ...item } : { ...values, item }, missing)).join('');
  });
  return repeated.replace(/\{\{\s*([\w.]+)\s*\}\}/g, (_, name: string) => {
    const value = look(values, name) ?? missing;
    if (value === undefined) throw new Discard(`{{${name}}}: there is no such value`, { code: 'missing-value' });
    return typeof value === 'object' ? JSON.stringify(value) : String(value);
  });
}

function look(values: Record<string, Value>, path: string): Value | undefined {
  // Own properties alone: `{{constructor}}` is no value.
  return path.split('.').reduce<Value | undefined>((inside, name) => (isObject(inside) && Object.hasOwn(inside, name) ? inside[name] : undefined), values);
}

export const handler = defineHandler(parse, ({ template, values }) => encode(render(template, values, config.get('missing') ?? undefined)));
