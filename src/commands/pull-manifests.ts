import { resolve } from "node:path";
import { count } from "../terminal/progress-view.ts";
import { defineCommandLine } from "./arguments.ts";
import { defineCommand } from "./command.ts";
import { CLUSTER_FLAGS, OUTPUT_FLAGS, TARGET_FLAGS } from "./flags.ts";
import { DOWNLOADS, writeManifests } from "./manifest-folder.ts";
import { readManifests } from "./mirror-manifests.ts";
import { openNetwork } from "./network.ts";
import { greet, readTarget } from "./target.ts";

const { jobs: _, ...REGISTRY_FLAGS } = TARGET_FLAGS;

const LINE = defineCommandLine({
  name: "pull manifests",
  summary:
    "Write a release's Bundles and all its manifests from a registry into a folder, as `eksctl anywhere` reads them. Prints the path for its `--bundles-override`.",
  example: "eksa-airgap pull manifests --filename cluster.yaml",
  prints: true,
  flags: {
    registry: {
      type: "string",
      alias: "r",
      valueHint: "HOST[:PORT][/NAMESPACE]",
      description:
        "the registry that the release was imported into; credentials: REGISTRY_USERNAME and REGISTRY_PASSWORD, or a saved login",
    },
    ...CLUSTER_FLAGS,
    eksaVersion: {
      type: "string",
      valueHint: "V",
      description: "which release; else the cluster's `eksaVersion`, else the only one there is",
    },
    directory: {
      type: "string",
      alias: "d",
      default: DOWNLOADS,
      valueHint: "DIR",
      description: "where to write; files of the same names there are replaced",
    },
    ...REGISTRY_FLAGS,
    ...OUTPUT_FLAGS,
  },
  oneOf: ["registry", "filename"],
});

export const pullManifests = defineCommand(LINE, async (run) => {
  const { values, environment, signal, log, directory, print } = run;
  const destination = await readTarget(run);
  const progress = run.progress("reading");
  try {
    const options = { environment, signal, log, onWait: progress.note, destination };
    const { registries } = openNetwork({ values: { ...values, mirror: [] }, ...options });
    await greet(registries, destination);
    const { tag, files, source } = await readManifests(registries, destination, {
      version: values.eksaVersion ?? destination.eksaVersion,
      hint: "name one with `--eksa-version V`",
    });
    const path = await writeManifests(resolve(directory, values.directory), { files, source }, run);
    progress.stop();
    log.info(`wrote ${count(files.length, "file")} of ${tag} from ${source}`);
    await print(path);
  } finally {
    progress.stop();
  }
});
