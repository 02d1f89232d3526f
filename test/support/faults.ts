import { causes, Fault } from "../../src/oci/fault.ts";

/** The fault that `work` ends with; fails when it ends well or otherwise. */
export async function faultOf(work: () => unknown): Promise<Fault> {
  try {
    await work();
  } catch (error) {
    if (error instanceof Fault) return error;
    throw error;
  }
  throw new Error("it did not fail");
}

/** All that a person gets to read of a failure. */
export function textOf(fault: Fault): string {
  const messages = causes(fault).map((cause) => (cause instanceof Error ? cause.message : String(cause)));
  return [...messages, fault.hint ?? ""].join("\n");
}
