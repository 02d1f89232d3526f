import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { resolve } from "node:path";
import { Fault } from "../oci/fault.ts";
import { MEND } from "./failures.ts";
import { displayUri, isHttp, schemeOf } from "./uri.ts";

/**
 * The bytes behind a URI, or undefined when nothing here can resolve such a URI (`embed:`). `title`: one of those
 * that it has in the artifact of its Bundles.
 */
export type ReadDocument = (uri: string, title: string) => Promise<Uint8Array | undefined>;

export interface ReaderOptions {
  /** One way to the network: it decides on plain HTTP, proxies and retries. */
  http: (url: string) => Promise<Uint8Array>;
  /** The one file of the artifact at an `oci://` URI. */
  oci: (uri: string) => Promise<Uint8Array>;
  /** A path means something only in a Bundles that is a local file itself. */
  paths: "read" | "unresolved";
  /** What relative paths are relative to: the working directory, not the Bundles' folder. */
  directory: string;
}

export const MAX_FILE_BYTES = 32 * 1024 * 1024;

export function createReader({
  http,
  oci,
  paths,
  directory,
}: ReaderOptions): (uri: string) => ReturnType<ReadDocument> {
  return async (uri) => {
    if (isHttp(uri)) return bounded(await http(uri), uri);
    if (schemeOf(uri) === "oci") return bounded(await oci(uri), uri);
    if (schemeOf(uri) !== undefined || paths === "unresolved") return;
    const path = resolve(directory, uri);
    // A Bundles comes from elsewhere: what it names must not make us wait on a pipe or a terminal.
    if (!(await stat(path)).isFile()) {
      throw new Fault(`cannot read ${path}: it is not a file`, { hint: MEND });
    }
    return readLocal(path);
  };
}

/** At most one byte more than the limit, whatever the file becomes meanwhile; a pipe may never end. */
async function readFile(path: string): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of createReadStream(path, { end: MAX_FILE_BYTES })) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** A local file, or a pipe as `<(…)` makes one. Fails when there is more than a document may have. */
export async function readLocal(path: string): Promise<Uint8Array> {
  return bounded(await readFile(path), path);
}

function bounded(bytes: Uint8Array, uri: string): Uint8Array {
  if (bytes.length <= MAX_FILE_BYTES) return bytes;
  throw new Fault(
    `cannot read ${displayUri(uri)}: it is larger than ${MAX_FILE_BYTES} bytes, the most that a YAML file may have`,
    { hint: "see what it is: neither a release nor a cluster has a file so large" },
  );
}
