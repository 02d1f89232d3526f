import { describe, expect, test } from "bun:test";
import { FakeStream } from "./fake-stream.ts";
import { LAYER, START, setUp } from "./transfers.ts";

const BUSY = "`public.ecr.aws` has asked for patience (429)";

describe("what holds things up, on a terminal,", () => {
  test("is counted down on the line of the blob that it befalls, and forgotten a while after", () => {
    const { listener, note, advance, stream } = setUp("live", new FakeStream({ columns: 90 }));
    listener(START);
    listener({ type: "begin", node: LAYER });
    note("it answered 503", { milliseconds: 3000, digest: LAYER.descriptor.digest });
    const line = (text: string) => `  [>         ]   0%  100.0 MiB  ${text}eks-anywhere/layer`;
    advance(100);
    expect(stream.screen().slice(2)).toEqual([line("waiting 3 s: it answered 503  ")]);
    advance(2000);
    expect(stream.screen().slice(2)).toEqual([line("waiting 1 s: it answered 503  ")]);
    advance(1000);
    expect(stream.screen().slice(2)).toEqual([line("tried again: it answered 503  ")]);
    advance(3000);
    expect(stream.screen().slice(2)).toEqual([line("")]);
  });

  test("is what is left of the line of a blob in a narrow window", () => {
    const { listener, note, advance, stream } = setUp("live", new FakeStream({ columns: 40 }));
    listener(START);
    listener({ type: "begin", node: LAYER });
    note("it answered 503", { milliseconds: 3000, digest: LAYER.descriptor.digest });
    advance(100);
    expect(stream.screen().at(-1)).toBe("    0% waiting 3 s: it answered 503");
  });

  test("has a line of its own where it befalls a whole host, once for all blobs", () => {
    const { listener, note, advance, stream } = setUp("live");
    listener(START);
    listener({ type: "begin", node: LAYER });
    for (let index = 0; index < 8; index++) note(BUSY, { milliseconds: 3000 });
    note("writing the rest to the disk");
    advance(100);
    expect(stream.screen().slice(3)).toEqual([`waiting 3 s: ${BUSY}`, "writing the rest to the disk"]);
    advance(6000);
    expect(stream.screen()).toHaveLength(3);
  });

  test("is in colour where there is any", () => {
    const stream = new FakeStream({ columns: 80 });
    const { listener, note, advance } = setUp("live", stream);
    listener(START);
    note(BUSY, { milliseconds: 3000 });
    advance(100);
    expect(stream.written).toContain(`\u001b[33mwaiting 3 s: ${BUSY}\u001b[0m`);
  });

  test("is no line while it is shorter than a second, but several of a kind are", () => {
    const { listener, note, advance, stream } = setUp("live");
    listener(START);
    note(BUSY, { milliseconds: 400 });
    advance(500);
    note(BUSY, { milliseconds: 400 });
    advance(500);
    expect(stream.screen()).toHaveLength(2);
    note(BUSY, { milliseconds: 400 });
    advance(500);
    expect(stream.screen().slice(2)).toEqual([BUSY]);
  });

  test("before the transfer it is a line for good", () => {
    const { note, stream } = setUp("live");
    note(BUSY, { milliseconds: 3000 });
    note(BUSY, { milliseconds: 3000 });
    note(BUSY.replace("public.ecr.aws", "quay.io"), { milliseconds: 400 });
    expect(stream.screen()).toEqual([`waiting 3 s: ${BUSY}`]);
  });
});
