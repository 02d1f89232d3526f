/** A field's value: text, a number, true, a message inside; or several of these. */
type Value = string | number | boolean | Message | readonly (string | Message)[];
/** Field number → value. */
export interface Message {
  readonly [field: number]: Value;
}

/** As much of Protocol Buffers as CRI's requests take. Spec: https://protobuf.dev/programming-guides/encoding */
export function encode(message: Message): Buffer {
  const parts = Object.entries(message).flatMap(([field, value]) => {
    const values = Array.isArray(value)
      ? (value as readonly (string | Message)[])
      : [value as Exclude<Value, readonly unknown[]>];
    return values.map((each) => encodeField(Number(field), each));
  });
  return Buffer.concat(parts);
}

function encodeField(field: number, value: Exclude<Value, readonly unknown[]>): Buffer {
  if (typeof value === "number" || typeof value === "boolean") {
    return Buffer.concat([varint(field << 3), varint(Number(value))]);
  }
  const bytes = typeof value === "string" ? Buffer.from(value) : encode(value);
  return Buffer.concat([varint((field << 3) | 2), varint(bytes.length), bytes]);
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 127; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128);
  return Buffer.from([...bytes, rest]);
}

/** The fields of a message that are text, bytes or messages, each once; the last of a kind counts. */
export function decode(bytes: Buffer): Map<number, Buffer | number> {
  const fields = new Map<number, Buffer | number>();
  let at = 0;
  const next = (): number => {
    let [value, scale] = [0, 1];
    for (;;) {
      const byte = bytes[at++] ?? 0;
      value += (byte & 127) * scale;
      if (byte < 128) return value;
      scale *= 128;
    }
  };
  while (at < bytes.length) {
    const key = next();
    const number = next();
    const isNumber = (key & 7) === 0;
    fields.set(key >> 3, isNumber ? number : bytes.subarray(at, at + number));
    if (!isNumber) at += number;
  }
  return fields;
}
