import { createPublicKey, type KeyObject, verify } from "node:crypto";
import { Fault } from "../oci/fault.ts";
import { titleOf } from "./artifacts.ts";
import { formatScalar, resolveScalar } from "./canonical-scalars.ts";
import { type Canonical, canonicalise, type GoStruct } from "./canonical-structs.ts";
import { absenceOf } from "./classify.ts";
import { parseYamlSource, type SourceScalar, type SourceTree, type YamlFile } from "./documents.ts";
import { SIGNED_BUNDLES, SIGNED_EKSD_RELEASE } from "./signed-structs.ts";
import { BUNDLES_TITLE, type TitledFile } from "./wrap.ts";

/** What can be said of a signed document's signature. */
type Verdict =
  | { state: "valid" }
  /** There is none. */
  | { state: "absent" }
  /** It covers fields that this program does not know: their paths. */
  | { state: "unknownFields"; fields: readonly string[] }
  | { state: "invalid"; cause: Error };

export interface Judgement {
  kind: "Bundles" | "EKS-D Release";
  /** The document's path among the files. */
  title: string;
  /** Where on the Bundles the signature is. */
  annotation: string;
  verdict: Verdict;
}

/** ECDSA P-256, SHA-256. Source of both: eks-anywhere's pkg/constants/constants.go */
const BUNDLES_KEY =
  "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEFZU/Z6VVMU9HioT7rGkPdJg3frC2xyQZhWFIrz5HeZEfeQ2nAdnJMLrs2Qr3V9xVrJrHA54wnIHDoPGbEhojqg==";
const EKSD_KEY =
  "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEfqjUloL1WPdxB5JPOY18mIgjx0zD0SyWe9N1Fxjv7A8JwyKQycqirw2us7zoxoC5bnWD4lT53uv8skx3E/cHaw==";
const BUNDLES_ANNOTATION = "anywhere.eks.amazonaws.com/signature";
const EKSD_ANNOTATION = "distro.eks.amazonaws.com/signature";
const PEM = /^-----BEGIN PUBLIC KEY-----([A-Za-z0-9+/=\s]+)-----END PUBLIC KEY-----$/;

/** A public key of the curve P-256: SubjectPublicKeyInfo, in PEM form or as its base64 alone. */
export function parsePublicKey(text: string): KeyObject {
  const encoded = (PEM.exec(text.trim())?.[1] ?? text).replaceAll(/\s/g, "");
  const bytes = decodeBase64(encoded);
  if (bytes === undefined) {
    throw new Fault("it holds neither a public key in PEM form nor one in base64");
  }
  const key = createPublicKey({ key: bytes, format: "der", type: "spki" });
  const { namedCurve } = key.asymmetricKeyDetails ?? {};
  if (namedCurve === "prime256v1") return key;
  throw new Fault(`it holds a key of another kind: ${namedCurve ?? key.asymmetricKeyType}, not P-256`);
}

/**
 * A Bundles and the signatures on it: its own, and those of its EKS-D releases, in annotations that none of them
 * covers. `key` stands in for the publisher's own: the Bundles has to be signed with it, an EKS-D release with it
 * or by EKS-D's publisher.
 */
export class SignedBundles {
  readonly #tree: SourceTree;
  readonly #key: KeyObject | undefined;

  constructor(file: YamlFile, key?: KeyObject) {
    this.#tree = parseYamlSource(file);
    this.#key = key;
  }

