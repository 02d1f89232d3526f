import type { Flags } from "./arguments.ts";
import type { Run } from "./command.ts";
import type { SelectionRun } from "./export-plan.ts";
import { assertNotWith, NETWORK_FLAGS, OUTPUT_FLAGS, SELECTION_FLAGS } from "./flags.ts";
import { type Held, type HeldOptions, readArchives, refuseStdin } from "./held.ts";

const { includeSignatures: _, ...IMAGE_SELECTION_FLAGS } = SELECTION_FLAGS;

/** On every list: what is listed, and how. */
export const LIST_FLAGS = {
  input: {
    type: "list",
    alias: "i",
    files: true,
    valueHint: "FILE",
    description:
      "what this archive holds (or its first volume); several are one together, as a base and its delta are",
  },
  ...IMAGE_SELECTION_FLAGS,
  output: {
    type: "string",
    alias: "o",
    choices: ["text", "json"],
    default: "text",
    description: "the form of the list",
  },
  ...NETWORK_FLAGS,
  ...OUTPUT_FLAGS,
} as const satisfies Flags;

export type ListRun = Run<typeof LIST_FLAGS>;

/** The run as that of an export; undefined where archives are listed. Fails on flags that only the other takes. */
export function selectionOf(
  { values, directory, log, signal }: ListRun,
  includeSignatures: SelectionRun["values"]["includeSignatures"],
): SelectionRun | undefined {
  if (values.input.length === 0) {
    return { values: { ...values, includeSignatures, report: false }, directory, log, signal };
  }
  assertNotWith("input", { ...values, includeSignatures }, [
    "bundlesOverride",
    "releaseManifest",
    "eksaVersion",
    "exclude",
    "includePackages",
    "includeSignatures",
    "kubernetesVersion",
    "provider",
    "only",
    "platform",
    "caFile",
    "mirror",
  ]);
  return;
}

/** `look`: as for `readArchives`. */
export function listedArchives(
  { values: { input, jobs }, log }: ListRun,
  look?: HeldOptions["look"],
): Promise<Held> {
  refuseStdin(input, "list");
  return readArchives(input, { jobs, log, verb: "list", ...(look && { look }) });
}
