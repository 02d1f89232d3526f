import * as v from "valibot";
import { wholeCertificates } from "../http/pem.ts";
import { Fault } from "../oci/fault.ts";
import { isRecord } from "../oci/manifest.ts";
import { isRegistry, isRepository } from "../oci/reference.ts";
import {
  ABSENT,
  type DocumentType,
  describeKind,
  isOfType,
  type NumberedDocument,
  parseYamlDocuments,
  readAs,
  show,
  type YamlFile,
} from "./documents.ts";
import { PUBLIC_REGISTRY } from "./mirror.ts";
import type { Target } from "./target.ts";

/** What a cluster's `registryMirrorConfiguration` says. */
export interface ClusterMirror {
  /** On https, as nodes know no other way; with `ociNamespaces`. */
  target: Target;
  /** Certificates in PEM form. */
  authorities?: string;
  authenticate: boolean;
  insecureSkipVerify: boolean;
  /** The release that the cluster is of, `v0.26.1`, where it says so. */
  eksaVersion?: string;
}

interface MirrorConfiguration {
  endpoint: string;
  port?: string | undefined;
  ociNamespaces?: { registry: string; namespace?: string | undefined }[] | undefined;
  caCertContent?: string | undefined;
  authenticate?: boolean | undefined;
  insecureSkipVerify?: boolean | undefined;
}

/** The documents that a message names. */
const MOST_NAMED = 8;
const MAX_CERTIFICATE_CHARACTERS = 1024 * 1024;
/** In any region. Source: EKS Anywhere, pkg/constants `DefaultCuratedPackagesRegistryRegex`. */
const PACKAGES_REGISTRY = /783794618700\.dkr\.ecr\..*\.amazonaws\.com/;

/** Letter for letter. */
const MANY_PACKAGES = "only one registry mirror for curated packages is suppported";

const endpoint = v.pipe(
  v.string("a host name or an IP address"),
  v.check(
    // What stands in brackets here would stand in two pairs of them for the nodes.
    (text) => isRegistry(hostPart(text)) && !text.startsWith("["),
    "a host name or an IP address, without scheme, port, path or brackets",
  ),
);
const port = v.pipe(
  v.string("a port"),
  v.check((text) => /^[1-9][0-9]{0,4}$/.test(text) && Number(text) <= 65535, "a port from 1 to 65535"),
);
const boolean = v.pipe(
  v.string("`true` or `false`"),
  v.regex(/^(?:true|yes|on|y|false|no|off|n)$/i, "`true` or `false`"),
  v.transform((text) => /^(?:true|yes|on|y)$/i.test(text)),
);
const certificates = v.pipe(
  v.string("certificates in PEM form"),
  v.maxLength(MAX_CERTIFICATE_CHARACTERS, `certificates in at most ${MAX_CERTIFICATE_CHARACTERS} characters`),
  v.check(holdsCertificates, "certificates in PEM form, each of them whole"),
);
const ociNamespace = mapping({
  registry: v.pipe(
    v.string("a registry"),
    v.check(isRegistry, "a registry as image names have it, `HOST[:PORT]`"),
  ),
  namespace: v.optional(
    v.pipe(
      v.string("a namespace"),
      v.transform((text) => text.replace(/^\/+|\/+$/g, "")),
      v.check(
        (text) => text === "" || isRepository(text),
        "a lower-case path such as `eks-anywhere` or `a/b`",
      ),
    ),
  ),
});
const registryMirrorConfiguration = mapping({
  endpoint,
  port: v.optional(port),
  ociNamespaces: v.optional(
    v.pipe(
      v.array(ociNamespace, "a list of mappings with `registry` and `namespace`"),
      v.check(
        (entries) => entries.filter(({ registry }) => PACKAGES_REGISTRY.test(registry)).length <= 1,
        MANY_PACKAGES,
      ),
    ),
  ),
  caCertContent: v.optional(certificates),
  authenticate: v.optional(boolean),
  insecureSkipVerify: v.optional(boolean),
});

