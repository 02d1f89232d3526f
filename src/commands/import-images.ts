import { type Collection, collectArtifacts } from "../eksa/collect.ts";
import { Fault } from "../oci/fault.ts";
import type { Run } from "./command.ts";
import { defineDeprecated, hidden } from "./deprecated.ts";
import { reportSkipped } from "./export-plan.ts";
import { DELIVERY_FLAGS, OUTPUT_FLAGS, TARGET_FLAGS } from "./flags.ts";
import { IMPORT_FLAGS, runImport } from "./import.ts";
import { placeOf } from "./manifest-place.ts";
import { partNamed } from "./named-part.ts";
import { openNetwork } from "./network.ts";
import { readBundles } from "./release-source.ts";
import { unlessSystem } from "./unless-system.ts";

const NO_SELECTION = { filename: undefined, only: [], kubernetesVersion: [], provider: [] };

const FLAGS = {
  ...hidden(IMPORT_FLAGS, ["filename", "only", "kubernetesVersion", "provider"]),
  caFile: TARGET_FLAGS.caFile,
  input: {
    type: "string",
    alias: "i",
    required: true,
    valueHint: "FILE",
    description: "the file that `download images` or `export artifacts` has written",
  },
  registry: { ...DELIVERY_FLAGS.registry, required: true },
  bundles: {
    type: "string",
    alias: "b",
    required: true,
    valueHint: "SRC",
    description: "the Bundles that names what to send; its paths are relative to the working directory",
  },
  insecure: TARGET_FLAGS.insecure,
  includePackages: { type: "boolean", description: "the curated packages too (deprecated)" },
  ...OUTPUT_FLAGS,
} as const;

/** Source: eks-anywhere, cmd/eksctl-anywhere/cmd/import_images.go. */
export const importImages = defineDeprecated(
  {
    line: {
      name: "import images",
      summary: "Send the images and charts that a Bundles names from a file to a registry.",
      example:
        "eksa-airgap import images --input images.tar --registry registry.example.com --bundles eks-anywhere-downloads/bundle-release.yaml",
      prints: true,
      flags: FLAGS,
    },
    successor: "import artifacts",
    flags: { includePackages: "use `eksa-airgap import artifacts`, which sends all that the file holds" },
  },
  async (run) => {
    const { values, log } = run;
    const { input, bundles, includePackages, report } = values;
    const { images, skipped } = await readNamed(run);
    reportSkipped(log, skipped);
    const naming = {
      name: bundles,
      images,
      input,
      report,
      others: includePackages ? "sent" : "left",
    } as const;
    const selected = { ...values, ...NO_SELECTION, input: [input] };
    await runImport({ ...run, values: selected }, async (held) => partNamed(held, naming, log));
  },
);

/** All that the Bundles names, through its EKS-D releases as well. */
async function readNamed(run: Run<typeof FLAGS>): Promise<Collection> {
  const { values, environment, signal, log, directory } = run;
  const { caFile, verbosity, bundles } = values;
  const network = openNetwork({
    values: { caFile, verbosity, mirror: [] },
    environment,
    signal,
    log,
    onWait: (text) => log.info(text),
  });
  try {
    const place = placeOf(bundles, "Bundles", directory);
    const { file, read } = await readBundles(place, { directory, log, network });
    return await collectArtifacts(file, read);
  } catch (cause) {
    throw new Fault(`cannot read the Bundles ${bundles}`, {
      cause,
      hint: unlessSystem(
        cause,
        "paths, its own and those in it, are relative to the working directory: run this where `eks-anywhere-downloads` was unpacked",
      ),
    });
  }
}
