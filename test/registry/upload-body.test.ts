import { expect, test } from "bun:test";
import type { Content } from "../../src/oci/plan.ts";
import { UploadBody } from "../../src/registry/upload-body.ts";

/** Ten bytes at once, and ten more, or a failure, when they are let go. */
function halted(rest: Promise<Uint8Array>): Content {
  const stream = async function* () {
    yield new Uint8Array(10);
    yield await rest;
  };
  return { stream, slice: () => undefined };
}

test.each<[string, (rest: PromiseWithResolvers<Uint8Array>) => void]>([
  ["come", (rest) => rest.resolve(new Uint8Array(10))],
  ["fail", (rest) => rest.reject(new Error("cannot be read"))],
  ["come, too few of them", (rest) => rest.resolve(new Uint8Array(5))],
])(
  "of a connection that breaks while bytes are read, which then %s, it is known that it broke",
  async (_, end) => {
    const rest = Promise.withResolvers<Uint8Array>();
    const body = new UploadBody(halted(rest.promise), 20);
    body.begin();
    const stream = body.open(new URL("https://registry.test/"), 0, 20);
    if (!(stream instanceof ReadableStream)) throw new Error("no stream");
    const reader = stream.getReader();
    expect(await reader.read()).toMatchObject({ value: { length: 10 } });
    // The next bytes are being read by now.
    await Bun.sleep(1);
    const broken = new Error("the connection broke");
    const cancelled = reader.cancel(broken).catch(() => {});
    end(rest);
    await cancelled;
    await Bun.sleep(1);
    expect(body.reasonOf(broken)).toBe(broken);
  },
);