const eksaVersion = v.pipe(
  v.unknown(),
  v.transform((value) => (ABSENT.has(value) ? undefined : value)),
  v.optional(v.string("a version like `v0.26.1`")),
);

const FIELD = "spec.registryMirrorConfiguration";
const CLUSTER: DocumentType<{
  spec: { registryMirrorConfiguration: MirrorConfiguration; eksaVersion?: string | undefined };
}> = {
  apiVersion: "anywhere.eks.amazonaws.com/v1alpha1",
  kind: "Cluster",
  schema: v.object({ spec: v.object({ registryMirrorConfiguration, eksaVersion: v.optional(eksaVersion) }) }),
  rephrase: wordsOfUpstream,
};

/**
 * Reads the registry mirror out of a cluster's specification: one Cluster among documents of any kind.
 * Validates what EKS Anywhere does. Source: pkg/api/v1alpha1/cluster.go `validateMirrorConfig`.
 */
export function parseClusterMirror(file: YamlFile): ClusterMirror {
  const documents = parseYamlDocuments(file);
  const { registryMirrorConfiguration, eksaVersion } = readAs(theCluster(file, documents), CLUSTER).spec;
  const { authenticate = false, insecureSkipVerify = false, ...mirror } = registryMirrorConfiguration;
  const { caCertContent: authorities } = mirror;
  if (insecureSkipVerify) assertNoBottlerocket(file, documents);
  return {
    target: targetOf(mirror),
    ...(authorities === undefined ? {} : { authorities }),
    authenticate,
    insecureSkipVerify,
    ...(eksaVersion === undefined ? {} : { eksaVersion }),
  };
}

/** Whether there is a mirror to read. Fails on a file that cannot be read as YAML. */
export function namesMirror(file: YamlFile): boolean {
  return parseYamlDocuments(file).some((one) => isOfType(one.content, CLUSTER) && hasMirror(one));
}

/** Whether a file that cannot be read as YAML looks as if there were a mirror in it. */
export function seemsToNameMirror({ bytes }: YamlFile): boolean {
  return Buffer.from(bytes).includes("registryMirrorConfiguration:");
}

/** What EKS Anywhere says of a mistake, which is what people look for. Source: `validateMirrorConfig`. */
function wordsOfUpstream(path: string, input: unknown): string | undefined {
  const field = path.replace(`${FIELD}.`, "").replace(/\[\d+\]/, "[]");
  if (field === "endpoint" && input === undefined) {
    return "no value set for RegistryMirrorConfiguration.Endpoint";
  }
  if (field === "port" && typeof input === "string" && /^[\w.-]{1,20}$/.test(input)) {
    return `registry mirror port ${input} is invalid, please provide a valid port (from 1 to 65535)`;
  }
  if (field === "ociNamespaces[].registry" && input === undefined) {
    return "registry can't be set to empty in OCINamespaces";
  }
  return field === "ociNamespaces" && Array.isArray(input) ? MANY_PACKAGES : undefined;
}

/** Source: pkg/validations/cluster.go `ValidateOSForRegistryMirror`. */
function assertNoBottlerocket(file: YamlFile, documents: readonly NumberedDocument[]): void {
  const machines = documents.filter(({ content }) => {
    const spec = isRecord(content) && content.apiVersion === CLUSTER.apiVersion ? content.spec : undefined;
    return isRecord(spec) && spec.osFamily === "bottlerocket";
  });
  if (machines.length === 0) return;
  throw new Fault(`cannot use the registry mirror in ${file.source}`, {
    cause: new Error(`InsecureSkipVerify is not supported for bottlerocket: ${namesOf(machines)}`),
    hint: "give the registry's authority as `caCertContent`, and leave `insecureSkipVerify` out",
  });
}

