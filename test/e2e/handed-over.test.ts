import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { chmod, copyFile, mkdir, mkdtemp, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { executable, type RunOptions, runExecutable } from "../support/executable.ts";
import { testWith } from "../support/needs.ts";
import { STAND_IN_DOES, StandIn } from "../support/stand-in.ts";
import { expectFailure } from "./stage.ts";

let folder: string;
/** New for each test: a working directory, and a folder on PATH with the stand-in. */
let work: string;
let child: StandIn;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "eksa-airgap-child-"));
});
beforeEach(async () => {
  work = await mkdtemp(join(folder, "work-"));
  child = await StandIn.in(join(work, "bin"));
});
afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

function environment(more: Record<string, string> = {}): Record<string, string> {
  return { PATH: `${child.folder}:${process.env.PATH}`, ...more };
}

function run(args: readonly string[], options: RunOptions = {}) {
  return runExecutable(args, { cwd: work, ...options, env: environment(options.env) });
}

/** The stand-in has recorded so many signals. */
async function signalled(count: number): Promise<void> {
  while ((await child.lines("signals").catch(() => [""])).length <= count) await Bun.sleep(25);
}

describe("a command that is not ours is run by eksctl-anywhere", () => {
  test("with its arguments, streams, folder, environment and exit code", async () => {
    const args = ["generate", "clusterconfig", "a b", "", "--provider=docker", "--", "-f", "x"];
    const env = { HTTP_PROXY: "http://proxy.example", EKSCTL_VERSION: "0.200.0" };
    const result = await run(args, { stdin: new Blob(["one\ntwo"]), env });
    expect(result).toEqual({ status: 7, stdout: "out\n", stderr: "err\n" });
    expect(await child.argv()).toEqual(args);
    expect(await child.lines("stdin")).toEqual(["one", "two"]);
    expect((await child.lines("cwd"))[0]).toBe(work);
    expect(await child.environment()).toMatchObject(env);
    expect(await readdir(work)).toEqual(["bin"]);
  });

  test("which reads a cluster out of a pipe itself", async () => {
    const line = `printf 'one\\ntwo' | "${await executable()}" create cluster -f /dev/stdin`;
    const shell = Bun.spawn(["sh", "-c", line], { env: environment(), stdout: "ignore", stderr: "ignore" });
    expect(await shell.exited).toBe(7);
    expect(await child.lines("stdin")).toEqual(["one", "two"]);
  });

  test("release builds of which want to be called by eksctl", async () => {
    await run(["create", "cluster"], { env: { EKSCTL_VERSION: "" } });
    expect((await child.environment()).EKSCTL_VERSION).not.toBe("");
  });

  test("a leading `anywhere` and flags before the command do no harm", async () => {
    expect(await run(["anywhere", "-v", "6", "create", "cluster"])).toMatchObject({ status: 7 });
    expect(await child.argv()).toEqual(["-v", "6", "create", "cluster"]);
  });

  test("its help is its own", async () => {
    expect(await run(["create", "cluster", "--help"])).toMatchObject({ status: 7 });
  });

  test("its help in words is, too", async () => {
    expect(await run(["help", "create", "cluster"])).toMatchObject({ status: 7 });
    expect(await child.argv()).toEqual(["help", "create", "cluster"]);
  });

  test("what ends it by a signal is told by 128 and the signal's number", async () => {
    expect(await run(["create", "cluster"], { env: { [STAND_IN_DOES]: "die" } })).toMatchObject({
      status: 137,
    });
  });

  test.each<[NodeJS.Signals, number, string]>([
    ["SIGTERM", 9, "TERM"],
    ["SIGHUP", 8, "HUP"],
  ])("%s is passed on, and the child decides", async (signal, status, recorded) => {
    // In a session of its own: no terminal of the tester sends anything.
    const program = Bun.spawn([await executable(), "create", "cluster"], {
      env: environment({ [STAND_IN_DOES]: "wait", HOME: work }),
      detached: true,
      stdout: "ignore",
      stderr: "pipe",
    });
    await program.stderr.getReader().read();
    program.kill("SIGINT");
    await signalled(1);
    // Longer than a run of ours would live on.
    await Bun.sleep(1200);
    program.kill(signal);
    expect(await program.exited).toBe(status);
    expect(await child.lines("signals")).toEqual(["INT", recorded, ""]);
  });

  testWith("script")(
    "Ctrl-C reaches it once, from the terminal",
    async () => {
      // A shell would take two that come close together for one.
      const counting = `#!${process.execPath}
const { appendFileSync } = require("node:fs");
for (const signal of ["SIGINT", "SIGHUP"]) {
  process.on(signal, () => appendFileSync(${JSON.stringify(join(child.folder, "signals"))}, signal + "\\n"));
}
setTimeout(() => {}, 10_000);
console.error("waiting");
`;
      await writeFile(child.path, counting);
      const line = `${await executable()} create cluster`;
      const terminal = Bun.spawn(["script", "--quiet", "--return", "--command", line, "/dev/null"], {
        env: environment({ [STAND_IN_DOES]: "wait", HOME: work }),
        cwd: work,
        stdin: "pipe",
        stdout: "pipe",
      });
      const shown = terminal.stdout.getReader();
      let text = "";
      while (!text.includes("waiting")) {
        const { value, done } = await shown.read();
        if (done) throw new Error(`it ended early: ${text}`);
        text += new TextDecoder().decode(value);
      }
      terminal.stdin.write("\x03");
      terminal.stdin.flush();
      await signalled(1);
      await Bun.sleep(500);
      expect(await child.lines("signals")).toEqual(["SIGINT", ""]);
      // The terminal goes away.
      terminal.kill("SIGKILL");
      await terminal.exited;
      await signalled(2);
    },
    20_000,
  );
});

