import { type Digest, digestOf } from "../../src/oci/digest.ts";
import type { Node, Outcome, Root } from "../../src/oci/plan.ts";
import { createLog } from "../../src/terminal/log.ts";
import { createProgress, type ProgressMode } from "../../src/terminal/progress.ts";
import { Screen } from "../../src/terminal/screen.ts";
import type { TransferEvent } from "../../src/transfer/events.ts";
import { FakeStream } from "./fake-stream.ts";

export const MIB = 1024 * 1024;

/** A blob, or a manifest where it has children. */
export function nodeOf(name: string, size: number, children: readonly Digest[] = []): Node {
  const digest = digestOf(new TextEncoder().encode(name));
  return {
    descriptor: { mediaType: "application/octet-stream", digest, size },
    kind: children.length > 0 ? "manifest" : "blob",
    children,
    repositories: new Set([`public.ecr.aws/eks-anywhere/${name}` as const]),
  };
}

export function rootOf({ descriptor }: Node, tag: string): Root {
  return { reference: { registry: "public.ecr.aws", repository: "eks-anywhere/app", tag }, descriptor };
}

/** A node's end, in a sink of one place. */
export function endOf(node: Node, outcome: Outcome): TransferEvent {
  return { type: "end", node, outcome, places: { copied: 0, mounted: 0, present: 0, [outcome]: 1 } };
}

export const LAYER = nodeOf("layer", 100 * MIB);
export const CONFIG = nodeOf("config", MIB);
export const MANIFEST = nodeOf("manifest", 512, [CONFIG.descriptor.digest, LAYER.descriptor.digest]);
export const ROOT = rootOf(MANIFEST, "v1");
export const TOTAL = 101 * MIB + 512;
export const START = { type: "start", nodes: 3, bytes: TOTAL, artifacts: 1 } as const;

/** A progress whose clock and timer the test moves. */
export function setUp(mode: ProgressMode, stream = new FakeStream({ columns: 80 }), title = "exporting") {
  let time = 0;
  let tick: (() => void) | undefined;
  let interval = 0;
  const screen = new Screen(stream, {});
  const log = createLog({ screen, format: mode === "json" ? "json" : "text" });
  const progress = createProgress({
    screen,
    log,
    mode,
    title,
    now: () => time,
    every: (milliseconds, callback) => {
      interval = milliseconds;
      tick = callback;
      return () => {
        tick = undefined;
      };
    },
  });
  const advance = (milliseconds: number) => {
    const end = time + milliseconds;
    for (let passed = interval; interval > 0 && passed <= milliseconds; passed += interval) {
      time += interval;
      tick?.();
    }
    time = end;
  };
  return { ...progress, stream, log, advance, isTicking: () => tick !== undefined };
}
