import { resolve } from "node:path";
import { Fault } from "../oci/fault.ts";
import { defineDeprecated, hidden } from "./deprecated.ts";
import { EXPORT_FLAGS, type ExportRun, runExport } from "./export.ts";
import { writeGzip } from "./export-gzip.ts";
import type { PipeJob } from "./export-pipe.ts";
import { NETWORK_FLAGS, OUTPUT_FLAGS, SELECTION_FLAGS, SIGNATURE_FLAGS } from "./flags.ts";

/** Source: eks-anywhere, cmd/eksctl-anywhere/cmd/downloadimages.go. */
export const downloadImages = defineDeprecated(
  {
    line: {
      name: "download images",
      summary: "Download the images and charts of a release of EKS Anywhere into one file.",
      example: "eksa-airgap download images --output images.tar",
      flags: {
        ...hidden(EXPORT_FLAGS, ["only", "force", "refresh"]),
        eksaVersion: SELECTION_FLAGS.eksaVersion,
        exclude: SELECTION_FLAGS.exclude,
        caFile: NETWORK_FLAGS.caFile,
        // Nobody has looked at one here, and it says nothing of images: their digests do.
        signature: { ...SIGNATURE_FLAGS.signature, default: "skip", hidden: true },
        output: {
          type: "string",
          alias: "o",
          required: true,
          valueHint: "FILE",
          description: "the file to write; gzipped where its name ends in `.tar.gz`",
        },
        bundlesOverride: {
          type: "string",
          valueHint: "SRC",
          description: "a Bundles manifest in place of the release's",
        },
        insecure: { type: "boolean", description: "do not check the certificates of registries" },
        includePackages: { type: "boolean", description: "the curated packages too (deprecated)" },
        ...OUTPUT_FLAGS,
      },
    },
    successor: "export artifacts",
    flags: { includePackages: "use `eksa-airgap export artifacts --include-packages` instead" },
  },
  async (run) => {
    const { output, insecure, includePackages, splitSize } = run.values;
    const isGzip = output.endsWith(".tar.gz");
    if (isGzip && splitSize !== undefined) {
      throw new Fault(
        "cannot use `--split-size` with a name that ends in `.tar.gz`: what is gzipped has no volumes",
        {
          hint: "leave out one of them",
          kind: "usage",
        },
      );
    }
    const values: ExportRun["values"] = {
      ...run.values,
      // The package bundles are YAML files, and so of a kind with the Bundles.
      only: includePackages ? [] : ["images", "charts"],
      // A script that runs again wants what it would get the first time.
      force: output !== "-",
      refresh: true,
    };
    const write = (_: unknown, job: PipeJob) => writeGzip(resolve(run.directory, output), run, job);
    await runExport({ ...run, values }, { insecure, ...(isGzip && { write }) });
  },
);
