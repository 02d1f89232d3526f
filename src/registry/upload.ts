import { isRetryable, PassingStatus, retried } from "../http/retry.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import { algorithmOf } from "../oci/digest.ts";
import { Fault, faultKind } from "../oci/fault.ts";
import type { Content } from "../oci/plan.ts";
import { AnswerFault } from "./answer.ts";
import {
  locationOf,
  nextAddress,
  sendUpload,
  type UploadAnswer,
  type UploadRequest,
} from "./upload-address.ts";
import {
  arrivedAfter,
  isDenial,
  isForgotten,
  isTooLarge,
  isUnsupported,
  MethodRefused,
  minimumOf,
} from "./upload-answer.ts";
import { UploadBody } from "./upload-body.ts";
import type { UploadMethod } from "./upload-manner.ts";
import { holdsBlob, type UploadTarget } from "./upload-target.ts";
import { warnOf } from "./warning.ts";

/** An upload that is under way. */
interface Session {
  url: URL;
  /** Bytes that the registry has for certain. */
  arrived: number;
  /** The smallest chunk it takes. */
  minimum: number;
}

const OCTETS = { "content-type": "application/octet-stream" };
/** Times that a registry may say that it stands elsewhere than it did. */
const MOST_STRAYS = 8;

/**
 * Sends a blob: begin, fill, close with the digest. What a registry refuses is tried another way
 * (`UploadMethod`). Where the connection or the registry breaks, the upload goes on from the byte that the
 * registry says it has, or starts over in a session of its own.
 * `session`: one that is open already, e.g. from a mount that was not granted; used for the first try.
 */
export async function upload(
  target: UploadTarget,
  descriptor: Descriptor,
  { content, session }: { content: Content; session?: URL | undefined },
): Promise<void> {
  const blob = new BlobUpload(target, descriptor, content);
  await blob.run(session);
}

class BlobUpload {
  readonly #target: UploadTarget;
  readonly #descriptor: Descriptor;
  readonly #body: UploadBody;
  readonly #refusals = new Map<UploadMethod, unknown>();
  /** Open, and not yet used. */
  #open: Session | undefined;
  /** Where a request broke off. */
  #broken: URL | undefined;
  /** Where the digest was sent last. */
  #closing: URL | undefined;
  /** The most that a broken upload was found to have kept. */
  #furthest = 0;

  constructor(target: UploadTarget, descriptor: Descriptor, content: Content) {
    this.#target = target;
    this.#descriptor = descriptor;
    this.#body = new UploadBody(content, descriptor.size);
  }

