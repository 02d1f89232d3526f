import { expect, test } from "bun:test";
import fc from "fast-check";
import { forEachBounded } from "../../src/transfer/pool.ts";

test("each item is worked on once, in order of start, and never more than the limit at a time", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.scheduler(),
      fc.nat(20),
      fc.integer({ min: 1, max: 6 }),
      async (turns, count, limit) => {
        const items = Array.from({ length: count }, (_, index) => index);
        const started: number[] = [];
        let active = 0;
        const work = async (item: number) => {
          started.push(item);
          expect(++active).toBeLessThanOrEqual(limit);
          await turns.schedule(Promise.resolve());
          active--;
        };
        await turns.waitFor(forEachBounded(items, limit, work));
        expect(started).toEqual(items);
        expect(active).toBe(0);
      },
    ),
  );
});

test("the first failure is the pool's", async () => {
  const work = async (item: number) => {
    if (item > 1) throw new Error(`item ${item}`);
  };
  await expect(forEachBounded([0, 1, 2, 3], 2, work)).rejects.toThrow("item 2");
});
