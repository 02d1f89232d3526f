import { isDigest } from "../../src/oci/digest.ts";
import type { RegistryStore } from "../../src/registry/store.ts";
import { answer, type Quirk, refusal } from "./quirks-wire.ts";

/** What registries do to manifests, either way. */
export interface ManifestQuirks {
  /** HEAD says nothing of the digest. oras-go `registry/remote/repository.go` fails on it. */
  manifestHeadWithoutDigest?: boolean;
  /** No answer says anything of digests. go-containerregistry `pkg/v1/remote/fetcher.go` */
  noDigestHeaders?: boolean;
  /** `Content-Type` of manifests: with a `charset`, or nothing but bytes. Nexus, static mirrors on S3. */
  manifestType?: "charset" | "octets" | "none";
  /** The specification says 201. */
  manifestPutAnswers?: 200 | 202;
  /** Tags stand for Docker's schema 1. hauler `pkg/content/registry.go` */
  schema1?: boolean;
  /** The referrers API is not there. distribution 2.8: 404; Artifactory: 400. */
  noReferrers?: 404 | 400;
  /** A tag that is there for another digest stays so. ECR 400, Harbor 412, Quay and zot 409. */
  immutableTags?: 400 | 409 | 412;
  /** Tag lists are 405. ECR Public, some proxies. */
  noTagList?: boolean;
  /** The first manifest PUT finds its blobs gone. A garbage collector that was faster. */
  forgetsBlobsOnce?: boolean;
  /** The first answer for each manifest ends after so many bytes. */
  dropManifestAt?: number;
  /**
   * A manifest without a `mediaType` of its own, or with annotations of its config, is 405. ECR:
   * https://github.com/containers/image/pull/584, https://github.com/goharbor/acceleration-service/pull/353
   */
  particularManifests?: boolean;
  /** Manifests over so many bytes are 413. distribution `handlers/manifests.go`: 4 MiB. */
  manifestLimit?: number;
}

export function manifestQuirks(quirks: ManifestQuirks, store: RegistryStore): Quirk[] {
  const { noReferrers, immutableTags, dropManifestAt, manifestPutAnswers } = quirks;
  const wanted: [unknown, () => Quirk][] = [
    [quirks.manifestHeadWithoutDigest, () => withoutDigest("HEAD")],
    [quirks.noDigestHeaders, () => withoutDigest("any")],
    [quirks.manifestType, () => typed(quirks.manifestType)],
    [quirks.schema1, () => schema1],
    [quirks.noTagList, () => noTagList],
    [noReferrers, () => noReferrersApi(noReferrers ?? 404)],
    [immutableTags, () => immutable(immutableTags ?? 409, store)],
    [quirks.forgetsBlobsOnce, () => forgetsBlobsOnce(store)],
    [dropManifestAt, () => dropsFirst(dropManifestAt ?? 0)],
    [quirks.particularManifests, () => particular],
    [quirks.manifestLimit, () => limited(quirks.manifestLimit ?? 0)],
    [manifestPutAnswers, () => putAnswers(manifestPutAnswers ?? 201)],
  ];
  return wanted.flatMap(([isWanted, make]) => (isWanted ? [make()] : []));
}

function withoutDigest(which: "HEAD" | "any"): Quirk {
  return async (asked, next) => {
    const given = await next(asked);
    const isManifest = asked.url.pathname.includes("/manifests/");
    if (which === "any" || (isManifest && asked.method === "HEAD")) {
      given.headers.delete("docker-content-digest");
    }
    return given;
  };
}

function typed(type: ManifestQuirks["manifestType"]): Quirk {
  return async (asked, next) => {
    const given = await next(asked);
    const kind = asked.endpoint?.kind;
    if (given.status !== 200 || (kind !== "getManifest" && kind !== "headManifest")) return given;
    if (type === "none") given.headers.delete("content-type");
    else if (type === "octets") given.headers.set("content-type", "binary/octet-stream");
    else given.headers.set("content-type", `${given.headers.get("content-type")}; charset=utf-8`);
    return given;
  };
}

const SCHEMA1 = JSON.stringify({ schemaVersion: 1, name: "a/b", tag: "v1", fsLayers: [], history: [] });

const schema1: Quirk = async (asked, next) => {
  const { endpoint } = asked;
  if (endpoint?.kind !== "getManifest" || isDigest(endpoint.reference)) return next(asked);
  return answer(
    200,
    { "content-type": "application/vnd.docker.distribution.manifest.v1+prettyjws" },
    SCHEMA1,
  );
};

const noTagList: Quirk = async (asked, next) =>
  asked.endpoint?.kind === "listTags" ? refusal(405, "UNSUPPORTED") : next(asked);

function noReferrersApi(status: number): Quirk {
  return async (asked, next) =>
    asked.endpoint?.kind === "listReferrers" ? answer(status, {}, "404 page not found\n") : next(asked);
}

function immutable(status: number, store: RegistryStore): Quirk {
  return async (asked, next) => {
    const { endpoint } = asked;
    if (endpoint?.kind !== "putManifest" || isDigest(endpoint.reference)) return next(asked);
    const there = await store.manifest(endpoint.repository, endpoint.reference);
    if (there === undefined || Buffer.from(there.bytes).equals(Buffer.from(asked.body))) return next(asked);
    return refusal(
      status,
      status === 400 ? "TAG_INVALID" : "DENIED",
      `tag ${endpoint.reference} is immutable`,
    );
  };
}

/** Of one manifest that has blobs, the first is gone once. */
function forgetsBlobsOnce(store: RegistryStore): Quirk {
  let done = false;
  return async (asked, next) => {
    const { endpoint } = asked;
    if (done || endpoint?.kind !== "putManifest") return next(asked);
    const { config }: { config?: { digest: string } } = JSON.parse(new TextDecoder().decode(asked.body));
    if (config === undefined || !isDigest(config.digest)) return next(asked);
    done = true;
    await store.deleteBlob(endpoint.repository, config.digest);
    return next(asked);
  };
}

function dropsFirst(at: number): Quirk {
  const met = new Set<string>();
  return async (asked, next) => {
    const given = await next(asked);
    const isFirst = asked.endpoint?.kind === "getManifest" && !met.has(asked.url.pathname);
    met.add(asked.url.pathname);
    return isFirst && given.status === 200 ? { ...given, cutAt: at } : given;
  };
}

const particular: Quirk = async (asked, next) => {
  if (asked.endpoint?.kind !== "putManifest") return next(asked);
  const { mediaType, config }: { mediaType?: string; config?: { annotations?: unknown } } = JSON.parse(
    new TextDecoder().decode(asked.body),
  );
  if (mediaType !== undefined && config?.annotations === undefined) return next(asked);
  const message = "Invalid parameter at 'ImageManifest' failed to satisfy constraint: 'Invalid JSON syntax'";
  return refusal(405, "UNSUPPORTED", message);
};

function limited(bytes: number): Quirk {
  return async (asked, next) =>
    asked.endpoint?.kind === "putManifest" && asked.body.length > bytes
      ? refusal(413, "SIZE_INVALID")
      : next(asked);
}

function putAnswers(status: number): Quirk {
  return async (asked, next) => {
    const given = await next(asked);
    return asked.endpoint?.kind === "putManifest" && given.status === 201 ? { ...given, status } : given;
  };
}