describe("which program is the other one", () => {
  test("another file than ours, behind whatever link, copy and name", async () => {
    const ours = await executable();
    const folders = ["link", "copy"].map((name) => join(work, name));
    for (const place of folders) await mkdir(place);
    await symlink(ours, join(work, "link/eksctl-anywhere"));
    await copyFile(ours, join(work, "copy/eksctl-anywhere"));
    const PATH = [...folders, child.folder, process.env.PATH].join(":");
    expect(await run(["create", "cluster"], { env: { PATH } })).toMatchObject({ status: 7 });
    await rm(join(child.folder, "argv"));
    // Under that name itself, as `eksctl anywhere` calls it.
    for (const place of folders) {
      const called = Bun.spawn([join(place, "eksctl-anywhere"), "create", "cluster"], {
        env: { PATH, HOME: work },
        stdout: "ignore",
        stderr: "ignore",
      });
      expect(await called.exited).toBe(7);
      await rm(join(child.folder, "argv"));
    }
  });

  test("copies of ours alone never call each other for ever", async () => {
    const places = ["a", "b", "c"].map((name) => join(work, name));
    for (const place of places) {
      await mkdir(place);
      await copyFile(await executable(), join(place, "eksctl-anywhere"));
    }
    const result = await run(["create", "cluster"], { env: { PATH: places.join(":") } });
    expectFailure(result, 2, "cannot run `create cluster`", "PATH has no other `eksctl-anywhere`");
  });

  test("a script that calls ours again is not called a second time", async () => {
    const place = join(work, "script");
    await mkdir(place);
    const script = join(place, "eksctl-anywhere");
    // Were it called for ever, the line would end with 55.
    const counting = `echo called >> "${place}/calls"; [ $(wc -l < "${place}/calls") -gt 5 ] && exit 55`;
    await writeFile(script, `#!/bin/sh\n${counting}\nexec "${await executable()}" "$@"\n`);
    await chmod(script, 0o755);
    const PATH = [place, child.folder, process.env.PATH].join(":");
    expect(await run(["create", "cluster"], { env: { PATH } })).toMatchObject({ status: 7 });
    const alone = await run(["create", "cluster"], { env: { PATH: `${place}:/usr/bin:/bin` } });
    expectFailure(alone, 2, "PATH has no other `eksctl-anywhere`");
    const named = await run(["create", "cluster"], { env: { EKSCTL_ANYWHERE: script } });
    expectFailure(named, 1, "or calls it");
  });

  test("one that may not be executed is named, with what to do", async () => {
    const place = join(work, "plain");
    await mkdir(place);
    const file = join(place, "eksctl-anywhere");
    await writeFile(file, "#!/bin/sh\n", { mode: 0o644 });
    const says = [`error: cannot run ${file}: it is there, and may not be executed`, `\`chmod +x ${file}\``];
    expectFailure(await run(["create", "cluster"], { env: { PATH: place } }), 1, ...says);
    expectFailure(await run(["create", "cluster"], { env: { EKSCTL_ANYWHERE: file } }), 1, ...says);
  });

  test("EKSCTL_ANYWHERE names it, relative to the working directory", async () => {
    const other = await StandIn.in(join(work, "other"));
    const env = { EKSCTL_ANYWHERE: "other/eksctl-anywhere" };
    expect(await run(["create", "cluster"], { env })).toMatchObject({ status: 7 });
    expect(await other.argv()).toEqual(["create", "cluster"]);
    await expect(child.argv()).rejects.toThrow();
    const itself = await run(["create", "cluster"], { env: { EKSCTL_ANYWHERE: await executable() } });
    expectFailure(itself, 1, "it is this program", "EKSCTL_ANYWHERE");
    const absent = await run(["create", "cluster"], { env: { EKSCTL_ANYWHERE: "nowhere" } });
    expectFailure(absent, 1, "it is no program");
  });

  test("a slip in a command of ours is not for it, nor is one of ours behind a flag", async () => {
    expectFailure(await run(["export", "artefacts"]), 2, "did you mean `eksa-airgap export artifacts`?");
    expectFailure(await run(["--jobs", "4", "list", "images"]), 2, "cannot use `--jobs` before the command");
    expect(await run(["list", "-v", "4", "images", "--help"])).toMatchObject({ status: 0 });
    expect(await run(["help", "list", "images"])).toMatchObject({ status: 0 });
    expect(await run(["help"])).toMatchObject({ status: 0 });
    expectFailure(await run(["--verbose"]), 2, "cannot use `--verbose` without a command");
    await expect(child.argv()).rejects.toThrow();
  });
});
