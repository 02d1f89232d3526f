import type { SourceScalar } from "./documents.ts";

/** What a YAML scalar is to Go: a whole number as a bigint, any other number as a number. */
export type GoScalar = null | boolean | bigint | number | string;

/** YAML 1.1's own words; a mapping of any case would take `yEs` as well. */
const WORDS = new Map<string, GoScalar>([
  ...words(null, "", "~", "null", "Null", "NULL"),
  ...words(true, "y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"),
  ...words(false, "n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"),
  ...words(Number.NaN, ".nan", ".NaN", ".NAN"),
  ...words(Number.POSITIVE_INFINITY, ".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"),
  ...words(Number.NEGATIVE_INFINITY, "-.inf", "-.Inf", "-.INF"),
]);
/** Tags that do not make a scalar a string. */
const RESOLVED_TAGS = new Set(["bool", "int", "float", "null"].map((name) => `tag:yaml.org,2002:${name}`));
const INTEGER = /^([-+]?)(?:0x([0-9a-f]+)|0o?([0-7]+)|0b([01]+)|(0|[1-9][0-9]*))$/i;
const FLOAT = /^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:e[-+]?[0-9]+)?$/i;
const SMALLEST = -(2n ** 63n);
const LARGEST = 2n ** 64n - 1n;
/** Decimal digits that tell any two float32 apart. */
const FLOAT32_DIGITS = 9;

/** A scalar as `sigs.k8s.io/yaml` reads it. Source: `resolve` in go.yaml.in/yaml/v2, resolve.go */
export function resolveScalar({ text, isPlain, tag }: SourceScalar): GoScalar {
  if (tag === undefined ? !isPlain : !RESOLVED_TAGS.has(tag)) return text;
  const word = WORDS.get(text);
  if (word !== undefined) return word;
  // Only what begins with a digit or a sign may hold `_`, and be anything but a fraction.
  if (text.startsWith(".")) return parseFloat64(text) ?? text;
  if (!/^[-+0-9]/.test(text)) return text;
  const plain = text.replaceAll("_", "");
  return parseInteger(plain) ?? parseFloat64(plain) ?? text;
}

/** What a string field gets. Source: `convertToJSONableObject` in sigs.k8s.io/yaml, yaml.go */
export function formatScalar(scalar: GoScalar): string {
  if (scalar === null) return "";
  return typeof scalar === "number" ? formatFloat32(scalar) : String(scalar);
}

function words(value: GoScalar, ...spellings: string[]): [string, GoScalar][] {
  return spellings.map((spelling) => [spelling, value]);
}

function parseInteger(text: string): bigint | undefined {
  const [, sign, hexadecimal, octal, binary, decimal] = INTEGER.exec(text) ?? [];
  const digits = [
    ["0x", hexadecimal] as const,
    ["0o", octal] as const,
    ["0b", binary] as const,
    ["", decimal] as const,
  ];
  const [prefix, found] = digits.find(([, each]) => each !== undefined) ?? [];
  if (found === undefined) return;
  const magnitude = BigInt(`${prefix}${found}`);
  const value = sign === "-" ? -magnitude : magnitude;
  const largest = sign === "" ? LARGEST : LARGEST / 2n;
  return value < SMALLEST || value > largest ? undefined : value;
}

function parseFloat64(text: string): number | undefined {
  if (!FLOAT.test(text)) return;
  const value = Number(text);
  return Number.isFinite(value) ? value : undefined;
}

/** Go's `strconv.FormatFloat(value, 'g', -1, 32)`: of a 1.30 the `1.3`, of a 1e6 the `1e+06`. */
function formatFloat32(value: number): string {
  const rounded = Math.fround(value);
  if (Number.isNaN(rounded)) return "NaN";
  if (!Number.isFinite(rounded)) return rounded > 0 ? "+Inf" : "-Inf";
  if (Object.is(rounded, -0)) return "-0";
  const [mantissa = "", power = ""] = shortest(rounded).split("e");
  const exponent = Number(power);
  if (exponent >= -4 && exponent < 6) return String(Number(`${mantissa}e${power}`));
  const sign = exponent < 0 ? "-" : "+";
  return `${mantissa}e${sign}${String(Math.abs(exponent)).padStart(2, "0")}`;
}

/** The fewest digits that stand for the same float32, as `1.3e+0`. */
function shortest(value: number): string {
  for (let digits = 0; digits < FLOAT32_DIGITS - 1; digits += 1) {
    const text = value.toExponential(digits);
    if (Math.fround(Number(text)) === value) return text;
  }
  return value.toExponential(FLOAT32_DIGITS - 1);
}
