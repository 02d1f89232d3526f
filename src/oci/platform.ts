import type { Platform } from "./descriptor.ts";

/** What an architecture is without a variant. Source: containerd/platforms, `normalizeArch`. */
const USUAL_VARIANT = new Map([
  ["amd64", "v1"],
  ["arm", "v7"],
  ["arm64", "v8"],
]);

/** `OS/ARCH[/VARIANT]`; undefined when `text` is none. */
export function parsePlatform(text: string): Platform | undefined {
  const [os, architecture, variant, ...rest] = text.split("/");
  const parts = [os, architecture, variant].filter((part) => part !== undefined);
  if (os === undefined || architecture === undefined || rest.length > 0) return;
  if (!parts.every((part) => /^[a-z0-9][a-z0-9_.-]*$/.test(part))) return;
  return { os, architecture, ...(variant === undefined ? {} : { variant }) };
}

export function formatPlatform({ os, architecture, variant }: Platform): string {
  return [os, architecture, variant].filter((part) => part !== undefined).join("/");
}

/** Whether something runs somewhere at all: attestations are for `unknown/unknown`, signatures for nothing. */
export function isRunnable(platform: Platform | undefined): platform is Platform {
  if (platform === undefined) return false;
  return [platform.os, platform.architecture].every((part) => part !== "" && part !== "unknown");
}

/** Whether `platform` is one of those that `wanted` stands for: all variants, where it names none. */
export function matchesPlatform(platform: Platform, wanted: Platform): boolean {
  if (platform.os !== wanted.os || platform.architecture !== wanted.architecture) return false;
  return wanted.variant === undefined || variantOf(platform) === variantOf(wanted);
}

function variantOf({ architecture, variant }: Platform): string | undefined {
  return variant ?? USUAL_VARIANT.get(architecture);
}
