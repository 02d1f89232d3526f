import { RegistrySource } from "../registry/source.ts";
import type { Progress } from "../terminal/progress.ts";
import { underOwnNames } from "../transfer/plan.ts";
import { defineCommandLine } from "./arguments.ts";
import { defineCommand, type Run } from "./command.ts";
import { deliver } from "./delivery.ts";
import { collect, makePlan, reportSkipped } from "./export-plan.ts";
import {
  DELIVERY_FLAGS,
  NETWORK_FLAGS,
  OUTPUT_FLAGS,
  SELECTION_FLAGS,
  SIGNATURE_FLAGS,
  TARGET_FLAGS,
} from "./flags.ts";
import { openNetwork } from "./network.ts";
import { withoutUnused } from "./part.ts";
import { RunReport } from "./report.ts";
import { SignatureCheck } from "./signature.ts";
import { type Destination, readTarget } from "./target.ts";

const LINE = defineCommandLine({
  name: "copy artifacts",
  summary:
    "Send every image, chart and manifest that a release of EKS Anywhere needs straight to a registry. What `export artifacts` followed by `import artifacts` does, without a file between them.",
  example: "eksa-airgap copy artifacts --registry registry.example.com/eksa",
  prints: true,
  flags: {
    ...SELECTION_FLAGS,
    ...SIGNATURE_FLAGS,
    ...DELIVERY_FLAGS,
    ...NETWORK_FLAGS,
    ...TARGET_FLAGS,
    ...OUTPUT_FLAGS,
  },
  oneOf: ["registry", "filename"],
});

export type CopyRun = Run<typeof LINE.flags>;

export const COPY_FLAGS = LINE.flags;

export const copyArtifacts = defineCommand(LINE, async (run) => {
  const destination = await readTarget(run);
  await runCopy(ofClustersRelease(run, destination), destination);
});

/** The cluster that names the target says of which release it is, where nothing else does. */
function ofClustersRelease(run: CopyRun, { eksaVersion }: Destination): CopyRun {
  const { values, log } = run;
  if (eksaVersion === undefined || values.eksaVersion !== undefined || values.bundlesOverride !== undefined) {
    return run;
  }
  log.info(
    `EKS Anywhere ${eksaVersion}, the release of ${values.filename} (\`--eksa-version\` names another)`,
  );
  return { ...run, values: { ...values, eksaVersion } };
}

export async function runCopy(run: CopyRun, destination: Destination): Promise<void> {
  const { values, log, directory } = run;
  const { bundlesOverride, releaseManifest, signatureKey, filename, caFile, clientCert, clientKey } = values;
  const others = [bundlesOverride, releaseManifest, signatureKey, filename, caFile, clientCert, clientKey];
  const report = new RunReport({ command: LINE.name, path: values.report, directory, others, log });
  const progress = run.progress("copying");
  try {
    await report.around(() => copyTo(run, destination, progress, report));
  } finally {
    progress.stop();
  }
}

async function copyTo(
  run: CopyRun,
  destination: Destination,
  progress: Progress,
  report: RunReport,
): Promise<void> {
  const { values, log, environment, signal } = run;
  const signatures = new SignatureCheck(run, report);
  const network = openNetwork({ values, environment, signal, log, onWait: progress.note, destination });
  const { registries } = network;
  const source = new RegistrySource(registries);
  const collection = await collect(run, network, signatures.bundles);
  signatures.releases(collection.files);
  const { plan: whole } = await makePlan(run, { collection, source, report, verb: "copy" });
  const { plan, left } = withoutUnused(whole);
  report.forget(whole);
  reportSkipped(log, left);
  report.inputs({ ...collection, skipped: [...collection.skipped, ...left] });
  await deliver(run, {
    verb: "copy",
    plan,
    source: underOwnNames(source, plan),
    destination,
    registries,
    progress,
    report,
  });
}
