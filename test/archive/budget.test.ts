import { expect, test } from "bun:test";
import { Budget } from "../../src/archive/budget.ts";

test("who asks for more than is left waits, in order, until enough is given back", async () => {
  const budget = new Budget(10);
  const done: string[] = [];
  const take = (bytes: number, name: string) => budget.take(bytes).then(() => done.push(name));
  await take(8, "first");
  const others = [take(5, "second"), take(1, "third")];
  await Bun.sleep(1);
  // The third would fit, and is not let past.
  expect(done).toEqual(["first"]);
  expect(budget.tryTake(3)).toBe(false);
  budget.give(8);
  await Promise.all(others);
  expect(done).toEqual(["first", "second", "third"]);
  expect(budget.tryTake(4)).toBe(true);
  expect(budget.tryTake(1)).toBe(false);
});
