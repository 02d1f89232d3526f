import { defineCommandLine } from "./arguments.ts";
import { defineCommand } from "./command.ts";
import { OUTPUT_FLAGS } from "./flags.ts";
import { BUILD, EKSA_VERSION, VERSIONS } from "./version.ts";

const LINE = defineCommandLine({
  name: "version",
  summary: "Show the version, and that of EKS Anywhere that this program was built for.",
  example: "eksa-airgap version --output json",
  prints: true,
  flags: {
    output: {
      type: "string",
      alias: "o",
      choices: ["text", "json"],
      default: "text",
      description: "the form of the answer",
    },
    ...OUTPUT_FLAGS,
  },
});

/** Field names of the JSON are a contract; no `eksaVersion`: built for the latest release. */
export const showVersion = defineCommand(LINE, async ({ values, print }) => {
  await print(
    values.output === "json"
      ? JSON.stringify({ version: BUILD, eksaVersion: EKSA_VERSION }, undefined, 2)
      : VERSIONS,
  );
});
