import { PassingStatus } from "../http/retry.ts";
import { Fault } from "../oci/fault.ts";
import { AnswerFault } from "./answer.ts";
import { isDenial, isForgotten, isTooLarge, isUnsupported, MethodRefused } from "./upload-answer.ts";
import type { UploadTarget } from "./upload-target.ts";

/** Sends a body of `size` bytes; what says that the registry does not take it this way is a `MethodRefused`. */
export async function refusable<T>(
  { manner }: UploadTarget,
  size: number,
  send: () => Promise<T>,
): Promise<T> {
  try {
    return await send();
  } catch (error) {
    if (isTooLarge(error)) manner.refuseBody(size);
    if (isTooLarge(error) || isUnsupported(error) || isForgotten(error)) throw new MethodRefused(error);
    throw error;
  }
}

/** Where other bytes are found than were sent, sending them another way shows whether they are wrong. */
export async function doubtful(close: () => Promise<void>): Promise<void> {
  try {
    await close();
  } catch (error) {
    if (error instanceof AnswerFault && !isDenial(error)) throw new MethodRefused(error);
    throw error;
  }
}

/** ECR takes the first PATCH alone, and answers 201 to the others. aws/containers-roadmap 2831. */
export function chunksLost(
  { manner, warn }: UploadTarget,
  url: URL,
  arrived: number | undefined,
): MethodRefused {
  const has = arrived === undefined ? "it does not say what it has" : `it has ${arrived} bytes`;
  const said = `cannot upload to ${url.host} in chunks: after more were sent ${has}`;
  warn(`${said}; blobs go there in one piece`);
  manner.refuse("chunks");
  return new MethodRefused(new Fault(said));
}

/** Why a blob of no bytes was not stored in `host`, where that is the registry's word. */
export function explainedEmpty(error: unknown, host: string): unknown {
  const isAnswer = error instanceof PassingStatus || (error instanceof AnswerFault && !isDenial(error));
  if (!isAnswer) return error;
  return new Fault(`cannot store a blob of no bytes in ${host}`, {
    cause: error,
    hint: "some registries (ECR, Quay, ICR) refuse them: rebuild the image without the empty layer, or leave it out",
  });
}
