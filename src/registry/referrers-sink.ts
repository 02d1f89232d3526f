import { ContentLost } from "../oci/content-lost.ts";
import { type Descriptor, MEDIA_TYPE } from "../oci/descriptor.ts";
import { type Digest, digestOf } from "../oci/digest.ts";
import { Fault } from "../oci/fault.ts";
import { isRecord, MAX_MANIFEST_BYTES, parseManifest } from "../oci/manifest.ts";
import { describeReferrer } from "./referrer.ts";
import { listReferrers, readTag, referrersTag } from "./referrers.ts";
import { sendManifest } from "./sink-manifests.ts";
import type { StoredManifest } from "./store.ts";
import type { UploadTarget } from "./upload-target.ts";

/** Keeps the lists of referrers in registries that do not keep them by themselves. */
export class ReferrersSink {
  /** The last writer of each list, by the list's address: reading and writing one is not one step. */
  readonly #writers = new Map<string, Promise<void>>();

  /**
   * Sees to it that a manifest which is there is found by its subject; does nothing when it has none.
   * `answer`: the registry's to the PUT, where there was one: `OCI-Subject` says that it has done it.
   * Spec: distribution-spec, "Pushing Manifests with Subject".
   */
  async enter(target: UploadTarget, manifest: StoredManifest, answer?: Response): Promise<void> {
    const subject = parseManifest(manifest.bytes).subject?.digest;
    if (subject === undefined || answer?.headers.get("oci-subject") === subject) return;
    const { client, repository } = target;
    const reference = referrersTag(subject);
    const { href } = await client.urlOf({ kind: "getManifest", repository, reference });
    const before = this.#writers.get(href) ?? Promise.resolve();
    const own = before.then(() => enter(target, { manifest, subject }));
    // One that fails is told to its own caller only.
    const settled = own.catch(() => {});
    this.#writers.set(href, settled);
    try {
      await own;
    } catch (cause) {
      throw new Fault(`cannot list ${manifest.digest} among the referrers of ${subject}`, { cause });
    }
  }
}

async function enter(
  target: UploadTarget,
  { manifest, subject }: { manifest: StoredManifest; subject: Digest },
): Promise<void> {
  const isThere = ({ digest }: { digest: Digest }) => digest === manifest.digest;
  const listed = await listReferrers(target, subject);
  if (listed?.some(isThere)) return;
  const tag = referrersTag(subject);
  const list = readList((await readTag(target, tag))?.bytes, tag);
  if (list.entries.some(isThere)) return;
  await send(target, tag, { list, added: describeReferrer(manifest) });
}

/** A list as an index holds it; fields that we do not know are kept. */
interface ReferrersList {
  document: Record<string, unknown>;
  entries: readonly Pick<Descriptor, "digest">[];
}

/** Fails where something else has the tag: writing over it would lose it. */
function readList(bytes: Uint8Array | undefined, tag: string): ReferrersList {
  if (bytes === undefined) return { document: {}, entries: [] };
  const { mediaType, manifests } = parseManifest(bytes);
  const document: unknown = JSON.parse(new TextDecoder().decode(bytes));
  if (mediaType !== MEDIA_TYPE.ociIndex || !isRecord(document)) {
    throw new Fault(
      `cannot write the tag \`${tag}\`: it should be a list of referrers, and is ${mediaType}`,
      {
        hint: "delete that tag in the registry, if nobody needs it",
      },
    );
  }
  const raw: unknown[] = Array.isArray(document.manifests) ? document.manifests : [];
  const entries = manifests.map((entry, index) => Object.assign({}, raw[index], { digest: entry.digest }));
  return { document, entries };
}

/** Sends a list with one entry more, and without those that the registry refuses since what they name is gone. */
async function send(
  target: UploadTarget,
  reference: string,
  { list, added }: { list: ReferrersList; added: Descriptor },
): Promise<void> {
  const bytes = encodeList(list, added);
  const { ociIndex: mediaType } = MEDIA_TYPE;
  try {
    await sendManifest(target, { reference, digest: digestOf(bytes), mediaType, bytes });
  } catch (error) {
    if (!(error instanceof ContentLost)) throw error;
    const entries = list.entries.filter(({ digest }) => !error.digests.includes(digest));
    if (entries.length === list.entries.length || error.digests.includes(added.digest)) throw error;
    await send(target, reference, { list: { ...list, entries }, added });
  }
}

function encodeList({ document, entries }: ReferrersList, added: Descriptor): Uint8Array {
  const head = { schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex };
  const index = { ...head, ...document, manifests: [...entries, added] };
  const bytes = new TextEncoder().encode(JSON.stringify(index));
  if (bytes.length <= MAX_MANIFEST_BYTES) return bytes;
  throw new Fault(`cannot write a list of ${bytes.length} bytes: registries take ${MAX_MANIFEST_BYTES}`, {
    hint: "delete in the registry what signs or describes it, and nobody needs",
  });
}
