import { isRecord } from "../oci/manifest.ts";

/** Each error code and the status it comes with unless the endpoint says otherwise.
 *  Spec: distribution-spec, "Error Codes"; statuses as distribution sends them. */
const STATUS_OF_CODE = {
  BLOB_UNKNOWN: 404,
  BLOB_UPLOAD_INVALID: 416,
  BLOB_UPLOAD_UNKNOWN: 404,
  DIGEST_INVALID: 400,
  MANIFEST_BLOB_UNKNOWN: 400,
  MANIFEST_INVALID: 400,
  MANIFEST_UNKNOWN: 404,
  NAME_INVALID: 400,
  NAME_UNKNOWN: 404,
  SIZE_INVALID: 400,
  UNAUTHORIZED: 401,
  DENIED: 403,
  UNSUPPORTED: 405,
  TOOMANYREQUESTS: 429,
  /** Not in the specification; distribution `registry/api/v2/errors.go`. */
  PAGINATION_NUMBER_INVALID: 400,
} as const;

export type ErrorCode = keyof typeof STATUS_OF_CODE;

/** Statuses that mean one code and no other, for answers that carry none (HEAD, proxies). */
const CODE_OF_STATUS = new Map<number, ErrorCode>([
  [401, "UNAUTHORIZED"],
  [403, "DENIED"],
  [405, "UNSUPPORTED"],
  [429, "TOOMANYREQUESTS"],
]);

/** What registries and the proxies before them answer without a word; `node:http` has all, and takes 3 ms to load. */
const MEANING_OF_STATUS = new Map([
  [400, "Bad Request"],
  [401, "Unauthorized"],
  [403, "Forbidden"],
  [404, "Not Found"],
  [405, "Method Not Allowed"],
  [407, "Proxy Authentication Required"],
  [408, "Request Timeout"],
  [411, "Length Required"],
  [413, "Payload Too Large"],
  [416, "Range Not Satisfiable"],
  [429, "Too Many Requests"],
  [500, "Internal Server Error"],
  [501, "Not Implemented"],
  [502, "Bad Gateway"],
  [503, "Service Unavailable"],
  [504, "Gateway Timeout"],
]);

const MOST_ERRORS = 16;
const LONGEST_TEXT = 500;
const CODE = /^[A-Za-z][A-Za-z0-9_.-]{0,63}$/;

export interface RegistryErrorOptions {
  /** Default: the status that the code usually comes with. */
  status?: number;
  /** Any JSON that helps to tell which of several things is meant. */
  detail?: unknown;
}

/** A request refused under one of the specification's error codes. */
export class RegistryError extends Error {
  override readonly name = "RegistryError";
  readonly code: ErrorCode;
  readonly status: number;
  readonly detail: unknown;

  constructor(code: ErrorCode, message: string, { status, detail }: RegistryErrorOptions = {}) {
    super(message);
    this.code = code;
    this.status = status ?? STATUS_OF_CODE[code];
    this.detail = detail;
  }
}

/** The JSON body that an error answer carries. */
export function errorBody(code: ErrorCode, message: string, detail?: unknown): string {
  return JSON.stringify({ errors: [{ code, message, detail }] });
}

/** What a registry, or the proxy before it, said was wrong: safe to print. */
export interface ReportedError {
  /** One of `ErrorCode`, or a registry's own. */
  code?: string;
  message: string;
  /** Free text or JSON; of a MANIFEST_BLOB_UNKNOWN usually the digest that is missing. */
  detail?: string;
}

/**
 * Reads the body of an answer that is no success; never fails and never returns an empty list.
 * HTML is reduced to its title, other text to its beginning, an empty body to what the status means.
 * The caller bounds `text`; a `contentType` is a hint only, since proxies and registries get it wrong.
 */
export function parseErrors(status: number, contentType: string, text: string): ReportedError[] {
  const reported = fromJson(text);
  if (reported.length > 0) return reported.map((error) => completed(error, status));
  return [completed({ message: fromText(contentType, text) }, status)];
}

function fromJson(text: string): ReportedError[] {
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    return [];
  }
  if (!isRecord(body)) return [];
  const list = Array.isArray(body.errors) ? body.errors.slice(0, MOST_ERRORS) : [body];
  return list.map(readError).filter((error) => error !== undefined);
}

/**
 * Besides the specification's fields, those of other answers seen on this path: OAuth2 token endpoints
 * (`error`, `error_description`) and Docker Hub's (`details`). Spec: RFC 6749, 5.2.
 */
function readError(value: unknown): ReportedError | undefined {
  if (typeof value === "string") return value === "" ? undefined : { message: printable(value) };
  if (!isRecord(value)) return;
  const code = [value.code, value.error].find((field) => typeof field === "string" && CODE.test(field));
  const message = [value.message, value.error_description, value.details, value.error].find(
    (field) => typeof field === "string" && field !== code,
  );
  const error: ReportedError = { message: typeof message === "string" ? printable(message) : "" };
  if (typeof code === "string") error.code = code;
  if (isPresent(value.detail)) {
    const detail = typeof value.detail === "string" ? value.detail : toJson(value.detail);
    if (detail !== undefined) error.detail = printable(detail);
  }
  return error.code === undefined && error.message === "" ? undefined : error;
}

/** Undefined for what is nested so deep that writing it ends the stack; reading it does not. */
function toJson(value: unknown): string | undefined {
  try {
    return JSON.stringify(value);
  } catch {
    return;
  }
}

function isPresent(detail: unknown): boolean {
  return detail !== undefined && detail !== null && detail !== "";
}

/** By its beginning: what `text/html` is said of may be none. */
export function isWebPage(text: string): boolean {
  return /^\s*<(?:!doctype html|html)/i.test(text);
}

function fromText(contentType: string, text: string): string {
  const isHtml = /html/i.test(contentType) || isWebPage(text);
  if (!isHtml) return /^\s*[{[]/.test(text) ? "" : printable(text);
  return printable(/<title[^>]*>([^<]*)/i.exec(text)?.[1] ?? "");
}

function completed(error: ReportedError, status: number): ReportedError {
  const message = error.message === "" ? (MEANING_OF_STATUS.get(status) ?? "no reason given") : error.message;
  const code = error.code ?? CODE_OF_STATUS.get(status);
  return code === undefined ? { ...error, message } : { ...error, code, message };
}

/** One line without control and invisible formatting characters, so that it cannot forge other output. */
function printable(text: string): string {
  const line = text
    .slice(0, 4 * LONGEST_TEXT)
    .replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\s]+/gu, " ")
    .trim();
  return line.length > LONGEST_TEXT ? `${line.slice(0, LONGEST_TEXT)}…` : line;
}
