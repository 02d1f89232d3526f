import type { Plan } from "../oci/plan.ts";
import { formatReference } from "../oci/reference.ts";
import { RegistrySource } from "../registry/source.ts";
import { sanitizeLine } from "../terminal/sanitize.ts";
import { formatBytes } from "../terminal/units.ts";
import { closureBytes, planBytes } from "../transfer/plan.ts";
import { defineCommandLine } from "./arguments.ts";
import { describeArtifact } from "./artifact-kind.ts";
import { defineCommand, type Run } from "./command.ts";
import { collect, makePlan } from "./export-plan.ts";
import { SELECTION_FLAGS } from "./flags.ts";
import type { Held } from "./held.ts";
import { openNetwork } from "./network.ts";
import { RunReport } from "./report.ts";
import { LIST_FLAGS, listedArchives, selectionOf } from "./selection.ts";

const LINE = defineCommandLine({
  name: "list artifacts",
  summary:
    "List what an archive holds, or what an export would. A line an artifact: its reference, its digest, the size of all that it refers to, its kind.",
  example: "eksa-airgap list artifacts --input artifacts.tar",
  prints: true,
  flags: { ...LIST_FLAGS, includeSignatures: SELECTION_FLAGS.includeSignatures },
});

export const listArtifacts = defineCommand(LINE, async (run) => {
  const held = await listed(run);
  await run.print(run.values.output === "json" ? formatJson(held) : formatText(held.plan));
});

async function listed(run: Run<typeof LINE.flags>): Promise<Held> {
  const { values, log, environment, signal, directory } = run;
  const selection = selectionOf(run, values.includeSignatures);
  if (selection === undefined) return listedArchives(run);
  const network = openNetwork({ values, environment, signal, log, onWait: run.progress("listing").note });
  const collection = await collect(selection, network);
  const source = new RegistrySource(network.registries);
  const report = new RunReport({ command: LINE.name, path: undefined, directory, others: [], log });
  const { plan } = await makePlan(selection, { collection, source, report, verb: "list" });
  return { plan, lacking: [] };
}

function artifactsOf(plan: Plan) {
  return plan.roots.map((root) => {
    const { reference, descriptor, original } = root;
    const { kind, platforms } = describeArtifact(plan, root);
    const { digest, mediaType } = descriptor;
    const bytes = closureBytes(plan, root);
    return {
      reference: formatReference(reference),
      digest,
      ...(original && { original }),
      mediaType,
      kind,
      bytes,
      platforms,
    };
  });
}

function formatText(plan: Plan): string {
  return artifactsOf(plan)
    .map(({ reference, digest, bytes, kind }) => {
      return sanitizeLine(`${reference}  ${digest}  ${formatBytes(bytes)}  ${kind}`);
    })
    .join("\n");
}

/** Field names are a contract. */
function formatJson({ plan, lacking }: Held): string {
  const artifacts = artifactsOf(plan);
  const manifests = [...plan.nodes.values()].filter(({ kind }) => kind === "manifest").length;
  const blobs = plan.nodes.size - manifests;
  const bytes = lacking.reduce((sum, { descriptor }) => sum + descriptor.size, 0);
  // Of a delta: what of all that is in its base.
  const leftOut = { blobs: lacking.length, bytes };
  const totals = { artifacts: artifacts.length, manifests, blobs, bytes: planBytes(plan), leftOut };
  return JSON.stringify({ artifacts, totals }, undefined, 2);
}
