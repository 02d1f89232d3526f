import { expect } from "bun:test";
import { closeSync, constants, openSync } from "node:fs";
import { join } from "node:path";
import { readPipe, writePipe } from "../../src/archive/pipe-file.ts";
import { pseudoRandomBytes } from "../support/content.ts";
import { testWith } from "../support/needs.ts";
import { inFolder } from "./archives.ts";

/** Runs `work` with both ends of a pipe that never blocks, but says that it is busy. */
async function withPipe(work: (file: number) => Promise<void>): Promise<void> {
  await inFolder(async (folder) => {
    const path = join(folder, "pipe");
    await Bun.$`mkfifo ${path}`;
    const file = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
    try {
      await work(file);
    } finally {
      closeSync(file);
    }
  });
}

testWith("mkfifo")("a pipe that does not block is waited for, by who writes and by who reads", async () => {
  await withPipe(async (file) => {
    const bytes = pseudoRandomBytes(1_000_000, "pipe");
    const stop = new AbortController();
    const got: Uint8Array[] = [];
    let length = 0;
    const writing = Bun.sleep(20).then(() => writePipe(file, bytes));
    for await (const chunk of readPipe(file, stop.signal)) {
      got.push(chunk);
      length += chunk.length;
      if (length === bytes.length) break;
    }
    await writing;
    expect(Buffer.compare(Buffer.concat(got), bytes)).toBe(0);
    stop.abort();
    await Bun.sleep(20);
  });
});

testWith("mkfifo")("who waits for a pipe stops waiting when the run is stopped", async () => {
  await withPipe(async (file) => {
    const stop = new AbortController();
    const reading = Array.fromAsync(readPipe(file, stop.signal));
    setTimeout(() => stop.abort(new Error("stopped")), 20);
    await expect(reading).rejects.toThrow("stopped");
    await Bun.sleep(20);
  });
});