  async run(session: URL | undefined): Promise<void> {
    if (session !== undefined) this.#open = { url: session, arrived: 0, minimum: 0 };
    const { policy } = this.#target.client.http;
    const what = () => `upload of ${this.#descriptor.digest}`;
    try {
      for (;;) {
        const before = this.#furthest;
        try {
          return await retried(policy, what, () => this.#attempt());
        } catch (error) {
          if (!isRetryable(error) || policy.signal.aborted) throw error;
          // As long as each round of tries gets further, a bad line is only slow.
          if (this.#furthest <= before) throw error;
        }
      }
    } catch (error) {
      throw this.#explained(error);
    } finally {
      await this.#body.close();
    }
  }

  async #attempt(): Promise<void> {
    const kept = await this.#kept();
    if (kept === "stored") return;
    if (kept !== undefined && (await this.#worked("chunks", kept))) return;
    for (;;) {
      const { manner } = this.#target;
      const method = manner.methodFor(this.#descriptor.size, new Set(this.#refusals.keys()));
      if (method === undefined) throw this.#refusal();
      if (await this.#worked(method)) return;
    }
  }

  /** The gravest reason, else the first: later ones come from ways that are less usual. */
  #refusal(): unknown {
    const reasons = [...this.#refusals.values()];
    const fallback = new Fault(`cannot upload to ${this.#target.repository}: every way is refused`);
    return reasons.find((reason) => faultKind(reason) === "mismatch") ?? reasons[0] ?? fallback;
  }

  /** False when the registry does not take blobs this way; any other failure is thrown. */
  async #worked(method: UploadMethod, kept?: Session): Promise<boolean> {
    const session = kept ?? (await this.#begin());
    try {
      await this.#fill(method, session);
    } catch (error) {
      if (!(error instanceof MethodRefused)) throw error;
      this.#refusals.set(method, error.cause);
      return false;
    }
    // Once it is certain that another way works: it may have been the session's fault.
    for (const [refused, why] of this.#refusals) if (isUnsupported(why)) this.#target.manner.refuse(refused);
    return true;
  }

  async #fill(method: UploadMethod, session: Session): Promise<void> {
    const { size } = this.#descriptor;
    if (size === 0) return this.#close(session.url);
    switch (method) {
      case "patch": {
        const answer = await this.#refusable(() => this.#patch(session.url, 0, size));
        const filled = nextAddress(answer);
        // Bytes that went twice, for a 401 in between, may also be there twice.
        return this.#body.wasReplayed ? this.#closeDoubtful(filled) : this.#close(filled);
      }
      case "put":
        return this.#refusable(() => this.#close(session.url, (url) => this.#body.open(url, 0, size)));
      case "chunks":
        // The registry may have dropped some, whatever it said.
        return this.#closeDoubtful(await this.#sendChunks(session));
    }
  }

  /** Where other bytes are found than were sent, sending them another way shows whether they are wrong. */
  async #closeDoubtful(filled: URL): Promise<void> {
    try {
      await this.#close(filled);
    } catch (error) {
      if (error instanceof AnswerFault && !isDenial(error)) throw new MethodRefused(error);
      throw error;
    }
  }

  async #refusable<T>(send: () => Promise<T>): Promise<T> {
    try {
      return await send();
    } catch (error) {
      if (isTooLarge(error)) this.#target.manner.refuseBody(this.#descriptor.size);
      if (isTooLarge(error) || isUnsupported(error) || isForgotten(error)) throw new MethodRefused(error);
      throw error;
    }
  }

  async #begin(): Promise<Session> {
    const open = this.#open;
    this.#open = undefined;
    if (open !== undefined) return open;
    const { client, repository } = this.#target;
    const algorithm = algorithmOf(this.#descriptor.digest);
    const start = { kind: "startUpload", repository } as const;
    const endpoint = algorithm === "sha512" ? { ...start, algorithm } : start;
    const url = await client.urlOf(endpoint);
    const answer = await sendUpload(this.#target, { method: "POST", url }, [202]);
    return { url: locationOf(answer.response, answer.url), arrived: 0, minimum: minimumOf(answer) };
  }

  async #sendChunks(session: Session): Promise<URL> {
    const { size } = this.#descriptor;
    const { manner } = this.#target;
    let { url, arrived, minimum } = session;
    for (let strays = 0; arrived < size; ) {
      const end = Math.min(size, arrived + manner.chunkBytes(minimum));
      try {
        const answer = await this.#patch(url, arrived, end, { "content-range": `${arrived}-${end - 1}` });
        const now = arrivedAfter(answer, end);
        if (now <= arrived || now > end) throw this.#chunksLost(answer, now);
        arrived = now;
        url = nextAddress(answer);
      } catch (error) {
        if (!(error instanceof AnswerFault) || isDenial(error)) throw error;
        const kept = await this.#ask(url);
        const strayed = error.status === 416 && kept !== undefined && kept.arrived !== arrived;
        const mayShrink = error.status === 413 || error.status === 416;
        if (!(strayed && ++strays < MOST_STRAYS) && !(mayShrink && manner.shrinkChunks(end - arrived))) {
          throw new MethodRefused(error);
        }
        ({ url, arrived, minimum } = kept ?? (await this.#begin()));
      }
    }
    return url;
  }

  /** ECR takes the first PATCH alone, and answers 201 to the others. aws/containers-roadmap 2831. */
  #chunksLost({ url }: UploadAnswer, arrived: number): MethodRefused {
    const { manner, warn } = this.#target;
    const said = `cannot upload to ${url.host} in chunks: after more were sent it has ${arrived} bytes`;
    warn(`${said}; blobs go there in one piece`);
    manner.refuse("chunks");
    return new MethodRefused(new Fault(said));
  }

  async #patch(
    url: URL,
    from: number,
    to: number,
    range: Record<string, string> = {},
  ): Promise<UploadAnswer> {
    const headers = { ...OCTETS, "content-length": String(to - from), ...range };
    const body = (at: URL) => this.#body.open(at, from, to);
    // ECR answers 201 where the specification says 202.
    return this.#send({ method: "PATCH", url, headers, body }, [201, 202, 204]);
  }

  /** Ends the upload; with `body` when the blob goes along. */
  async #close(filled: URL, body?: (url: URL) => Bun.BodyInit): Promise<void> {
    const { digest, size } = this.#descriptor;
    const url = new URL(filled);
    // Added to the query as it stands: a registry may have signed it.
    url.search += `${url.search === "" ? "?" : "&"}digest=${encodeURIComponent(digest)}`;
    const whole = body === undefined ? {} : { body };
    const headers = { ...OCTETS, ...(body === undefined ? {} : { "content-length": String(size) }) };
    this.#closing = filled;
    await this.#send({ method: "PUT", url, headers, ...whole, answers: "late" }, [201, 204], filled);
  }

  /** `session`: where to ask what has arrived when the request breaks. */
  async #send(request: UploadRequest, statuses: number[], session = request.url): Promise<UploadAnswer> {
    this.#body.begin();
    try {
      const answer = await sendUpload(this.#target, request, statuses);
      warnOf(answer.response, answer.url, this.#target.warn);
      return answer;
    } catch (error) {
      const reason = this.#body.reasonOf(error);
      if (isRetryable(reason)) this.#broken = session;
      throw reason;
    }
  }

  /** What a broken upload has left: a session that can be filled up, or even the blob. */
  async #kept(): Promise<Session | "stored" | undefined> {
    const url = this.#broken;
    if (url === undefined) return;
    this.#broken = undefined;
    const [wasClosing, size] = [this.#closing !== undefined, this.#descriptor.size];
    this.#closing = undefined;
    const session = await this.#ask(url);
    if (session !== undefined && session.arrived > 0 && session.arrived <= size) {
      this.#furthest = Math.max(this.#furthest, session.arrived);
      if (session.arrived === size || this.#takesChunks()) return session;
    }
    // The answer may have been lost on its way, or a proxy lost patience while the registry was hashing.
    return wasClosing && (await holdsBlob(this.#target, this.#descriptor.digest)) ? "stored" : undefined;
  }

  /** What has arrived. Spec: distribution-spec end-13. Undefined when the registry does not say. */
  async #ask(url: URL): Promise<Session | undefined> {
    try {
      const answer = await sendUpload(this.#target, { method: "GET", url }, [204]);
      return { url: nextAddress(answer), arrived: arrivedAfter(answer, 0), minimum: minimumOf(answer) };
    } catch (error) {
      if (error instanceof Fault || isRetryable(error)) return;
      throw error;
    }
  }

  #takesChunks(): boolean {
    return this.#target.manner.takesChunks() && !this.#refusals.has("chunks");
  }

  #explained(error: unknown): unknown {
    const host = this.#closing?.host;
    const isAnswer = error instanceof PassingStatus || (error instanceof AnswerFault && !isDenial(error));
    if (this.#descriptor.size > 0 || host === undefined || !isAnswer) return error;
    return new Fault(`cannot store a blob of no bytes in ${host}`, {
      cause: error,
      hint: "some registries (ECR, Quay, ICR) refuse them: rebuild the image without the empty layer, or leave it out",
    });
  }
}
