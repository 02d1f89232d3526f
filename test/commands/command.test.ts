import { expect, test } from "bun:test";
import { defineCommandLine } from "../../src/commands/arguments.ts";
import { defineCommand } from "../../src/commands/command.ts";
import { OUTPUT_FLAGS } from "../../src/commands/flags.ts";
import { NetworkError } from "../../src/http/transport.ts";
import { Fault } from "../../src/oci/fault.ts";
import { AnswerFault } from "../../src/registry/answer.ts";
import { describeFault } from "../../src/terminal/fault.ts";
import { Screen } from "../../src/terminal/screen.ts";
import { faultOf } from "../support/faults.ts";
import { FakeStream } from "../terminal/fake-stream.ts";

const LINE = defineCommandLine({ name: "do it", summary: "Do it.", example: "do it", flags: OUTPUT_FLAGS });

/** What is told of a command that ends with this. */
async function told(error: Error) {
  const command = defineCommand(LINE, () => Promise.reject(error));
  const surroundings = {
    environment: {},
    directory: "/",
    screen: new Screen(new FakeStream(), {}),
    print: async () => {},
    signal: new AbortController().signal,
  };
  return describeFault(await faultOf(() => command.run([], surroundings)));
}

test.each<[string, Error, string]>([
  [
    "the network's failure",
    new NetworkError("`a.example` is silent", { code: "X", retryable: true, hint: "wake it" }),
    "wake it",
  ],
  [
    "a registry's answer",
    new AnswerFault("GET x answered 418", { status: 418, errors: [], hint: "ask for coffee" }),
    "ask for coffee",
  ],
  [
    "the system's error",
    Object.assign(new Error("no entry"), { code: "EACCES" }),
    "give this user the right to it",
  ],
  ["an error of our own", new TypeError("x is not a function"), "run it again with `--verbosity 4`"],
])("%s in nobody's words is told as the command's failure", async (_, error, hint) => {
  const { message, because, hints } = await told(error);
  expect({ message, because: because.length, hints }).toEqual({
    message: "cannot finish `do it`",
    because: 1,
    hints: [expect.stringContaining(hint)],
  });
});

test("what is in words stays as it is", async () => {
  const fault = new Fault("cannot do it", { hint: "try", kind: "mismatch" });
  expect(await told(fault)).toMatchObject({ message: "cannot do it", hints: ["try"], kind: "mismatch" });
});
