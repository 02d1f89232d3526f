import type { Descriptor } from "../oci/descriptor.ts";
import type { ByteStream, Node, Source } from "../oci/plan.ts";
import { verified } from "../oci/verified.ts";
import type { Extent, FileSet } from "./files.ts";
import type { Kept } from "./journal.ts";
import type { Layout } from "./layout.ts";

/** Bytes of an unfinished export of another plan. */
export interface Earlier {
  files: FileSet;
  layout: Layout;
  kept: Kept;
}

/** A source that copies what unfinished exports have in full, after hashing it, and fetches the rest. */
export function reusing(source: Source, earlier: readonly Earlier[]): Source {
  if (earlier.length === 0) return source;
  const open = async (node: Node, from = 0): Promise<ByteStream> => {
    const { digest, size } = node.descriptor;
    for (const { files, layout, kept } of earlier) {
      const extent = layout.byDigest.get(digest);
      if (extent === undefined || kept.get(digest) !== size) continue;
      if (!(await isWhole(files, extent, node.descriptor))) continue;
      return files.chunks({ offset: extent.offset + from, size: size - from });
    }
    return source.open(node, from);
  };
  return {
    manifest: (reference) => source.manifest(reference),
    open,
  };
}

async function isWhole(files: FileSet, { offset, size }: Extent, wanted: Descriptor): Promise<boolean> {
  try {
    for await (const _ of verified(files.chunks({ offset, size }), wanted));
    return true;
  } catch {
    // Wrong, cut short or not to be read: it is fetched.
    return false;
  }
}
