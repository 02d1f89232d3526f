import { assertPlaces, mapRoot } from "../eksa/mirror.ts";
import { withTypedConfigs } from "../eksa/wrap.ts";
import type { Plan, Root, Source } from "../oci/plan.ts";
import { formatReference, repositoryName } from "../oci/reference.ts";
import { RegistryAudit } from "../registry/audit.ts";
import type { Registries } from "../registry/client.ts";
import type { Listener } from "../transfer/events.ts";
import { renamePlan } from "../transfer/plan.ts";
import { transfer } from "../transfer/transfer.ts";
import { rootsAbove } from "./above.ts";
import { type Destination, greet } from "./target.ts";
import type { Problem } from "./verify-report.ts";

export interface RegistryOptions {
  registries: Registries;
  destination: Destination;
  /** Never asked for a blob. */
  source: Source;
  jobs: number;
  listener: Listener;
  signal: AbortSignal;
}

/** Looks for all of a plan under its names at the target. */
export async function verifyRegistry(plan: Plan, options: RegistryOptions): Promise<Problem[]> {
  const { registries, destination } = options;
  const { target } = destination;
  assertPlaces(plan.roots, target);
  const placed = renamePlan(plan, (root) => mapRoot(root, target));
  await greet(registries, destination);
  const names = new Map(
    placed.roots.map((root, index) => [
      root,
      formatReference(plan.roots[index]?.reference ?? root.reference),
    ]),
  );
  return auditPlan(placed, (root) => names.get(root), options);
}

/** Looks for all of a plan that is in the target's terms; `nameOf`: what its roots are called in messages. */
export async function auditPlan(
  placed: Plan,
  nameOf: (root: Root) => string | undefined,
  { registries, source, jobs, listener, signal }: Omit<RegistryOptions, "destination">,
): Promise<Problem[]> {
  const variants = [...withTypedConfigs(placed)].map(
    ([digest, { descriptor }]) => [digest, descriptor.digest] as const,
  );
  const audit = new RegistryAudit(registries, placed, new Map(variants));
  await transfer(placed, source, audit, { jobs, listener, signal, onFailure: "continue" });
  const above = rootsAbove(placed);
  return audit.findings.map(({ kind, digest, place, tag, detail }) => {
    const roots = above(digest).filter(({ reference }) => {
      return repositoryName(reference) === place && (tag === undefined || reference.tag === tag);
    });
    const artifacts = roots.flatMap((root) => nameOf(root) ?? []);
    return { kind, place: tag === undefined ? place : `${place}:${tag}`, digest, artifacts, detail };
  });
}
