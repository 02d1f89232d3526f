import { stringify } from "yaml";
import { Fault } from "../oci/fault.ts";
import type { Root } from "../oci/plan.ts";
import {
  compareBytewise,
  formatReference,
  isRepository,
  type Reference,
  tagForDigest,
} from "../oci/reference.ts";
import { throwAll } from "./failures.ts";
import { hostOf, portOf, type Target } from "./target.ts";

/** A root, and the name it gets at the target. */
export interface Move {
  root: Root;
  place: Reference;
}

export const PUBLIC_REGISTRY = "public.ecr.aws";
const PACKAGES_ACCOUNT = "783794618700";
/** The accounts that serve curated packages, and the project that `import images` puts before their paths. */
const PACKAGE_PROJECTS = new Map([
  [PACKAGES_ACCOUNT, "eks-anywhere"],
  ["067575901363", "x3k6m8v0"],
]);
const PRIVATE_ECR = /^([0-9]{12})\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com$/;

/** Where content goes. What is known only by digest gets a tag, so that garbage collectors spare it. */
export function mapReference(reference: Reference, target: Target): Reference {
  const namespace = namespaceFor(reference.registry, target);
  if (namespace === undefined) throw withoutEntry([reference.registry], target);
  const repository = namespace === "" ? reference.repository : `${namespace}/${reference.repository}`;
  if (!isRepository(repository)) {
    throw new Fault(
      `cannot place ${formatReference(reference)}: \`${repository.slice(0, 300)}\` is not a repository name`,
      { hint: repository.length > 255 ? "choose a shorter namespace" : "choose another namespace" },
    );
  }
  const mapped: Reference = { registry: target.registry, repository };
  if (reference.tag !== undefined) mapped.tag = reference.tag;
  else if (reference.digest !== undefined) mapped.tag = tagForDigest(reference.digest);
  if (reference.digest !== undefined) mapped.digest = reference.digest;
  return mapped;
}

/** The same for a root; a nameless one stays without a tag, since what it is about keeps it. */
export function mapRoot({ reference, nameless }: Root, target: Target): Reference {
  const { tag, ...place } = mapReference(reference, target);
  return nameless || tag === undefined ? place : { ...place, tag };
}

/** What comes before the path of everything from `registry`; empty for nothing, undefined where it has no place. */
function namespaceFor(registry: string, target: Target): string | undefined {
  const host = registry.toLowerCase();
  const account = PRIVATE_ECR.exec(host)?.[1] ?? "";
  if (target.ociNamespaces !== undefined) {
    return target.ociNamespaces.get(host) ?? packagesNamespace(account, target.ociNamespaces);
  }
  const own = host === PUBLIC_REGISTRY ? "" : (PACKAGE_PROJECTS.get(account) ?? host.replace(":", "_"));
  return [target.namespace, own].filter((part) => part !== "").join("/");
}

/**
 * A cluster has one mirror for curated packages, and takes them all from there whatever the region that it names.
 * Source: eks-anywhere, `DefaultCuratedPackagesRegistryRegex` in pkg/constants/constants.go.
 */
function packagesNamespace(account: string, ociNamespaces: ReadonlyMap<string, string>): string | undefined {
  if (account !== PACKAGES_ACCOUNT) return;
  return [...ociNamespaces].find(([registry]) => PRIVATE_ECR.exec(registry)?.[1] === PACKAGES_ACCOUNT)?.[1];
}

/** Fails where roots have no place at the target, or two of them the same one: before anything is sent. */
export function assertPlaces(roots: readonly Root[], target: Target): void {
  const registries = new Set(roots.map(({ reference }) => reference.registry));
  const unknown = [...registries].filter((registry) => namespaceFor(registry, target) === undefined);
  if (unknown.length > 0) throw withoutEntry(unknown, target);
  assertNoCollision(roots.map((root) => ({ root, place: mapRoot(root, target) })));
}

