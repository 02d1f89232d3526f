/** What the signature of a Mach-O file says, by the layout of Apple's `cs_blobs.h`. */
export interface Signature {
  identifier: string;
  flags: number;
  /** Bytes of the file that it is about. */
  codeLimit: number;
  /** Pages whose hash is another one. */
  wrong: number[];
  /** Where it begins, and where it, its segment and the file end. */
  start: number;
  ends: number[];
}

export function signatureOf(file: Buffer): Signature {
  const commands: [command: number, at: number][] = [];
  for (let left = file.readUInt32LE(16), at = 32; left > 0; left--) {
    commands.push([file.readUInt32LE(at), at]);
    at += file.readUInt32LE(at + 4);
  }
  const [, command = 0] = commands.find(([kind]) => kind === 0x1d) ?? [];
  const start = file.readUInt32LE(command + 8);
  const end = start + file.readUInt32LE(command + 12);
  const linkEdit = commands.filter(([kind]) => kind === 0x19).at(-1)?.[1] ?? 0;
  const segmentEnd = Number(file.readBigUInt64LE(linkEdit + 40) + file.readBigUInt64LE(linkEdit + 48));

  if (file.readUInt32BE(start) !== 0xfade0cc0) throw new Error("there is no signature");
  const directory = start + file.readUInt32BE(start + 16);
  if (file.readUInt32BE(directory) !== 0xfade0c02) throw new Error("there is no code directory");
  const word = (index: number) => file.readUInt32BE(directory + 4 * index);
  const [flags, hashes, name, pages, codeLimit] = [word(3), word(4), word(5), word(7), word(8)];
  const pageSize = 2 ** file.readUInt8(directory + 39);
  const wrong: number[] = [];
  for (let page = 0; page < Math.max(pages, Math.ceil(codeLimit / pageSize)); page++) {
    const bytes = file.subarray(page * pageSize, Math.min((page + 1) * pageSize, codeLimit));
    const said = file.subarray(directory + hashes + page * 32, directory + hashes + (page + 1) * 32);
    if (!new Bun.CryptoHasher("sha256").update(bytes).digest().equals(said)) wrong.push(page);
  }
  const identifier = file.toString("latin1", directory + name, file.indexOf(0, directory + name));
  return { identifier, flags, codeLimit, wrong, start, ends: [end, segmentEnd, file.length] };
}
