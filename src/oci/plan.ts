import type { Descriptor } from "./descriptor.ts";
import type { Digest } from "./digest.ts";
import type { ManifestBytes } from "./manifest.ts";
import type { Reference, RepositoryName } from "./reference.ts";

/** One piece of content, whatever the number of places that want it. */
export interface Node {
  descriptor: Descriptor;
  kind: "manifest" | "blob";
  /** What this manifest refers to, in its order, each once; empty for a blob. */
  children: readonly Digest[];
  /** The manifest that this one is about. It goes first where it is in the plan, and is no child. */
  subject?: Digest;
  /** Every repository that wants it, in order of first use. */
  repositories: ReadonlySet<RepositoryName>;
  /** The content itself where it is already known: always for a manifest, seldom for a blob. */
  bytes?: Uint8Array;
}

/** A name and the manifest it stands for. */
export interface Root {
  reference: Reference;
  descriptor: Descriptor;
  /** Of a referrer: it is found by its subject, belongs to a repository, and gets no tag there. */
  nameless?: true;
  /** Of an index that was pruned to some platforms: what the name stands for at its origin. */
  original?: Digest;
}

/** All that is to be moved, as plain data. */
export interface Plan {
  /** In the order of the archive's index. */
  roots: readonly Root[];
  /** Children before parents; blobs in order of first use by the roots. */
  nodes: ReadonlyMap<Digest, Node>;
}

/**
 * Bytes that a reader checks as they come: they may be wrong, short or never end. Each chunk is the reader's own,
 * to free when it is done with it.
 */
export type ByteStream = AsyncIterable<Uint8Array>;

/** Where content comes from. */
export interface Source {
  /** The manifest that a reference stands for; its bytes match the reference's digest where it has one. */
  manifest(reference: Reference): Promise<ManifestBytes>;
  /** The content of a blob from byte `from` (default: 0) on; not yet verified. */
  open(node: Node, from?: number): Promise<ByteStream>;
  /**
   * What signs or describes a manifest, in the manifest's repository: by tag where it has a name there,
   * else by digest. Absent where a source cannot tell.
   */
  referrers?(subject: Reference & { digest: Digest }): Promise<Reference[]>;
  /** What a pruned index was pruned from. Absent where nothing is pruned. */
  original?(reference: Reference): Digest | undefined;
  /** A file's slice that holds exactly the blob, where there is one: the kernel can send it by itself. */
  slice?(node: Node): Blob | undefined;
  /**
   * Content comes from a pipe: each blob can be opened once, from its start, in the order of the plan. An
   * `open` waits until the blobs before it are read or settled. Default: false.
   */
  readonly isOnePass?: boolean;
  /** Only manifests are there for certain: blobs may be elsewhere, as those of a delta are. Default: false. */
  readonly mayLackBlobs?: boolean;
  /** Of a one-pass source: the node is kept from its first `open` until it is settled, and can be opened again. */
  isReplayable?(node: Node): boolean;
  /** Of a one-pass source: waits until it is the node's turn, and `open` has to wait for no other one. */
  ready?(node: Node): Promise<void>;
  /** Nobody will open the node from now on, whether it was opened or not. */
  settle?(node: Node): void;
}

/** One node's bytes, on offer to a sink: asked for only when needed, again for each retry. */
export interface Content {
  /**
   * The bytes from `from` (default: 0) on. Verified while they stream: fails at the end, at the latest, when
   * the whole is not the node's, for which what lies before `from` is read as well: from `held`, where the
   * sink has kept these bytes of an earlier try, else from the source, as far as no earlier reading has hashed it.
   */
  stream(from?: number, held?: ByteStream): ByteStream;
  /**
   * The bytes from `from` (default: 0) up to but not including `to` (default: the end). Unverified; only for
   * a sink whose other end checks the digest itself.
   */
  slice(from?: number, to?: number): Blob | undefined;
  /** The bytes can be streamed once only, from the first on. Default: false. */
  readonly isOnePass?: boolean;
  /**
   * Waits until the bytes can be had without other content being moved first. Whoever holds what others need to be
   * moved, e.g. one of few requests at a time, must wait for this before.
   */
  ready?(): Promise<void>;
}

/** `present`: it was there already. `mounted`: nothing was sent. */
export type Outcome = "present" | "copied" | "mounted";

/** Where content goes. */
export interface Sink {
  /**
   * Makes the node present wherever it is wanted; its children already are. `placed` is told what became of it in
   * each place that keeps it for itself, as a repository does; where there is one place only, nobody need be told.
   */
  put(node: Node, content: Content, placed?: (outcome: Outcome) => void): Promise<Outcome>;
  /** Gives a root its name, once everything below it is there. */
  tag(root: Root): Promise<void>;
}
