/** Query parameters of registries that hold no secret; every other value in a URL is masked. */
const PUBLIC_PARAMETERS = new Set([
  "account",
  "artifacttype",
  "client_id",
  "digest",
  "from",
  "last",
  "mount",
  "n",
  "ns",
  "scope",
  "service",
  "tag",
]);
const MASK = "REDACTED";
const URL_WITH_QUERY = /\b([a-z][a-z0-9+.-]{0,20}:\/\/[^\s?"'`<>]*\?)([^\s"'`<>]+)/gi;
/** Up to the last `@` before the path, as a careless password may hold one itself. */
const USERINFO = /\b([a-z][a-z0-9+.-]{0,20}:\/\/)[^\s/?#"'`<>]*@/gi;
/** The same without a scheme; what looks so and is none is a tag before a digest. */
const BARE_USERINFO = /(?<![^\s"'`(<=,/])([^\s"'`(<>:@/\\=,]+:)[^\s"'`<>/\\]+@(?!sha(?:256|512):)(?=[\w[])/g;
const SIGNED_PARAMETER =
  /([?&;](?:x-(?:amz|goog)-[a-z-]+|signature|sig|policy|key-pair-id|verify|[a-z_]*token|[a-z_]*secret|password)=)[^&\s"'`<>]+/gi;
const ASSIGNED_SECRET =
  /\b((?:x-(?:amz|goog)-(?:signature|credential|security-token)|sig|[a-z_]*token|[a-z_]*secret|[a-z_]*password)=)[^&\s"'`<>,;)]+/gi;
const JSON_SECRET = /("[a-z_]*(?:token|secret|password)"\s*:\s*")(?:[^"\\]|\\.)+/gi;
const AUTHORIZATION =
  /\b((?:proxy-)?authorization["']?\s*[:=]\s*["']?)(?:(?:basic|bearer|digest|negotiate)\s+)?[^\s"',;]+/gi;
/** The look-ahead spares prose such as "bearer authentication". */
const CREDENTIAL = /\b([Bb]earer|BEARER|[Bb]asic|BASIC)\s+(?=[^\s"]*[A-Z0-9=])[\w.~+/=-]{8,}/g;
const JSON_WEB_TOKEN = /\beyJ[\w-]{8,}\.[\w-]+(?:\.[\w-]*)?/g;
/** Select Graphic Rendition. Spec: ECMA-48, 8.3.117. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const COLOUR = /(?:\u001b\[|\u009b)[\d;:]*m/g;
const INVISIBLE = /(?!\n)[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

/**
 * Makes any text fit to be shown: no terminal escapes, no invisible characters but the line feed, no secret.
 * Colours are left out; what else cannot be seen is spelled out, as a name that holds it is another one without it.
 * A last line of defence: whoever makes a message keeps secrets out of it in the first place.
 */
export function sanitize(text: string): string {
  const bare = onlySpaces(Bun.stripANSI(text)).replaceAll(INVISIBLE, "");
  const safe = redact(bare);
  // What is invisible may stand in the middle of a secret, which is not known for one when it is spelled out.
  return safe === bare ? redact(spellOut(text)) : safe;
}

function spellOut(text: string): string {
  return onlySpaces(text.replaceAll(COLOUR, "")).replaceAll(INVISIBLE, (character) => {
    const code = character.codePointAt(0) ?? 0;
    if (code <= 0xff) return `\\x${code.toString(16).padStart(2, "0")}`;
    return code <= 0xffff ? `\\u${code.toString(16).padStart(4, "0")}` : `\\u{${code.toString(16)}}`;
  });
}

/** A line ends with a line feed, and nothing jumps. */
function onlySpaces(text: string): string {
  return text.replaceAll(/\r\n?/g, "\n").replaceAll("\t", " ");
}

/** The same on one line. */
export function sanitizeLine(text: string): string {
  return sanitize(text)
    .replaceAll(/\s*\n\s*/g, " ")
    .trim();
}

function redact(text: string): string {
  return text
    .replaceAll(USERINFO, `$1${MASK}@`)
    .replaceAll(BARE_USERINFO, `$1${MASK}@`)
    .replaceAll(URL_WITH_QUERY, (_, head: string, query: string) => head + redactQuery(query))
    .replaceAll(SIGNED_PARAMETER, `$1${MASK}`)
    .replaceAll(ASSIGNED_SECRET, `$1${MASK}`)
    .replaceAll(JSON_SECRET, `$1${MASK}`)
    .replaceAll(AUTHORIZATION, `$1${MASK}`)
    .replaceAll(CREDENTIAL, `$1 ${MASK}`)
    .replaceAll(JSON_WEB_TOKEN, MASK);
}

function redactQuery(query: string): string {
  return query.replaceAll(/([^=&]+)=([^&]*)/g, (pair, name: string) =>
    PUBLIC_PARAMETERS.has(name.toLowerCase()) ? pair : `${name}=${MASK}`,
  );
}
