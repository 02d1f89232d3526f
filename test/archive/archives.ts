import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Layout } from "../../src/archive/layout.ts";
import type { Plan, Source } from "../../src/oci/plan.ts";
import { transfer } from "../../src/transfer/transfer.ts";
import type { TestContent } from "../support/content.ts";
import { MemorySource, planOf, rawImage, rawIndex } from "../support/memory.ts";
import { Writing } from "../support/writing.ts";

export type Contents = Readonly<Record<string, TestContent>>;

const ARM64 = { os: "linux", architecture: "arm64" };

/** One of each: an index of two images, an image by itself, and one known by digest alone. */
export function someContents(): Contents {
  const arm64 = rawImage(["base", "app on arm64"], { platform: ARM64 });
  const index = rawIndex([rawImage(["base", "app on amd64"]), arm64]);
  const pinned = rawImage(["x".repeat(2000)]);
  return {
    "public.ecr.aws/eks-anywhere/app:v1": index,
    "public.ecr.aws/eks_anywhere__x/tool:v1": rawImage(["base", "tool", ""]),
    [`registry.example.com:5000/pinned@${pinned.root.digest}`]: pinned,
  };
}

export interface Written {
  plan: Plan;
  layout: Layout;
}

/** The archive of some contents under its final name. */
export async function writeArchive(
  path: string,
  contents: Contents,
  source: Source = new MemorySource(contents),
): Promise<Written> {
  const plan = await planOf(contents);
  const writing = await Writing.begin(path, plan);
  const { lost } = await transfer(plan, source, writing.sink, {
    jobs: 3,
    onFailure: "stop",
    listener: () => {},
    signal: new AbortController().signal,
  });
  if (lost.length > 0) throw lost[0]?.error;
  await writing.commit();
  return { plan, layout: writing.layout };
}

/** Runs `work` in a folder that is gone afterwards. */
export async function inFolder<T>(work: (folder: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), "eksa-airgap-archive-"));
  try {
    return await work(folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}
