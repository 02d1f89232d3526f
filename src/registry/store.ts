import type { Digest } from "../oci/digest.ts";
import type { ByteStream } from "../oci/plan.ts";

/** A blob that is there; nothing of it is read before it is asked for. */
export interface StoredBlob {
  /** bytes */
  readonly size: number;
  /** The bytes from `start` up to but not including `end`. */
  read(start: number, end: number): Blob | ReadableStream<Uint8Array>;
}

export interface StoredManifest {
  digest: Digest;
  mediaType: string;
  bytes: Uint8Array;
}

/** What a registry holds, for reading. Content of one repository is invisible in every other. */
export interface RegistryContent {
  blob(repository: string, digest: Digest): Promise<StoredBlob | undefined>;
  /** `reference` is a tag or a digest. */
  manifest(repository: string, reference: string): Promise<StoredManifest | undefined>;
  /** In bytewise order; undefined when there is no such repository. */
  tags(repository: string): Promise<string[] | undefined>;
  /** In bytewise order. */
  repositories(): Promise<string[]>;
  /** The manifests that name `subject` as theirs, in bytewise order of their digests. */
  referrers(repository: string, subject: Digest): Promise<StoredManifest[]>;
}

/** A blob on its way in. A failed `append` keeps what had arrived. */
export interface Upload {
  readonly id: string;
  /** Bytes that have arrived. */
  readonly size: number;
  append(bytes: ByteStream): Promise<void>;
  /** Makes it a blob of its repository, or ends it with DIGEST_INVALID when it is another one. */
  commit(digest: Digest): Promise<void>;
  cancel(): Promise<void>;
}

export interface NewManifest extends StoredManifest {
  tag?: string | undefined;
  subject?: Digest | undefined;
}

/** A registry that takes content. It checks bytes against digests; the rules of the API are the server's. */
export interface RegistryStore extends RegistryContent {
  startUpload(repository: string): Promise<Upload>;
  upload(repository: string, id: string): Upload | undefined;
  /** Whether `repository` has the blob now, because `from` has it. */
  mount(repository: string, digest: Digest, from: string): Promise<boolean>;
  putManifest(repository: string, manifest: NewManifest): Promise<void>;
  /** The following say whether there was anything to delete. */
  deleteBlob(repository: string, digest: Digest): Promise<boolean>;
  deleteManifest(repository: string, digest: Digest): Promise<boolean>;
  deleteTag(repository: string, tag: string): Promise<boolean>;
}
