/**
 * Gives a Mach-O executable an ad hoc signature, as Apple's linker does: the hash of each page, and nobody's name.
 * Bun signs what it compiles for Apple silicon; for Intel it leaves its own signature in place, which does not cover
 * the program and by which macOS would end it.
 * https://github.com/apple-oss-distributions/xnu/blob/main/EXTERNAL_HEADERS/mach-o/loader.h
 * https://github.com/apple-oss-distributions/xnu/blob/main/osfmk/kern/cs_blobs.h
 */

const MACHO_64 = 0xfeedfacf;
const HEADER_SIZE = 32;
const LC_SEGMENT_64 = 0x19;
const LC_CODE_SIGNATURE = 0x1d;
/** Segments begin and end at a multiple of it. */
const SEGMENT_ALIGNMENT = 0x4000;

const EMBEDDED_SIGNATURE = 0xfade0cc0;
const CODE_DIRECTORY = 0xfade0c02;
/** The first version with the bounds of the executable segment. */
const CODE_DIRECTORY_VERSION = 0x20400;
const ADHOC_AND_LINKER_SIGNED = 0x2_0002;
const SHA256 = { type: 2, size: 32 };
const PAGE_SHIFT = 12;
const PAGE = 1 << PAGE_SHIFT;
const MAIN_BINARY = 1;

/** Of the super blob with its one entry, and of the code directory. */
const SUPER_BLOB_SIZE = 20;
const DIRECTORY_SIZE = 88;

interface Segment {
  /** Where its load command begins. */
  command: number;
  fileOffset: number;
  fileSize: number;
}

/** The whole file anew; `identifier` is the name in the signature. Throws where the file is none that can be signed. */
export function signAdHoc(file: Uint8Array, identifier: string): Uint8Array {
  const { signature, text, linkEdit } = commandsOf(viewOf(file));
  const codeLimit = viewOf(file).getUint32(signature + 8, true);
  const pages = Math.ceil(codeLimit / PAGE);
  const name = new TextEncoder().encode(`${identifier}\0`);
  const directorySize = DIRECTORY_SIZE + name.length + pages * SHA256.size;
  const size = SUPER_BLOB_SIZE + directorySize;

  const signed = new Uint8Array(codeLimit + size);
  signed.set(file.subarray(0, codeLimit));
  const view = viewOf(signed);
  view.setUint32(signature + 12, size, true);
  const linkEditSize = codeLimit + size - linkEdit.fileOffset;
  view.setBigUint64(linkEdit.command + 48, BigInt(linkEditSize), true);
  const inMemory = Math.ceil(linkEditSize / SEGMENT_ALIGNMENT) * SEGMENT_ALIGNMENT;
  view.setBigUint64(linkEdit.command + 32, BigInt(inMemory), true);

  putWords(view, codeLimit, [EMBEDDED_SIGNATURE, size, 1, 0, SUPER_BLOB_SIZE]);
  const start = codeLimit + SUPER_BLOB_SIZE;
  const hashOffset = DIRECTORY_SIZE + name.length;
  // magic, length, version, flags, hashOffset, identOffset, nSpecialSlots, nCodeSlots, codeLimit
  const about = [CODE_DIRECTORY, directorySize, CODE_DIRECTORY_VERSION, ADHOC_AND_LINKER_SIGNED];
  putWords(view, start, [...about, hashOffset, DIRECTORY_SIZE, 0, pages, codeLimit]);
  // hashSize, hashType, platform, pageSize
  signed.set([SHA256.size, SHA256.type, 0, PAGE_SHIFT], start + 36);
  view.setBigUint64(start + 64, BigInt(text.fileOffset));
  view.setBigUint64(start + 72, BigInt(text.fileSize));
  view.setBigUint64(start + 80, BigInt(MAIN_BINARY));
  signed.set(name, start + DIRECTORY_SIZE);
  for (let page = 0; page < pages; page++) {
    const bytes = signed.subarray(page * PAGE, Math.min((page + 1) * PAGE, codeLimit));
    signed.set(
      new Bun.CryptoHasher("sha256").update(bytes).digest(),
      start + hashOffset + page * SHA256.size,
    );
  }
  return signed;
}

/** `signature`: where the load command of the present signature begins. */
function commandsOf(view: DataView): { signature: number; text: Segment; linkEdit: Segment } {
  if (view.getUint32(0, true) !== MACHO_64) throw new Error("cannot sign it: it is no 64-bit Mach-O file");
  const count = view.getUint32(16, true);
  const segments = new Map<string, Segment>();
  let signature: number | undefined;
  for (let left = count, at = HEADER_SIZE; left > 0; left--) {
    const command = view.getUint32(at, true);
    if (command === LC_CODE_SIGNATURE) signature = at;
    if (command === LC_SEGMENT_64) {
      const [fileOffset, fileSize] = [view.getBigUint64(at + 40, true), view.getBigUint64(at + 48, true)];
      const segment = { command: at, fileOffset: Number(fileOffset), fileSize: Number(fileSize) };
      segments.set(nameAt(view, at + 8), segment);
    }
    at += view.getUint32(at + 4, true);
  }
  const [text, linkEdit] = [segments.get("__TEXT"), segments.get("__LINKEDIT")];
  if (signature === undefined || text === undefined || linkEdit === undefined) {
    throw new Error("cannot sign it: it has no room for a signature");
  }
  return { signature, text, linkEdit };
}

function nameAt(view: DataView, at: number): string {
  const bytes = new Uint8Array(view.buffer, view.byteOffset + at, 16);
  return new TextDecoder().decode(bytes).replace(/\0.*$/s, "");
}

/** Big-endian, as all of a signature is. */
function putWords(view: DataView, at: number, words: readonly number[]): void {
  for (const [index, word] of words.entries()) view.setUint32(at + 4 * index, word);
}

function viewOf({ buffer, byteOffset, byteLength }: Uint8Array): DataView {
  return new DataView(buffer, byteOffset, byteLength);
}
