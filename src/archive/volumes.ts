import type { Member } from "./files.ts";

/** The files of an archive of so many bytes: itself, or with `splitSize` its volumes, `OUTPUT.000` first. */
export function volumesOf(output: string, size: number, splitSize?: number): Member[] {
  if (splitSize === undefined) return [{ path: output, size }];
  return Array.from({ length: Math.max(1, Math.ceil(size / splitSize)) }, (_, index) => ({
    path: volumePath(output, index),
    size: Math.min(splitSize, size - index * splitSize),
  }));
}

export function volumePath(output: string, index: number): string {
  return `${output}.${String(index).padStart(3, "0")}`;
}