function withoutEntry(registries: readonly string[], { registry, ociNamespaces }: Target): Fault {
  const names = registries.toSorted(compareBytewise).join(", ");
  // An entry for another registry ends what holds without any.
  const isImplied = ociNamespaces?.size === 1 && ociNamespaces.get(PUBLIC_REGISTRY) === "";
  const beside = isImplied ? `, beside \`{registry: ${PUBLIC_REGISTRY}, namespace: ""}\`` : "";
  return new Fault(`cannot place what comes from ${names} at ${registry}: no node would look for it there`, {
    cause: new Fault(
      `\`registryMirrorConfiguration.ociNamespaces\` of the cluster ${isImplied ? `stands for ${PUBLIC_REGISTRY} alone` : "has no such registry"}`,
    ),
    hint: `add an entry for ${registries.length === 1 ? "it" : "each of them"} to \`ociNamespaces\`${beside}`,
  });
}

/** Fails, naming both, when two sources would land on one tag with different content. */
export function assertNoCollision(moves: readonly Move[]): void {
  const taken = new Map<string, Root>();
  const failures: Fault[] = [];
  for (const { root, place } of moves) {
    const name = formatReference(place);
    const other = taken.get(name);
    if (other === undefined) taken.set(name, root);
    else if (other.descriptor.digest !== root.descriptor.digest) {
      const sources = [other, root].map(
        ({ reference, descriptor }) => `${formatReference(reference)} (${descriptor.digest})`,
      );
      failures.push(
        new Fault(`cannot put two contents at ${name}: ${sources.join(" and ")}`, {
          hint: "give their registries namespaces of their own, or leave one out when you export (`--exclude`)",
        }),
      );
    }
  }
  throwAll("cannot place everything at the target", failures);
}

/** What nodes have to know beside the address. */
export interface MirrorSecurity {
  /** Certificates in PEM form. */
  authorities?: string;
  skipVerify?: boolean;
  authenticate?: boolean;
}

/**
 * Where what comes from each registry is at the target: what a cluster says of it, else the mapping of `-r` for
 * these `registries`. In their order, bytewise.
 */
export function mirroredRegistries(
  target: Target,
  registries: Iterable<string>,
): { registry: string; namespace: string }[] {
  return [...new Set(target.ociNamespaces?.keys() ?? registries)]
    .sort(compareBytewise)
    .map((registry) => ({ registry, namespace: namespaceFor(registry, target) ?? "" }));
}

/** EKS Anywhere takes one entry for the curated packages of all regions, and no second. */
function withOnePackageRegistry<T extends { registry: string }>(entries: readonly T[]): T[] {
  const isOfPackages = ({ registry }: T) => PRIVATE_ECR.exec(registry)?.[1] === PACKAGES_ACCOUNT;
  const first = entries.find(isOfPackages);
  return entries.filter((entry) => entry === first || !isOfPackages(entry));
}

/**
 * The `registryMirrorConfiguration` to paste below a cluster's `spec`, so that its nodes find what came
 * from `registries` where `mapReference` put it. Without `ociNamespaces` EKS Anywhere looks for
 * public.ecr.aws alone, at the mirror's root; with them it looks for nothing but those. For a target
 * that a cluster named it is what the cluster says, whatever the `registries`.
 */
export function mirrorConfiguration(
  target: Target,
  registries: Iterable<string>,
  { authorities, skipVerify, authenticate }: MirrorSecurity = {},
): string {
  const ociNamespaces = withOnePackageRegistry(mirroredRegistries(target, registries));
  const implied = ociNamespaces.every(
    ({ registry, namespace }) => registry === PUBLIC_REGISTRY && namespace === "",
  );
  const registryMirrorConfiguration = {
    endpoint: hostOf(target.registry).replace(/^\[(.*)\]$/, "$1"),
    port: portOf(target.registry) ?? (target.scheme === "http" ? "80" : "443"),
    ...(implied ? {} : { ociNamespaces }),
    ...(authenticate ? { authenticate } : {}),
    ...(authorities === undefined ? {} : { caCertContent: authorities }),
    ...(skipVerify ? { insecureSkipVerify: true } : {}),
  };
  // Go's YAML reader follows 1.1, where more words want quotes.
  return stringify({ registryMirrorConfiguration }, { version: "1.1" });
}
