import { createConsola, LogLevels, type LogObject } from "consola/core";
import { describeFault, type Failure, formatFailures, formatFault, shownFailures } from "./fault.ts";
import { sanitize } from "./sanitize.ts";
import type { Screen } from "./screen.ts";
import { paint } from "./style.ts";

/** What a JSON line holds beside `time`, `level` and `event`; undefined is left out. */
export type Fields = Readonly<Record<string, string | number | boolean | readonly string[] | undefined>>;

type LogFormat = "text" | "json";

export interface LogOptions {
  screen: Screen;
  /** 0: what anyone wants to know; 1: decisions; 4: every HTTP request. */
  verbosity?: number;
  /** Errors only. */
  quiet?: boolean;
  format?: LogFormat;
}

/** What a run says besides its results: all of it on stderr. */
export interface Log {
  readonly format: LogFormat;
  info(message: string): void;
  warn(message: string): void;
  /** A deprecation: the message alone, as cobra prints it. */
  deprecation(message: string): void;
  /** Shown from this verbosity on. */
  debug(verbosity: number, message: string): void;
  error(error: unknown): void;
  /** The first of many failures, equal ones together; where some are left out, `all` says where they are. */
  failures(failures: readonly Failure[], all: string | undefined): void;
  /** A JSON line; nothing for a person, who is told otherwise. */
  event(event: string, fields: Fields): void;
}

/** One line of the log in both its forms, safe to show. */
interface Entry {
  event: string;
  fields: Fields;
  /** Absent: not for a person. */
  text?: string;
}

/** Lines go to the screen, never to stdout. JSON: `{"time": ISO 8601, "level": …, "event": …, …}` a line. */
export function createLog({ screen, verbosity = 0, quiet = false, format = "text" }: LogOptions): Log {
  // Throttled, repeated lines would come late or not at all.
  const logger = createConsola({ throttle: 0, reporters: [{ log: reporter(screen, format) }] });
  logger.level = quiet ? LogLevels.error : verbosity > 0 ? LogLevels.debug : LogLevels.info;
  return {
    format,
    info: (message) => logger.info(messageEntry(message)),
    warn: (message) => logger.warn(messageEntry(message, `${paint("warning:", "yellow", screen)} `)),
    deprecation: (message) => logger.warn({ ...messageEntry(message), event: "deprecation" }),
    debug: (level, message) => {
      if (level <= verbosity) logger.debug(messageEntry(message));
    },
    error: (error) => logger.error({ ...faultEntry(error), text: formatFault(error, screen) }),
    failures: (failures, all) => {
      const shown = shownFailures(failures);
      if (format === "json") for (const { what, error } of shown) logger.error(faultEntry(error, what));
      else if (failures.length > 0) logger.error(textEntry(formatFailures(failures, screen)));
      const left = failures.length - shown.length;
      const summary = `${left} of ${failures.length} failures are not shown`;
      if (left > 0) logger.error(messageEntry([summary, all ?? []].flat().join("; ")));
    },
    event: (event, fields) => logger.info({ event, fields } satisfies Entry),
  };
}

function reporter(screen: Screen, format: LogFormat): (line: LogObject) => void {
  return ({ date, type, args }) => {
    const { event, fields, text }: Entry = args[0];
    if (format === "text") {
      if (text !== undefined) screen.print(text);
      return;
    }
    const line = { time: date.toISOString(), level: type, event, ...fields };
    screen.print(JSON.stringify(line, (_, value) => (typeof value === "string" ? sanitize(value) : value)));
  };
}

function messageEntry(message: string, prefix = ""): Entry {
  return { event: "message", fields: { message }, text: prefix + sanitize(message) };
}

function textEntry(text: string): Entry {
  return { event: "message", fields: {}, text };
}

function faultEntry(error: unknown, what?: string): Entry {
  const { message, kind, because, hints } = describeFault(error);
  return { event: "error", fields: { what, message, errorKind: kind, because, hints } };
}