function targetOf({ endpoint, port = "443", ociNamespaces = [] }: MirrorConfiguration): Target {
  const host = hostPart(endpoint);
  const entries = ociNamespaces.map(
    ({ registry, namespace = "" }) => [registry.toLowerCase(), namespace] as const,
  );
  return {
    scheme: "https",
    registry: port === "443" ? host : `${host}:${port}`,
    namespace: "",
    ociNamespaces: new Map(entries.length === 0 ? [[PUBLIC_REGISTRY, ""]] : entries),
  };
}

/** The one Cluster that has a mirror. Fails saying what there is instead. */
function theCluster(file: YamlFile, documents: readonly NumberedDocument[]): NumberedDocument {
  const failure = `cannot take the registry from ${file.source}`;
  const clusters = documents.filter(({ content }) => isOfType(content, CLUSTER));
  const [cluster, ...others] = clusters.filter(hasMirror);
  if (clusters.length === 0) {
    const kinds = documents.slice(0, MOST_NAMED).map(({ content }) => describeKind(content));
    throw new Fault(`${failure}: it holds no ${CLUSTER.kind} (${CLUSTER.apiVersion})`, {
      cause: new Error(`it holds ${kinds.length === 0 ? "no document" : kinds.join(", ")}`),
      hint: "give the file that the cluster is created from, or name the registry with `--registry`",
    });
  }
  if (cluster === undefined) {
    throw new Fault(`${failure}: no \`spec.registryMirrorConfiguration\` in ${namesOf(clusters)}`, {
      hint: "add one with an `endpoint` at least, or name the registry with `--registry`",
    });
  }
  if (others.length > 0) {
    throw new Fault(`${failure}: several Clusters have a mirror, ${namesOf([cluster, ...others])}`, {
      hint: "give a file with the one cluster that is meant",
    });
  }
  return cluster;
}

function hasMirror({ content }: NumberedDocument): boolean {
  const spec = isRecord(content) ? content.spec : undefined;
  if (!isRecord(spec)) return false;
  const { registryMirrorConfiguration: mirror } = spec;
  return mirror !== undefined && !ABSENT.has(mirror);
}

/** `the Cluster \`a\` (document 1 of FILE)`, each. */
function namesOf(clusters: readonly NumberedDocument[]): string {
  const names = clusters.slice(0, MOST_NAMED).map(({ source, content }) => {
    const metadata = isRecord(content) ? content.metadata : undefined;
    return `${show(isRecord(metadata) ? metadata.name : undefined)} (${source})`;
  });
  return [...names, ...(clusters.length > MOST_NAMED ? ["…"] : [])].join(", ");
}

/** A mapping as Go reads it: fields in any case (EKS Anywhere's own page has `CACertContent`), none unknown. */
function mapping<T extends v.ObjectEntries>(entries: T) {
  const names = Object.keys(entries);
  const spell = (value: unknown) => (isRecord(value) ? respelled(value, names) : value);
  const fields = names.map((name) => `\`${name}\``).join(", ");
  return v.pipe(
    v.unknown(),
    v.transform(spell),
    v.strictObject(
      entries,
      ({ expected }) => `${expected === "never" ? "one of" : "a mapping of"} ${fields}`,
    ),
  );
}

function respelled(value: Record<string, unknown>, names: readonly string[]): Record<string, unknown> {
  const present = Object.entries(value).filter(([, each]) => !ABSENT.has(each));
  const named = (key: string) => names.find((name) => name.toLowerCase() === key.toLowerCase()) ?? key;
  return Object.fromEntries(present.map(([key, each]) => [named(key), each]));
}

/** An IPv6 address in brackets, as a URL's authority has it. */
function hostPart(endpoint: string): string {
  return endpoint.includes(":") ? `[${endpoint}]` : endpoint;
}

function holdsCertificates(text: string): boolean {
  const whole = wholeCertificates(text);
  return whole.length > 0 && whole.every(Boolean);
}
