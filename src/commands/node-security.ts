import type { MirrorSecurity } from "../eksa/mirror.ts";
import { readAuthorities } from "./certificates.ts";
import type { Surroundings } from "./command.ts";
import type { Destination } from "./target.ts";

interface Request extends Pick<Surroundings, "environment"> {
  values: { filename: string | undefined; caFile: string | undefined; insecure: boolean };
}

/**
 * What nodes need to know of a registry beside its address: a cluster says so itself, else as it was reached.
 * `hasLogin`: whether there is one for it.
 */
export function nodeSecurity(
  { values, environment }: Request,
  { authorities, authenticate, unchecked }: Destination,
  hasLogin: boolean,
): MirrorSecurity {
  const files = [values.caFile, environment.EKSA_REGISTRY_MIRROR_CA].flatMap((path) => path || []);
  const all = [authorities ?? [], files.map(readAuthorities)].flat().map((pem) => `${pem.trim()}\n`);
  return {
    authenticate: values.filename === undefined ? hasLogin : authenticate === true,
    skipVerify: values.insecure || unchecked !== undefined,
    ...(all.length === 0 ? {} : { authorities: [...new Set(all)].join("") }),
  };
}
