import { formatReference } from "../oci/reference.ts";
import type { Listener, TransferEvent } from "../transfer/events.ts";
import { describeFault } from "./fault.ts";
import type { Fields, Log } from "./log.ts";
import { ProgressState, type Totals } from "./progress-state.ts";
import { count, renderLine, renderLive } from "./progress-view.ts";
import { sanitizeLine } from "./sanitize.ts";
import type { Screen } from "./screen.ts";
import { formatBytes, percentOf } from "./units.ts";

/** milliseconds */
const LIVE_INTERVAL = 100;
const LINE_INTERVAL = 5000;
/** How long a note stays in the live block, and is not repeated elsewhere. */
const NOTE_LIFETIME = 5000;

/**
 * `live`: a block redrawn in place. `plain`: a line for each artifact and one every few seconds.
 * `json`: an event a line. `silent`: nothing but the totals.
 */
export type ProgressMode = "live" | "plain" | "json" | "silent";

export interface ProgressOptions {
  screen: Screen;
  log: Log;
  mode: ProgressMode;
  /** What is going on: `exporting`, `importing`. */
  title: string;
  /** milliseconds that never go back; `performance.now` by default */
  now?: () => number;
  /** Calls back every so many milliseconds until the returned function is called. */
  every?: (milliseconds: number, callback: () => void) => () => void;
}

export interface Progress {
  readonly listener: Listener;
  /** Something that holds things up: `public.ecr.aws asks to wait 3 s`. */
  note(text: string): void;
  totals(): Totals;
  /** Takes the live block away and lets the process end; may be called twice. */
  stop(): void;
}

/** The way progress is shown, from the flags that bear on it. */
export function progressMode(
  { isLive }: Screen,
  { format }: Log,
  { quiet = false, noProgress = false }: { quiet?: boolean; noProgress?: boolean },
): ProgressMode {
  if (quiet || noProgress) return "silent";
  if (format === "json") return "json";
  return isLive ? "live" : "plain";
}

export function createProgress(options: ProgressOptions): Progress {
  const { mode, now = () => performance.now(), every = repeat } = options;
  const state = new ProgressState(now);
  const display = displayFor(mode, state, { ...options, now });
  let stopTicking: (() => void) | undefined;
  return {
    listener: (event) => {
      state.apply(event);
      display.show(event);
      if (event.type === "start") stopTicking ??= every(display.interval, display.tick);
    },
    note: display.note,
    totals: () => state.totals(),
    stop: () => {
      stopTicking?.();
      stopTicking = undefined;
      display.end();
    },
  };
}

/** One way of showing a state that has just changed. */
interface Display {
  /** milliseconds between ticks */
  interval: number;
  show(event: TransferEvent): void;
  tick(): void;
  note(text: string): void;
  end(): void;
}

type DisplayOptions = ProgressOptions & { now: () => number };

function displayFor(mode: ProgressMode, state: ProgressState, options: DisplayOptions): Display {
  if (mode === "live") return liveDisplay(state, options);
  if (mode === "plain") return plainDisplay(state, options);
  if (mode === "json") return jsonDisplay(state, options);
  return { interval: LINE_INTERVAL, show: nothing, tick: nothing, note: nothing, end: nothing };
}

/** Draws on ticks only, so never more often than they come. */
function liveDisplay(state: ProgressState, { screen, log, title, now }: DisplayOptions): Display {
  let note: { text: string; until: number } | undefined;
  const announce = seldom(now, (text) => log.info(text));
  const draw = () => {
    const text = note !== undefined && now() < note.until ? note.text : undefined;
    screen.draw(renderLive(state.snapshot(), { title, width: screen.width, note: text }));
  };
  return {
    interval: LIVE_INTERVAL,
    show: ({ type }) => {
      if (type === "start") draw();
    },
    tick: draw,
    note: (text) => {
      if (!state.isStarted) announce(text);
      note = { text, until: now() + NOTE_LIFETIME };
    },
    end: () => screen.clear(),
  };
}

function plainDisplay(state: ProgressState, { log, title, now }: DisplayOptions): Display {
  return {
    interval: LINE_INTERVAL,
    show: (event) => {
      if (event.type === "start") {
        log.info(`${title} ${count(event.artifacts, "artifact")}, ${formatBytes(event.bytes)}`);
      } else if (event.type === "artifact") {
        log.info(`done ${formatReference(event.root.reference)} (${formatBytes(state.sizeOf(event.root))})`);
      } else if (event.type === "lost") {
        log.info(`failed ${formatReference(event.root.reference)}`);
      }
    },
    tick: () => log.info(renderLine(state.snapshot())),
    note: seldom(now, (text) => log.info(text)),
    end: nothing,
  };
}

function jsonDisplay(state: ProgressState, { log, now }: DisplayOptions): Display {
  return {
    interval: LINE_INTERVAL,
    show: (event) => {
      if (event.type !== "bytes" && event.type !== "held") log.event(event.type, eventFields(event, state));
    },
    tick: () => log.event("progress", progressFields(state)),
    note: seldom(now, (message) => log.event("note", { message })),
    end: nothing,
  };
}

type ShownEvent = Exclude<TransferEvent, { type: "bytes" | "held" }>;

/** Field names are a contract. */
function eventFields(event: ShownEvent, state: ProgressState): Fields {
  switch (event.type) {
    case "start":
      return { nodes: event.nodes, bytes: event.bytes, artifacts: event.artifacts };
    case "begin":
    case "end":
    case "failed": {
      const { descriptor, kind, repositories } = event.node;
      const fields = {
        digest: descriptor.digest,
        kind,
        bytes: descriptor.size,
        repositories: [...repositories],
      };
      if (event.type === "begin") return fields;
      return event.type === "end" ? { ...fields, outcome: event.outcome } : { ...fields, ...whyOf(event) };
    }
    case "artifact":
    case "lost": {
      const { reference, descriptor } = event.root;
      const fields = { reference: formatReference(reference), digest: descriptor.digest };
      if (event.type === "lost") return { ...fields, ...whyOf(event) };
      return { ...fields, bytes: state.sizeOf(event.root) };
    }
  }
}

function whyOf({ error }: { error: unknown }): Fields {
  const { message, kind, because, hints } = describeFault(error);
  return { message, errorKind: kind, because, hints };
}

function progressFields(state: ProgressState): Fields {
  const { done, total, rate, left, flights, artifacts } = state.snapshot();
  return {
    bytes: done,
    total,
    percent: percentOf(done, total),
    bytesPerSecond: rate === undefined ? undefined : Math.round(rate),
    secondsLeft: left === undefined ? undefined : Math.round(left / 1000),
    inFlight: flights.length,
    artifactsDone: artifacts.done,
    artifactsTotal: artifacts.total,
  };
}

/** Passes a text on unless it was just passed on: many requests are made to wait at once. */
function seldom(now: () => number, pass: (text: string) => void): (text: string) => void {
  let last: { text: string; until: number } | undefined;
  return (text) => {
    const line = sanitizeLine(text);
    if (last?.text === line && now() < last.until) return;
    last = { text: line, until: now() + NOTE_LIFETIME };
    pass(line);
  };
}

/** The timer alone keeps no process alive. */
function repeat(milliseconds: number, callback: () => void): () => void {
  const timer = setInterval(callback, milliseconds);
  timer.unref();
  return () => clearInterval(timer);
}

function nothing(): void {}
