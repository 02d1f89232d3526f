import { compareBytewise } from "../oci/reference.ts";
import { END_MARKER_BYTES, encodeFolderHeader, encodeHeader, padded } from "./header.ts";

export interface FolderFile {
  /** Below the folder, with `/` between its parts. */
  path: string;
  bytes: Uint8Array;
}

/**
 * A folder and its files as a tar: equal files give equal bytes. In the order of Go's `filepath.Walk`: each folder
 * before what is in it, and that by name.
 */
export function tarFolder(folder: string, files: readonly FolderFile[]): Uint8Array {
  const contents = new Map<string, Uint8Array | undefined>([[folder, undefined]]);
  for (const { path, bytes } of files) {
    const full = `${folder}/${path}`;
    for (let end = full.lastIndexOf("/"); end > folder.length; end = full.lastIndexOf("/", end - 1)) {
      contents.set(full.slice(0, end), undefined);
    }
    contents.set(full, bytes);
  }
  // No name has a byte that is less than the one between the parts of this.
  const inOrder = [...contents].sort(([a], [b]) => compareBytewise(ordered(a), ordered(b)));
  const blocks = inOrder.flatMap(([name, bytes]) => {
    if (bytes === undefined) return [encodeFolderHeader(name)];
    return [encodeHeader(name, bytes.length), bytes, new Uint8Array(padded(bytes.length) - bytes.length)];
  });
  return Buffer.concat([...blocks, new Uint8Array(END_MARKER_BYTES)]);
}

function ordered(name: string): string {
  return name.replaceAll("/", "\0");
}
