import { closeSync, openSync, readSync, statSync } from "node:fs";
import { isatty } from "node:tty";
import { CombinedSource } from "../archive/combined.ts";
import { compressionOf, detect, unpacked } from "../archive/compression.ts";
import { readPipe } from "../archive/pipe-file.ts";
import { PipeSource } from "../archive/pipe-source.ts";
import { TarStream } from "../archive/tar-stream.ts";
import { throwAll } from "../eksa/failures.ts";
import { Fault } from "../oci/fault.ts";
import type { Plan, Root } from "../oci/plan.ts";
import { formatReference } from "../oci/reference.ts";

const STDIN = 0;

export type ImportSource = CombinedSource | PipeSource;

/** The archives to import. Fails where one of several cannot be read by offset. */
export async function openInputs(inputs: readonly string[], signal: AbortSignal): Promise<ImportSource> {
  const [only] = inputs;
  if (only !== undefined && inputs.length === 1) return openInput(only, signal);
  const piped = inputs.find((input) => input === "-" || isCompressedFile(input));
  if (piped === undefined) return new CombinedSource(inputs);
  throw new Fault(
    `cannot read several archives at once when one is ${piped === "-" ? "a pipe" : "compressed"}`,
    {
      hint: "save each as a plain tar in a file",
      kind: "usage",
    },
  );
}

/** Fails where two of the archives, of which neither is a delta of the other, give one name to two contents. */
export function assertAgreed(source: ImportSource, { roots }: Plan): void {
  if (!(source instanceof CombinedSource)) return;
  const taken = new Map<string, Root>();
  const failures: Fault[] = [];
  for (const root of roots) {
    const { reference, descriptor, nameless } = root;
    const name = formatReference(reference);
    const other = nameless ? undefined : taken.get(name);
    if (!nameless && other === undefined) taken.set(name, root);
    if (other === undefined || other.descriptor.digest === descriptor.digest) continue;
    const places = [other, root].map(({ descriptor: { digest } }) => {
      return `${digest} in ${source.namedIn({ ...reference, digest }).join(", ")}`;
    });
    const hint = "import the archives one after the other: the name is then that of the later one";
    failures.push(new Fault(`cannot tell which content ${name} is: ${places.join(", ")}`, { hint }));
  }
  throwAll("cannot import archives that disagree", failures);
}

/**
 * An archive to import, as the user named it: a file, or `-` for stdin. A plain tar on disk is read in place;
 * what is compressed, or comes out of a pipe, is read once, from its start to its end.
 */
async function openInput(input: string, signal: AbortSignal): Promise<ImportSource> {
  if (input === "-") {
    if (isatty(STDIN)) {
      throw new Fault("cannot read an archive from the terminal", {
        hint: "pipe an archive in, or name a file with `--input FILE`",
        kind: "usage",
      });
    }
    return openPipe("the archive on stdin", STDIN, signal);
  }
  if (!isCompressedFile(input)) return new CombinedSource([input]);
  // Never closed: a read may be under way until the run ends.
  return openPipe(input, openOrFail(input), signal);
}

async function openPipe(name: string, file: number, signal: AbortSignal): Promise<PipeSource> {
  const { compression, stream } = await detect(readPipe(file, signal));
  const tar = new TarStream(name, unpacked(stream, { name, compression }), {
    isFile: file !== STDIN,
  });
  try {
    return await PipeSource.open(tar);
  } catch (error) {
    tar.close().catch(() => {});
    throw error;
  }
}

/** Looked at before it is opened: to open a pipe would wait for a writer. */
function isCompressedFile(path: string): boolean {
  if (!statSync(path, { throwIfNoEntry: false })?.isFile()) return false;
  const file = openOrFail(path);
  try {
    const start = new Uint8Array(4);
    return compressionOf(start.subarray(0, readSync(file, start))) !== "none";
  } finally {
    closeSync(file);
  }
}

function openOrFail(path: string): number {
  try {
    return openSync(path, "r");
  } catch (cause) {
    throw new Fault(`cannot open ${path}`, { cause });
  }
}
