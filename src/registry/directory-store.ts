import { randomUUID } from "node:crypto";
import { mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join, relative, sep } from "node:path";
import { algorithmOf, type Digest, digestOf, hexOf, isDigest } from "../oci/digest.ts";
import { compareBytewise, isRepository, isTag } from "../oci/reference.ts";
import { DirectoryUpload } from "./directory-upload.ts";
import { RegistryError } from "./errors.ts";
import type { NewManifest, RegistryStore, StoredBlob, StoredManifest, Upload } from "./store.ts";

/**
 * A registry in a directory. Deleting takes names away, not the content behind them.
 * ```
 * blobs/sha256/<hex>                                  all content, manifests too
 * uploads/<id>                                        what has not arrived whole
 * repositories/<name>/_blobs/sha256/<hex>             empty: the repository has this blob
 * repositories/<name>/_manifests/sha256/<hex>         the manifest's media type
 * repositories/<name>/_tags/<tag>                     the digest it stands for
 * repositories/<name>/_referrers/<hex>/sha256/<hex>   empty: a referrer of the first
 * ```
 * No component of a repository's name begins with `_`.
 */
export class DirectoryStore implements RegistryStore {
  readonly #root: string;
  readonly #uploads = new Map<string, { repository: string; upload: DirectoryUpload }>();

  constructor(root: string) {
    this.#root = root;
  }

  async blob(repository: string, digest: Digest): Promise<StoredBlob | undefined> {
    if (!(await Bun.file(this.#link(repository, "_blobs", digest)).exists())) return;
    const file = Bun.file(this.#content(digest));
    return { size: file.size, read: (start, end) => file.slice(start, end) };
  }

  async manifest(repository: string, reference: string): Promise<StoredManifest | undefined> {
    const digest = isDigest(reference) ? reference : await textOf(this.#tag(repository, reference));
    if (digest === undefined || !isDigest(digest)) return;
    const mediaType = await textOf(this.#link(repository, "_manifests", digest));
    if (mediaType === undefined) return;
    return { digest, mediaType, bytes: await Bun.file(this.#content(digest)).bytes() };
  }

  async tags(repository: string): Promise<string[] | undefined> {
    const path = this.#repository(repository);
    if ((await namesIn(join(path, "_manifests"))).length === 0) return;
    return (await namesIn(join(path, "_tags"))).sort(compareBytewise);
  }

  async repositories(): Promise<string[]> {
    const top = join(this.#root, "repositories");
    const found: string[] = [];
    const walk = async (path: string): Promise<void> => {
      const names = await namesIn(path);
      if (names.includes("_manifests")) found.push(relative(top, path).split(sep).join("/"));
      for (const name of names) if (!name.startsWith("_")) await walk(join(path, name));
    };
    await walk(top);
    return found.sort(compareBytewise);
  }

  async referrers(repository: string, subject: Digest): Promise<StoredManifest[]> {
    const path = this.#referrersOf(repository, subject);
    const digests: string[] = [];
    for (const algorithm of await namesIn(path)) {
      for (const hex of await namesIn(join(path, algorithm))) digests.push(`${algorithm}:${hex}`);
    }
    const found = await Promise.all(
      digests.sort(compareBytewise).map((one) => this.manifest(repository, one)),
    );
    return found.filter((one) => one !== undefined);
  }

  async startUpload(repository: string): Promise<Upload> {
    const id = randomUUID();
    const path = join(this.#root, "uploads", id);
    await place(path, "");
    const upload = new DirectoryUpload(id, path, {
      commit: async (digest) => {
        this.#uploads.delete(id);
        await mkdir(dirname(this.#content(digest)), { recursive: true });
        await rename(path, this.#content(digest));
        await place(this.#link(repository, "_blobs", digest), "");
      },
      cancel: async () => {
        this.#uploads.delete(id);
        await rm(path, { force: true });
      },
    });
    this.#uploads.set(id, { repository, upload });
    return upload;
  }

  upload(repository: string, id: string): Upload | undefined {
    const found = this.#uploads.get(id);
    return found?.repository === repository ? found.upload : undefined;
  }

  async mount(repository: string, digest: Digest, from: string): Promise<boolean> {
    if ((await this.blob(from, digest)) === undefined) return false;
    await place(this.#link(repository, "_blobs", digest), "");
    return true;
  }

  async putManifest(repository: string, manifest: NewManifest): Promise<void> {
    const { digest, mediaType, bytes, tag, subject } = manifest;
    if (digestOf(bytes, algorithmOf(digest)) !== digest) {
      throw new RegistryError("DIGEST_INVALID", `the manifest is not ${digest}`);
    }
    await place(this.#content(digest), bytes);
    await place(this.#link(repository, "_manifests", digest), mediaType);
    if (subject !== undefined) {
      await place(join(this.#referrersOf(repository, subject), algorithmOf(digest), hexOf(digest)), "");
    }
    if (tag !== undefined) await place(this.#tag(repository, tag), digest);
  }

  async deleteBlob(repository: string, digest: Digest): Promise<boolean> {
    return removed(this.#link(repository, "_blobs", digest));
  }

  async deleteManifest(repository: string, digest: Digest): Promise<boolean> {
    for (const tag of (await this.tags(repository)) ?? []) {
      const path = this.#tag(repository, tag);
      if ((await textOf(path)) === digest) await removed(path);
    }
    return removed(this.#link(repository, "_manifests", digest));
  }

  async deleteTag(repository: string, tag: string): Promise<boolean> {
    return removed(this.#tag(repository, tag));
  }

  #content(digest: Digest): string {
    return join(this.#root, "blobs", algorithmOf(digest), hexOf(digest));
  }

  /** Names become paths here, so they are checked here, whoever calls. */
  #repository(name: string): string {
    if (!isRepository(name)) throw new RegistryError("NAME_INVALID", `\`${name}\` is not a repository name`);
    return join(this.#root, "repositories", ...name.split("/"));
  }

  #link(repository: string, folder: "_blobs" | "_manifests", digest: Digest): string {
    return join(this.#repository(repository), folder, algorithmOf(digest), hexOf(digest));
  }

  #tag(repository: string, tag: string): string {
    if (!isTag(tag)) throw new RegistryError("MANIFEST_INVALID", `\`${tag}\` is not a tag`);
    return join(this.#repository(repository), "_tags", tag);
  }

  #referrersOf(repository: string, subject: Digest): string {
    return join(this.#repository(repository), "_referrers", hexOf(subject));
  }
}

/** Writes a file so that nobody ever reads half of it. */
async function place(path: string, content: string | Uint8Array): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const partial = `${path}.${randomUUID()}~`;
  await writeFile(partial, content);
  await rename(partial, path);
}

async function removed(path: string): Promise<boolean> {
  try {
    await rm(path);
    return true;
  } catch (error) {
    if (isAbsent(error)) return false;
    throw error;
  }
}

async function textOf(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (isAbsent(error)) return;
    throw error;
  }
}

/** Empty when there is no such directory; without files that are being written. */
async function namesIn(path: string): Promise<string[]> {
  try {
    return (await readdir(path)).filter((name) => !name.endsWith("~"));
  } catch (error) {
    if (isAbsent(error)) return [];
    throw error;
  }
}

function isAbsent(error: unknown): boolean {
  return error instanceof Error && "code" in error && (error.code === "ENOENT" || error.code === "ENOTDIR");
}
