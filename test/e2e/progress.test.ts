import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { executable, runExecutable } from "../support/executable.ts";
import { testWith } from "../support/needs.ts";
import { type InTerminal, startInTerminal } from "../support/terminal.ts";
import { FakeStream } from "../terminal/fake-stream.ts";
import { Stage } from "./stage.ts";

let stage: Stage;
beforeAll(async () => {
  stage = await Stage.set();
});
beforeEach(() => stage.begin());
afterEach(() => stage.end());
afterAll(() => stage.strike());

/** The source sends half of the large layer, and the rest once it is let go. */
function holdUp(): () => void {
  const gate = Promise.withResolvers<void>();
  const blobs = new Map([...stage.release.artifacts.values()].flatMap((content) => [...content.blobs]));
  stage.intercept = (_, { pathname }) => {
    const bytes = [...blobs].find(([digest]) => pathname.endsWith(`/blobs/${digest}`))?.[1];
    if (bytes === undefined || bytes.length < 100_000) return;
    const half = bytes.length / 2;
    async function* body(layer: Uint8Array) {
      yield layer.slice(0, half);
      await gate.promise;
      yield layer.slice(half);
    }
    return new Response(body(bytes));
  };
  return gate.resolve;
}

/** The source refuses the first request for the large layer, and asks for a second of patience. */
function busyOnce(status: number): void {
  let left = 1;
  const isLarge = stage.largeBlobs((bytes) => bytes);
  stage.intercept = async (request, url) =>
    (await isLarge(request, url)) !== undefined && left-- > 0
      ? new Response(null, { status, headers: { "Retry-After": "1" } })
      : undefined;
}

async function startExport(
  options: Parameters<typeof startInTerminal>[1] = {},
  ...flags: string[]
): Promise<InTerminal> {
  const command = [await executable(), ...stage.exportArgs(join(stage.work, "out.tar"), ...flags)];
  return startInTerminal(command, options);
}

/** What the terminal showed in the end. */
function shownBy({ output }: InTerminal): { lines: string[]; isCursorHidden: boolean } {
  const terminal = new FakeStream({ columns: 80 });
  terminal.write(output);
  return { lines: terminal.screen(), isCursorHidden: terminal.isCursorHidden };
}

const HALF = /50%.*first/;
const ESCAPE = "\u001b";