  judge(): Judgement {
    const verdict = this.#judge(BUNDLES_ANNOTATION, {
      read: () => this.#tree,
      type: SIGNED_BUNDLES,
      keys: [this.#key ?? parsePublicKey(BUNDLES_KEY)],
    });
    return { kind: "Bundles", title: BUNDLES_TITLE, annotation: BUNDLES_ANNOTATION, verdict };
  }

  /** Those that are among `files`. */
  judgeReleases(files: readonly TitledFile[]): Judgement[] {
    const contents = new Map(files.map(({ title, bytes }) => [title, bytes]));
    const keys = [parsePublicKey(EKSD_KEY), ...(this.#key === undefined ? [] : [this.#key])];
    return releasesOf(this.#tree).flatMap(({ title, annotation }): Judgement[] => {
      const bytes = contents.get(title);
      if (bytes === undefined) return [];
      const read = () => parseYamlSource({ source: title, bytes });
      const verdict = this.#judge(annotation, { read, type: SIGNED_EKSD_RELEASE, keys });
      return [{ kind: "EKS-D Release", title, annotation, verdict }];
    });
  }

  #judge(annotation: string, signed: Signed): Verdict {
    return judge(stringAt(this.#tree, "metadata", "annotations", annotation), signed);
  }
}

interface Signed {
  read: () => SourceTree;
  type: GoStruct;
  /** One of them has to have signed it. */
  keys: readonly KeyObject[];
}

function judge(signature: string, { read, type, keys }: Signed): Verdict {
  if (signature === "") return { state: "absent" };
  const bytes = decodeBase64(signature.replaceAll(/[\r\n]/g, ""));
  if (bytes === undefined) return { state: "invalid", cause: new Error("it is not base64") };
  let canonical: Canonical;
  try {
    canonical = canonicalise(read(), type);
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    return { state: "invalid", cause: error };
  }
  if (canonical.unknown.length > 0) return { state: "unknownFields", fields: canonical.unknown };
  if (keys.some((key) => verify("sha256", canonical.bytes, { key, dsaEncoding: "der" }, bytes))) {
    return { state: "valid" };
  }
  return {
    state: "invalid",
    cause: new Error("it does not belong to this content, or was made with another key"),
  };
}

/** Where each EKS-D release is among the files, and its signature on the Bundles; each once. */
function releasesOf(bundles: SourceTree): { title: string; annotation: string }[] {
  const versionsBundles = at(bundles, "spec", "versionsBundles");
  const found = (Array.isArray(versionsBundles) ? versionsBundles : []).flatMap((versionsBundle) => {
    const place = ["eksD", "manifestUrl"];
    // Go knows it as a string alone; we read it as all others, too.
    const uri = textAt(versionsBundle, ...place) || textAt(versionsBundle, ...place, "uri");
    if (absenceOf(uri) !== undefined) return [];
    const title = titleOf(textAt(versionsBundle, "kubeVersion"), {
      keys: ["eksD", "manifestUrl"],
      uri,
      fields: {},
    });
    return { title, annotation: `${EKSD_ANNOTATION}-${stringAt(versionsBundle, "eksD", "channel")}` };
  });
  return [...new Map(found.map((each) => [Object.values(each).join("\n"), each])).values()];
}

function at(tree: SourceTree | undefined, ...keys: readonly string[]): SourceTree | undefined {
  return keys.reduce((below, key) => (below instanceof Map ? below.get(key) : undefined), tree);
}

/** A scalar as the source shows it; empty where there is none. */
function textAt(tree: SourceTree, ...keys: readonly string[]): string {
  return scalarAt(tree, keys)?.text ?? "";
}

/** A scalar as Go's string fields have it; empty where there is none. */
function stringAt(tree: SourceTree, ...keys: readonly string[]): string {
  const scalar = scalarAt(tree, keys);
  return scalar === undefined ? "" : formatScalar(resolveScalar(scalar));
}

function scalarAt(tree: SourceTree, keys: readonly string[]): SourceScalar | undefined {
  const found = at(tree, ...keys);
  return found === undefined || found === null || found instanceof Map || Array.isArray(found)
    ? undefined
    : found;
}

/** Undefined where it is anything else, be it only a bit that nobody reads. */
function decodeBase64(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, "base64");
  return bytes.length > 0 && bytes.toString("base64") === text ? bytes : undefined;
}
