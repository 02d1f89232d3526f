import { type Digest, digestOf } from "../oci/digest.ts";
import type { Root } from "../oci/plan.ts";
import { formatReference } from "../oci/reference.ts";
import type { Defect } from "./defect.ts";
import type { Extent } from "./files.ts";
import { INDEX_FILE } from "./layout.ts";
import type { TarFile } from "./reader.ts";
import { type ArchiveRoot, MAX_INDEX_BYTES, surveyIndex } from "./roots.ts";

export interface IndexReading {
  roots: Root[];
  /** Of a delta: the index digests of the archives that it builds on. */
  bases: Digest[];
  /** Of the whole file; absent where it is not read. */
  digest?: Digest;
  defects: Defect[];
}

/** All that can be read of an `index.json`; each entry that cannot be, or has two names, is a defect. */
export function inspectIndex(tar: TarFile, { offset, size }: Extent): IndexReading {
  const defect = (why: string): Defect => {
    return { kind: "corrupt", offset, detail: `\`${INDEX_FILE}\`: ${why}` };
  };
  if (size > MAX_INDEX_BYTES) {
    return { roots: [], bases: [], defects: [defect(`it has ${size} bytes, over ${MAX_INDEX_BYTES}`)] };
  }
  const bytes = tar.read(offset, size);
  const { roots, bases, faults } = surveyIndex(bytes, tar.path);
  const broken = faults.map(({ cause, message, hint, kind }) => ({
    ...defect(cause instanceof Error ? cause.message : message),
    // What was written so cannot be mended by another copy.
    ...(kind === "mismatch" ? {} : { hint }),
  }));
  const conflicts = roots.flatMap(({ reference, otherName }) =>
    otherName === undefined
      ? []
      : defect(`${formatReference(reference)} is also ${formatReference(otherName)}`),
  );
  const defects = [...broken, ...conflicts];
  return { roots: roots.map(asRoot), bases, digest: digestOf(bytes), defects };
}

function asRoot({ reference, isNamed, descriptor, original }: ArchiveRoot): Root {
  const { mediaType, digest, size } = descriptor;
  const root = { reference, descriptor: { mediaType, digest, size }, ...(original && { original }) };
  return isNamed ? root : { ...root, nameless: true };
}
