import { Fault } from "../oci/fault.ts";
import { isRecord } from "../oci/manifest.ts";
import { MEND } from "./failures.ts";

/** A merge of a merge of a merge multiplies; people write a few dozen fields. */
const MAX_MERGED_FIELDS = 10_000;

/**
 * Resolves the merge keys (`<<`) in plain YAML data that does not contain itself: a mapping's own field goes
 * before a merged one, and of those the first. `source` is for messages. Spec: https://yaml.org/type/merge.html
 */
export function mergeKeys(source: string, content: unknown): unknown {
  const done = new Map<object, unknown>();
  let budget = MAX_MERGED_FIELDS;
  const resolve = (value: unknown): unknown => {
    if (typeof value !== "object" || value === null) return value;
    if (!done.has(value)) done.set(value, Array.isArray(value) ? value.map(resolve) : resolveMapping(value));
    return done.get(value);
  };
  const resolveMapping = (mapping: object): Record<string, unknown> => {
    const { "<<": sources, ...own } = mapping as Record<string, unknown>;
    const fields = new Map(Object.entries(own).map(([key, value]) => [key, resolve(value)]));
    const merged = sources === undefined ? [] : [resolve(sources)].flat();
    for (const each of merged) {
      if (!isRecord(each)) {
        throw new Fault(`cannot read ${source}: \`<<\` does not name a mapping`, { hint: MEND });
      }
      const others = Object.entries(each);
      budget -= others.length;
      if (budget < 0) {
        throw new Fault(`cannot read ${source}: \`<<\` merges more than ${MAX_MERGED_FIELDS} fields`, {
          hint: MEND,
        });
      }
      for (const [key, value] of others) if (!fields.has(key)) fields.set(key, value);
    }
    return Object.fromEntries(fields);
  };
  return resolve(content);
}