describe("on a terminal", () => {
  test("the block comes and goes, and the summary stays", async () => {
    const letGo = holdUp();
    const running = await startExport();
    await running.saw(HALF);
    expect(shownBy(running).isCursorHidden).toBe(true);
    expect(shownBy(running).lines.slice(-2)).toEqual([
      expect.stringMatching(/^\d+\.\d KiB of 29\d\.\d KiB, \S+ \S+, 2 of 3 artifacts$/),
      expect.stringMatching(/^ {2}\[=====> {4}\] {2}50% {2}293\.\d KiB {2}eks-anywhere\/first$/),
    ]);
    letGo();
    expect(await running.status).toBe(0);
    // The emulator behind it fails on any sequence that a terminal may not know.
    const { lines, isCursorHidden } = shownBy(running);
    expect(isCursorHidden).toBe(false);
    expect(lines.join("\n")).toMatch(
      /^exported 3 artifacts: 29\d\.\d KiB moved in \d+ s.*\n(?:saved .*\n)?wrote /m,
    );
    expect(lines.join("\n")).not.toMatch(/%|\[=/);
  });

  test.each([
    ["SIGINT", 130],
    ["SIGTERM", 143],
  ] as const)(
    "%s takes the block away, gives the cursor back and says how far it got",
    async (signal, status) => {
      holdUp();
      const running = await startExport();
      await running.saw(HALF);
      running.kill(signal);
      expect(await running.status).toBe(status);
      const { lines, isCursorHidden } = shownBy(running);
      expect(isCursorHidden).toBe(false);
      expect(lines.join("\n")).toMatch(/^exported 2 of 3 artifacts: .* moved in .*\nerror: cannot go on/m);
      expect(lines.join("\n")).not.toMatch(/%/);
    },
  );

  test.each([
    ["in colour", {}, true],
    ["without colour under NO_COLOR", { NO_COLOR: "1" }, false],
  ])("what holds it up is named, %s", async (_, env: Record<string, string>, isColoured) => {
    busyOnce(429);
    const running = await startExport({ env, columns: 100 });
    expect(await running.status).toBe(0);
    expect(running.output).toContain(
      `waiting 1 s: \`${stage.online.registry.host}\` has asked for patience (429)`,
    );
    expect(running.output.includes("\u001b[33mwaiting")).toBe(isColoured);
  });

  test.each<[string, Record<string, string>, string[], RegExp, string[]]>([
    ["TERM=dumb: lines", { TERM: "dumb" }, [], /exporting 3 artifacts.*done .*exported/s, [ESCAPE]],
    [
      "--no-progress: the summary",
      {},
      ["--no-progress", "--signature", "skip"],
      /exported 3 artifacts/,
      [ESCAPE, "%"],
    ],
    ["-q: nothing", {}, ["-q"], /^$/, []],
    ["--log-format json: lines", {}, ["--log-format", "json"], /"event":"summary"/, [ESCAPE]],
  ])("%s", async (_, env, flags, has, hasNot) => {
    const running = await startExport({ env }, ...flags);
    expect(await running.status).toBe(0);
    expect(running.output).toMatch(has);
    for (const text of hasNot) expect(running.output).not.toContain(text);
  });
});

testWith("tmux")(
  "a real terminal shows the block whole in any width, and after each resize",
  async () => {
    const letGo = holdUp();
    const socket = join(stage.work, "tmux");
    const tmux = async (...args: string[]) =>
      (await Bun.$`tmux -S ${socket} -f /dev/null ${args}`.quiet()).text();
    const quoted = [await executable(), ...stage.exportArgs(join(stage.work, "out.tar"))].map(
      (word) => `'${word}'`,
    );
    const script = `${quoted.join(" ")}; echo "ended $?"; read -r line`;
    await tmux("new-session", "-d", "-x", "80", "-y", "24", "sh", "-c", script);
    const shown = async () => (await tmux("capture-pane", "-p")).trimEnd().split("\n");
    const until = async (pattern: RegExp) => {
      for (let left = 200; left > 0; left--) {
        const lines = await shown();
        if (pattern.test(lines.join("\n"))) return lines;
        await Bun.sleep(25);
      }
      throw new Error(`no ${pattern} in\n${(await shown()).join("\n")}`);
    };
    try {
      await until(HALF);
      expect((await tmux("display", "-p", "#{cursor_flag}")).trim()).toBe("0");
      for (const columns of [40, 200, 30, 80]) {
        await tmux("resize-window", "-x", String(columns), "-y", "20");
        await Bun.sleep(300);
        const lines = await until(HALF);
        expect(lines.filter((line) => line.startsWith("exporting"))).toHaveLength(1);
        const block = lines.slice(lines.findIndex((line) => line.startsWith("exporting")));
        for (const line of block) expect(line.length).toBeLessThan(columns);
        expect(block).toHaveLength(columns < 60 ? 4 : 3);
        expect(block.at(-1)).toMatch(/^ {2}\[=+> +\] +50% .*first$/);
      }
      letGo();
      const lines = await until(/ended 0/);
      expect((await tmux("display", "-p", "#{cursor_flag}")).trim()).toBe("1");
      expect(lines.filter((line) => line.includes("%"))).toEqual([]);
      expect(lines.join("\n")).toContain("exported 3 artifacts");
    } finally {
      await tmux("kill-server").catch(() => {});
    }
  },
  20_000,
);

describe("a wait belongs to the blob that it befalls", () => {
  interface Event {
    event: string;
    message?: string;
    milliseconds?: number;
    digest?: string;
  }

  const large = () => {
    const blobs = [...stage.release.artifacts.values()].flatMap((content) => [...content.blobs]);
    return blobs.find(([, bytes]) => bytes.length > 100_000)?.[0];
  };
  const notesIn = (stderr: string): Event[] =>
    stderr
      .trim()
      .split("\n")
      .map((line): Event => JSON.parse(line))
      .filter(({ event }) => event === "note");

  test("in an export: a source that is busy", async () => {
    busyOnce(503);
    const result = await stage.exportTo(join(stage.work, "out.tar"), "--log-format", "json");
    expect(result.status).toBe(0);
    expect(notesIn(result.stderr)).toContainEqual(
      expect.objectContaining({ message: "waiting 1 s: it answered 503", digest: large() }),
    );
  });

  test("in an import: a target that is busy while a blob is sent", async () => {
    let left = 1;
    const target = await stage.startTarget({
      intercept: (request) =>
        request.method === "PATCH" && Number(request.headers.get("content-length")) > 100_000 && left-- > 0
          ? new Response(null, { status: 503, headers: { "Retry-After": "1" } })
          : undefined,
    });
    const args = ["import", "artifacts", "-i", stage.archive, "-r", target.host, "--log-format", "json"];
    const result = await runExecutable(args);
    expect(result.status).toBe(0);
    expect(notesIn(result.stderr)).toContainEqual(expect.objectContaining({ digest: large() }));
  });
});

test("an import that finds everything there says that it moved nothing and saved all", async () => {
  const target = await stage.startTarget();
  const first = await stage.importTo(target.host);
  expect(first.stderr).toMatch(/^imported 3 artifacts: 29\d\.\d KiB moved in \d+ s.*\nfor the cluster/m);
  const again = await stage.importTo(target.host);
  expect(again.stderr).toMatch(
    /^imported 3 artifacts: 0 B moved in \d+ s\nsaved (29\d\.\d KiB): \1 there already$/m,
  );
});

test("without a terminal there is a line an artifact, then the summary", async () => {
  const { stderr } = await stage.exportTo(join(stage.work, "out.tar"));
  for (const text of [ESCAPE, "\r"]) expect(stderr).not.toContain(text);
  expect(stderr.match(/^done .*$/gm)).toHaveLength(3);
  expect(stderr).toMatch(/^exported 3 artifacts: .* moved in /m);
});
