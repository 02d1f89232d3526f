import type { Node, Outcome, Root } from "../oci/plan.ts";

/**
 * What a transfer tells of itself, in order: one `start`; for each node `begin`, any number of `held`
 * and `bytes`, then `end` or `failed`; for each root `artifact` once it is whole under its name, or `lost`.
 */
export type TransferEvent =
  /** `bytes`: the sum of all nodes' sizes. */
  | { type: "start"; nodes: number; bytes: number; artifacts: number }
  | { type: "begin"; node: Node }
  /** `bytes` more of the node are verified; never counted twice, however often a piece is fetched again. */
  | { type: "bytes"; node: Node; bytes: number }
  /** `bytes` of the node were there from an earlier run, and are verified again. */
  | { type: "held"; node: Node; bytes: number }
  /** `places`: how many of those that keep the node came by it in which way; at least one. */
  | { type: "end"; node: Node; outcome: Outcome; places: Readonly<Record<Outcome, number>> }
  | { type: "failed"; node: Node; error: unknown }
  | { type: "artifact"; root: Root }
  | { type: "lost"; root: Root; error: unknown };

export type Listener = (event: TransferEvent) => void;
