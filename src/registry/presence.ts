import { Fault } from "../oci/fault.ts";
import type { Root } from "../oci/plan.ts";
import type { Registries } from "./client.ts";
import { eachOf } from "./each-of.ts";
import { storedDigest } from "./sink-manifests.ts";

/** `unknown`: the registry would not say. */
export type Presence = "present" | "absent" | "unknown";

/** Whether registries hold roots under their names, in the order of the roots. The right to pull is all it takes. */
export function presenceOf(registries: Registries, roots: readonly Root[]): Promise<Presence[]> {
  return eachOf(roots, async ({ reference: { registry, repository, tag }, descriptor: { digest } }) => {
    const client = registries.client(registry);
    const scopes = [{ repository, actions: "pull" }] as const;
    try {
      const stored = await storedDigest({ client, repository, scopes }, tag ?? digest);
      return stored === digest ? "present" : "absent";
    } catch (error) {
      // Many say the same of a project that is not there as of one that may not be read.
      if (error instanceof Fault && !client.http.policy.signal.aborted) return "unknown";
      throw error;
    }
  });
}
