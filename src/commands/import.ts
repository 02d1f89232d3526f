import { ArchiveSource } from "../archive/source.ts";
import { assertNoCollision, mapReference, mirrorConfiguration } from "../eksa/mirror.ts";
import { parseTarget, type Target } from "../eksa/target.ts";
import type { Plan } from "../oci/plan.ts";
import { formatReference } from "../oci/reference.ts";
import { RegistrySink } from "../registry/sink.ts";
import type { Log } from "../terminal/log.ts";
import { formatSummary } from "../terminal/progress-view.ts";
import { renamePlan } from "../transfer/plan.ts";
import { resolve } from "../transfer/resolve.ts";
import { transfer } from "../transfer/transfer.ts";
import { defineCommandLine } from "./arguments.ts";
import { defineCommand } from "./command.ts";
import { failWith, lostArtifacts } from "./failures.ts";
import { NETWORK_FLAGS, OUTPUT_FLAGS } from "./flags.ts";
import { openNetwork } from "./network.ts";

const { mirror: _, ...TARGET_FLAGS } = NETWORK_FLAGS;

const LINE = defineCommandLine({
  name: "import artifacts",
  summary: "Send everything in an archive to a registry.",
  example: "eksa-airgap import artifacts --input artifacts.tar --registry registry.example.com/eksa",
  flags: {
    input: {
      type: "string",
      alias: "i",
      required: true,
      valueHint: "FILE",
      description: "the archive to read",
    },
    registry: {
      type: "string",
      alias: "r",
      required: true,
      valueHint: "HOST[:PORT][/NAMESPACE]",
      description:
        "the registry to fill; credentials: REGISTRY_USERNAME and REGISTRY_PASSWORD, or a saved login",
    },
    ...TARGET_FLAGS,
    ...OUTPUT_FLAGS,
  },
});

export const importArtifacts = defineCommand(LINE, async (run) => {
  const { values, log, environment, signal, print } = run;
  const target = parseTarget(values.registry);
  const source = new ArchiveSource(values.input);
  const progress = run.progress("importing");
  try {
    const held = await readPlan(source, values.jobs, log);
    const plan = placed(held, target);
    const network = openNetwork({
      values: { ...values, mirror: [] },
      environment,
      signal,
      log,
      onWait: progress.note,
      target,
    });
    await network.registries.client(target.registry).ping();
    const { lost } = await transfer(plan, source, new RegistrySink(network.registries, plan.roots), {
      jobs: values.jobs,
      onFailure: "stop",
      listener: progress.listener,
      signal,
    });
    progress.stop();
    failWith(
      log,
      `cannot import: ${lost.length} of ${plan.roots.length} artifacts are missing in ${values.registry}`,
      lostArtifacts("import", lost),
      "what arrived stays; run the same command again to send the rest",
    );
    log.info(formatSummary("imported", progress.totals()));
    log.info("for the cluster's spec:");
    await print(
      mirrorConfiguration(
        target,
        held.roots.map(({ reference }) => reference.registry),
      ).trimEnd(),
    );
  } finally {
    progress.stop();
    source.close();
  }
});

/** The archive's whole graph. Fails naming what is damaged, before anything is sent. */
async function readPlan(source: ArchiveSource, jobs: number, log: Log): Promise<Plan> {
  const { plan, failures } = await resolve(source, source.references, { jobs });
  failWith(
    log,
    `cannot import: ${failures.length} of ${source.references.length} artifacts in the archive are damaged`,
    failures.map(({ reference, error }) => ({ what: formatReference(reference), error })),
    "copy the archive again, or export it anew",
  );
  source.assertHolds(plan);
  return plan;
}

/** The same plan under the target's names. Fails when two contents would land on one name. */
function placed(plan: Plan, target: Target): Plan {
  assertNoCollision(plan.roots.map((root) => ({ root, place: mapReference(root.reference, target) })));
  return renamePlan(plan, (reference) => mapReference(reference, target));
}
