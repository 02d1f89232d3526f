import { expect, test } from "bun:test";
import fc from "fast-check";
import type { Descriptor } from "../../src/oci/descriptor.ts";
import { digestOf } from "../../src/oci/digest.ts";
import type { ByteStream } from "../../src/oci/plan.ts";
import { assertDigest, verified } from "../../src/oci/verified.ts";
import { faultOf } from "../support/faults.ts";
import { inPieces } from "../support/memory.ts";

const BYTES = new TextEncoder().encode("The quick brown fox jumps over the lazy dog");

function descriptorOf(bytes: Uint8Array, algorithm: "sha256" | "sha512" = "sha256"): Descriptor {
  return { mediaType: "x", digest: digestOf(bytes, algorithm), size: bytes.length };
}

async function collect(stream: ByteStream): Promise<Uint8Array> {
  return Buffer.concat(await Array.fromAsync(stream));
}

test("what matches passes unchanged, whatever the pieces and the algorithm", async () => {
  const algorithm = fc.constantFrom("sha256" as const, "sha512" as const);
  await fc.assert(
    fc.asyncProperty(fc.uint8Array(), fc.integer({ min: 1, max: 20 }), algorithm, async (bytes, size, by) => {
      const got = await collect(verified(inPieces(bytes, size), descriptorOf(bytes, by)));
      expect(Buffer.compare(got, bytes)).toBe(0);
    }),
  );
});

test.each(["sha256", "sha512"] as const)("one bit makes a mismatch with %s", async (algorithm) => {
  const flipped = BYTES.map((byte, at) => (at === 7 ? byte ^ 1 : byte));
  const fault = await faultOf(() => collect(verified(inPieces(flipped, 5), descriptorOf(BYTES, algorithm))));
  expect(fault.kind).toBe("mismatch");
  expect(fault.message).toContain(`hash to ${digestOf(flipped, algorithm).slice(7)}`);
});

test("bytes that are missing make a mismatch that counts them", async () => {
  const fault = await faultOf(() =>
    collect(verified(inPieces(BYTES.subarray(0, 40), 7), descriptorOf(BYTES))),
  );
  expect(fault.kind).toBe("mismatch");
  expect(fault.message).toContain("after 40 bytes of 43 there were no more");
});

test("a digest that fits a prefix does not make up for bytes that are missing", async () => {
  const prefix = { ...descriptorOf(BYTES.subarray(0, 40)), size: 43 };
  expect((await faultOf(() => collect(verified(inPieces(BYTES.subarray(0, 40), 7), prefix)))).kind).toBe(
    "mismatch",
  );
});

test("a byte too many is never passed on, even when what came before it hashes right", async () => {
  const longer = Buffer.concat([BYTES, BYTES]);
  let passed = 0;
  const fault = await faultOf(async () => {
    for await (const chunk of verified(inPieces(longer, 10), descriptorOf(BYTES))) passed += chunk.length;
  });
  expect(fault.kind).toBe("mismatch");
  expect(passed).toBe(40);
});

test("a stream without end is cut as soon as it exceeds the size, and told so", async () => {
  let sent = 0;
  let isClosed = false;
  async function* endless(): AsyncGenerator<Uint8Array> {
    try {
      for (;;) {
        sent += 10;
        yield new Uint8Array(10);
      }
    } finally {
      isClosed = true;
    }
  }
  await faultOf(() => collect(verified(endless(), { ...descriptorOf(BYTES), size: 95 })));
  expect(sent).toBe(100);
  expect(isClosed).toBe(true);
});

test("nothing at all is content, too", async () => {
  const nothing = descriptorOf(new Uint8Array());
  expect(await collect(verified(inPieces(new Uint8Array(), 1), nothing))).toHaveLength(0);
  expect((await faultOf(() => collect(verified(inPieces(Uint8Array.of(1), 1), nothing)))).kind).toBe(
    "mismatch",
  );
});

test("a source's own failure passes as it is", async () => {
  async function* broken(): AsyncGenerator<Uint8Array> {
    yield BYTES.subarray(0, 3);
    throw new TypeError("the cable is out");
  }
  await expect(collect(verified(broken(), descriptorOf(BYTES)))).rejects.toThrow("the cable is out");
});

test("whole bytes are checked the same way", async () => {
  assertDigest(BYTES, digestOf(BYTES));
  assertDigest(BYTES, digestOf(BYTES, "sha512"));
  expect((await faultOf(() => assertDigest(BYTES.subarray(1), digestOf(BYTES)))).kind).toBe("mismatch");
});
