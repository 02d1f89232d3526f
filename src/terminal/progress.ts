import { formatReference } from "../oci/reference.ts";
import type { Listener, TransferEvent } from "../transfer/events.ts";
import type { Log } from "./log.ts";
import { eventFields, progressFields, summaryFields } from "./progress-json.ts";
import { ProgressState } from "./progress-state.ts";
import { count, formatSummary, renderLine, renderLive } from "./progress-view.ts";
import type { Screen } from "./screen.ts";
import type { Totals } from "./tally.ts";
import { formatBytes } from "./units.ts";
import type { Wait } from "./waits.ts";

/** milliseconds */
const LIVE_INTERVAL = 100;
const LINE_INTERVAL = 5000;
/** How what goes on is called once it is over. What is not named here is summed up by its command alone. */
const OVER: Readonly<Record<string, string>> = {
  exporting: "exported",
  importing: "imported",
  copying: "copied",
};

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
  /** Something that holds things up: what it is, and of a wait how long it takes. */
  note(text: string, wait?: Wait): void;
  totals(): Totals;
  /**
   * Takes the live block away and lets the process end; says how far it got, where that is not all. May be called
   * twice.
   */
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
  const { mode, title, log, now = () => performance.now(), every = repeat } = options;
  const state = new ProgressState(now);
  const display = displayFor(mode, state, options);
  let stopTicking: (() => void) | undefined;
  return {
    listener: (event) => {
      if (event.type === "start" && state.isStarted) display.end();
      state.apply(event);
      display.show(event);
      if (event.type === "start") stopTicking ??= every(display.interval, display.tick);
    },
    note: (text, wait) => {
      const news = state.note(text, wait);
      if (news !== undefined) display.note(news, wait);
    },
    totals: () => state.totals(),
    stop: () => {
      if (stopTicking === undefined) return;
      stopTicking();
      stopTicking = undefined;
      display.end();
      const totals = state.totals();
      const verb = OVER[title];
      const isWhole = totals.artifacts === totals.wanted;
      if (mode !== "json" && verb !== undefined && !isWhole) log.info(formatSummary(verb, totals));
    },
  };
}

/** One way of showing a state that has just changed. */
interface Display {
  /** milliseconds between ticks */
  interval: number;
  show(event: TransferEvent): void;
  tick(): void;
  note(text: string, wait: Wait | undefined): void;
  /** Of a transfer. */
  end(): void;
}

function displayFor(mode: ProgressMode, state: ProgressState, options: ProgressOptions): Display {
  if (mode === "live") return liveDisplay(state, options);
  if (mode === "plain") return plainDisplay(state, options);
  if (mode === "json") return jsonDisplay(state, options);
  return { interval: LINE_INTERVAL, show: nothing, tick: nothing, note: nothing, end: nothing };
}

/** Draws on ticks only, so never more often than they come. */
function liveDisplay(state: ProgressState, { screen, log, title }: ProgressOptions): Display {
  const draw = () => {
    const { width, height } = screen;
    screen.draw(renderLive(state.snapshot(), { title, width, height, painting: screen }));
  };
  return {
    interval: LIVE_INTERVAL,
    show: ({ type }) => {
      if (type === "start") draw();
    },
    tick: draw,
    note: (text) => {
      if (!state.isStarted) log.info(text);
    },
    end: () => screen.clear(),
  };
}

function plainDisplay(state: ProgressState, { log, title }: ProgressOptions): Display {
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
    note: (text) => {
      // Once lines come at their own pace, the next one tells.
      if (!state.isStarted) log.info(text);
    },
    end: nothing,
  };
}

function jsonDisplay(state: ProgressState, { log }: ProgressOptions): Display {
  return {
    interval: LINE_INTERVAL,
    show: (event) => {
      if (event.type !== "bytes" && event.type !== "held") log.event(event.type, eventFields(event, state));
    },
    tick: () => log.event("progress", progressFields(state)),
    note: (message, wait) => {
      const milliseconds = wait === undefined ? undefined : Math.round(wait.milliseconds);
      log.event("note", { message, milliseconds, digest: wait?.digest });
    },
    end: () => log.event("summary", summaryFields(state.totals())),
  };
}

/** The timer alone keeps no process alive. */
function repeat(milliseconds: number, callback: () => void): () => void {
  const timer = setInterval(callback, milliseconds);
  timer.unref();
  return () => clearInterval(timer);
}

function nothing(): void {}
