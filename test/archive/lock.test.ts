import { afterAll, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { lockOutput } from "../../src/archive/lock.ts";
import { faultOf } from "../support/faults.ts";

const folder = await mkdtemp(join(tmpdir(), "eksa-airgap-lock-"));
afterAll(() => rm(folder, { recursive: true, force: true }));

test("a lock says who holds it, and is gone when released", async () => {
  const output = join(folder, "a.tar");
  const lock = lockOutput(output);
  expect(await readFile(`${output}.lock`, "utf8")).toStartWith(`${process.pid}@${hostname()} `);
  lock.release();
  lock.release();
  expect(existsSync(`${output}.lock`)).toBe(false);
});

test("a process that is at work keeps others away, whoever it belongs to", async () => {
  const output = join(folder, "b.tar");
  // The first process is always there.
  await writeFile(`${output}.lock`, `1@${hostname()}\n`);
  const fault = await faultOf(async () => lockOutput(output));
  expect(fault.message).toBe(`cannot write ${output}: another run is writing it`);
  expect(fault.hint).toContain(`${output}.lock`);
});

test("another machine's process cannot be seen: its lock counts", async () => {
  const output = join(folder, "c.tar");
  await writeFile(`${output}.lock`, "999999999@elsewhere\n");
  expect((await faultOf(async () => lockOutput(output))).message).toContain("another run");
});

test.each([`999999999@${hostname()}\n`, "", "garbage"])(
  "what a killed run left (%j) is taken over",
  async (text) => {
    const output = join(folder, "d.tar");
    await writeFile(`${output}.lock`, text);
    const lock = lockOutput(output);
    expect(await readFile(`${output}.lock`, "utf8")).toStartWith(`${process.pid}@${hostname()} `);
    lock.release();
  },
);

test("a folder in the place of a lock is left where it is, and named", async () => {
  const output = join(folder, "folder.tar");
  await mkdir(`${output}.lock`);
  expect(await faultOf(async () => lockOutput(output))).toMatchObject({
    message: `cannot write ${output}: ${output}.lock is in the way, and is not a file`,
    hint: `remove \`${output}.lock\`, or choose another output`,
  });
  expect(existsSync(`${output}.lock`)).toBe(true);
  expect(existsSync(`${output}.lock.left`)).toBe(false);
});

test("a process of before the machine was started again holds nobody up", async () => {
  const output = join(folder, "boot.tar");
  const lock = lockOutput(output);
  const [, boot = ""] = (await readFile(`${output}.lock`, "utf8")).trim().split(" ");
  lock.release();
  // The first process is always there.
  await writeFile(`${output}.lock`, `1@${hostname()} ${boot}\n`);
  await faultOf(async () => lockOutput(output));
  await writeFile(`${output}.lock`, `1@${hostname()} another-start\n`);
  // Not every system tells its starts apart.
  if (boot === "") await faultOf(async () => lockOutput(output));
  else lockOutput(output).release();
  expect(existsSync(`${output}.lock`)).toBe(boot === "");
});

test.if(existsSync("/proc/self/stat"))(
  "one that has ended holds nobody up, though nobody has waited for it",
  async () => {
    const output = join(folder, "zombie.tar");
    // What takes the shell's place waits for nothing.
    const parent = Bun.spawn(["sh", "-c", "sleep 0.3 & echo $!; exec sleep 60"], { stdout: "pipe" });
    try {
      const { value } = await parent.stdout.getReader().read();
      const pid = new TextDecoder().decode(value).trim();
      while (!/\) Z /.test(await readFile(`/proc/${pid}/stat`, "latin1"))) await Bun.sleep(1);
      await writeFile(`${output}.lock`, `${pid}@${hostname()}\n`);
      lockOutput(output).release();
    } finally {
      parent.kill();
    }
    expect(existsSync(`${output}.lock`)).toBe(false);
  },
);
