import { resolve } from "node:path";
import { parseClusterVersions } from "../eksa/cluster-versions.ts";
import { readLocal } from "../eksa/reader.ts";
import { COPY_FLAGS, type CopyRun, runCopy } from "./copy.ts";
import { defineDeprecated, hidden } from "./deprecated.ts";
import { CLUSTER_FLAGS, OUTPUT_FLAGS, SELECTION_FLAGS, SIGNATURE_FLAGS, TARGET_FLAGS } from "./flags.ts";
import { readTarget } from "./target.ts";

/** Source: eks-anywhere, cmd/eksctl-anywhere/cmd/deprecated_importimages.go. */
export const copyImages = defineDeprecated(
  {
    line: {
      name: "import-images",
      summary:
        "Send the images and charts that a cluster needs from the Internet to the registry in its `registryMirrorConfiguration`.",
      example: "eksa-airgap import-images --filename cluster.yaml",
      prints: true,
      flags: {
        ...hidden(COPY_FLAGS, ["registry", "only", "kubernetesVersion"]),
        eksaVersion: SELECTION_FLAGS.eksaVersion,
        exclude: SELECTION_FLAGS.exclude,
        caFile: TARGET_FLAGS.caFile,
        // Nobody has looked at one here, and it says nothing of images: their digests do.
        signature: { ...SIGNATURE_FLAGS.signature, default: "skip", hidden: true },
        filename: { ...CLUSTER_FLAGS.filename, required: true, description: "the file with the cluster" },
        ...OUTPUT_FLAGS,
      },
    },
    successor: "copy artifacts",
  },
  async (run) => {
    const { values, directory } = run;
    const { filename, bundlesOverride } = values;
    const destination = await readTarget({ ...run, values: { registry: undefined, filename } });
    const bytes = await readLocal(resolve(directory, filename));
    const ofCluster = bundlesOverride === undefined ? destination.eksaVersion : undefined;
    const chosen: CopyRun["values"] = {
      ...values,
      registry: undefined,
      eksaVersion: values.eksaVersion ?? ofCluster,
      only: ["images", "charts"],
      kubernetesVersion: parseClusterVersions({ source: filename, bytes }),
    };
    await runCopy({ ...run, values: chosen }, destination);
  },
);
